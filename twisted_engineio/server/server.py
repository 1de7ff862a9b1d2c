"""
The registry: which session has which id, and what is done to all of them.

Rules of this file:

1. A session is here from its opening to its end; ``session_ended`` takes it out, once.
2. Before ``admit`` has accepted, there is no session and no id: nothing to find.

Who may open a session stands in ``admission.py``, and how all of them end in
``shutdown.py``.

Driven by the resource (``admit``, ``open``, ``find``), by its sessions
(``session_ended``) and by whoever runs it (``broadcast``, ``stop``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import random
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol
from weakref import ref

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    ensureDeferred,
)
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..application import Application, EchoApplication, misspelt_hooks
from ..config import Config
from ..exceptions import (
    CloseReason,
    ErrorCode,
    PayloadTooLarge,
    Refused,
    Reject,
    Unavailable,
    require,
)
from ..observer import Observer, hooks_of
from ..policy.cors import Cors
from ..policy.forwarded import TrustedProxies
from ..policy.limited_log import LimitedLog, LineLimit
from ..policy.quota import Quota
from ..protocol.handshake import Handshake
from ..protocol.packet import Buffer, Encoded, Outgoing, as_data
from ..session.open_packet import open_packet
from ..session.rate_limited import session_class
from ..session.session import Session, State
from ..session.shared_timeout import SharedTimeout
from ..transports.websocket.factory import WebSocketFactory
from ..transports.websocket.frames import FastWebSocketTransport
from ..transports.websocket.transport import WebSocketTransport
from .admission import AdmissionControl, Entry, make_sid
from .shutdown import Shutdown, ShutdownStage
from .socketio_hint import is_connect, log_hint

if TYPE_CHECKING:
    from ..session.interfaces import Transport

__all__ = ["Entry", "Server", "make_sid"]


_RETRY: Final = 5.0
"""Seconds after which to come back to a server that stops: another one starts soon."""
_QUIET: Final = 60.0
"""Seconds after which the log says again that the whole server is at a limit."""


class RefusedRequest(Protocol):
    """A request that was refused."""

    transport: str
    query: dict[str, str]

    @property
    def path(self) -> str:
        """The path that it asks for, without the query."""

    @property
    def view(self) -> Handshake:
        """What it said."""


class Server(AdmissionControl):
    """
    All sessions of one application.

    Attributes:
        application: What the sessions are for.
        config: Its limits and intervals.
        sessions: Every open session by its id, read-only.
        clock: What its timers run on.
        observers: Its onlookers, in the order in which they are told.
        hearing: Which of their methods hear what comes often.
        log: Where it logs what clients can cause, limited in rate.
        cors: Which origins may use it.
        proxies: The proxies that it trusts; None if there are none.
        handlers: What bounds handlers whose clients are gone.
        websockets: The options that its WebSockets share.

    """

    _logger = Logger()

    def __init__(
        self,
        application: Application,
        config: Config | None = None,
        *,
        clock: IReactorTime | None = None,
        observers: Sequence[Observer] = (),
        make_sid: Callable[[Handshake], object] = make_sid,
        random: Callable[[], float] = random,
    ) -> None:
        """
        Make a server without sessions.

        Args:
            application: An ``Application``.
            config: Its options; the defaults if left out.
            clock: What to measure time with; Twisted's reactor if left out.
            observers: Onlookers, told every event in this order.
            make_sid: Makes the id of a new session; may be async. It must be
                unguessable: whoever knows it is that client.
            random: Gives a random number from 0 to 1, for the jitter.

        Raises:
            TypeError: If ``application`` is no Application, or ``config`` no Config.

        """
        require(Application, application, "Server")
        if config is not None:
            require(Config, config, "Server")
        if clock is None:
            # As Twisted's own classes do: whoever gives no clock means the reactor.
            from twisted.internet import reactor  # noqa: TID251

            clock = IReactorTime(reactor)
        misspelt = misspelt_hooks(application)
        if misspelt:
            self._logger.warn(
                "{application} has methods that are never called: {methods}",
                application=type(application).__name__,
                methods="; ".join(
                    f"{name}: did you mean {hook}?" for name, hook in misspelt.items()
                ),
            )
        self.application = application
        self.config = config or Config()
        self.clock: IReactorTime = clock
        self.observers = tuple(observers)
        self.hearing = hooks_of(self.observers)
        self.log = LimitedLog(self._logger, LineLimit(clock))
        self.rare_log = LimitedLog(
            self._logger, LineLimit(clock, 1, _QUIET, timed=False)
        )
        self.cors = Cors(self.config, self.log)
        trusted = self.config.trusted_proxies
        self.proxies = TrustedProxies(trusted) if trusted else None
        self._make_sid = make_sid
        self._random = random
        self._sessions: dict[str, Session] = {}
        self.sessions: Mapping[str, Session] = MappingProxyType(self._sessions)
        self._quota = Quota(self.config, clock.seconds)
        self._drain = Shutdown(self, random)
        self.handlers = SharedTimeout(clock, self.config.handler_timeout)
        # The lane reads and writes what is not compressed.
        plain = not self.config.per_message_deflate
        self.websockets = WebSocketFactory(
            self.config,
            self.clock,
            self.too_large,
            FastWebSocketTransport if plain else WebSocketTransport,
            log=self.log.limit,
        )
        self.websockets.lost = self._drain.settle
        config = self.config
        self._session_class = session_class(
            observed=self.hearing.watches_sessions,
            limited=bool(config.max_messages_per_second or config.max_bytes_per_second),
        )
        self._corked: list[Transport] = []

    # For the resource.

    def refuse_when_stopped(self) -> None:
        """
        Let nobody in who comes too late.

        Raises:
            Unavailable: If the server stops, or has stopped.

        """
        if self._drain.stage is not ShutdownStage.SERVING:
            raise Unavailable(503, "The server is going away", retry_after=_RETRY)

    def open(self, entry: Entry, transport: Transport) -> Session:
        """
        Open a session for a client that was admitted.

        Args:
            entry: What ``admit`` gave.
            transport: What carries it; the session's from now on.

        Raises:
            Unavailable: If the server has stopped meanwhile, or is full.
            Refused: If another session has got the same id meanwhile.

        """
        self.refuse_when_stopped()
        if entry.sid in self._sessions:
            raise Refused(ErrorCode.BAD_REQUEST, "the id was given away meanwhile")
        self._let_in(self._quota.enter, entry.handshake)
        try:
            session = self._session_class(
                entry.sid,
                entry.handshake,
                entry.revision,
                transport,
                self,
                entry.admission,
            )
        except BaseException:
            self._quota.leave(entry.handshake.client_address)
            raise
        entry.handshake.forget_parsed()
        transport.receiver = session
        self._sessions[session.sid] = session
        if self.observers:
            self._tell_opened(session)
        try:
            session.open(*self._first_packets(session))
        except Exception:
            session.fail(CloseReason.TRANSPORT_ERROR)
            raise
        finally:
            if session.state is State.CLOSED:
                self._forget(session)
                self._drain.settle()
        return session

    def _tell_opened(self, session: Session) -> None:
        self.tell(lambda each: each.session_opened(session))
        if (reason := session.reason) is not None:
            # An observer has ended it; the application never hears of it.
            self.tell(lambda each: each.session_closed(session, reason))

    def _forget(self, session: Session) -> None:
        if self._sessions.pop(session.sid, None) is not None:
            self._quota.leave(session.handshake.client_address)

    def _first_packets(self, session: Session) -> list[Outgoing]:
        packets: list[Outgoing] = [
            open_packet(
                session.sid, session.transport.name, self.config, *session.intervals
            )
        ]
        if self.config.initial_packet is not None:
            packets.append(as_data(self.config.initial_packet))
        return packets

    def jitter(self) -> float:
        """Choose the seconds by which a session's first ping comes early."""
        return self.config.ping_jitter * self._random()

    def find(self, sid: str) -> Session:
        """
        Find an open session.

        Args:
            sid: Whatever a client says its id is.

        Raises:
            Refused: If there is none.

        """
        session = self._sessions.get(sid)
        if session is None or session.expired():
            raise Refused(ErrorCode.UNKNOWN_SID, "no session has this id")
        return session

    # For whoever runs it.

    def session(self, sid: str) -> Session | None:
        """
        Return the open session with an id.

        Args:
            sid: The id.

        Returns:
            The session; None if there is none, or if it is closing: nothing can be
            sent to it any more. ``sessions`` has those that are closing, too.

        """
        session = self._sessions.get(sid)
        if session is None or session.state is not State.OPEN:
            return None
        return session

    def broadcast(
        self,
        data: str | bytes | Buffer,
        *,
        compress: bool = True,
        except_: Session | str | Iterable[Session | str] = (),
    ) -> None:
        """
        Send a message to every open session.

        It leaves at the end of this turn of the reactor, with whatever else is sent to
        a session until then, in order.

        Args:
            data: The message.
            compress: As for ``Session.send``.
            except_: Sessions, or their ids, that are not sent it; one, or several.

        Raises:
            TypeError: If ``data`` is no message.
            UnicodeEncodeError: If it is text with a lone surrogate.

        """
        message = Encoded(data, compress=compress)
        if isinstance(except_, (Session, str)):
            except_ = (except_,)
        skipped = {each if isinstance(each, str) else each.sid for each in except_}
        corked = self._corked
        for session in list(self._sessions.values()):
            if session.state is State.OPEN and session.sid not in skipped:
                transport = session.transport
                if transport.cork():
                    if not corked:
                        self.clock.callLater(0, self._uncork)
                    corked.append(transport)
                session.send(message)

    def _uncork(self) -> None:
        """Let go what a turn's broadcasts have put together."""
        corked, self._corked = self._corked, []
        for transport in corked:
            transport.uncork()

    def stop(self, timeout: float | None = None) -> Deferred[None]:
        """
        Refuse new sessions and close all there are, spread over the time if many.

        Args:
            timeout: Seconds after which what is left is cut off: sessions that nobody
                fetches the last words of, WebSockets that their clients don't close;
                ``drain_timeout`` if left out. The first call decides.

        Returns:
            A Deferred that fires when the last session has ended, its WebSocket is
            closed, the application has said goodbye to it, be that async, and the last
            words have had a moment to leave the process. WebSockets whose clients have
            not read them by then are aborted.

        """
        self._drain.begin(self.config.drain_timeout if timeout is None else timeout)
        return self._drain.over().addCallback(self._end_what_is_left)

    def _end_what_is_left(self, _: None) -> Deferred[None] | None:
        """Cancel the handlers and abort the WebSockets that have not ended."""
        self.handlers.expire()
        self.websockets.closes.expire()
        self.flush_log()
        # Twisted calls connectionLost of an aborted connection in the next turn.
        return deferLater(self.clock, 0) if self.connected else None

    def cut_off(self) -> None:
        """End what is left now: a stop that has begun need take no longer."""
        self._drain.cut_off()

    def flush_log(self) -> None:
        """Write all counts of lines that were left out, and cancel their timers."""
        self.log.limit.flush()
        self.rare_log.limit.flush()

    @property
    def connected(self) -> int:
        """How many WebSockets are not closed yet."""
        return int(self.websockets.countConnections)

    # For sessions, transports and the resource: what happened.

    def session_ended(self, session: Session, reason: CloseReason) -> None:
        """
        Forget a session, and tell the application once.

        Args:
            session: The session, closed.
            reason: Why it ended.

        """
        self._forget(session)
        try:
            result = self.application.session_closed(session, reason)
        except Exception:
            self._goodbye_failed(Failure(), session)
        else:
            if result is not None and hasattr(result, "__await__"):
                # What has __await__ is a coroutine here, or a Deferred.
                goodbye: Deferred[object] = ensureDeferred(result)  # type: ignore[arg-type]
                goodbye.addErrback(self._goodbye_failed, session)
                if not goodbye.called:
                    self.outlives(goodbye)
                self._drain.wait_for(goodbye)
        if self.observers:
            self.tell(lambda each: each.session_closed(session, reason))
        self._drain.settle()

    def outlives(self, handler: Deferred[object]) -> None:
        """
        Cancel a handler whose session is over, unless it finishes in time.

        Args:
            handler: What it returned; it does not fail.

        """

        def cancel() -> None:
            handler = known()
            assert handler is not None  # or this was ended
            handler.cancel()

        # Weak: a Deferred that nothing else refers to cannot fire, so that no timer is
        # needed for it.
        known = ref(handler, lambda _: self.handlers.end(cancel))
        self.handlers.begin(cancel)
        handler.addCallback(lambda _: self.handlers.end(cancel))

    def _goodbye_failed(self, failure: Failure, session: Session) -> None:
        if failure.check(CancelledError):
            return  # it took too long
        self.log.failure(
            "the application failed when session {sid}... ended",
            failure=failure,
            sid=session.sid[:6],
        )

    def is_mistaken(self, session: Session, data: str | bytes) -> bool:
        """
        Log a first message of a Socket.IO client, and close the session of an echo.

        Args:
            session: The session.
            data: What came first on it.

        Returns:
            Whether the application is not to be given the message.

        """
        if not is_connect(data):
            return False
        log_hint(self.rare_log, "its first message was 40")
        hook = type(self.application).message_received
        if hook is not EchoApplication.message_received:
            return False
        session.close()  # sent back, it would be Socket.IO's yes
        return True

    def limit_reached(self, limit: str, about: Session | Handshake) -> None:
        """Hear that a client went beyond one of the operator's limits."""
        handshake = about if isinstance(about, Handshake) else about.handshake
        self.log.debug(
            "client {address} went beyond {limit}",
            limit=limit,
            address=handshake.client_address,
        )
        self.tell(lambda each: each.limit_reached(limit, about))

    def too_large(self, error: PayloadTooLarge) -> None:
        """Hear of a payload over the limit."""
        self.tell(lambda each: each.payload_refused(error))

    def refused(self, error: Refused | Reject, asked: RefusedRequest) -> None:
        """Hear of a request that was refused."""
        if self.hearing.connection_refused:
            request = asked.view
            self.tell(lambda each: each.connection_refused(error, request))

    def log_refusal(self, error: Refused | Reject, asked: RefusedRequest) -> None:
        """Log a request that was refused, without its session's id."""
        view = asked.view
        self.log.info(
            "refused {method} {path} from {address}: {status} {error} ({context}),"
            " code {code}; transport {transport!r}, origin {origin!r}, agent {agent!r}",
            more="further requests refused: {count}",
            address=view.client_address,
            agent=view.headers.get("user-agent", ""),
            code=int(error.code),
            context=error.context,
            error=error.message,
            method=view.method,
            origin=view.headers.get("origin", ""),
            path=asked.path,
            sid=asked.query.get("sid", "")[:6],
            status=error.status,
            transport=asked.transport,
        )

    def tell(self, event: Callable[[Observer], None]) -> None:
        """
        Tell every observer of an event.

        Args:
            event: Calls the observer's method for it.

        """
        for observer in self.observers:
            try:
                event(observer)
            except Exception:
                self.observer_failed(observer)

    def observer_failed(self, observer: object) -> None:
        """
        Log the exception that is being handled.

        Args:
            observer: The observer that raised it, or the method of it that did.

        """
        self.log.failure("an observer failed: {observer}", observer=observer)

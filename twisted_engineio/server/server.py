"""
The session registry: look-up by id, broadcast, notifications, shutdown.

Rules of this file:

1. A session is registered from its opening to its end; ``session_ended`` removes it,
   once.
2. Until ``admit`` has returned an ``Entry`` there is no session and no id to look up.

``admission.py`` decides which clients may open a session, and ``shutdown.py`` closes
all of them when the server stops.

Driven by the resource (``admit``, ``open``, ``find``), by its sessions
(``session_ended``) and by the code that runs the server (``broadcast``, ``stop``).
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
"""Seconds after which a refused client may retry; sent when the server is stopping,
because a replacement usually starts soon."""
_QUIET: Final = 60.0
"""Seconds between two log lines about the same server-wide limit."""


class RefusedRequest(Protocol):
    """The part of a ``RequestInfo`` that ``Server.log_refusal`` reads."""

    transport: str
    query: dict[str, str]

    @property
    def path(self) -> str:
        """The request's path, without the query."""

    @property
    def view(self) -> Handshake:
        """The request as a ``Handshake``."""


class Server(AdmissionControl):
    """
    An Engine.IO server: the sessions of one application.

    Attributes:
        application: The application that handles the sessions.
        config: The limits and intervals.
        sessions: Every open session by its id, read-only.
        clock: The clock that all timers run on.
        observers: The observers, in the order in which they are notified.
        hooks: The observers' methods for frequent events, by event.
        log: The log for lines that clients can cause, limited in rate.
        cors: The policy that decides which origins may use the server.
        proxies: The proxies that it trusts; None if there are none.
        handlers: The timeout of handlers whose session has ended.
        websockets: The factory of WebSocket connections, with their shared options.

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
        Create a server without sessions.

        Args:
            application: An ``Application``.
            config: The options; the defaults if omitted.
            clock: The clock to schedule timers on; Twisted's reactor if omitted.
            observers: Observers, notified of every event in this order.
            make_sid: Returns the id of a new session; may be async. The id must be
                unguessable: a client that knows it can take part in the session.
            random: Returns a random number from 0 to 1, for the ping jitter and the
                spread of a shutdown.

        Raises:
            TypeError: If ``application`` is no Application, or ``config`` no Config.

        """
        require(Application, application, "Server")
        if config is not None:
            require(Config, config, "Server")
        if clock is None:
            # As in Twisted's own classes, the global reactor is the default.
            from twisted.internet import reactor  # noqa: TID251

            clock = IReactorTime(reactor)
        misspelt = misspelt_hooks(application)
        if misspelt:
            self._logger.warn(
                "{application} defines methods that are never called: {methods}",
                application=type(application).__name__,
                methods="; ".join(
                    f"{name}: did you mean {hook}?" for name, hook in misspelt.items()
                ),
            )
        self.application = application
        self.config = config or Config()
        self.clock: IReactorTime = clock
        self.observers = tuple(observers)
        self.hooks = hooks_of(self.observers)
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
        # The fast path reads and writes uncompressed frames only.
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
            observed=self.hooks.observes_sessions,
            limited=bool(config.max_messages_per_second or config.max_bytes_per_second),
        )
        self._corked: list[Transport] = []

    # Called by the resource.

    def refuse_when_stopped(self) -> None:
        """
        Raise ``Unavailable`` unless the server is accepting sessions.

        Raises:
            Unavailable: If the server is stopping or has stopped.

        """
        if self._drain.stage is not ShutdownStage.SERVING:
            raise Unavailable(503, "The server is going away", retry_after=_RETRY)

    def open(self, entry: Entry, transport: Transport) -> Session:
        """
        Open a session for an admitted client.

        Args:
            entry: The result of ``admit``.
            transport: The session's first transport; the session owns it from now on.

        Returns:
            The session. It may be closed already if the application or an observer
            closed it.

        Raises:
            Unavailable: If the server has stopped since ``admit``, or is full.
            Refused: If another session was opened with the same id since ``admit``.

        """
        self.refuse_when_stopped()
        if entry.sid in self._sessions:
            raise Refused(ErrorCode.BAD_REQUEST, "another session took the id")
        self._check_quota(self._quota.acquire, entry.handshake)
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
            self._quota.release(entry.handshake.client_address)
            raise
        entry.handshake.forget_parsed()
        transport.receiver = session
        self._sessions[session.sid] = session
        if self.observers:
            self._notify_opened(session)
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

    def _notify_opened(self, session: Session) -> None:
        self.notify(lambda each: each.session_opened(session))
        if (reason := session.reason) is not None:
            # An observer closed the session: the application is never called for it.
            self.notify(lambda each: each.session_closed(session, reason))

    def _forget(self, session: Session) -> None:
        if self._sessions.pop(session.sid, None) is not None:
            self._quota.release(session.handshake.client_address)

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
        """Return the number of seconds by which a session's first ping is advanced."""
        return self.config.ping_jitter * self._random()

    def find(self, sid: str) -> Session:
        """
        Return the open session with an id.

        Args:
            sid: A session id, as sent by a client.

        Raises:
            Refused: If no open session has this id.

        """
        session = self._sessions.get(sid)
        if session is None or session.expired():
            raise Refused(ErrorCode.UNKNOWN_SID, "no session has this id")
        return session

    # Called by the code that runs the server.

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

        The message is written at the end of the current reactor turn, together with
        everything else sent to a session until then, in order.

        Args:
            data: The message.
            compress: As for ``Session.send``.
            except_: Sessions, or their ids, that are not sent it; one, or several.

        Raises:
            TypeError: If ``data`` is neither text nor bytes.
            UnicodeEncodeError: If ``data`` is text with a lone surrogate.

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
        """Write the messages that this turn's broadcasts have collected."""
        corked, self._corked = self._corked, []
        for transport in corked:
            transport.uncork()

    def stop(self, timeout: float | None = None) -> Deferred[None]:
        """
        Refuse new sessions and close all open ones, spread over time if there are many.

        Args:
            timeout: Seconds until the remaining connections are aborted: sessions
                whose unsent data no poll has fetched, and WebSockets that the client
                has not closed. ``drain_timeout`` if omitted. Ignored after the first
                call.

        Returns:
            A Deferred that fires when the last session has ended, its WebSocket is
            closed, ``session_closed`` has finished (also if it is async), and the
            close packets have had a moment to leave the process. WebSockets whose
            clients have not read them by then are aborted.

        """
        self._drain.begin(self.config.drain_timeout if timeout is None else timeout)
        return self._drain.over().addCallback(self._end_what_is_left)

    def _end_what_is_left(self, _: None) -> Deferred[None] | None:
        """Cancel the handlers, and abort the WebSockets, that have not ended."""
        self.handlers.expire()
        self.websockets.closes.expire()
        self.flush_log()
        # Twisted calls connectionLost of an aborted connection in the next turn only.
        return deferLater(self.clock, 0) if self.connected else None

    def cut_off(self) -> None:
        """Abort all remaining sessions now, if ``stop`` was called before."""
        self._drain.cut_off()

    def flush_log(self) -> None:
        """Log the counts of all suppressed lines, and cancel their timers."""
        self.log.limit.flush()
        self.rare_log.limit.flush()

    @property
    def connected(self) -> int:
        """The number of WebSockets that are not closed yet."""
        return int(self.websockets.countConnections)

    # Events, reported by sessions, transports and the resource.

    def session_ended(self, session: Session, reason: CloseReason) -> None:
        """
        Remove a session, and call ``Application.session_closed`` once.

        Args:
            session: The session, closed.
            reason: The reason for which it ended.

        """
        self._forget(session)
        try:
            result = self.application.session_closed(session, reason)
        except Exception:
            self._session_closed_failed(Failure(), session)
        else:
            if result is not None and hasattr(result, "__await__"):
                # An object with __await__ is a coroutine or a Deferred here.
                handler: Deferred[object] = ensureDeferred(result)  # type: ignore[arg-type]
                handler.addErrback(self._session_closed_failed, session)
                if not handler.called:
                    self.cancel_after_timeout(handler)
                self._drain.wait_for(handler)
        if self.observers:
            self.notify(lambda each: each.session_closed(session, reason))
        self._drain.settle()

    def cancel_after_timeout(self, handler: Deferred[object]) -> None:
        """
        Cancel a handler of an ended session unless it finishes in ``handler_timeout``.

        Args:
            handler: The handler's Deferred; it must not fail.

        """

        def cancel() -> None:
            handler = known()
            assert handler is not None  # else the timeout was ended with it
            handler.cancel()

        # A weak reference: a Deferred that nothing else refers to can never fire, so
        # its timeout ends with it.
        known = ref(handler, lambda _: self.handlers.end(cancel))
        self.handlers.begin(cancel)
        handler.addCallback(lambda _: self.handlers.end(cancel))

    def _session_closed_failed(self, failure: Failure, session: Session) -> None:
        if failure.check(CancelledError):
            return  # handler_timeout or the end of the shutdown cancelled it
        self.log.failure(
            "Application.session_closed failed for session {sid}...",
            failure=failure,
            sid=session.sid[:6],
        )

    def check_first_message(self, session: Session, data: str | bytes) -> bool:
        """
        Detect a Socket.IO client by its first message; log a hint for the operator.

        A session of the echo application is closed: a Socket.IO client would take the
        echo of its CONNECT for the server's acceptance.

        Args:
            session: The session.
            data: The session's first message.

        Returns:
            Whether the message must not be passed to the application.

        """
        if not is_connect(data):
            return False
        log_hint(self.rare_log, "its first message was 40")
        hook = type(self.application).message_received
        if hook is not EchoApplication.message_received:
            return False
        session.close()  # see the docstring: an echo would accept the CONNECT
        return True

    def limit_reached(self, limit: str, about: Session | Handshake) -> None:
        """Log that a client exceeded one of the limits, and notify the observers."""
        handshake = about if isinstance(about, Handshake) else about.handshake
        self.log.debug(
            "client {address} exceeded {limit}",
            limit=limit,
            address=handshake.client_address,
        )
        self.notify(lambda each: each.limit_reached(limit, about))

    def too_large(self, error: PayloadTooLarge) -> None:
        """Notify the observers of a payload above ``max_payload``."""
        self.notify(lambda each: each.payload_refused(error))

    def refused(self, error: Refused | Reject, info: RefusedRequest) -> None:
        """Notify the observers of a refused request."""
        if self.hooks.connection_refused:
            request = info.view
            self.notify(lambda each: each.connection_refused(error, request))

    def log_refusal(self, error: Refused | Reject, info: RefusedRequest) -> None:
        """Log a refused request, with the first six characters of its session id."""
        view = info.view
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
            path=info.path,
            sid=info.query.get("sid", "")[:6],
            status=error.status,
            transport=info.transport,
        )

    def notify(self, event: Callable[[Observer], None]) -> None:
        """
        Notify every observer of an event; log those that raise.

        Args:
            event: Calls the method of one observer.

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
            observer: The observer, or the observer's method, that raised it.

        """
        self.log.failure(
            "an observer raised an exception: {observer}", observer=observer
        )

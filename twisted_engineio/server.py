"""
The registry: which session has which id, who may open one, and how all of them end.

Rules of this file:

1. A session is here from its opening to its end; ``session_ended`` takes it out, once.
2. Before ``admit`` has accepted, there is no session and no id: nothing to find.

Driven by the resource (``admit``, ``open``, ``find``), by its sessions
(``session_ended``) and by whoever runs it (``broadcast``, ``stop``).
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    ensureDeferred,
    maybeDeferred,
)
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .application import Admission
from .config import Config
from .exceptions import CloseReason, ErrorCode, PayloadTooLarge, Refused, Reject
from .handshake import Handshake, open_packet
from .observed import ObservedSession
from .observer import Observer
from .packet import Encoded, Outgoing
from .revision import Revision, revision_of
from .session import Session, State
from .transports.fastlane import FastWebSocketTransport
from .transports.websocket import WebSocketFactory

if TYPE_CHECKING:
    from .application import Application
    from .asked import Asked
    from .transport import Transport

__all__ = ["Server"]


_PLAIN: Final = Admission()
_RETRY: Final = {"Retry-After": "5"}
"""What a client is told that comes while the server stops: another one starts soon."""


class Entry(NamedTuple):
    """
    A client that was admitted and has no session yet.

    Attributes:
        handshake: Its first request.
        revision: The revision that it is made in.
        sid: What its session's id will be.
        admission: What the application said of it.

    """

    handshake: Handshake
    revision: Revision
    sid: str
    admission: Admission


def make_sid(handshake: Handshake) -> str:
    """Make an id that cannot be guessed: 120 random bits, URL-safe."""
    return secrets.token_urlsafe(15)


class Server:
    """
    All sessions of one application.

    Attributes:
        application: What the sessions are for.
        config: Its limits and intervals.
        sessions: Every open session by its id, read-only.
        clock: What its timers run on.
        log: Where it logs.
        websockets: The options that its WebSockets share.

    """

    log = Logger()

    def __init__(
        self,
        application: Application,
        config: Config | None = None,
        *,
        clock: IReactorTime | None = None,
        observers: Sequence[Observer] = (),
        make_sid: Callable[[Handshake], object] = make_sid,
        chance: Callable[[], float] = random.random,
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
            chance: Gives a random number from 0 to 1, for the jitter.

        """
        if clock is None:
            # As Twisted's own classes do: whoever gives no clock means the reactor.
            from twisted.internet import reactor  # noqa: TID251

            clock = IReactorTime(reactor)
        self.application = application
        self.config = config or Config()
        self.clock: IReactorTime = clock
        self.observers = tuple(observers)
        self._make_sid = make_sid
        self._chance = chance
        self._sessions: dict[str, Session] = {}
        self.sessions: Mapping[str, Session] = MappingProxyType(self._sessions)
        self._stopped: Deferred[None] | None = None
        # Applications that are still busy saying goodbye to a session.
        self._goodbyes: set[Deferred[object]] = set()
        self._cut_off: IDelayedCall | None = None
        self.websockets = WebSocketFactory(self.config, self.clock, self.too_large)
        if not self.config.per_message_deflate:
            # The lane reads and writes what is not compressed.
            self.websockets.use(FastWebSocketTransport)
        self._corked: list[Transport] = []

    # For the resource.

    def admit(self, handshake: Handshake) -> Deferred[Entry]:
        """
        Ask whether a client may open a session, and as what.

        The application is asked first, then whether its revision is spoken, and then
        the session is given its id. Until it is opened, no client can find it.

        Args:
            handshake: The client's first request.

        Returns:
            A Deferred that fires when it may, and fails with ``Refused`` or ``Reject``
            when not. Cancel it if the client leaves.

        """
        return maybeDeferred(self.consider, handshake)

    def consider(self, handshake: Handshake) -> Any:
        """
        Ask as ``admit`` does, with a Deferred only if somebody thinks about it.

        Args:
            handshake: The client's first request.

        Returns:
            An ``Entry``, or a Deferred as ``admit`` returns it.

        Raises:
            Reject: If the application refuses, or the server stops.
            Refused: If the client may not open a session for another reason.

        """
        self.refuse_when_stopped()
        said = self._ask(self.application.admit, handshake)
        if isinstance(said, Deferred):
            return said.addCallback(self._identify, handshake)
        return self._identify(said, handshake)

    def _identify(self, admission: object, handshake: Handshake) -> Any:
        """Choose the revision and the id of a client that the application admits."""
        revision = revision_of(handshake.query, self.config)
        if revision is None:
            raise Refused(
                ErrorCode.UNSUPPORTED_PROTOCOL_VERSION,
                "EIO is neither 4 nor, where allow_eio3 is on, 3",
            )
        if not isinstance(admission, Admission):
            admission = _PLAIN
        sid = self._ask(self._make_sid, handshake)
        if isinstance(sid, Deferred):
            return sid.addCallback(self._enter, handshake, revision, admission)
        return self._enter(sid, handshake, revision, admission)

    def _enter(
        self,
        sid: object,
        handshake: Handshake,
        revision: Revision,
        admission: Admission,
    ) -> Entry:
        known = sid in self._sessions
        if not isinstance(sid, str) or not sid or not sid.isprintable() or known:
            self.log.error("make_sid gave no new id; the client is refused")
            raise Refused(ErrorCode.BAD_REQUEST, "no id could be made")
        return Entry(handshake, revision, sid, admission)

    def _ask(
        self, function: Callable[[Handshake], object], handshake: Handshake
    ) -> object:
        """Call what the operator gave us; a Deferred if it is async."""
        try:
            result = function(handshake)
        except Exception:
            return self._no_answer(Failure())
        if hasattr(result, "__await__"):  # a Deferred has it, too
            # What has __await__ is a coroutine here; a type checker can't know.
            result = ensureDeferred(result)  # type: ignore[arg-type]
            result.addErrback(self._no_answer)
        return result

    def _no_answer(self, failure: Failure) -> NoReturn:
        if failure.check(Reject, CancelledError):
            failure.raiseException()
        self.log.failure("a handshake failed; the client is refused", failure=failure)
        raise Refused(ErrorCode.BAD_REQUEST, "an exception was raised")

    def refuse_when_stopped(self) -> None:
        """
        Let nobody in who comes too late.

        Raises:
            Reject: If the server stops, or has stopped.

        """
        if self._stopped is not None:
            raise Reject(503, "The server is going away", headers=_RETRY)

    def open(self, entry: Entry, transport: Transport) -> Session:
        """
        Open a session for a client that was admitted.

        Args:
            entry: What ``admit`` gave.
            transport: What carries it; the session's from now on.

        Raises:
            Reject: If the server has stopped meanwhile.
            Refused: If another session has got the same id meanwhile.

        """
        self.refuse_when_stopped()
        if entry.sid in self._sessions:
            raise Refused(ErrorCode.BAD_REQUEST, "the id was given away meanwhile")
        session_class = ObservedSession if self.observers else Session
        session = session_class(
            entry.sid, entry.handshake, entry.revision, transport, self, entry.admission
        )
        transport.receiver = session
        self._sessions[session.sid] = session
        self.tell(lambda each: each.session_opened(session))
        try:
            session.open(*self._first_packets(session))
        except Exception:
            session.fail(CloseReason.TRANSPORT_ERROR)
            raise
        finally:
            if session.state is State.CLOSED:
                self._sessions.pop(session.sid, None)
        return session

    def _first_packets(self, session: Session) -> list[Outgoing]:
        packets: list[Outgoing] = [
            open_packet(
                session.sid, session.transport.name, self.config, *session.intervals
            )
        ]
        if self.config.initial_packet is not None:
            packets.append(self.config.initial_packet)
        return packets

    def jitter(self) -> float:
        """Choose the seconds by which a session's first ping comes early."""
        return self.config.ping_jitter * self._chance()

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

    def broadcast(self, data: str | bytes, *, compress: bool = True) -> None:
        """
        Send a message to every open session.

        It leaves at the end of this turn of the reactor, with whatever else is sent to
        a session until then, in order.

        Args:
            data: The message.
            compress: As for ``Session.send``.

        Raises:
            TypeError: If ``data`` is no message.
            UnicodeEncodeError: If it is text with a lone surrogate.

        """
        message = Encoded(data, compress=compress)
        corked = self._corked
        for session in list(self._sessions.values()):
            if session.state is State.OPEN:
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

    def stop(self, within: float | None = None) -> Deferred[None]:
        """
        Refuse new sessions and close all there are.

        Args:
            within: Seconds after which sessions that nobody fetches the last words of
                are cut off; ``close_timeout`` if left out. The first call decides.

        Returns:
            A Deferred that fires when the last session has ended, and the application
            has said goodbye to it, be that async.

        """
        if self._stopped is None:
            self._stopped = Deferred()
            for session in list(self._sessions.values()):
                session.close(CloseReason.SERVER_CLOSE)
            if within is None:
                within = self.config.close_timeout
            self._cut_off = self.clock.callLater(within, self._abort_all)
            self._fire_stopped()
        waiter: Deferred[None] = Deferred()
        self._stopped.addCallback(lambda _: waiter.callback(None))
        return waiter

    def _fire_stopped(self) -> None:
        stopped = self._stopped
        busy = self._sessions or self._goodbyes
        if stopped is not None and not stopped.called and not busy:
            if self._cut_off is not None and self._cut_off.active():
                self._cut_off.cancel()
            stopped.callback(None)

    def _abort_all(self) -> None:
        for session in list(self._sessions.values()):
            session.abort()

    # For sessions, transports and the resource: what happened.

    def session_ended(self, session: Session, reason: CloseReason) -> None:
        """
        Forget a session, and tell the application once.

        Args:
            session: The session, closed.
            reason: Why it ended.

        """
        self._sessions.pop(session.sid, None)
        try:
            result = self.application.session_closed(session, reason)
        except Exception:
            self._goodbye_failed(Failure(), session)
        else:
            if hasattr(result, "__await__"):
                self._await_goodbye(result, session)
        self.tell(lambda each: each.session_closed(session, reason))
        self._fire_stopped()

    def _await_goodbye(self, result: Any, session: Session) -> None:
        """Let the application take its time; only the server's end waits for it."""
        goodbye: Deferred[object] = ensureDeferred(result)
        goodbye.addErrback(self._goodbye_failed, session)
        if not goodbye.called:
            self._goodbyes.add(goodbye)
            goodbye.addCallback(lambda _: self._goodbyes.discard(goodbye))
            goodbye.addCallback(lambda _: self._fire_stopped())

    def _goodbye_failed(self, failure: Failure, session: Session) -> None:
        self.log.failure(
            "the application failed when session {sid}... ended",
            failure=failure,
            sid=session.sid[:6],
        )

    def too_large(self, error: PayloadTooLarge) -> None:
        """Hear of a payload over the limit."""
        self.tell(lambda each: each.payload_refused(error))

    def refused(self, error: Refused | Reject, asked: Asked) -> None:
        """Hear of a request that was refused."""
        self.log.debug("refused a request: {error}", error=error)
        if self.observers:
            request = asked.view
            self.tell(lambda each: each.connection_refused(error, request))

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
                self.log.failure("an observer failed: {observer}", observer=observer)

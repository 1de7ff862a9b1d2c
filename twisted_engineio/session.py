"""
One client's conversation, whatever carries it.

Rules of this file:

1. It knows a clock and a transport. It never sees a request, a socket or the reactor.
2. ``_finish`` is the only place where a session becomes CLOSED.
3. It has one timer, and that is its heartbeat's: ``heartbeat.py``.
4. Nothing that the application calls calls the application back.

A session is driven by three things: its transport (``receive``, ``receive_packet``,
``transport_ready``, ``fail``), its application (``send``, ``close``, ``abort``) and its
clock.

=================== ========== ================================ =============== ======
event               OPENING    OPEN                             CLOSING         CLOSED
=================== ========== ================================ =============== ======
open                -> OPEN    --                               --              --
message             finish     deliver                          drop            drop
ping, pong          finish     the heartbeat's: ``heartbeat``   ignore          drop
close packet        finish     finish(TRANSPORT_CLOSE)          finish          drop
open, upgrade, noop ignore     ignore                           ignore          drop
fail                finish     finish(reason), behind messages  finish          drop
                               that wait for the application
send                raise      transport or outbox; too much:   raise           raise
                               arm *verdict*
close               finish     -> CLOSING, arm *linger*         nothing         nothing
abort               finish     -> CLOSING, arm *verdict*        arm *verdict*   nothing
transport ready     nothing    flush                            flush, finish   nothing
*silent*            --         finish(PING_TIMEOUT)             --              --
*verdict*           --         finish(SLOW_CLIENT)              finish          --
*linger*            --         --                               finish          --
=================== ========== ================================ =============== ======
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .exceptions import CloseReason, SessionClosed
from .handshake import Handshake, upgrades_from
from .heartbeat import Waiting
from .outbox import Outbox, size_of
from .packet import (
    Encoded,
    Message,
    Outgoing,
    Packet,
    PacketType,
    require_message,
)
from .probe import Probe

if TYPE_CHECKING:
    from .application import Admission, Application
    from .config import Config
    from .revision import Revision
    from .transport import Transport

__all__ = ["Owner", "Session", "State"]

_IN_ORDER = (CloseReason.PARSE_ERROR, CloseReason.TRANSPORT_CLOSE)
_MESSAGES = (str, bytes, Encoded)
_BEATS = (PacketType.PING, PacketType.PONG)
_PING, _PONG = map(Packet, _BEATS)


Incoming: TypeAlias = Packet | str | bytes | CloseReason
"""What may wait for a busy application: a failure too, behind what came before it."""


class State(enum.Enum):
    """Where a session is in its life; it only ever moves down this list."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Owner(Protocol):
    """What a session asks of the server that it belongs to."""

    clock: IReactorTime
    config: Config
    application: Application
    log: Logger

    def jitter(self) -> float:
        """Choose the seconds by which a session's first ping comes early."""

    def broadcast(self, data: str | bytes, *, compress: bool = True) -> None:
        """Send a message to every open session; the application's to call."""

    def session_ended(self, session: Session, reason: CloseReason) -> None:
        """Forget a session; ``_finish`` calls it, once."""


class Session:
    """
    A client that is connected, from its first request to its end.

    Attributes:
        sid: The session's id: a secret between it and its client.
        revision: The revision of the protocol that it speaks.
        handshake: The client's first request, immutable.
        server: The server that it belongs to.
        transport: What carries it now; ``transport.name`` tells which kind.
        state: Where it is in its life.
        probe: The upgrade that is going on, or ``None``.
        reason: Why it ended, or why it is closing; ``None`` before.
        data: The application's own; ``None`` at first.

    """

    __slots__ = (
        "__weakref__",
        "_heartbeat",
        "_inbox",
        "_outbox",
        "data",
        "handshake",
        "probe",
        "reason",
        "revision",
        "server",
        "sid",
        "state",
        "transport",
    )

    def __init__(
        self,
        sid: str,
        handshake: Handshake,
        revision: Revision,
        transport: Transport,
        server: Owner,
        admission: Admission,
    ) -> None:
        self.sid = sid
        self.revision = revision
        self.handshake = handshake
        self.server = server
        self.transport = transport
        self.state = State.OPENING
        self.probe: Probe | None = None
        self.reason: CloseReason | None = None
        self.data: Any = admission.data
        # Made when something must wait: most sessions have none most of the time.
        self._outbox: Outbox | None = None
        self._inbox: deque[Incoming] | None = None
        config = server.config
        self._heartbeat = revision.heartbeat(
            self,
            server.clock,
            admission.ping_interval or config.ping_interval,
            admission.ping_timeout or config.ping_timeout,
        )

    @property
    def intervals(self) -> tuple[float, float]:
        """Its ``ping_interval`` and ``ping_timeout``, in seconds."""
        return self._heartbeat.interval, self._heartbeat.timeout

    @property
    def protocol(self) -> int:
        """The number of the protocol's revision that it speaks."""
        return self.revision.codec.PROTOCOL

    def __repr__(self) -> str:
        return (
            f"<Session {self.sid[:6]}... {self.state.value} on {self.transport.name}>"
        )

    # The application's side.

    def send(
        self, data: Message, *, compress: bool = True, volatile: bool = False
    ) -> bool:
        """
        Send a message; it goes now if it can, or is queued.

        Args:
            data: Text, bytes, or an ``Encoded`` that many sessions share.
            compress: Whether a transport that compresses may compress it.
            volatile: Whether to drop it if it can't go now.

        Returns:
            False if more than ``high_water_mark`` bytes are queued, or the message was
            dropped: better wait for ``drained``.

        Raises:
            SessionClosed: If the session is closing or closed.
            TypeError: If ``data`` is no message.
            UnicodeEncodeError: If it is text with a lone surrogate.

        """
        if self.state is not State.OPEN:
            raise SessionClosed(self.sid, self.reason)
        if type(data) not in _MESSAGES:
            require_message(data)
        if not compress and not isinstance(data, Encoded):
            data = Encoded(data, compress=False)
        if self.transport.writable and self._outbox is None:
            self.transport.send(data)
            return True
        if volatile:
            return False
        return self._enqueue(data)

    def send_many(self, messages: Iterable[Message]) -> bool:
        """
        Send messages together, in as few writes as the transport allows.

        Args:
            messages: Messages as ``send`` takes them.

        Returns:
            As ``send``.

        Raises:
            SessionClosed: If the session is closing or closed.
            TypeError: If one is no message.
            UnicodeEncodeError: If one is text with a lone surrogate.

        Whatever is raised, none was sent.

        """
        if self.state is not State.OPEN:
            raise SessionClosed(self.sid, self.reason)
        messages = list(messages)
        for data in messages:
            require_message(data)
            size_of(data)  # raises what _enqueue would
        below = True
        for data in messages:
            below = self._enqueue(data)
        self.transport_ready()
        return below

    def drained(self) -> Deferred[None]:
        """
        Wait until ``low_water_mark`` bytes or less are queued.

        Returns:
            A Deferred; it fails with ``SessionClosed`` if the session ends first.

        """
        return self._when_at_most(self.server.config.low_water_mark)

    def flushed(self) -> Deferred[None]:
        """
        Wait until all that was sent so far has left the queue, for the socket.

        Returns:
            A Deferred; it fails with ``SessionClosed`` if the session ends first.

        """
        return self._when_at_most(-1)

    def _when_at_most(self, size: int) -> Deferred[None]:
        if self.state is State.CLOSED:
            return fail(SessionClosed(self.sid, self.reason))
        if self._outbox is None or 0 <= size >= self._outbox.size:
            return succeed(None)
        return self._outbox.when_at_most(size)

    @property
    def buffered(self) -> int:
        """The bytes that are queued and not yet taken by the transport."""
        return 0 if self._outbox is None else self._outbox.size

    def close(
        self, reason: CloseReason = CloseReason.FORCED_CLOSE, *, code: int = 1000
    ) -> None:
        """
        End the session once what is queued is sent; does nothing if it is over.

        Args:
            reason: What ``session_closed`` will be told.
            code: The close code that a client on a WebSocket is told: 1000, or one of
                your own from 4000 to 4999.

        Raises:
            ValueError: If the code is another.

        """
        if code != 1000 and not 4000 <= code <= 4999:
            raise ValueError(f"code must be 1000 or 4000 to 4999, not {code!r}")
        if self.state is State.OPENING:
            self._finish(reason)
        elif (
            self.state is State.OPEN and self._heartbeat.waiting is not Waiting.VERDICT
        ):
            self.state = State.CLOSING
            self.reason = reason
            self._queue(Packet(PacketType.CLOSE, str(code)))
            # The goodbye leaves in a later turn: rule 4.
            self._heartbeat.arm(Waiting.LINGER, 0.0, self._goodbye)

    def abort(self) -> None:
        """End the session without waiting for anything; what is queued is lost."""
        if self.state is State.OPENING:
            self._finish(CloseReason.FORCED_CLOSE)
        elif self.state is not State.CLOSED:
            self.state = State.CLOSING
            if self._outbox is not None:
                self._outbox.clear()
            self._heartbeat.arm(Waiting.VERDICT, 0.0, self._give_up)

    # The server's side.

    def open(self, *packets: Outgoing) -> None:
        """
        Open the session: to be called once, when the transport is in place.

        Args:
            packets: The packet that tells the client its id, and what follows it.

        """
        if self.state is not State.OPENING:
            return  # an observer has ended it
        self.state = State.OPEN
        for packet in packets:
            self.write(packet)
        self._heartbeat.begin(early=self.server.jitter())
        self._call(self.server.application.session_opened, self)

    def upgrade(self, candidate: Transport) -> bool:
        """
        Let another transport try to take over.

        Args:
            candidate: The new transport, connected.

        Returns:
            False if the session takes none: one is trying already, it has moved, or it
            is over.

        """
        server = self.server
        if self.state is not State.OPEN or self.probe is not None:
            return False
        if candidate.name not in upgrades_from(self.transport.name, server.config):
            return False
        self.probe = Probe(self, candidate, server.clock, server.config)
        return True

    def carrier(self, name: str) -> Transport | None:
        """
        Find its transport of a kind: the one that it is on, or the candidate.

        Args:
            name: The kind.

        """
        if self.transport.name == name:
            return self.transport
        probe = self.probe
        if probe is not None and probe.candidate.name == name:
            return probe.candidate
        return None

    # The transport's side.

    def receive(self, data: str | bytes) -> None:
        """
        Deliver a message to the application.

        Args:
            data: The message.

        """
        if self._inbox is not None:
            self._inbox.append(data)
        elif self.state is State.OPEN:
            # As _call does, without the call: this is the message path.
            try:
                result = self.server.application.message_received(self, data)
            except Exception:
                self._application_failed(Failure())
            else:
                if result is not None:
                    self._wait_for(result)
        elif self.state is State.OPENING:
            self._finish(CloseReason.TRANSPORT_ERROR)

    def receive_packet(self, packet: Packet) -> None:
        """
        Act on a packet as the table above says.

        Args:
            packet: Any packet, a message too.

        """
        if self._inbox is not None:
            self._inbox.append(packet)
        elif packet.type is PacketType.MESSAGE:
            self.receive(packet.data)
        elif packet.type is PacketType.CLOSE:
            self._finish(CloseReason.TRANSPORT_CLOSE)
        elif packet.type in _BEATS:
            self._beat(packet)

    def _beat(self, packet: Packet) -> None:
        if self.state is State.OPENING:
            self._finish(CloseReason.TRANSPORT_ERROR)
        elif self.state is State.OPEN:
            heart = self._heartbeat
            ping = packet.type is PacketType.PING
            if heart.ping(packet) if ping else heart.pong():
                self._beaten()

    def transport_ready(self) -> None:
        """Send what is queued: the transport can take it now."""
        outbox = self._outbox
        if outbox and self.transport.writable:
            self.transport.flush(outbox)
            if not outbox:
                self._outbox = None
            outbox.settle()
        if self._outbox or self.state is State.CLOSED:
            return
        if self.state is State.CLOSING:
            self._give_up()
        elif self.transport.writable and self.probe and self.probe.lets_go:
            self.transport.let_go()

    def fail(self, reason: CloseReason) -> None:
        """
        End the session: its transport is lost, or read what makes no sense.

        Args:
            reason: Why.

        """
        if self._inbox and reason in _IN_ORDER:
            # What came before it counts: let the application come to it.
            self._inbox.append(reason)
        else:
            self._finish(reason)

    # The probe's side.

    def swap(self, candidate: Transport) -> None:
        """
        Move to another transport, and send what is queued over it.

        Args:
            candidate: The transport that the client has chosen.

        """
        retired, self.transport = self.transport, candidate
        retired.retire()
        candidate.receiver = self
        candidate.take_over(pinged=self._owes_pong())
        self.probe = None
        if self._inbox is not None:
            candidate.pause()
        self.transport_ready()

    def _owes_pong(self) -> bool:
        """Tell whether the client has yet to answer a ping that has left."""
        waiting = self._heartbeat.waiting is Waiting.PONG_DUE
        left, held = self._outbox or (), self._inbox or ()
        return waiting and _PING not in left and _PONG not in held

    def probe_failed(self) -> None:
        """Go on as before: the candidate is gone."""
        self.probe = None
        if self.state is not State.CLOSED:
            self.transport.take_back()

    # Time.

    @property
    def busy(self) -> bool:
        """Whether the application is busy with a message; what comes in is held."""
        return self._inbox is not None

    def expired(self) -> bool:
        """Tell whether it is over by now, though its timer has not fired yet."""
        self._heartbeat.check()
        return self.state is State.CLOSED

    def _goodbye(self) -> None:
        linger = self.server.config.close_timeout
        self._heartbeat.arm(Waiting.LINGER, linger, self._give_up)
        self.transport_ready()

    def _give_up(self) -> None:
        self._finish(CloseReason.FORCED_CLOSE)

    def _too_slow(self) -> None:
        self._finish(CloseReason.SLOW_CLIENT)

    def _beaten(self) -> None:
        """Have a heart that has beaten; for a session that is watched."""

    # The queue.

    def write(self, item: Outgoing) -> None:
        """Send a packet or message, now or when there is a way."""
        if self.transport.writable and self._outbox is None:
            self.transport.send(item)
        else:
            self._queue(item)

    def _queue(self, item: Outgoing) -> Outbox:
        outbox = self._outbox
        if outbox is None:
            outbox = self._outbox = Outbox()
        outbox.append(item)
        return outbox

    def _enqueue(self, item: Outgoing) -> bool:
        if self._heartbeat.waiting is Waiting.VERDICT:
            return False
        size = self._queue(item).size
        config = self.server.config
        if size > config.max_buffered:
            self._heartbeat.arm(Waiting.VERDICT, 0.0, self._too_slow)
        return size <= config.high_water_mark

    # The application, called.

    def _call(self, method: Callable[..., object], *args: object) -> None:
        try:
            result = method(*args)
        except Exception:
            self._application_failed(Failure())
        else:
            if result is not None:
                self._wait_for(result)

    def _wait_for(self, result: object) -> None:
        """Hold what comes in until an async method of the application is done."""
        if hasattr(result, "__await__") and not isinstance(result, Deferred):
            # What has __await__ is a coroutine here; a type checker can't know.
            result = ensureDeferred(result)  # type: ignore[arg-type]
        if not isinstance(result, Deferred):
            return
        done: list[object] = []
        result.addCallbacks(done.append, self._application_failed)
        result.addCallback(lambda _: done.append(None))
        if done or self.state is State.CLOSED:
            return  # at once: nothing has to wait
        self._inbox = deque()
        self.transport.pause()
        result.addCallback(lambda _: self._read_on())

    def _read_on(self) -> None:
        held = self._take_inbox()
        while held:
            item = held.popleft()
            if isinstance(item, CloseReason):
                self._finish(item)
            elif isinstance(item, Packet):
                self.receive_packet(item)
            else:
                self.receive(item)
            if self._inbox is not None:
                self._inbox.extend(held)
                return
        if self.state is not State.CLOSED:
            self.transport.resume()

    def _take_inbox(self) -> deque[Incoming]:
        held, self._inbox = self._inbox or deque(), None
        return held

    def _application_failed(self, failure: Failure) -> None:
        self.server.log.failure(
            "the application failed; session {sid}... ends",
            failure=failure,
            sid=self.sid[:6],
        )
        self._finish(CloseReason.APPLICATION_ERROR)

    # The end.

    def _finish(self, reason: CloseReason) -> None:
        """Close the session: the only way, whatever happened; nothing if it is over."""
        if self.state is State.CLOSED:
            return
        was_open = self.state is not State.OPENING
        self.state = State.CLOSED
        # What close() was told stays the reason, however the goodbye went.
        self.reason = reason = self.reason or reason
        self._heartbeat.cancel()
        self._inbox = None
        probe, self.probe = self.probe, None
        if probe is not None:
            probe.cancel()
        outbox, self._outbox = self._outbox, None
        self.transport.abandon(reason)
        if outbox is not None:
            outbox.fail(SessionClosed(self.sid, reason))
        if was_open:
            self.server.session_ended(self, reason)

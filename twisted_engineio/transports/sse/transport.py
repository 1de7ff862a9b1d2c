"""
Server-sent events: a stream carries packets to the client, a POST the other way.

Rules of this file:

1. The session does not end with its stream: without one it is detached, and its
   heartbeat decides. The newest stream that attaches is the one.
2. Every event stays in the ring until the client acknowledges it: by a pong for every
   event up to the one with its ping, or by resuming after it.
3. When the ring is full nothing more is taken, as if the socket were. Long before that
   a ping of our own asks for an acknowledgement; if none comes in ``sse_ack_timeout``
   while the ring is full and the client listens, the session ends.
4. The noop that lets a client go is the last event that it waits for. If the client
   stays, a ping behind it asks for an acknowledgement, and until that has come the
   client may not move: it would take the old noop for the new one, and leave what
   stands between them behind.
5. It owns one timer, for that; it is cancelled in ``_await_ack`` and nowhere else.
6. A goodbye ends the stream once the socket has taken it. If the stream breaks before,
   the client may come back and have it again.

Driven by the resource (``attach``, ``post``), by its stream (``stream_full``,
``stream_ready``, ``stream_sent``, ``stream_over``), by its clock, and by the session.

There is no specification but this project's own: see ``docs/sse.rst``.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.web.http import Request

from ...exceptions import CloseReason
from ...protocol.codec import Codec
from ...protocol.packet import Encoded, Outgoing, Packet, PacketType, is_close_packet
from ...session.heartbeat import was_stalled
from ...session.interfaces import NULL_RECEIVER
from ...session.send_queue import SendQueue
from ..http_post import PostingTransport
from .replay import ReplayBuffer, escape
from .response import EventStream, ResponseFlow

if TYPE_CHECKING:
    from ...config import Config

__all__ = ["EventSourceTransport"]

_CLOSE: Final = Packet(PacketType.CLOSE)
_NOOP: Final = Packet(PacketType.NOOP)
_PING: Final = Packet(PacketType.PING)
_LAST: Final = (PacketType.CLOSE, PacketType.NOOP)
_PROBE_PONG: Final = Packet(PacketType.PONG, "probe")

_ASK_EVERY: Final = 8
"""Into how many parts the ring is divided; each ends with a ping. A client on a slow
line shows that it is alive with the first of them."""


class SSEPace(enum.Enum):
    """Whether what the session has goes out."""

    FLOWING = "flowing"
    HELD = "held"  # its client moves to another transport
    LAST = "last"  # the newest event says goodbye


class EventSourceTransport(PostingTransport):
    """
    A session's stream of events, whichever it is at the time, and its POSTs.

    Attributes:
        name: ``"sse"``.
        close_pending: Whether a goodbye is on its way to the socket.
        writable: Whether there is a stream that takes more, and room in the ring.
        receiver: Whom it feeds.

    """

    __slots__ = (
        "_cancelled_at",
        "_clock",
        "_config",
        "_next",
        "_pace",
        "_part",
        "_pings",
        "_ring",
        "_stream",
        "_timer",
        "close_pending",
    )

    name = "sse"

    def __init__(
        self,
        codec: Codec,
        config: Config,
        clock: IReactorTime,
        sid: str,
    ) -> None:
        """
        Make a transport without a stream.

        Args:
            codec: Reads and writes payloads.
            config: Its bounds and intervals.
            clock: What it measures time with.
            sid: The session's id.

        """
        super().__init__(codec, config.max_packets)
        self._clock = clock
        self._config = config
        self._ring = ReplayBuffer(sid, config.sse_ring_events, config.sse_ring_bytes)
        self._pings: deque[int] = deque()  # the events that are to be ponged
        self._cancelled_at = 0  # the event that says to a client that it stays
        self._part = 0, 0  # events and bytes that are in the ring since the last ping
        self._next = 1  # the number of the event to be written next
        self._pace = SSEPace.FLOWING
        self.close_pending = False
        self._stream: EventStream | None = None
        self._timer: IDelayedCall | None = None

    # The resource's side.

    def can_resume(self, after: int) -> bool:
        """
        Tell whether a client may attach.

        Args:
            after: The number of the last event that it says it saw; 0 for none.

        """
        # Who has seen the goodbye has nothing to come back for.
        said_all = self._pace is SSEPace.LAST and after == self._ring.last
        return self._ring.can_resume(after) and not said_all

    def attach(self, request: Request, after: int) -> None:
        """
        Stream to this GET from now on, and to no other.

        Args:
            request: The GET.
            after: As for ``can_resume``, which has agreed.

        """
        self._drop_stream()  # its client gets what it missed from the new one
        self._ring.acknowledge(after)
        self._next = after + 1
        self._stream = EventStream(request, self, self._clock, self._config)
        self._stream.start()
        self._settle()
        self._await_ack()

    # The stream's side.

    def stream_full(self) -> None:
        """Write no more: the socket is full."""
        self.writable = False

    def stream_ready(self) -> None:
        """Write again."""
        self._settle()

    def stream_sent(self, stream: EventStream) -> None:
        """Have said goodbye, if it was the stream of today."""
        if stream is self._stream:
            self.close_pending = False
            self._detach()
            self.receiver.transport_ready()

    def stream_over(self, stream: EventStream) -> None:
        """Be detached, if it was the stream of today."""
        if stream is self._stream:
            self._detach()

    # The session's side.

    @property
    def may_move(self) -> bool:
        """Whether the client has seen that an earlier move of it has failed."""
        return self._ring.first > self._cancelled_at

    @property
    def corked(self) -> bool:
        """Whether the stream would take what is held back."""
        return not self.writable and self._can_write()

    @property
    def buffered(self) -> int:
        """The bytes that were written and that the socket has not taken."""
        return 0 if self._stream is None else self._stream.buffered

    def send(self, item: Outgoing) -> None:
        """Write an event with one packet; a probe's answer also while corked."""
        if item == _PROBE_PONG:
            # It is no part of the session's conversation, so it is not replayed.
            self._write_aside(item)
        else:
            self._write([item])

    def flush(self, outbox: SendQueue) -> None:
        """Write what is queued, in events of some size, until there is no room."""
        config = self._config
        while outbox and self.writable:
            self._write(outbox.take(config.high_water_mark, config.low_water_mark))

    def cork(self) -> bool:
        """Hold back what is sent, so that it leaves in one event."""
        corked, self.writable = self.writable, False
        return corked

    def uncork(self) -> None:
        """Write what was held back, if there is a way."""
        self._settle()

    def take_over(self, *, pinged: bool) -> None:
        """Expect a pong that says nothing of our events, if one is on its way."""
        if pinged:
            self._pings.append(0)

    def prepare_upgrade(self) -> None:
        """Write a noop as the last event: the client moves to another transport."""
        self._pace = SSEPace.HELD
        self._write([_NOOP])

    def cancel_upgrade(self) -> None:
        """Flow on: the client did not move."""
        if self._pace is SSEPace.HELD:
            self._pace = SSEPace.FLOWING
            self._write([_PING])
            self._cancelled_at = self._ring.last
            self._settle()

    def retire(self) -> None:
        """End the stream: the session has moved."""
        self._drop_stream()
        self._leave()

    def abandon(self, reason: CloseReason) -> None:
        """Say goodbye and end the stream: the session is over."""
        self.receiver = NULL_RECEIVER
        if self._stream is not None and self._stream.flow is ResponseFlow.OPEN:
            self._write([_CLOSE])  # which may take its time: that is the stream's
        else:
            self._drop_stream()
        self._leave()

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._stream.drop()

    def _leave(self) -> None:
        self.receiver = NULL_RECEIVER
        self._detach()
        self.resume()

    def _detach(self) -> None:
        self._stream = None
        self.writable = False
        self._await_ack()

    # Events out.

    def _write(self, items: list[Outgoing]) -> None:
        """Make an event of packets, and write it as soon as the stream takes it."""
        if is_close_packet(items[-1]):
            self._pace = SSEPace.LAST
            self.close_pending = True
        self._append(items)
        self._pump()
        self.writable = self._can_write()
        self._await_ack()

    def _append(self, items: list[Outgoing]) -> None:
        """Put an event into the ring, with a ping at its end if one is due."""
        payload, more = self._payload(items), b""
        events, size = self._part[0] + 1, self._part[1] + len(payload)
        config = self._config
        full = (
            events * _ASK_EVERY >= config.sse_ring_events
            or size * _ASK_EVERY >= config.sse_ring_bytes
        )
        # More than one: the session took the pong to a ping of ours for its own.
        pings = items.count(_PING)
        # A noop or a close packet is the last that a client waits for.
        if full and not pings and not _is_last(items[-1]):
            pings, more = 1, b"\x1e2"
        self._part = (0, 0) if pings else (events, size)
        number = self._ring.append(payload, more)
        self._pings.extend([number] * pings)

    def _payload(self, items: list[Outgoing]) -> bytes:
        """Write packets on one line, and what many sessions share only once."""
        shared = items[0] if len(items) == 1 else None
        if isinstance(shared, Encoded) and shared.event is not None:
            return shared.event
        payload = escape(self._codec.encode_payload(items, binary=False)[0])
        if isinstance(shared, Encoded):
            shared.event = payload
        return payload

    def _write_aside(self, item: Packet) -> None:
        """Write an event without an id."""
        if self._stream is not None and self._stream.flow is ResponseFlow.OPEN:
            text = self._codec.encode_packet(item)
            self._stream.write(b"data: %b\n\n" % text.encode())

    def _pump(self) -> None:
        """Write what is in the ring, as far as the stream takes it."""
        self._next = max(self._next, self._ring.first)  # for a client may lie
        while self._next <= self._ring.last:
            stream = self._stream
            if stream is None or stream.flow is not ResponseFlow.OPEN:
                return
            event = self._ring[self._next]
            self._next += 1
            if self._next <= self._ring.last or self._pace is not SSEPace.LAST:
                stream.write(*event)
            elif stream.write_last(*event):
                self.close_pending = False
                self._detach()

    def _settle(self) -> None:
        """Write what is in the ring, then what the session has queued."""
        self._pump()
        self.writable = self._can_write()
        if self.writable or (self._pace is SSEPace.LAST and not self.close_pending):
            self.receiver.transport_ready()

    def _can_write(self) -> bool:
        stream = self._stream
        return (
            stream is not None
            and stream.flow is ResponseFlow.OPEN
            and self._next > self._ring.last
            and self._pace is SSEPace.FLOWING
            and not self._ring.full
        )

    # Acknowledgements in.

    def _packets(self, body: bytes, binary: bool) -> Iterator[str | bytes | Packet]:
        for item in super()._packets(body, binary):
            if isinstance(item, Packet) and item.type is PacketType.PONG:
                self._pong_received()
            yield item

    def _pong_received(self) -> None:
        # A client answers pings one by one, in the order of the events.
        if self._pings:
            self._ring.acknowledge(self._pings.popleft())
            self._await_ack()

    def _await_ack(self) -> None:
        """Begin anew to wait for an acknowledgement, or wait no longer."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        # A client that moves sends nothing until it has: the upgrade has its own time.
        listens = self._stream is not None and self._pace is SSEPace.FLOWING
        if self._ring.full and listens:
            wait = self._config.sse_ack_timeout
            self._timer = self._clock.callLater(wait, self._overflow)

    def _overflow(self) -> None:
        assert self._timer is not None  # it has just fired
        limit = self._config.sse_ack_timeout
        late = self._timer.getTime()
        # The acknowledgement may wait in the socket, or behind a POST that we hold.
        if self.receiver.busy or was_stalled(self._clock, late, limit):
            self._await_ack()
            return
        self.receiver.fail(CloseReason.REPLAY_OVERFLOW)


def _is_last(item: Outgoing) -> bool:
    return isinstance(item, Packet) and item.type in _LAST

"""
Server-sent events: a stream carries packets to the client, POSTs carry them back.

Rules of this file:

1. The session does not end with its stream: without one it is detached, and its
   heartbeat decides. A newly attached stream replaces the current one.
2. Every event stays in the ring until the client acknowledges it: by a pong, for all
   events up to the one with its ping, or by resuming after it.
3. When the ring is full the transport is not writable, as if the socket were full. Long
   before that a ping of the transport's own requests an acknowledgement; if none
   arrives in ``sse_ack_timeout`` while the ring is full and a stream is attached, the
   session ends.
4. The noop that prepares an upgrade is the last event that the client waits for. If the
   upgrade fails, a ping after it requests an acknowledgement, and until that has
   arrived the client cannot upgrade: it would take the old noop for the new one, and
   miss the events between them.
5. It owns one timer, for that; it is cancelled in ``_await_ack`` and nowhere else.
6. A close packet ends the stream once the socket has taken it. If the stream breaks
   before, the client may reconnect and receive it again.

Driven by the resource (``attach``, ``post``), by its stream (``stream_full``,
``stream_ready``, ``stream_sent``, ``stream_over``), by its clock, and by the session.

It is specified only in this project's ``docs/sse.rst``.
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

_RING_PARTS: Final = 8
"""Number of parts of the ring, each of which ends with a ping. A client on a slow line
proves that it is alive with the first of them."""


class SSEPace(enum.Enum):
    """Whether the session's items are written."""

    FLOWING = "flowing"
    HELD = "held"  # its client is upgrading
    LAST = "last"  # the newest event has the close packet


class EventSourceTransport(PostingTransport):
    """
    A session's current event stream, and its POSTs.

    Driven by the resource, its stream, its clock and the session.

    Attributes:
        name: ``"sse"``.
        close_pending: Whether a close packet waits for the socket.
        writable: Whether a stream is attached and has room, and the ring is not full.
        receiver: The recipient of received packets.

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
            codec: Parses and encodes payloads.
            config: Its limits and intervals.
            clock: The clock of its timer.
            sid: The session's id.

        """
        super().__init__(codec, config.max_packets)
        self._clock = clock
        self._config = config
        self._ring = ReplayBuffer(sid, config.sse_ring_events, config.sse_ring_bytes)
        self._pings: deque[int] = deque()  # numbers of the events with unanswered pings
        self._cancelled_at = 0  # the event with the ping of rule 4
        self._part = 0, 0  # events and bytes since the last ping
        self._next = 1  # the number of the event to be written next
        self._pace = SSEPace.FLOWING
        self.close_pending = False
        self._stream: EventStream | None = None
        self._timer: IDelayedCall | None = None

    # The resource's side.

    def can_resume(self, after: int) -> bool:
        """
        Return whether a client may attach.

        Args:
            after: The number of the last event that it received; 0 for none.

        """
        # After the close packet there is nothing left to send.
        said_all = self._pace is SSEPace.LAST and after == self._ring.last
        return self._ring.can_resume(after) and not said_all

    def attach(self, request: Request, after: int) -> None:
        """
        Attach a stream, replacing the current one.

        Args:
            request: The GET.
            after: As for ``can_resume``, which returned True.

        """
        self._drop_stream()  # the new one replays what the client missed
        self._ring.acknowledge(after)
        self._next = after + 1
        self._stream = EventStream(request, self, self._clock, self._config)
        self._stream.start()
        self._settle()
        self._await_ack()

    # The stream's side.

    def stream_full(self) -> None:
        """Stop writing: the socket is full."""
        self.writable = False

    def stream_ready(self) -> None:
        """Resume writing."""
        self._settle()

    def stream_sent(self, stream: EventStream) -> None:
        """Detach the current stream: the close packet was sent."""
        if stream is self._stream:
            self.close_pending = False
            self._detach()
            self.receiver.transport_ready()

    def stream_over(self, stream: EventStream) -> None:
        """Detach the stream, if it is the current one."""
        if stream is self._stream:
            self._detach()

    # The session's side.

    @property
    def may_move(self) -> bool:
        """Whether the client knows that its last upgrade has failed."""
        return self._ring.first > self._cancelled_at

    @property
    def corked(self) -> bool:
        """Whether the stream could take the buffered items."""
        return not self.writable and self._can_write()

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the socket has not taken."""
        return 0 if self._stream is None else self._stream.buffered

    def send(self, item: Outgoing) -> None:
        """Write an event with one packet; a probe's pong even while corked."""
        if item == _PROBE_PONG:
            # It belongs to the probe, not to the session, so it is not replayed.
            self._write_unnumbered(item)
        else:
            self._write([item])

    def flush(self, outbox: SendQueue) -> None:
        """Write the queue, in events of limited size, until there is no room."""
        config = self._config
        while outbox and self.writable:
            self._write(outbox.take(config.high_water_mark, config.low_water_mark))

    def cork(self) -> bool:
        """Buffer what is sent, so that it leaves in one event."""
        corked, self.writable = self.writable, False
        return corked

    def uncork(self) -> None:
        """Write what was buffered, if a stream is attached."""
        self._settle()

    def take_over(self, *, pinged: bool) -> None:
        """Expect a pong that acknowledges no event, if one is pending."""
        if pinged:
            self._pings.append(0)

    def prepare_upgrade(self) -> None:
        """Write a noop as the last event: the client is upgrading."""
        self._pace = SSEPace.HELD
        self._write([_NOOP])

    def cancel_upgrade(self) -> None:
        """Resume writing: the client's upgrade has failed."""
        if self._pace is SSEPace.HELD:
            self._pace = SSEPace.FLOWING
            self._write([_PING])
            self._cancelled_at = self._ring.last
            self._settle()

    def retire(self) -> None:
        """End the stream: the session has upgraded."""
        self._drop_stream()
        self._leave()

    def abandon(self, reason: CloseReason) -> None:
        """Write a close packet and end the stream: the session is over."""
        self.receiver = NULL_RECEIVER
        if self._stream is not None and self._stream.flow is ResponseFlow.OPEN:
            self._write([_CLOSE])  # the stream has its own timeout for unsent data
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
        """Append an event to the ring, and write it as soon as the stream has room."""
        if is_close_packet(items[-1]):
            self._pace = SSEPace.LAST
            self.close_pending = True
        self._append(items)
        self._pump()
        self.writable = self._can_write()
        self._await_ack()

    def _append(self, items: list[Outgoing]) -> None:
        """Append an event to the ring, with a ping at its end if one is due."""
        payload, more = self._payload(items), b""
        events, size = self._part[0] + 1, self._part[1] + len(payload)
        config = self._config
        full = (
            events * _RING_PARTS >= config.sse_ring_events
            or size * _RING_PARTS >= config.sse_ring_bytes
        )
        # More than one is possible: the session may take the pong to our ping for its
        # own, and ping again.
        pings = items.count(_PING)
        # After a noop or a close packet the client reads nothing more.
        if full and not pings and not _is_last(items[-1]):
            pings, more = 1, b"\x1e2"
        self._part = (0, 0) if pings else (events, size)
        number = self._ring.append(payload, more)
        self._pings.extend([number] * pings)

    def _payload(self, items: list[Outgoing]) -> bytes:
        """Encode packets on one line; a shared message is encoded only once."""
        shared = items[0] if len(items) == 1 else None
        if isinstance(shared, Encoded) and shared.event is not None:
            return shared.event
        payload = escape(self._codec.encode_payload(items, binary=False)[0])
        if isinstance(shared, Encoded):
            shared.event = payload
        return payload

    def _write_unnumbered(self, item: Packet) -> None:
        """Write an event without an id, which is not replayed."""
        if self._stream is not None and self._stream.flow is ResponseFlow.OPEN:
            text = self._codec.encode_packet(item)
            self._stream.write(b"data: %b\n\n" % text.encode())

    def _pump(self) -> None:
        """Write the events of the ring, as far as the stream has room."""
        self._next = max(self._next, self._ring.first)  # a client may send any number
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
        """Write the events of the ring, then the session's queue."""
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
        # A client answers each ping separately, in the order of the events.
        if self._pings:
            self._ring.acknowledge(self._pings.popleft())
            self._await_ack()

    def _await_ack(self) -> None:
        """Restart the timer for an acknowledgement, or cancel it."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        # A client that is upgrading acknowledges nothing: upgrade_timeout limits that.
        listens = self._stream is not None and self._pace is SSEPace.FLOWING
        if self._ring.full and listens:
            wait = self._config.sse_ack_timeout
            self._timer = self._clock.callLater(wait, self._overflow)

    def _overflow(self) -> None:
        assert self._timer is not None  # it has just fired
        limit = self._config.sse_ack_timeout
        late = self._timer.getTime()
        # The acknowledgement may be unread in the socket, or after a delayed POST.
        if self.receiver.busy or was_stalled(self._clock, late, limit):
            self._await_ack()
            return
        self.receiver.fail(CloseReason.REPLAY_OVERFLOW)


def _is_last(item: Outgoing) -> bool:
    return isinstance(item, Packet) and item.type in _LAST

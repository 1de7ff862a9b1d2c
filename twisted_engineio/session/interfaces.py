"""
The two doors between a conversation and its wire.

A ``Transport`` is what a session writes to; a ``Receiver`` is whom a transport feeds: a
session, or a probe while the transport is only a candidate. Neither knows more of the
other than what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..config import check_interval
from ..exceptions import CloseReason
from ..protocol.packet import Outgoing, Packet
from .send_queue import SendQueue

__all__ = ["NULL_RECEIVER", "Admission", "Handlers", "Receiver", "Transport"]


READ_AHEAD: Final = 65_536
"""Bytes that a transport reads on while it is paused: to see the end of its connection,
which Twisted does not report while nothing is read, and the client's close frame and
pongs."""


class Receiver(Protocol):
    """Whom a transport feeds."""

    @property
    def busy(self) -> bool:
        """Whether what the client says may wait behind what the application does."""

    @property
    def room(self) -> int:
        """How many bytes more a paused transport may read; it stops at 0 or below."""

    def reading_stopped(self) -> None:
        """Wait for the application from now on: a paused transport reads no more."""

    def receive(self, data: str | bytes) -> None:
        """Take a message."""

    def receive_packet(self, packet: Packet) -> None:
        """Take any other packet, or a message that came as one."""

    def transport_ready(self) -> None:
        """Hear that the transport became writable."""

    def control_frames(self, count: int) -> None:
        """Count frames that carry nothing: pings and pongs of WebSocket itself."""

    def limit_reached(self, limit: str) -> None:
        """Hear that the client went beyond one of the operator's limits."""

    def fail(self, reason: CloseReason) -> None:
        """Hear that the transport is lost, or that what it read makes no sense."""


class NullReceiver:
    """The receiver of a transport that has none yet, or none any more."""

    busy = False
    room = READ_AHEAD

    def reading_stopped(self) -> None:
        """Ignore it: there is no session to wait for."""

    def receive(self, data: str | bytes) -> None:
        """Drop a message."""

    def receive_packet(self, packet: Packet) -> None:
        """Drop a packet."""

    def transport_ready(self) -> None:
        """Have nothing to send."""

    def control_frames(self, count: int) -> None:
        """Count nothing."""

    def limit_reached(self, limit: str) -> None:
        """Tell nobody."""

    def fail(self, reason: CloseReason) -> None:
        """Have nothing to lose."""


NULL_RECEIVER: Final = NullReceiver()


class Transport(Protocol):
    """
    What carries a session's packets.

    Attributes:
        name: ``"polling"``, ``"sse"`` or ``"websocket"``.
        writable: Whether ``send`` may be called now. While it is, no more than
            ``low_water_mark`` bytes of what was sent wait in the process.
        buffered: How many bytes of what was sent wait in the process, for a socket
            that is full.
        receiver: Whom it feeds.

    """

    name: str
    writable: bool
    receiver: Receiver

    @property
    def leaving(self) -> bool:
        """Whether its goodbye waits for a socket; then it says when it is ready."""

    @property
    def corked(self) -> bool:
        """Whether it would be writable if it did not hold back what is sent."""

    @property
    def may_move(self) -> bool:
        """Whether its client may begin to move to another transport."""

    @property
    def buffered(self) -> int:
        """See above."""

    def send(self, item: Outgoing) -> None:
        """
        Write one packet or message at once; only while ``writable``.

        A close packet is the last: a transport with a goodbye of its own says that.
        """

    def flush(self, outbox: SendQueue) -> None:
        """Take from the outbox what can go now; only while ``writable``."""

    def cork(self) -> bool:
        """Hold back what is sent, until ``uncork``; False if there is no need to."""

    def uncork(self) -> None:
        """Send what was held back, together."""

    def take_over(self, *, pinged: bool) -> None:
        """
        Carry the session from now on.

        Args:
            pinged: Whether the first pong to come answers another transport's ping.

        """

    def let_go(self) -> None:
        """
        Let the client go, which moves to another transport; only while ``writable``.

        Called again and again while it may move, whenever nothing is queued.
        """

    def take_back(self) -> None:
        """Go on: the client did not move."""

    def retire(self) -> None:
        """Give way to another transport, leaving no request unanswered."""

    def abandon(self, reason: CloseReason) -> None:
        """Leave: the session is over, for this reason."""

    @property
    def reads_ahead(self) -> bool:
        """Whether what the client says is read, if need be while it is paused."""

    def pause(self) -> None:
        """
        Read on while the receiver has room, then stop and call ``reading_stopped``.

        Called again when the room has changed.
        """

    def resume(self) -> None:
        """Read on."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """
    What ``Application.admit`` may say about the session that it lets in.

    Raises:
        ConfigError: If an interval cannot work.

    Attributes:
        data: What the session's ``data`` shall be.
        ping_interval: As in ``Config``, for this session only; ``None`` for that.
        ping_timeout: As in ``Config``, for this session only; ``None`` for that.

    """

    data: Any = None
    ping_interval: float | None = None
    ping_timeout: float | None = None

    def __post_init__(self) -> None:
        """Check the intervals, which nobody else will."""
        for name in ("ping_interval", "ping_timeout"):
            value = getattr(self, name)
            if value is not None:
                check_interval(name, value)


class Handlers(Protocol):
    """What a session calls of an application."""

    def session_opened(self, session: Any) -> object:
        """Called when the session is open."""

    def message_received(self, session: Any, data: str | bytes) -> object:
        """Called with each message, in order."""

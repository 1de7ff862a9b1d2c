"""
The two interfaces between a session and its transport.

A session writes to a ``Transport``; a transport delivers to a ``Receiver``: the
session, or its probe while the transport is only an upgrade candidate. Neither depends
on more of the other than these interfaces.
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
"""Bytes that a paused transport still reads: to detect that its connection has closed,
which Twisted does not report while nothing is read, and to receive the client's close
frame and pongs."""


class Receiver(Protocol):
    """The recipient of the packets that a transport receives."""

    @property
    def busy(self) -> bool:
        """Whether received packets may be queued because the application is busy."""

    @property
    def room(self) -> int:
        """Bytes that a paused transport may still read; it stops at 0 or below."""

    def reading_stopped(self) -> None:
        """Called when a paused transport has stopped reading."""

    def receive(self, data: str | bytes) -> None:
        """Handle a message."""

    def receive_packet(self, packet: Packet) -> None:
        """Handle any other packet, or a message that was parsed as one."""

    def transport_ready(self) -> None:
        """Called when the transport has become writable."""

    def control_frames(self, count: int) -> None:
        """Count WebSocket control frames: pings and pongs, which carry no packets."""

    def limit_reached(self, limit: str) -> None:
        """Called when the client exceeded one of the operator's limits."""

    def fail(self, reason: CloseReason) -> None:
        """Called when the transport is lost, or received invalid data."""


class NullReceiver:
    """The receiver of a transport without a session."""

    busy = False
    room = READ_AHEAD

    def reading_stopped(self) -> None:
        """Do nothing: there is no application to wait for."""

    def receive(self, data: str | bytes) -> None:
        """Drop a message."""

    def receive_packet(self, packet: Packet) -> None:
        """Drop a packet."""

    def transport_ready(self) -> None:
        """Do nothing: there is nothing to send."""

    def control_frames(self, count: int) -> None:
        """Do nothing: without a session there is no rate limit."""

    def limit_reached(self, limit: str) -> None:
        """Do nothing: there is no session to report."""

    def fail(self, reason: CloseReason) -> None:
        """Do nothing: there is no session to end."""


NULL_RECEIVER: Final = NullReceiver()


class Transport(Protocol):
    """
    The interface of a transport, which carries a session's packets.

    Attributes:
        name: ``"polling"``, ``"sse"`` or ``"websocket"``.
        writable: Whether ``send`` may be called now. While it is True, at most
            ``low_water_mark`` bytes are buffered in the process.
        buffered: Bytes that were sent and are buffered in the process, because the
            socket is full.
        receiver: The recipient of its packets.

    """

    name: str
    writable: bool
    receiver: Receiver

    @property
    def close_pending(self) -> bool:
        """Whether a close packet waits for the socket; ``transport_ready`` follows."""

    @property
    def corked(self) -> bool:
        """Whether it is unwritable only because it is corked."""

    @property
    def may_move(self) -> bool:
        """Whether its client may start an upgrade to another transport."""

    @property
    def buffered(self) -> int:
        """Bytes that are buffered in the process."""

    def send(self, item: Outgoing) -> None:
        """
        Write one packet or message at once; only while ``writable``.

        A close packet is the last; a WebSocket sends a close frame instead.
        """

    def flush(self, outbox: SendQueue) -> None:
        """Send as much of the queue as possible; only while ``writable``."""

    def cork(self) -> bool:
        """Buffer what is sent until ``uncork``; return False if that is unnecessary."""

    def uncork(self) -> None:
        """Send what was buffered since ``cork``, together."""

    def take_over(self, *, pinged: bool) -> None:
        """
        Carry the session from now on.

        Args:
            pinged: Whether the first pong to be received answers another transport's
                ping.

        """

    def prepare_upgrade(self) -> None:
        """
        Answer the pending request, for the client to upgrade; only while ``writable``.

        Called repeatedly during an upgrade, whenever the queue is empty.
        """

    def cancel_upgrade(self) -> None:
        """Continue as before: the client's upgrade has failed."""

    def retire(self) -> None:
        """Stop after an upgrade to another transport; answer all pending requests."""

    def abandon(self, reason: CloseReason) -> None:
        """Close: the session is over, for this reason."""

    @property
    def reads_ahead(self) -> bool:
        """Whether the client's packets are read, if necessary while paused."""

    def pause(self) -> None:
        """
        Read on while the receiver has room, then stop and call ``reading_stopped``.

        Called again when the room has changed.
        """

    def resume(self) -> None:
        """Continue to read without a limit."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """
    The result of ``Application.admit``: settings for the admitted session.

    Raises:
        ConfigError: If an interval is invalid.

    Attributes:
        data: The initial value of the session's ``data``.
        ping_interval: As in ``Config``, for this session only; ``None`` for the
            server's.
        ping_timeout: As in ``Config``, for this session only; ``None`` for the
            server's.

    """

    data: Any = None
    ping_interval: float | None = None
    ping_timeout: float | None = None

    def __post_init__(self) -> None:
        """Validate the intervals."""
        for name in ("ping_interval", "ping_timeout"):
            value = getattr(self, name)
            if value is not None:
                check_interval(name, value)


class Handlers(Protocol):
    """The methods of an application that a session calls."""

    def session_opened(self, session: Any) -> object:
        """Called when the session is open."""

    def message_received(self, session: Any, data: str | bytes) -> object:
        """Called with each message, in order."""

"""
A session's only timer, and the heartbeat that it measures most of the time.

Rules of this file:

1. One timer at a time: a client that must return, a ping that is due, a pong that is
   due, unsent data of a closing session, or a pending close. ``waiting`` says which;
   ``arm`` is the only method that sets it and ``cancel`` the only one that clears it.
2. Which side pings depends on the protocol's revision, so there is a subclass for each
   direction; the session does not know which one it has.
3. A client is not timed out for time in which the server itself was stalled: an
   application that blocks the reactor, a suspended machine, a clock that was set
   forward. The client's packets may meanwhile wait unread in the socket.
   ``was_stalled`` detects it.

Driven by its session, and by the clock.

Engine.IO protocol v4, "Heartbeat"; v3, "Timeouts".
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..exceptions import CloseReason
from ..protocol.packet import Packet, PacketType

__all__ = [
    "ClientPings",
    "Heartbeat",
    "HeartbeatOwner",
    "ServerPings",
    "Waiting",
    "was_stalled",
]

PING = Packet(PacketType.PING)
_MAX_LATENESS: Final = 1.0
"""Tolerated lateness of a timer, in seconds: a reactor that is merely busy is no
later."""


def was_stalled(clock: IReactorTime, due: float, timeout: float) -> bool:
    """
    Return whether a timer is so late that the server itself must have been stalled.

    Args:
        clock: The clock of the timer.
        due: When the timer was due, on that clock.
        timeout: The timer's delay, in seconds.

    """
    late = clock.seconds() - due
    return bool(late > min(_MAX_LATENESS, timeout / 2))


class Waiting(enum.Enum):
    """The event that the timer waits for."""

    IDLE = "idle"
    CLIENT_DUE = "client due"
    PING_DUE = "ping due"
    PONG_DUE = "pong due"
    LINGER = "linger"
    LINGER_PINGED = "linger, with a pong pending"
    PENDING_CLOSE = "pending close"


_RUNNING = (Waiting.PING_DUE, Waiting.PONG_DUE)


class HeartbeatOwner(Protocol):
    """The session, as its heartbeat sees it."""

    @property
    def busy(self) -> bool:
        """Whether its application keeps the client's packets from being read."""

    def write(self, packet: Packet) -> None:
        """Send a packet, or queue it until the transport is writable."""

    def fail(self, reason: CloseReason) -> None:
        """End the session: its client timed out, or pinged in the wrong direction."""

    def limit_reached(self, limit: str) -> None:
        """Called when the client exceeded one of the operator's limits."""


class Heartbeat:
    """
    The timer of a session; a subclass for each direction of the heartbeat.

    Driven by its session and its clock.

    Attributes:
        interval: The session's ``ping_interval``, in seconds.
        timeout: The session's ``ping_timeout``, in seconds.
        waiting: The event that the timer waits for.

    """

    __slots__ = (
        "_call",
        "_clock",
        "_deferred_due",
        "_session",
        "interval",
        "timeout",
        "waiting",
    )

    def __init__(
        self,
        session: HeartbeatOwner,
        clock: IReactorTime,
        interval: float,
        timeout: float,
    ) -> None:
        """
        Make a heartbeat that is not started.

        Args:
            session: The session that owns it.
            clock: The clock of its timer.
            interval: ``ping_interval``, in seconds.
            timeout: ``ping_timeout``, in seconds.

        """
        self._session = session
        self._clock = clock
        self.interval = interval
        self.timeout = timeout
        self._call: IDelayedCall | None = None
        self.waiting = Waiting.IDLE
        self._deferred_due = 0.0  # when the timer that CLIENT_DUE replaced is due

    # The timer.

    def arm(self, waiting: Waiting, delay: float, then: Callable[[], None]) -> None:
        """
        Start the timer, replacing the current one.

        Args:
            waiting: The event that it waits for.
            delay: The delay, in seconds.
            then: Called when the delay has passed.

        """
        self.cancel()
        self.waiting = waiting
        self._call = self._clock.callLater(delay, then)

    def cancel(self) -> None:
        """Cancel the timer."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        self.waiting = Waiting.IDLE

    def stop(self) -> None:
        """Cancel the timer and drop the reference to the session, which is over."""
        self.cancel()
        # Breaks the reference cycle, which only the garbage collector would free.
        del self._session

    def overdue(self) -> float:
        """Return for how many seconds the timer has been due; negative if it is not."""
        assert self._call is not None  # only called while the timer runs
        return self._clock.seconds() - self._call.getTime()

    def was_stalled(self) -> bool:
        """Return whether the timer is late because the server was stalled."""
        assert self._call is not None  # only called while the timer runs
        return was_stalled(self._clock, self._call.getTime(), self.timeout)

    # The heartbeat.

    def begin(self, early: float = 0.0) -> None:
        """
        Start the heartbeat: the session is open.

        Args:
            early: Seconds by which the first ping is sent before it is due.

        """
        raise NotImplementedError

    def ping(self, packet: Packet) -> bool:
        """
        Handle the client's ping.

        Args:
            packet: The ping, with its data.

        Returns:
            Whether it counts as a heartbeat.

        """
        raise NotImplementedError

    def pong(self) -> bool:
        """Handle the client's pong; return whether it counts as a heartbeat."""
        raise NotImplementedError

    def time_out(self) -> None:
        """End the session: no heartbeat was received in time."""
        if self._session.busy or self.was_stalled():
            # The pong may be queued behind the message that the application handles,
            # or unread in the socket: Twisted fires timers before it reads.
            self.arm(Waiting.PONG_DUE, self.timeout, self.time_out)
        else:
            # "If the server does not receive a pong packet back, then it SHOULD
            # consider that the connection is closed." -- Engine.IO protocol v4
            self._session.fail(CloseReason.PING_TIMEOUT)

    def check(self) -> None:
        """
        End the session if its heartbeat is overdue but the timer has not fired yet.

        Twisted reads sockets before it fires timers that became due meanwhile. If the
        server was stalled, the data that is read now may contain the pong.
        """
        due = self.waiting is Waiting.PONG_DUE and self.overdue() >= 0
        if due and not self.was_stalled():
            self.time_out()

    def client_resumed(self) -> None:
        """
        Extend the deadline of a pong: the client has reconnected its event stream.

        A ping that was sent while it was disconnected, or was lost with its old stream,
        reaches the client only now.
        """
        if self.waiting is Waiting.PONG_DUE:
            rest = max(self.timeout, -self.overdue())
            self.arm(Waiting.PONG_DUE, rest, self.time_out)

    def linger(self, delay: float, then: Callable[[], None]) -> None:
        """
        Stop the heartbeat while the session closes; remember whether a pong is pending.

        Args:
            delay: The time limit, in seconds.
            then: Called when it has passed.

        """
        pinged = self.pong_pending
        self.arm(Waiting.LINGER_PINGED if pinged else Waiting.LINGER, delay, then)

    @property
    def pong_pending(self) -> bool:
        """Whether the client was pinged and has not answered."""
        return self.waiting in (Waiting.PONG_DUE, Waiting.LINGER_PINGED)

    def pong_while_closing(self) -> None:
        """Record a pong that is received after the heartbeat has stopped."""
        if self.waiting is Waiting.LINGER_PINGED:
            self.waiting = Waiting.LINGER

    # A client that does not return after its handshake.

    def expect_client(self, timeout: float) -> None:
        """
        Postpone the heartbeat until the client sends its second request.

        Args:
            timeout: The time limit, in seconds.

        """
        if self._call is not None and self.waiting in _RUNNING:
            self._deferred_due = self._call.getTime()
            most = self.interval + self.timeout
            self.arm(Waiting.CLIENT_DUE, min(timeout, most), self._client_timed_out)

    def client_returned(self) -> None:
        """Continue the heartbeat as if it had not been postponed."""
        if self.waiting is Waiting.CLIENT_DUE:
            rest = self._deferred_due - self._clock.seconds()
            self.begin(early=self.interval - rest)

    def _client_timed_out(self) -> None:
        if self.was_stalled():
            # Its request may be unread in the socket.
            self.arm(Waiting.CLIENT_DUE, self.timeout, self._client_timed_out)
            return
        self._session.limit_reached("first_poll_timeout")
        self._session.fail(CloseReason.PING_TIMEOUT)


class ServerPings(Heartbeat):
    """Revision 4: the server pings, the client answers with a pong."""

    __slots__ = ()

    def begin(self, early: float = 0.0) -> None:
        """Schedule the next ping."""
        self.arm(Waiting.PING_DUE, max(self.interval - early, 0.0), self._ping_due)

    def _ping_due(self) -> None:
        timeout = self.timeout
        # Timers fire late. The pong is due ``timeout`` after the ping was due, not
        # after it was sent; but after a long delay of ours the client keeps half of it.
        late = self.overdue()
        self.arm(Waiting.PONG_DUE, max(timeout - late, timeout / 2), self.time_out)
        self._session.write(PING)  # last: exceeding max_buffered re-arms the timer

    def ping(self, packet: Packet) -> bool:
        """End the session: in revision 4 only the server pings."""
        self._session.fail(CloseReason.TRANSPORT_ERROR)
        return False

    def pong(self) -> bool:
        """Schedule the next ping; ignore a pong that answers no ping."""
        was_due = self.waiting is Waiting.PONG_DUE
        if was_due:
            self.begin()
        return was_due


class ClientPings(Heartbeat):
    """Revision 3: the client pings, the server answers with the same data."""

    __slots__ = ()

    def begin(self, early: float = 0.0) -> None:
        """Wait for the client's first ping; ``early`` is unused."""
        self.arm(Waiting.PONG_DUE, self._total_timeout(), self.time_out)

    def ping(self, packet: Packet) -> bool:
        """Answer the ping, and restart the timeout."""
        self._session.write(Packet(PacketType.PONG, packet.data))
        if self.waiting is Waiting.PONG_DUE and self._call is not None:
            self._call.reset(self._total_timeout())
        return True

    def pong(self) -> bool:
        """End the session: in revision 3 only the client pings."""
        self._session.fail(CloseReason.TRANSPORT_ERROR)
        return False

    def _total_timeout(self) -> float:
        return self.interval + self.timeout

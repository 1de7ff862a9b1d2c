"""
A session's one timer, and the heartbeat that it measures most of the time.

Rules of this file:

1. One timer at a time: a client that is to come back, a ping that is due, a pong that
   is due, a goodbye that lingers, or a verdict that is due. ``waiting`` says which;
   ``arm`` is the only place that sets it and ``cancel`` the only one that ends it.
2. Who pings is a matter of the protocol's revision, so there is a class for each way;
   the session doesn't know which it has.
3. A client is not judged by time that the server itself slept through: an application
   that blocks the reactor, a machine that was suspended, a clock that was set forward.
   What the client said meanwhile waits in the socket. ``overslept`` tells.

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
    "overslept",
]

PING = Packet(PacketType.PING)
_PAUSE: Final = 1.0
"""Seconds by which a timer may be late: a reactor that is merely busy is no later."""


def overslept(clock: IReactorTime, due: float, patience: float) -> bool:
    """
    Tell whether a timer is so late that the server itself must have slept.

    Args:
        clock: What it runs on.
        due: When it was due, on that clock.
        patience: How long it had to wait, in seconds.

    """
    late = clock.seconds() - due
    return bool(late > min(_PAUSE, patience / 2))


class Waiting(enum.Enum):
    """What the timer waits for."""

    NOTHING = "nothing"
    CLIENT_DUE = "client due"
    PING_DUE = "ping due"
    PONG_DUE = "pong due"
    LINGER = "linger"
    LINGER_PINGED = "linger, with a pong on its way"
    VERDICT = "verdict"


_BEATING = (Waiting.PING_DUE, Waiting.PONG_DUE)


class HeartbeatOwner(Protocol):
    """What a heartbeat asks of its session."""

    @property
    def busy(self) -> bool:
        """Whether its application keeps what the client says from being read."""

    def write(self, packet: Packet) -> None:
        """Send a packet, now or when there is a way."""

    def fail(self, reason: CloseReason) -> None:
        """End: the heart has stopped, or beats the wrong way."""

    def limit_reached(self, limit: str) -> None:
        """Hear that the client went beyond one of the operator's limits."""


class Heartbeat:
    """
    The timer of a session; a subclass for each way to keep it alive.

    Attributes:
        interval: The session's ``ping_interval``, in seconds.
        timeout: The session's ``ping_timeout``, in seconds.
        waiting: What the timer waits for.

    """

    __slots__ = (
        "_call",
        "_clock",
        "_put_off",
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
        Make a heart that does not beat yet.

        Args:
            session: Whose it is.
            clock: What it measures time with.
            interval: ``ping_interval``, in seconds.
            timeout: ``ping_timeout``, in seconds.

        """
        self._session = session
        self._clock = clock
        self.interval = interval
        self.timeout = timeout
        self._call: IDelayedCall | None = None
        self.waiting = Waiting.NOTHING
        self._put_off = 0.0  # when what CLIENT_DUE came before is due

    # The timer.

    def arm(self, waiting: Waiting, delay: float, then: Callable[[], None]) -> None:
        """
        Wait for something else from now on.

        Args:
            waiting: For what.
            delay: For how long, in seconds.
            then: What to do when the time has come.

        """
        self.cancel()
        self.waiting = waiting
        self._call = self._clock.callLater(delay, then)

    def cancel(self) -> None:
        """Wait for nothing."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        self.waiting = Waiting.NOTHING

    def stop(self) -> None:
        """Beat no more: the session is over, and not kept alive by its heart."""
        self.cancel()
        del self._session

    def overdue(self) -> float:
        """Tell for how many seconds the timer has been due; negative: not yet."""
        assert self._call is not None  # only asked while it waits
        return self._clock.seconds() - self._call.getTime()

    def overslept(self) -> bool:
        """Tell whether the timer is late because the server slept."""
        assert self._call is not None  # only asked while it waits
        return overslept(self._clock, self._call.getTime(), self.timeout)

    # The heart.

    def begin(self, early: float = 0.0) -> None:
        """
        Begin to beat: the session is open.

        Args:
            early: By how much sooner than it need be, in seconds.

        """
        raise NotImplementedError

    def ping(self, packet: Packet) -> bool:
        """
        Take the client's ping.

        Args:
            packet: The ping, with its data.

        Returns:
            Whether that was a beat.

        """
        raise NotImplementedError

    def pong(self) -> bool:
        """Take the client's pong, and tell whether that was a beat."""
        raise NotImplementedError

    def silent(self) -> None:
        """End the session: nothing was heard in time."""
        if self._session.busy or self.overslept():
            # What it says may wait behind the message that the application has, or in
            # the socket, for Twisted fires timers before it reads.
            self.arm(Waiting.PONG_DUE, self.timeout, self.silent)
        else:
            # "If the server does not receive a pong packet back, then it SHOULD
            # consider that the connection is closed." -- Engine.IO protocol v4
            self._session.fail(CloseReason.PING_TIMEOUT)

    def check(self) -> None:
        """
        End the session if it is overdue, though the timer has not fired yet.

        Twisted reads sockets before it fires timers that came due meanwhile. If it was
        the server that slept, what is read now may be the very pong.
        """
        due = self.waiting is Waiting.PONG_DUE and self.overdue() >= 0
        if due and not self.overslept():
            self.silent()

    def client_resumed(self) -> None:
        """
        Wait anew for what is due: the client has come back to its stream.

        So it is there, and a ping that fell due while it wasn't, or was lost with its
        old stream, reaches it only now.
        """
        if self.waiting is Waiting.PONG_DUE:
            rest = max(self.timeout, -self.overdue())
            self.arm(Waiting.PONG_DUE, rest, self.silent)

    def linger(self, delay: float, then: Callable[[], None]) -> None:
        """
        Beat no more: the session closes. Whether a pong is on its way is remembered.

        Args:
            delay: For how long it may take, in seconds.
            then: What to do when the time has come.

        """
        pinged = self.owes_pong
        self.arm(Waiting.LINGER_PINGED if pinged else Waiting.LINGER, delay, then)

    @property
    def owes_pong(self) -> bool:
        """Whether the client has been pinged, and has not answered."""
        return self.waiting in (Waiting.PONG_DUE, Waiting.LINGER_PINGED)

    def answered(self) -> None:
        """Hear of a pong when it is no beat any more."""
        if self.waiting is Waiting.LINGER_PINGED:
            self.waiting = Waiting.LINGER

    # Whether the client comes at all.

    def expect_client(self, patience: float) -> None:
        """
        Do not beat before the client has come back: it may never.

        Args:
            patience: For how long it may take, in seconds.

        """
        if self._call is not None and self.waiting in _BEATING:
            self._put_off = self._call.getTime()
            most = self.interval + self.timeout
            self.arm(Waiting.CLIENT_DUE, min(patience, most), self._absent)

    def client_came(self) -> None:
        """Beat as it would have, had it not waited for the client."""
        if self.waiting is Waiting.CLIENT_DUE:
            rest = self._put_off - self._clock.seconds()
            self.begin(early=self.interval - rest)

    def _absent(self) -> None:
        if self.overslept():
            # Its request may wait in the socket.
            self.arm(Waiting.CLIENT_DUE, self.timeout, self._absent)
            return
        self._session.limit_reached("first_poll_timeout")
        self._session.fail(CloseReason.PING_TIMEOUT)


class ServerPings(Heartbeat):
    """Revision 4: the server pings, the client pongs."""

    __slots__ = ()

    def begin(self, early: float = 0.0) -> None:
        """Wait until a ping is due."""
        self.arm(Waiting.PING_DUE, max(self.interval - early, 0.0), self._ping_due)

    def _ping_due(self) -> None:
        timeout = self.timeout
        # A timer fires a little late. The pong is due when the ping should have gone
        # out, plus the timeout; but if we were busy for long, the client must not pay.
        late = self.overdue()
        self.arm(Waiting.PONG_DUE, max(timeout - late, timeout / 2), self.silent)
        self._session.write(PING)  # last: it may be one too much, and end the session

    def ping(self, packet: Packet) -> bool:
        """End the session: that is the wrong way."""
        self._session.fail(CloseReason.TRANSPORT_ERROR)
        return False

    def pong(self) -> bool:
        """Wait until the next ping is due; a pong that nobody asked for is nothing."""
        asked = self.waiting is Waiting.PONG_DUE
        if asked:
            self.begin()
        return asked


class ClientPings(Heartbeat):
    """Revision 3: the client pings, the server pongs with the same data."""

    __slots__ = ()

    def begin(self, early: float = 0.0) -> None:
        """Wait for the client's first ping: when it comes is the client's affair."""
        self.arm(Waiting.PONG_DUE, self._patience(), self.silent)

    def ping(self, packet: Packet) -> bool:
        """Answer, and wait for the next."""
        self._session.write(Packet(PacketType.PONG, packet.data))
        if self.waiting is Waiting.PONG_DUE and self._call is not None:
            self._call.reset(self._patience())
        return True

    def pong(self) -> bool:
        """End the session: that is the wrong way."""
        self._session.fail(CloseReason.TRANSPORT_ERROR)
        return False

    def _patience(self) -> float:
        return self.interval + self.timeout

"""
A session whose client may send only so much a second.

A server without such limits never makes one, so its message path pays nothing. What is
one too many waits in the inbox, or ends the session: ``over_rate`` says which. Pings,
pongs and control frames do not wait; what comes behind them does, for as long.
"""

from __future__ import annotations

from ..exceptions import CloseReason
from ..policy.token_bucket import TokenBucket
from ..protocol.handshake import Handshake
from ..protocol.packet import Packet, PacketType
from .interfaces import Admission, Transport
from .observed import ObservedSession
from .receive_queue import Hold
from .receiving import BEATS
from .revision import Revision
from .send_queue import size_of
from .session import Session
from .state import SessionOwner, State

__all__ = ["ObservedRateLimitedSession", "RateLimitedSession", "session_class"]


class RateLimitedSession(Session):
    """A session that counts what it reads."""

    __slots__ = ("_bytes", "_packets")

    def __init__(
        self,
        sid: str,
        handshake: Handshake,
        revision: Revision,
        transport: Transport,
        server: SessionOwner,
        admission: Admission,
    ) -> None:
        super().__init__(sid, handshake, revision, transport, server, admission)
        config, now = server.config, server.clock.seconds()
        self._packets = _bucket(config.max_messages_per_second, now)
        self._bytes = _bucket(config.max_bytes_per_second, now)

    def receive(self, data: str | bytes) -> None:
        """Count a message, and deliver it if it is not one too many."""
        if self._inbox is None:  # else its turn comes later
            self._count(data)
        if self.state is not State.CLOSED:
            super().receive(data)

    def receive_packet(self, packet: Packet) -> None:
        """Count a packet that is no message, and act on it likewise."""
        if packet.type in BEATS:
            self._owe(1, size_of(packet.data))
        elif packet.type is not PacketType.MESSAGE and (
            self._inbox is None or self._reads_now(packet)
        ):
            # What waits is counted when its turn comes, a message when delivered.
            self._count(packet.data)
        if self.state is not State.CLOSED:
            super().receive_packet(packet)

    def control_frames(self, count: int) -> None:
        """Count control frames as packets."""
        self._owe(count, 0)

    def _owe(self, packets: int, size: int) -> None:
        """Take what it costs of what does not wait: what is too much is paid later."""
        if self.state is not State.OPEN:
            return
        now, wait, exceeded = self.server.clock.seconds(), 0.0, []
        for limit, bucket, cost in (
            ("max_messages_per_second", self._packets, packets),
            ("max_bytes_per_second", self._bytes, size),
        ):
            if bucket is not None and cost:
                over = bucket.wait(cost, now) > 0.0
                bucket.take(cost)
                if over:
                    exceeded.append(limit)
                    wait = max(wait, bucket.wait(0, now))
        held = self._inbox is not None and self._inbox.holds(Hold.RATE)
        if exceeded and not held:  # if it is, a flood only adds to what it owes
            for limit in exceeded:
                self.limit_reached(limit)
            self._slow_down(wait)

    def _let_go(self, why: Hold) -> None:
        """Read on, unless packets are still to be paid for."""
        if why is Hold.RATE and self._packets is not None:
            # Bytes are owed after any large message, and paid for with the next bytes.
            owed = self._packets.wait(0, self.server.clock.seconds())
            if owed:
                self._hold(why, owed)
                return
        super()._let_go(why)

    def _slow_down(self, seconds: float) -> None:
        if self.server.config.over_rate == "pause":
            self._hold(Hold.RATE, seconds)
        else:
            self._finish(CloseReason.RATE_EXCEEDED)

    def _count(self, data: str | bytes) -> None:
        """Take what it costs, or see to it that it waits, or end the session."""
        if self.state is not State.OPEN:
            return
        now, size = self.server.clock.seconds(), size_of(data)
        packets, data_bytes = self._packets, self._bytes
        wait = 0.0
        if packets is not None and (seconds := packets.wait(1, now)):
            self.limit_reached("max_messages_per_second")
            wait = seconds
        if data_bytes is not None and (seconds := data_bytes.wait(size, now)):
            self.limit_reached("max_bytes_per_second")
            wait = max(wait, seconds)
        if not wait:
            if packets is not None:
                packets.take(1)
            if data_bytes is not None:
                data_bytes.take(size)
        else:
            self._slow_down(wait)


class ObservedRateLimitedSession(RateLimitedSession, ObservedSession):
    """A session that does both: what is one too many is told when its turn comes."""

    __slots__ = ()


def _bucket(rate: float | None, now: float) -> TokenBucket | None:
    return None if rate is None else TokenBucket(rate, now)


def session_class(*, observed: bool, limited: bool) -> type[Session]:
    """
    Choose the class that does what is asked for and no more.

    Args:
        observed: Whether the server has observers.
        limited: Whether it limits how much a session may send.

    """
    if limited:
        return ObservedRateLimitedSession if observed else RateLimitedSession
    return ObservedSession if observed else Session

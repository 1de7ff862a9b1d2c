"""
A session with a limit on the rate of its client's messages.

A server without such limits never makes one, so its message path has no extra cost. A
message over the limit waits in the receive queue, or ends the session, as ``over_rate``
says. Pings, pongs and control frames do not wait, but count: later messages wait
longer.
"""

from __future__ import annotations

from ..exceptions import CloseReason
from ..policy.token_bucket import TokenBucket
from ..protocol.handshake import Handshake
from ..protocol.packet import Packet, PacketType
from .interfaces import Admission, Transport
from .observed import ObservedSession
from .receive_queue import PauseReason
from .receiving import HEARTBEATS
from .revision import Revision
from .send_queue import size_of
from .session import Session
from .state import SessionOwner, State

__all__ = ["ObservedRateLimitedSession", "RateLimitedSession", "session_class"]


class RateLimitedSession(Session):
    """A session that counts received packets and bytes against the limits."""

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
        """Count a message, and deliver it unless it is over the limit."""
        if self._inbox is None:  # else it is counted when it is delivered
            self._count(data)
        if self.state is not State.CLOSED:
            super().receive(data)

    def receive_packet(self, packet: Packet) -> None:
        """Count a packet that is not a message, and handle it likewise."""
        if packet.type in HEARTBEATS:
            self._owe(1, size_of(packet.data))
        elif packet.type is not PacketType.MESSAGE and (
            self._inbox is None or self._reads_now(packet)
        ):
            # A queued packet is counted when it is handled, a message in receive().
            self._count(packet.data)
        if self.state is not State.CLOSED:
            super().receive_packet(packet)

    def control_frames(self, count: int) -> None:
        """Count control frames as packets."""
        self._owe(count, 0)

    def _owe(self, packets: int, size: int) -> None:
        """Take the cost of packets that do not wait; a deficit delays others."""
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
        inbox = self._inbox
        paused = inbox is not None and inbox.is_paused_by(PauseReason.RATE)
        # While reading is paused, a flood only adds to the deficit.
        if exceeded and not paused:
            for limit in exceeded:
                self.limit_reached(limit)
            self._slow_down(wait)

    def _resume(self, why: PauseReason) -> None:
        """Resume reading, unless the packet bucket still has a deficit."""
        if why is PauseReason.RATE and self._packets is not None:
            # Not the byte bucket: it has a deficit after any large message, which
            # delays only the next bytes.
            owed = self._packets.wait(0, self.server.clock.seconds())
            if owed:
                self._pause(why, owed)
                return
        super()._resume(why)

    def _slow_down(self, seconds: float) -> None:
        if self.server.config.over_rate == "pause":
            self._pause(PauseReason.RATE, seconds)
        else:
            self._finish(CloseReason.RATE_EXCEEDED)

    def _count(self, data: str | bytes) -> None:
        """Take the cost of a packet; over the limit, pause or end the session."""
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
    """A session with both; over the limit, a message is reported on delivery."""

    __slots__ = ()


def _bucket(rate: float | None, now: float) -> TokenBucket | None:
    return None if rate is None else TokenBucket(rate, now)


def session_class(*, observed: bool, limited: bool) -> type[Session]:
    """
    Return the class with the required features and no others.

    Args:
        observed: Whether the server has observers.
        limited: Whether it limits the rate of a session's messages.

    """
    if limited:
        return ObservedRateLimitedSession if observed else RateLimitedSession
    return ObservedSession if observed else Session

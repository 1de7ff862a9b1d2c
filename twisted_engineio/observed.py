"""
A session that somebody watches: the same conversation, every event told.

A server without observers never makes one, so its message path pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from .observer import Observer
from .packet import Message, Outgoing, Packet, PacketType
from .session import Owner, Session, State
from .transport import Transport

__all__ = ["ObservedSession"]


class Teller(Owner, Protocol):
    """What an observed session asks of its server besides."""

    def tell(self, event: Callable[[Observer], None]) -> None:
        """Tell every observer of an event."""


class ObservedSession(Session):
    """A session that tells its server's observers what it does."""

    __slots__ = ()

    server: Teller

    def receive(self, data: str | bytes) -> None:
        """Tell of a message, and deliver it."""
        if self._inbox is None:  # else it is told when its turn comes
            self.server.tell(
                lambda each: each.packet_received(self, PacketType.MESSAGE, data)
            )
        super().receive(data)

    def receive_packet(self, packet: Packet) -> None:
        """Tell of a packet, and act on it."""
        if self._inbox is None and packet.type is not PacketType.MESSAGE:
            self.server.tell(
                lambda each: each.packet_received(self, packet.type, packet.data)
            )
        super().receive_packet(packet)

    def send(
        self, data: Message, *, compress: bool = True, volatile: bool = False
    ) -> bool:
        """Send a message, and tell of it unless it was refused."""
        direct = self._tell_flushing()
        sent = super().send(data, compress=compress, volatile=volatile)
        if direct or not volatile:  # else it was dropped
            self._tell_sent(data)
        if direct:
            self.server.tell(lambda each: each.flushed(self))
        return sent

    def send_many(self, messages: Iterable[Message]) -> bool:
        """Send messages together, and tell of each."""
        messages = list(messages)
        sent = super().send_many(messages)
        for data in messages:
            self._tell_sent(data)
        return sent

    def transport_ready(self) -> None:
        """Send what is queued, and tell of it."""
        waiting = bool(self._outbox) and self.transport.writable
        if waiting:
            self.server.tell(lambda each: each.flushing(self))
        super().transport_ready()
        if waiting and not self._outbox:
            self.server.tell(lambda each: each.flushed(self))

    def upgrade(self, candidate: Transport) -> bool:
        """Let another transport try, and tell of it."""
        trying = super().upgrade(candidate)
        if trying:
            self.server.tell(lambda each: each.upgrading(self, candidate.name))
        return trying

    def swap(self, candidate: Transport) -> None:
        """Move to another transport, and tell of it."""
        super().swap(candidate)
        self.server.tell(lambda each: each.upgraded(self, candidate.name))

    def write(self, item: Outgoing) -> None:
        """Send a packet or message, and tell of it."""
        direct = self._tell_flushing()
        super().write(item)
        self._tell_sent(item)
        if direct:
            self.server.tell(lambda each: each.flushed(self))

    def _tell_flushing(self) -> bool:
        """Tell if what is sent now leaves at once."""
        direct = self.transport.writable and self._outbox is None
        if direct and self.state is State.OPEN:
            self.server.tell(lambda each: each.flushing(self))
        return direct

    def _tell_sent(self, item: Outgoing) -> None:
        self.server.tell(lambda each: each.packet_sent(self, item))

    def _beaten(self) -> None:
        self.server.tell(lambda each: each.heartbeat(self))

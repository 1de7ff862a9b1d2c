"""
A session that somebody watches: the same conversation, every event told.

A server that nobody watches never makes one, so its message path pays nothing; and an
event that no observer overrides costs those that are watched nothing either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..protocol.packet import Buffer, Message, Outgoing, Packet, PacketType, as_message
from .interfaces import Transport
from .session import Session, SessionOwner, State

__all__ = ["ObservedSession", "ObserverHooks"]

_BUFFERS = (bytearray, memoryview)

Hearers: TypeAlias = tuple[Callable[..., None], ...]


@dataclass(frozen=True, slots=True)
class ObserverHooks:
    """
    Who hears what: for the events that come often, the methods that override each.

    They are collected once, when the server is made: ``observer.hooks_of``.

    Attributes:
        whole_requests: Whether somebody is shown requests, and wants all their headers.

    """

    packet_received: Hearers = ()
    packet_sent: Hearers = ()
    flushing: Hearers = ()
    flushed: Hearers = ()
    heartbeat: Hearers = ()
    upgrading: Hearers = ()
    upgraded: Hearers = ()
    headers: Hearers = ()
    connection_refused: Hearers = ()
    whole_requests: bool = False

    @property
    def watches_sessions(self) -> bool:
        """Whether anybody hears what a session does between its opening and its end."""
        return bool(
            self.packet_received
            or self.packet_sent
            or self.flushing
            or self.flushed
            or self.heartbeat
            or self.upgrading
            or self.upgraded
        )


class ObservedOwner(SessionOwner, Protocol):
    """What an observed session asks of its server besides."""

    hearing: ObserverHooks

    def observer_failed(self, hear: Callable[..., None]) -> None:
        """Log the exception that is being handled: an observer's method raised it."""


class ObservedSession(Session):
    """A session that tells its server's observers what it does."""

    __slots__ = ()

    server: ObservedOwner

    def receive(self, data: str | bytes) -> None:
        """Tell of a message, and deliver it."""
        if self._inbox is None:  # else it is told when its turn comes
            # As _tell does, without the call: this is the message path.
            for hear in self.server.hearing.packet_received:
                try:
                    hear(self, PacketType.MESSAGE, data)
                except Exception:
                    self.server.observer_failed(hear)
        super().receive(data)

    def receive_packet(self, packet: Packet) -> None:
        """Tell of a packet, and act on it."""
        now = self._inbox is None or self._reads_now(packet)
        if now and packet.type is not PacketType.MESSAGE:
            hearers = self.server.hearing.packet_received
            self._tell(hearers, packet.type, packet.data)
        super().receive_packet(packet)

    def send(
        self,
        data: Message | Buffer,
        *,
        compress: bool = True,
        volatile: bool = False,
    ) -> bool:
        """Send a message, and tell of it unless it was refused."""
        if isinstance(data, _BUFFERS):
            data = bytes(data)  # observers are told what was sent, whatever changes
        hearing = self.server.hearing
        direct = (hearing.flushing or hearing.flushed) and self._tell_flushing()
        sent = super().send(data, compress=compress, volatile=volatile)
        if sent or not volatile:  # else it was dropped
            for hear in hearing.packet_sent:  # the message path again
                try:
                    hear(self, data)
                except Exception:
                    self.server.observer_failed(hear)
        if direct:
            self._tell(hearing.flushed)
        return sent

    def send_many(self, messages: Iterable[Message | Buffer]) -> bool:
        """Send messages together, and tell of each."""
        messages = list(messages)
        sent = super().send_many(messages)
        for data in map(as_message, messages):
            self._tell(self.server.hearing.packet_sent, data)
        return sent

    def transport_ready(self) -> None:
        """Send what is queued, and tell of it."""
        hearing = self.server.hearing
        waiting = bool(self._outbox) and self.transport.writable
        if waiting:
            self._tell(hearing.flushing)
        super().transport_ready()
        if waiting and not self._outbox:
            self._tell(hearing.flushed)

    def upgrade(self, candidate: Transport) -> bool:
        """Let another transport try, and tell of it."""
        trying = super().upgrade(candidate)
        if trying:
            self._tell(self.server.hearing.upgrading, candidate.name)
        return trying

    def swap(self, candidate: Transport) -> None:
        """Move to another transport, and tell of it."""
        super().swap(candidate)
        if self.state is not State.CLOSED:  # else its goodbye has left with the queue
            self._tell(self.server.hearing.upgraded, candidate.name)

    def write(self, item: Outgoing) -> None:
        """Send a packet or message, and tell of it."""
        hearing = self.server.hearing
        direct = (hearing.flushing or hearing.flushed) and self._tell_flushing()
        super().write(item)
        self._tell(hearing.packet_sent, item)
        if direct:
            self._tell(hearing.flushed)

    def _tell_flushing(self) -> bool:
        """Tell if what is sent now leaves at once."""
        direct = self.transport.writable and self._outbox is None
        if direct and self.state is State.OPEN:
            self._tell(self.server.hearing.flushing)
        return direct

    def _beaten(self) -> None:
        self._tell(self.server.hearing.heartbeat)

    def _tell(self, hearers: Hearers, *about: object) -> None:
        for hear in hearers:
            try:
                hear(self, *about)
            except Exception:
                self.server.observer_failed(hear)

"""
A session whose events are reported to observers.

A server without observers never makes one, so its message path has no extra cost; and
an event that no observer overrides costs an observed session nothing either.
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

Hooks: TypeAlias = tuple[Callable[..., None], ...]


@dataclass(frozen=True, slots=True)
class ObserverHooks:
    """
    The observers' methods, by event, for the frequent events.

    They are collected once, when the server is made: ``observer.hooks_of``.

    Attributes:
        whole_requests: Whether an observer needs requests with all their headers.

    """

    packet_received: Hooks = ()
    packet_sent: Hooks = ()
    flushing: Hooks = ()
    flushed: Hooks = ()
    heartbeat: Hooks = ()
    upgrading: Hooks = ()
    upgraded: Hooks = ()
    headers: Hooks = ()
    connection_refused: Hooks = ()
    whole_requests: bool = False

    @property
    def observes_sessions(self) -> bool:
        """Whether any observer needs a session's events between its start and end."""
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
    """The server of an observed session."""

    hooks: ObserverHooks

    def observer_failed(self, hook: Callable[..., None]) -> None:
        """Log the exception being handled, which an observer's method raised."""


class ObservedSession(Session):
    """A session that notifies its server's observers."""

    __slots__ = ()

    server: ObservedOwner

    def receive(self, data: str | bytes) -> None:
        """Notify observers of a message, and deliver it."""
        if self._inbox is None:  # else it is reported when it is delivered
            # _notify, inlined: this is the message path.
            for hook in self.server.hooks.packet_received:
                try:
                    hook(self, PacketType.MESSAGE, data)
                except Exception:
                    self.server.observer_failed(hook)
        super().receive(data)

    def receive_packet(self, packet: Packet) -> None:
        """Notify observers of a packet, and handle it."""
        now = self._inbox is None or self._reads_now(packet)
        if now and packet.type is not PacketType.MESSAGE:
            hooks = self.server.hooks.packet_received
            self._notify(hooks, packet.type, packet.data)
        super().receive_packet(packet)

    def send(
        self,
        data: Message | Buffer,
        *,
        compress: bool = True,
        volatile: bool = False,
    ) -> bool:
        """Send a message, and notify observers unless it was dropped."""
        if isinstance(data, _BUFFERS):
            data = bytes(data)  # observers get what was sent, whatever changes later
        hooks = self.server.hooks
        direct = (hooks.flushing or hooks.flushed) and self._notify_flushing()
        sent = super().send(data, compress=compress, volatile=volatile)
        if sent or not volatile:  # else it was dropped
            for hook in hooks.packet_sent:  # _notify, inlined likewise
                try:
                    hook(self, data)
                except Exception:
                    self.server.observer_failed(hook)
        if direct:
            self._notify(hooks.flushed)
        return sent

    def send_many(self, messages: Iterable[Message | Buffer]) -> bool:
        """Send messages together, and notify observers of each."""
        messages = list(messages)  # iterated twice
        sent = super().send_many(messages)
        for data in map(as_message, messages):
            self._notify(self.server.hooks.packet_sent, data)
        return sent

    def transport_ready(self) -> None:
        """Send the queue, and notify observers."""
        hooks = self.server.hooks
        waiting = bool(self._outbox) and self.transport.writable
        if waiting:
            self._notify(hooks.flushing)
        super().transport_ready()
        if waiting and not self._outbox:
            self._notify(hooks.flushed)

    def upgrade(self, candidate: Transport) -> bool:
        """Start an upgrade, and notify observers."""
        trying = super().upgrade(candidate)
        if trying:
            self._notify(self.server.hooks.upgrading, candidate.name)
        return trying

    def swap(self, candidate: Transport) -> None:
        """Complete an upgrade, and notify observers."""
        super().swap(candidate)
        if self.state is not State.CLOSED:  # else its queue ended with a close packet
            self._notify(self.server.hooks.upgraded, candidate.name)

    def write(self, item: Outgoing) -> None:
        """Send a packet or message, and notify observers."""
        hooks = self.server.hooks
        direct = (hooks.flushing or hooks.flushed) and self._notify_flushing()
        super().write(item)
        self._notify(hooks.packet_sent, item)
        if direct:
            self._notify(hooks.flushed)

    def _notify_flushing(self) -> bool:
        """Notify observers if the next item is written at once; return that."""
        direct = self.transport.writable and self._outbox is None
        if direct and self.state is State.OPEN:
            self._notify(self.server.hooks.flushing)
        return direct

    def _heartbeat_received(self) -> None:
        self._notify(self.server.hooks.heartbeat)

    def _notify(self, hooks: Hooks, *about: object) -> None:
        for hook in hooks:
            try:
                hook(self, *about)
            except Exception:
                self.server.observer_failed(hook)

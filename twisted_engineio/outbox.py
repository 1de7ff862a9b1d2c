"""
What a session still has to send, in order, with its size in bytes.

The session owns its one ``Outbox``; a transport borrows it to take from its front.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred

from .packet import Encoded, Outgoing, Packet

__all__ = ["Outbox"]


def size_of(item: Outgoing) -> int:
    """
    Count the bytes of an item's data, as UTF-8.

    Raises:
        UnicodeEncodeError: If it is text that has no UTF-8 (a lone surrogate).

    """
    data = item.data if isinstance(item, (Encoded, Packet)) else item
    if isinstance(data, bytes) or data.isascii():
        return len(data)
    return len(data.encode())


class Outbox(deque[Outgoing]):
    """
    A queue of packets and messages that knows its size.

    Only the methods below change it. It is a ``deque`` itself so that asking whether it
    is empty costs no call.

    Attributes:
        size: The bytes of all data in it; a packet without data counts none.

    """

    __slots__ = ("_waiters", "size")

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self._waiters: list[tuple[int, Deferred[None]]] = []

    def append(self, item: Outgoing) -> None:
        """Put an item at the end; nothing is changed if its size cannot be told."""
        self.size += size_of(item)
        super().append(item)

    def popleft(self) -> Outgoing:
        """Take the item at the front; ``IndexError`` if there is none."""
        item = super().popleft()
        self.size -= size_of(item)
        return item

    def clear(self) -> None:
        """Throw everything away."""
        super().clear()
        self.size = 0

    def when_at_most(self, size: int) -> Deferred[None]:
        """
        Wait until it is no larger than a size.

        Args:
            size: In bytes; -1 to wait until it is empty.

        """
        waiter: Deferred[None] = Deferred()
        self._waiters.append((size, waiter))
        return waiter

    def settle(self) -> None:
        """Tell those who waited for the size that it has now."""
        size = self.size if self else -1
        ready = [waiter for limit, waiter in self._waiters if size <= limit]
        self._waiters = [each for each in self._waiters if size > each[0]]
        for waiter in ready:
            waiter.callback(None)

    def fail(self, error: Exception) -> None:
        """
        Tell everybody who waits that it is in vain.

        Args:
            error: Why.

        """
        waiters, self._waiters = self._waiters, []
        for _, waiter in waiters:
            waiter.errback(error)

"""
What a session still has to send, in order, with its size in bytes.

The session owns its one ``SendQueue``; a transport borrows it to take from its front.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

from twisted.internet.defer import Deferred

from ..protocol.packet import Encoded, Outgoing, Packet, is_goodbye

__all__ = ["SendQueue"]

_LEAST: Final = 3
"""Bytes that an item counts at least: the smallest packet takes as many on a WebSocket.
If what is empty counted none, it could be queued without end."""


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


class SendQueue(deque[Outgoing]):
    """
    A queue of packets and messages that knows its size.

    Only the methods below change it. It is a ``deque`` itself so that asking whether it
    is empty costs no call.

    Attributes:
        size: The bytes of all data in it; an item counts ``_LEAST`` at least.

    """

    __slots__ = ("_waiters", "size")

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self._waiters: list[tuple[int, Deferred[None]]] = []

    def append(self, item: Outgoing) -> None:
        """Put an item at the end; nothing is changed if its size cannot be told."""
        self.size += max(size_of(item), _LEAST)
        super().append(item)

    def popleft(self) -> Outgoing:
        """Take the item at the front; ``IndexError`` if there is none."""
        item = super().popleft()
        self.size -= max(size_of(item), _LEAST)
        return item

    def take(self, most: int, brief: int, apart: float = inf) -> list[Outgoing]:
        """
        Take what leaves together off the front: one item at least.

        Args:
            most: Bytes from which on nothing more is taken.
            brief: Bytes behind which a close packet is left for the next time. What is
                longer may take its time to arrive, and until it has the session had
                better not be over.
            apart: Bytes of an ``Encoded`` that may be compressed from which on it is
                not taken together with messages of this session alone.

        """
        start = self.size
        items: list[Outgoing] = []
        own = shared = False
        while self and (not items or start - self.size < most):
            item = self[0]
            if isinstance(item, Encoded) and item.compress:
                shared = shared or len(item.data) >= apart
            elif not isinstance(item, Packet):
                own = True
            late = start - self.size > brief and is_goodbye(item)
            if items and (late or (own and shared)):
                break
            items.append(self.popleft())
        return items

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

    @property
    def spent(self) -> bool:
        """Whether nothing is left in it that anybody sent; a goodbye may be."""
        return not self or is_goodbye(self[0])

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for its size."""
        return bool(self._waiters)

    def settled(self, held: int) -> list[Deferred[None]]:
        """
        Give back those who have waited long enough, and forget them.

        Args:
            held: Bytes that have left it and count all the same.

        """
        spent, size = self.spent, self.size + held
        ready, others = [], []
        for limit, waiter in self._waiters:
            if spent if limit < 0 else size <= limit:
                ready.append(waiter)
            else:
                others.append((limit, waiter))
        self._waiters = others
        return ready

    def fail(self, error: Exception) -> None:
        """
        Tell everybody who waits that it is in vain.

        Args:
            error: Why.

        """
        waiters, self._waiters = self._waiters, []
        for _, waiter in waiters:
            waiter.errback(error)

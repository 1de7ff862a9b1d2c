"""
A session's unsent items, in order, with their size in bytes.

The session owns its one ``SendQueue``; its transport takes items from the front.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

from twisted.internet.defer import Deferred

from ..protocol.packet import Encoded, Outgoing, Packet, is_close_packet

__all__ = ["SendQueue"]

_MIN_ITEM_SIZE: Final = 3
"""Minimum size of an item, in bytes: that of the smallest packet on a WebSocket. If
empty items counted nothing, they could be queued without limit."""


def size_of(item: Outgoing) -> int:
    """
    Return the size of an item's data, in bytes of UTF-8.

    Raises:
        UnicodeEncodeError: If it is text with a lone surrogate.

    """
    data = item.data if isinstance(item, (Encoded, Packet)) else item
    if isinstance(data, bytes) or data.isascii():
        return len(data)
    return len(data.encode())


class SendQueue(deque[Outgoing]):
    """
    A queue of packets and messages that tracks its size.

    Only the methods below modify it. It is a ``deque`` itself so that testing whether
    it is empty costs no call.

    Attributes:
        size: The bytes of its items; each counts ``_MIN_ITEM_SIZE`` at least.

    """

    __slots__ = ("_waiters", "size")

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self._waiters: list[tuple[int, Deferred[None]]] = []

    def append(self, item: Outgoing) -> None:
        """Add an item at the end; nothing is changed if its size raises."""
        self.size += max(size_of(item), _MIN_ITEM_SIZE)
        super().append(item)

    def popleft(self) -> Outgoing:
        """Remove and return the first item; ``IndexError`` if there is none."""
        item = super().popleft()
        self.size -= max(size_of(item), _MIN_ITEM_SIZE)
        return item

    def take(
        self, max_size: int, close_after: int, separate_from: float = inf
    ) -> list[Outgoing]:
        """
        Remove and return the items that are sent together: one item at least.

        Args:
            max_size: Bytes after which no further item is taken.
            close_after: Bytes after which a close packet is left for the next call. A
                large answer takes time to arrive, and the session should not end before
                it has.
            separate_from: Bytes of a compressible ``Encoded`` from which on it is not
                combined with messages of this session alone.

        """
        start = self.size
        items: list[Outgoing] = []
        own = shared = False
        while self and (not items or start - self.size < max_size):
            item = self[0]
            if isinstance(item, Encoded) and item.compress:
                shared = shared or len(item.data) >= separate_from
            elif not isinstance(item, Packet):
                own = True
            late = start - self.size > close_after and is_close_packet(item)
            if items and (late or (own and shared)):
                break
            items.append(self.popleft())
        return items

    def clear(self) -> None:
        """Discard all items."""
        super().clear()
        self.size = 0

    def when_at_most(self, size: int) -> Deferred[None]:
        """
        Return a Deferred that fires when the queue is at most of a size.

        Args:
            size: In bytes; -1 to wait until nothing but a close packet is left.

        """
        waiter: Deferred[None] = Deferred()
        self._waiters.append((size, waiter))
        return waiter

    @property
    def all_sent(self) -> bool:
        """Whether no message is left; a close packet may be."""
        return not self or is_close_packet(self[0])

    @property
    def has_waiters(self) -> bool:
        """Whether any Deferred of ``when_at_most`` is pending."""
        return bool(self._waiters)

    def pop_ready(self, held: int) -> list[Deferred[None]]:
        """
        Remove and return the Deferreds of ``when_at_most`` that are due.

        Args:
            held: Bytes that have left the queue but count as well.

        """
        all_sent, size = self.all_sent, self.size + held
        ready, others = [], []
        for limit, waiter in self._waiters:
            if all_sent if limit < 0 else size <= limit:
                ready.append(waiter)
            else:
                others.append((limit, waiter))
        self._waiters = others
        return ready

    def fail(self, error: Exception) -> None:
        """
        Fail all pending ``drained()`` and ``flushed()`` Deferreds.

        Args:
            error: The error.

        """
        waiters, self._waiters = self._waiters, []
        for _, waiter in waiters:
            waiter.errback(error)

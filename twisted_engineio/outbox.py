"""
What a session still has to send, in order, with its size in bytes.

The session owns its one ``Outbox``; a transport borrows it to take from its front.
"""

from __future__ import annotations

from collections import deque

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

    Only the three methods below change it. It is a ``deque`` itself so that asking
    whether it is empty, once for each message sent, costs no call.

    Attributes:
        size: The bytes of all data in it; a packet without data counts none.

    """

    __slots__ = ("size",)

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

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

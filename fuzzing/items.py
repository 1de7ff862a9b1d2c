"""What a codec reads, and what becomes of it when it is written: for both revisions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from twisted_engineio import InvalidPacket, Packet, PacketType

__all__ = ["Item", "plain", "read", "rewritten", "size_of"]

Item: TypeAlias = str | bytes | Packet


def read(packets: Iterable[Item]) -> tuple[list[Item], bool]:
    """Give the packets up to the first bad one, and whether there was none."""
    found: list[Item] = []
    try:
        for item in packets:
            found.append(item)  # noqa: PERF402  what came before an error counts
    except InvalidPacket:
        return found, False
    return found, True


def plain(item: Item) -> Item:
    """Give a message as it is, not as a packet."""
    is_message = isinstance(item, Packet) and item.type is PacketType.MESSAGE
    return item.data if is_message else item


def rewritten(item: Item) -> Item:
    """Give what is read when a packet that was read is written."""
    if isinstance(item, Packet) and item.type is PacketType.CLOSE:
        return Packet(PacketType.CLOSE)  # its data is a close code, and stays here
    return item


def size_of(item: Item) -> int:
    """Give the characters or bytes of its data."""
    return len(item.data if isinstance(item, Packet) else item)

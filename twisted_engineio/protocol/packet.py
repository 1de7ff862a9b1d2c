"""
Packet types, packets, and messages that are encoded once for many sessions.

A message that an application sends or receives is plain ``str`` or ``bytes`` and never
becomes a ``Packet``: only the few packets that control a session do.
"""

from __future__ import annotations

import enum
from typing import NamedTuple, TypeAlias

__all__ = [
    "Buffer",
    "Encoded",
    "Message",
    "Outgoing",
    "Packet",
    "PacketType",
    "as_data",
    "as_message",
    "is_close_packet",
]


class PacketType(enum.Enum):
    """
    The packet types; the value is the digit on the wire.

    Engine.IO protocol v4, "Protocol".
    """

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


class Packet(NamedTuple):
    """
    One packet: its type and its data.

    ``data`` is text, or bytes for a binary message; ``""`` if the type carries none. In
    an outgoing close packet it is the close code for a WebSocket, which is never
    encoded in the packet itself.
    """

    type: PacketType
    data: str | bytes = ""


def as_message(data: object) -> Message:
    """
    Return a message as ``as_data`` does, or an ``Encoded`` unchanged.

    Raises:
        TypeError: If it is no message.

    """
    if isinstance(data, (str, bytes, Encoded)):
        return data
    return as_data(data)


def as_data(data: object) -> str | bytes:
    """
    Return the data of a message: text, or bytes, copied if they may change.

    Raises:
        TypeError: If it is neither str nor bytes, nor a bytearray or memoryview.

    """
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise TypeError(
        "a message is str, bytes, bytearray or memoryview, not"
        f" {type(data).__name__}: encode it first"
    )


class Encoded:
    """
    A message for many sessions, encoded at most once per kind of framing.

    Attributes:
        data: The message, as the application passed it; a copy of a buffer.
        compress: Whether a transport may compress it.
        frame: The WebSocket frame, once a transport has encoded it.
        polled: The packet's textual form, once a transport has encoded it.
        event: The same as the payload of an event, once encoded.
        compressed: The compressed answers that ``compression.compress_once`` caches.

    Raises:
        TypeError: If ``data`` is not a message.
        UnicodeEncodeError: If it is text with a lone surrogate.

    """

    __slots__ = ("compress", "compressed", "data", "event", "frame", "polled")

    def __init__(self, data: str | bytes | Buffer, *, compress: bool = True) -> None:
        self.data = as_data(data)
        if isinstance(self.data, str):
            self.data.encode()  # raises now, not in the middle of a broadcast
        self.compress = compress
        self.frame: bytes | None = None
        self.polled: str | None = None
        self.event: bytes | None = None
        self.compressed: list[tuple[str, bytes, bytes]] = []


Buffer: TypeAlias = bytearray | memoryview
"""Bytes that may change: they are copied when they are sent."""
Message: TypeAlias = str | bytes | Encoded
Outgoing: TypeAlias = Message | Packet


def is_close_packet(item: Outgoing) -> bool:
    """Return whether an item is a close packet, whatever its data."""
    return isinstance(item, Packet) and item.type is PacketType.CLOSE

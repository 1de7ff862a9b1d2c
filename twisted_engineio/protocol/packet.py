"""
Packet types, packets, and messages that are encoded once for many sessions.

A message that an application sends or receives is plain ``str`` or ``bytes`` and never
becomes a ``Packet``: only the few packets that control a session do.
"""

from __future__ import annotations

import enum
from typing import NamedTuple, TypeAlias

__all__ = [
    "Encoded",
    "Message",
    "Outgoing",
    "Packet",
    "PacketType",
    "is_close_packet",
    "require_message",
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


def require_message(data: object) -> None:
    """
    Raise ``TypeError`` unless the data is a message.

    Raises:
        TypeError: If it is neither text nor bytes, nor an ``Encoded``.

    """
    if not isinstance(data, (str, bytes, Encoded)):
        raise TypeError(
            f"a message is str or bytes, not {type(data).__name__}: encode it first"
        )


class Encoded:
    """
    A message for many sessions, encoded at most once per kind of framing.

    Attributes:
        data: The message, as the application passed it.
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

    def __init__(self, data: str | bytes, *, compress: bool = True) -> None:
        require_message(data)
        if isinstance(data, str):
            data.encode()  # raises now, not in the middle of a broadcast
        self.data = data
        self.compress = compress
        self.frame: bytes | None = None
        self.polled: str | None = None
        self.event: bytes | None = None
        self.compressed: list[tuple[str, bytes, bytes]] = []


Message: TypeAlias = str | bytes | Encoded
Outgoing: TypeAlias = Message | Packet


def is_close_packet(item: Outgoing) -> bool:
    """Return whether an item is a close packet, whatever its data."""
    return isinstance(item, Packet) and item.type is PacketType.CLOSE

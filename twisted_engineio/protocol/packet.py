"""
The words of the protocol: packet types, packets, and messages made once.

A message that an application sends or receives is plain ``str`` or ``bytes`` and never
becomes a ``Packet``: only the few packets that steer a session do.
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
    "is_goodbye",
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

    ``data`` is text, or bytes for a binary message; ``""`` where a type carries none.
    That of a close packet that goes out is the close code for a WebSocket, and never
    written into the packet.
    """

    type: PacketType
    data: str | bytes = ""


def require_message(data: object) -> None:
    """
    Refuse what is no message.

    Raises:
        TypeError: If it is neither text nor bytes, nor an ``Encoded``.

    """
    if not isinstance(data, (str, bytes, Encoded)):
        raise TypeError(
            f"a message is str or bytes, not {type(data).__name__}: encode it first"
        )


class Encoded:
    """
    A message for many sessions, framed at most once for each kind of wire.

    Attributes:
        data: The message, as the application gave it.
        compress: Whether a transport may compress it.
        frame: The WebSocket frame, once a transport has made it.
        polled: The packet's textual form, once a transport has made it.
        event: That as the payload of an event, likewise.
        compressed: What ``compression.compress_once`` keeps for it.

    Raises:
        TypeError: If ``data`` is no message.
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


def is_goodbye(item: Outgoing) -> bool:
    """Tell whether something is a close packet, whatever it says."""
    return isinstance(item, Packet) and item.type is PacketType.CLOSE

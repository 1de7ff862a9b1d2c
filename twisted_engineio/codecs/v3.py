"""
Engine.IO protocol revision 3: between packets and what stands on the wire.

Rules of this file:

1. Pure functions. Nothing here knows a session, a transport or a clock.
2. Whatever comes in gives packets or ``InvalidPacket``, nothing else.
3. A message is ``str`` or ``bytes``; everything else is a ``Packet``.
4. A length is only believed once that much is there: nothing is reserved for it.

The interface is that of ``v4``, and a single packet in text is the same but for binary,
which names its type: ``b4`` and base64. What is different is how a payload is framed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from ..exceptions import InvalidPacket
from ..packet import Encoded, Outgoing, Packet, PacketType
from . import v4

__all__ = [
    "ANNOUNCES_MAX_PAYLOAD",
    "BINARY_PREFIX",
    "PROTOCOL",
    "SERVER_PINGS",
    "decode_packet",
    "decode_payload",
    "encode_packet",
    "encode_payload",
]

PROTOCOL: Final = 3
BINARY_PREFIX: Final = b"\x04"
"""What stands before the bytes of a message in a binary WebSocket frame: its type."""
SERVER_PINGS: Final = False
"""Who begins a heartbeat: the client."""
ANNOUNCES_MAX_PAYLOAD: Final = False
"""Whether the open packet names ``max_payload``."""

_MAX_DIGITS: Final = 16
"""Digits that a length may have; as many as the largest whole number that JavaScript
counts exactly. Python reads long numbers in more than linear time."""

_END_OF_LENGTH: Final = 255
_AS_BYTES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_AS_DIGITS: Final = bytes.maketrans(bytes(range(10)) + b"0123456789", b"0123456789" * 2)
_SHORT: Final = {str(number): number for number in range(1, 256)}
"""The lengths of short packets: a hostile payload has very many of them."""

_TEXT, _BINARY = b"\0", b"\1"
_BEHIND_A_PAIR: Final = re.compile("(?<=[\U00010000-\U0010ffff])")
_SECOND_HALF: Final = "\ud800"
"""Stands for the second code unit of a character; UTF-8 cannot bring it."""


def decode_packet(text: str) -> Packet:
    """
    Read one packet from its textual form.

    Engine.IO protocol v3, "Packet". On a WebSocket this is the whole of a text frame;
    in a polling payload, what follows a length.

    Args:
        text: A type digit followed by the data, or ``b4`` followed by base64.

    Raises:
        InvalidPacket: If ``text`` is empty, its type is unknown, or its base64 is bad.

    """
    if text[:1] != "b":
        return v4.decode_packet(text)
    if text[1:2] != PacketType.MESSAGE.value:
        raise InvalidPacket("only a message is binary")
    return v4.decode_packet("b" + text[2:])


def encode_packet(item: Outgoing) -> str:
    """
    Write a packet or a message in its textual form.

    Binary becomes ``b4`` and base64: for a client that asked for it, and for a payload
    that is text.
    """
    item = _plain(item)
    text = v4.encode_packet(item)
    return "b4" + text[1:] if isinstance(item, bytes) else text


def decode_payload(body: bytes, *, binary: bool) -> Iterator[str | bytes | Packet]:
    """
    Read the packets of a polling payload, one after the other.

    Engine.IO protocol v3, "Payload". The packets before a bad one are given first: they
    count. A message comes as plain ``str`` or ``bytes``.

    Args:
        body: The payload.
        binary: Whether its content type says that it is binary, not text.

    Raises:
        InvalidPacket: At the first packet that cannot be read, or if there is none.

    """
    if not body:
        raise InvalidPacket("the payload is empty")
    return _decode_binary(body) if binary else _decode_text(body)

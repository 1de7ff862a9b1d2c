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
from . import codec_v4
from .packet import Encoded, Outgoing, Packet, PacketType

__all__ = [
    "BINARY_PREFIX",
    "PROTOCOL",
    "decode_packet",
    "decode_payload",
    "encode_packet",
    "encode_payload",
]

PROTOCOL: Final = 3
BINARY_PREFIX: Final = b"\x04"
"""What stands before the bytes of a message in a binary WebSocket frame: its type."""

_MAX_DIGITS: Final = 16
"""Digits that a length may have; as many as the largest whole number that JavaScript
counts exactly. Python reads long numbers in more than linear time."""

_END_OF_LENGTH: Final = 255
_AS_BYTES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_AS_DIGITS: Final = bytes.maketrans(
    bytes(range(10)) + b"0123456789", b"0123456789" + b"x" * 10
)

_TEXT, _BINARY = b"\0", b"\1"
_BEHIND_A_PAIR: Final = re.compile("(?<=[\U00010000-\U0010ffff])")
_SECOND_HALF: Final = "\ud800"
"""Stands for the second code unit of a character; UTF-8 cannot bring it."""

# A hostile payload has very many packets, so very short ones. Those whose length has
# one digit are taken many at a time, in C: each is found with its length, one behind
# the other, and an empty string for the rest, which begins with one that is longer.
_SIZES: Final = range(1, 10)
_RUN: Final = re.compile(
    "({})|.+".format("|".join(f"{size}:.{{{size}}}" for size in _SIZES)), re.DOTALL
)
_BINARY_RUN: Final = re.compile(
    b"([\0\1](?:%b))|.+"
    % b"|".join(b"\\x0%d\\xff.{%d}" % (size, size) for size in _SIZES),
    re.DOTALL,
)
_REACH: Final = 4096
"""Characters or bytes that are looked at for a run: what it finds is held as a list."""

_SHORTEST: Final[dict[str, str | bytes | Packet]] = {
    **{f"1:{kind.value}": Packet(kind) for kind in PacketType},
    "1:4": "",
    "2:b4": b"",
}
_SHORTEST_BINARY: Final[dict[bytes, str | bytes | Packet]] = {
    **{b"\0\1\xff%b" % kind.value.encode(): Packet(kind) for kind in PacketType},
    b"\0\1\xff4": "",
    b"\0\2\xffb4": b"",
    b"\1\1\xff\4": b"",
}
"""Packets without data, by how they are found."""

_LENGTHS: Final = {str(number): number for number in range(10, 256)}
_LENGTHS_AS_BYTES: Final = {
    digits.encode().translate(_AS_BYTES): number for digits, number in _LENGTHS.items()
}
"""The lengths of packets that are not quite as short."""


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
        return codec_v4.decode_packet(text)
    if text[1:2] != PacketType.MESSAGE.value:
        raise InvalidPacket("only a message is binary")
    return codec_v4.decode_packet("b" + text[2:])


def encode_packet(item: Outgoing) -> str:
    """
    Write a packet or a message in its textual form.

    Binary becomes ``b4`` and base64: for a client that asked for it, and for a payload
    that is text.
    """
    item = _plain(item)
    text = codec_v4.encode_packet(item)
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


def _decode_text(body: bytes) -> Iterator[str | bytes | Packet]:
    """Read ``<length>:<packet>``, repeated; lengths are in UTF-16 code units."""
    text, is_utf8 = _from_utf8(body)
    # Now every index is one of a code unit, and a slice is of as many as it is long.
    units = text if text.isascii() else _SECOND_HALF.join(_BEHIND_A_PAIR.split(text))
    at, size, has_pairs = 0, len(units), len(units) > len(text)
    known = _SHORTEST
    while at < size:
        is_short = units[at + 1 : at + 2] == ":"
        run = is_short and _RUN.findall(units, at, at + _REACH)
        if not run or not run[0]:
            start, at = _bounds(units, at)
            yield _from_units(units[start:at], has_pairs)
            continue
        at += len("".join(run))
        for each in run:
            if each[2:3] == "4" and not has_pairs:
                yield each[3:]
            elif each in known:
                yield known[each]
            elif each:
                read = _from_units(each[2:], has_pairs)
                known = codec_v4.remember(known, _SHORTEST, each, read)
                yield read
    if not is_utf8:
        raise InvalidPacket("it is not UTF-8")


def _bounds(units: str, at: int) -> tuple[int, int]:
    """Find where a packet starts and ends, by the length at ``at``."""
    colon = units.find(":", at, at + _MAX_DIGITS + 1)
    if colon < 0:
        raise InvalidPacket("its length has no end")
    digits = units[at:colon]
    end = colon + 1 + (_LENGTHS.get(digits) or _to_length(digits))
    if end > len(units):
        raise InvalidPacket("it is shorter than its length")
    return colon + 1, end


def _from_units(packet: str, has_pairs: bool) -> str | bytes | Packet:
    """Read one packet of a payload of text."""
    if has_pairs:
        if packet[-1] > "\uffff":
            raise InvalidPacket("its length cuts a character in two")
        packet = packet.replace(_SECOND_HALF, "")
    return packet[1:] if packet[0] == "4" else _from_text(packet)


def _from_text(packet: str) -> str | bytes | Packet:
    """Read one packet that is no message of text."""
    if packet.startswith("b4"):
        return codec_v4.from_base64(packet[2:])
    if packet[0] == "b":
        raise InvalidPacket("only a message is binary")
    return codec_v4.decode_packet(packet)


def _from_utf8(body: bytes) -> tuple[str, bool]:
    """Give what stands before the first bad byte, and whether that is all."""
    try:
        return body.decode(), True
    except UnicodeDecodeError as error:
        return body[: error.start].decode(), False


def _to_length(digits: str) -> int:
    if not (digits.isascii() and digits.isdecimal()) or digits.startswith("0"):
        raise InvalidPacket("its length is no number above 0")
    return int(digits)


def _decode_binary(body: bytes) -> Iterator[str | bytes | Packet]:
    """Read ``<0 or 1><digits as bytes 0 to 9><255><packet>``, repeated."""
    at, size = 0, len(body)
    known = _SHORTEST_BINARY
    while at < size:
        is_short = body[at + 2 : at + 3] == b"\xff"
        run = is_short and _BINARY_RUN.findall(body, at, at + _REACH)
        if not run or not run[0]:
            kind, (start, at) = body[at : at + 1], _binary_bounds(body, at)
            yield _from_bytes(kind, body[start:at])
            continue
        at += len(b"".join(run))
        for each in run:
            if each in known:
                yield known[each]
            elif each:
                read = _from_bytes(each[:1], each[3:])
                known = codec_v4.remember(known, _SHORTEST_BINARY, each, read)
                yield read


def _binary_bounds(body: bytes, at: int) -> tuple[int, int]:
    """Find where a packet starts and ends, by its kind at ``at`` and its length."""
    mark = body.find(_END_OF_LENGTH, at + 1, at + _MAX_DIGITS + 2)
    if mark < 0:
        raise InvalidPacket("its length has no end")
    digits = body[at + 1 : mark]
    end = mark + 1 + (_LENGTHS_AS_BYTES.get(digits) or _bytes_to_length(digits))
    if end > len(body):
        raise InvalidPacket("it is shorter than its length")
    return mark + 1, end


def _bytes_to_length(digits: bytes) -> int:
    # An ASCII digit becomes what no length may hold.
    return _to_length(digits.translate(_AS_DIGITS).decode("latin-1"))


def _from_bytes(kind: bytes, packet: bytes) -> str | bytes | Packet:
    """Read one packet of a binary payload."""
    if kind == _BINARY:
        if not packet.startswith(BINARY_PREFIX):
            raise InvalidPacket("only a message is binary")
        return packet[1:]
    if kind != _TEXT:
        raise InvalidPacket("it is neither text nor binary")
    try:
        text = packet.decode()
    except UnicodeDecodeError:
        raise InvalidPacket("it is not UTF-8") from None
    return text[1:] if text[0] == "4" else _from_text(text)


def encode_payload(items: Iterable[Outgoing], *, binary: bool) -> tuple[bytes, bool]:
    """
    Write a polling payload.

    Engine.IO protocol v3, "Payload".

    Args:
        items: What goes into it, at least one.
        binary: Whether the client takes binary payloads.

    Returns:
        The body, and whether it is binary: only if that is taken and an item is.

    """
    plain = [_plain(item) for item in items]
    if binary and any(isinstance(item, bytes) for item in plain):
        return b"".join(map(_to_bytes, plain)), True
    return "".join(map(_with_length, map(encode_packet, plain))).encode(), False


def _plain(item: Outgoing) -> str | bytes | Packet:
    """Give a message as it is; what an ``Encoded`` keeps is framed for revision 4."""
    return item.data if isinstance(item, Encoded) else item


def _with_length(packet: str) -> str:
    units = len(packet) if packet.isascii() else len(packet.encode("utf-16-le")) // 2
    return f"{units}:{packet}"


def _to_bytes(item: str | bytes | Packet) -> bytes:
    """Write one packet of a binary payload."""
    if isinstance(item, bytes):
        kind, packet = _BINARY, BINARY_PREFIX + item
    else:
        kind, packet = _TEXT, codec_v4.encode_packet(item).encode()
    length = str(len(packet)).encode().translate(_AS_BYTES)
    return b"%b%b\xff%b" % (kind, length, packet)

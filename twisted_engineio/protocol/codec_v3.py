"""
Engine.IO protocol revision 3: parsing and encoding of packets and payloads.

Rules of this file:

1. Pure functions: no session, transport or clock.
2. Every input gives packets or raises ``InvalidPacket``, nothing else.
3. A message is ``str`` or ``bytes``; everything else is a ``Packet``.
4. A length is trusted only once that many bytes have arrived: no memory is reserved for
   it.

The interface is that of ``codec_v4``. A single packet has the same textual form except
for binary, which includes its type: ``b4`` and base64. The framing of a payload
differs.
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
"""The type byte before the payload of a message in a binary WebSocket frame."""

_MAX_DIGITS: Final = 16
"""Maximum digits of a length, those of JavaScript's largest safe integer. Python's
int() takes more than linear time for long numbers."""

_END_OF_LENGTH: Final = 255
_AS_BYTES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_AS_DIGITS: Final = bytes.maketrans(
    bytes(range(10)) + b"0123456789", b"0123456789" + b"x" * 10
)

_TEXT, _BINARY = b"\0", b"\1"
_BEHIND_A_PAIR: Final = re.compile("(?<=[\U00010000-\U0010ffff])")
_SECOND_HALF: Final = "\ud800"
"""Placeholder for the second UTF-16 code unit of a character; UTF-8 cannot encode
it."""

# A hostile payload has very many packets, so very short ones. Packets whose length
# has one digit are therefore matched in batches, in C: findall() returns each of them
# with its length, then an empty string for the rest, which starts with a longer one.
_SIZES: Final = range(1, 10)
_RUN: Final = re.compile(
    "({})|.+".format("|".join(f"{size}:.{{{size}}}" for size in _SIZES)), re.DOTALL
)
_BINARY_RUN: Final = re.compile(
    b"([\0\1](?:%b))|.+"
    % b"|".join(b"\\x0%d\\xff.{%d}" % (size, size) for size in _SIZES),
    re.DOTALL,
)
_MAX_BATCH: Final = 4096
"""Characters or bytes searched for one batch: its matches are held in a list."""

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
"""Packets without data, by their framed form."""

_LENGTHS: Final = {str(number): number for number in range(10, 256)}
_LENGTHS_AS_BYTES: Final = {
    digits.encode().translate(_AS_BYTES): number for digits, number in _LENGTHS.items()
}
"""The lengths of two or three digits up to 255, parsed in advance."""


def decode_packet(text: str) -> Packet:
    """
    Parse one packet from its textual form.

    Engine.IO protocol v3, "Packet". On a WebSocket this is a whole text frame; in a
    polling payload, the text after a length.

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
    Encode a packet or message in its textual form.

    Binary becomes ``b4`` and base64: for a client that requested it, and in a text
    payload.
    """
    item = _plain(item)
    text = codec_v4.encode_packet(item)
    return "b4" + text[1:] if isinstance(item, bytes) else text


def decode_payload(body: bytes, *, binary: bool) -> Iterator[str | bytes | Packet]:
    """
    Parse the packets of a polling payload, in order.

    Engine.IO protocol v3, "Payload". Packets before an invalid one are yielded first:
    they are delivered. A message is yielded as plain ``str`` or ``bytes``.

    Args:
        body: The payload.
        binary: Whether its content type declares it binary, not text.

    Raises:
        InvalidPacket: At the first packet that cannot be parsed, or if there is none.

    """
    if not body:
        raise InvalidPacket("the payload is empty")
    return _decode_binary(body) if binary else _decode_text(body)


def _decode_text(body: bytes) -> Iterator[str | bytes | Packet]:
    """Parse repeated ``<length>:<packet>``; lengths are in UTF-16 code units."""
    text, is_utf8 = _from_utf8(body)
    # With the placeholders, each index and slice counts UTF-16 code units.
    units = text if text.isascii() else _SECOND_HALF.join(_BEHIND_A_PAIR.split(text))
    at, size, has_pairs = 0, len(units), len(units) > len(text)
    known = _SHORTEST
    while at < size:
        is_short = units[at + 1 : at + 2] == ":"
        run = is_short and _RUN.findall(units, at, at + _MAX_BATCH)
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
    """Return the start and end of the packet whose length is at ``at``."""
    colon = units.find(":", at, at + _MAX_DIGITS + 1)
    if colon < 0:
        raise InvalidPacket("its length is not terminated")
    digits = units[at:colon]
    end = colon + 1 + (_LENGTHS.get(digits) or _to_length(digits))
    if end > len(units):
        raise InvalidPacket("it is shorter than its length")
    return colon + 1, end


def _from_units(packet: str, has_pairs: bool) -> str | bytes | Packet:
    """Parse one packet of a text payload."""
    if has_pairs:
        if packet[-1] > "\uffff":
            raise InvalidPacket("its length splits a character")
        packet = packet.replace(_SECOND_HALF, "")
    return packet[1:] if packet[0] == "4" else _from_text(packet)


def _from_text(packet: str) -> str | bytes | Packet:
    """Parse one packet that is not a text message."""
    if packet.startswith("b4"):
        return codec_v4.from_base64(packet[2:])
    if packet[0] == "b":
        raise InvalidPacket("only a message is binary")
    return codec_v4.decode_packet(packet)


def _from_utf8(body: bytes) -> tuple[str, bool]:
    """Decode the text before the first bad byte; return it and whether that is all."""
    try:
        return body.decode(), True
    except UnicodeDecodeError as error:
        return body[: error.start].decode(), False


def _to_length(digits: str) -> int:
    if not (digits.isascii() and digits.isdecimal()) or digits.startswith("0"):
        raise InvalidPacket("its length is not a number above 0")
    return int(digits)


def _decode_binary(body: bytes) -> Iterator[str | bytes | Packet]:
    """Parse repeated ``<0 or 1><digits as bytes 0 to 9><255><packet>``."""
    at, size = 0, len(body)
    known = _SHORTEST_BINARY
    while at < size:
        is_short = body[at + 2 : at + 3] == b"\xff"
        run = is_short and _BINARY_RUN.findall(body, at, at + _MAX_BATCH)
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
    """Return the start and end of the packet whose kind byte is at ``at``."""
    mark = body.find(_END_OF_LENGTH, at + 1, at + _MAX_DIGITS + 2)
    if mark < 0:
        raise InvalidPacket("its length is not terminated")
    digits = body[at + 1 : mark]
    end = mark + 1 + (_LENGTHS_AS_BYTES.get(digits) or _bytes_to_length(digits))
    if end > len(body):
        raise InvalidPacket("it is shorter than its length")
    return mark + 1, end


def _bytes_to_length(digits: bytes) -> int:
    # ASCII digits become "x", which no length may contain.
    return _to_length(digits.translate(_AS_DIGITS).decode("latin-1"))


def _from_bytes(kind: bytes, packet: bytes) -> str | bytes | Packet:
    """Parse one packet of a binary payload."""
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
    Encode a polling payload.

    Engine.IO protocol v3, "Payload".

    Args:
        items: The packets and messages, at least one.
        binary: Whether the client accepts binary payloads.

    Returns:
        The body, and whether it is binary: only if the client accepts that and an item
        is binary.

    """
    plain = [_plain(item) for item in items]
    if binary and any(isinstance(item, bytes) for item in plain):
        return b"".join(map(_to_bytes, plain)), True
    return "".join(map(_with_length, map(encode_packet, plain))).encode(), False


def _plain(item: Outgoing) -> str | bytes | Packet:
    """Return the message of an ``Encoded``: its cached frames are for revision 4."""
    return item.data if isinstance(item, Encoded) else item


def _with_length(packet: str) -> str:
    units = len(packet) if packet.isascii() else len(packet.encode("utf-16-le")) // 2
    return f"{units}:{packet}"


def _to_bytes(item: str | bytes | Packet) -> bytes:
    """Encode one packet of a binary payload."""
    if isinstance(item, bytes):
        kind, packet = _BINARY, BINARY_PREFIX + item
    else:
        kind, packet = _TEXT, codec_v4.encode_packet(item).encode()
    length = str(len(packet)).encode().translate(_AS_BYTES)
    return b"%b%b\xff%b" % (kind, length, packet)

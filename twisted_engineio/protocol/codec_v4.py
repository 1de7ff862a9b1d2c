"""
Engine.IO protocol revision 4: parsing and encoding of packets and payloads.

Rules of this file:

1. Pure functions: no session, transport or clock.
2. Every input gives packets or raises ``InvalidPacket``, nothing else.
3. A message is ``str`` or ``bytes``; everything else is a ``Packet``.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, TypeVar

from ..exceptions import InvalidPacket
from .packet import Encoded, Outgoing, Packet, PacketType

__all__ = [
    "BINARY_PREFIX",
    "PROTOCOL",
    "decode_packet",
    "decode_payload",
    "encode_packet",
    "encode_payload",
]

PROTOCOL: Final = 4
BINARY_PREFIX: Final = b""
"""The bytes before the payload of a message in a binary WebSocket frame: none."""

_SEPARATOR: Final = "\x1e"

_BARE: Final = {
    **{each.value: Packet(each) for each in PacketType},
    "b": Packet(PacketType.MESSAGE, b""),
}
_MAX_SHORT: Final = 16
"""Maximum characters of a packet that is worth a call of ``remember``."""
_MAX_KNOWN: Final = 1024

_packet: Final = partial(tuple.__new__, Packet)
"""Make a ``Packet`` from a tuple, as ``Packet`` itself does, with half the calls."""

_TYPES: Final = {each.value: each for each in PacketType}
_DIGITS: Final = {each: each.value for each in PacketType}


def decode_packet(text: str) -> Packet:
    """
    Parse one packet from its textual form.

    Engine.IO protocol v4, "Packet encoding". On a WebSocket this is a whole text frame;
    in a polling payload, the text between two record separators.

    Args:
        text: A type digit followed by the data, or ``b`` followed by base64.

    Raises:
        InvalidPacket: If ``text`` is empty, its type is unknown, or its base64 is bad.

    """
    bare = _BARE.get(text)
    if bare is not None:
        return bare
    kind = _TYPES.get(text[:1])
    if kind is not None:
        return _packet((kind, text[1:]))
    if text[:1] == "b":
        return _packet((PacketType.MESSAGE, from_base64(text[1:])))
    raise InvalidPacket("it is empty" if not text else "its type is unknown")


def from_base64(text: str) -> bytes:
    """
    Decode base64 strictly: only its alphabet, and exact padding.

    Args:
        text: The base64; may be empty.

    Raises:
        InvalidPacket: If it is malformed.

    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # bad base64, or not even ASCII
        raise InvalidPacket("its base64 is bad") from None
    # Python's strict mode accepts padding after a complete group.
    if text[-1:] == "=" and (len(text) % 4 or text[-4:] == "===="):
        raise InvalidPacket("its base64 is bad")
    return data


def decode_payload(body: bytes, *, binary: bool) -> Iterator[str | bytes | Packet]:
    """
    Parse the packets of a polling payload, in order.

    Engine.IO protocol v4, "HTTP long-polling". Packets before an invalid one are
    yielded first: they are delivered. A text message is yielded as plain ``str``: a
    million bytes may hold half a million of them.

    Args:
        body: Packets in their textual form, UTF-8, joined by U+001E.
        binary: Whether its content type declares it binary, not text.

    Raises:
        InvalidPacket: At the first packet that cannot be parsed.

    """
    if binary:
        raise InvalidPacket("revision 4 has only text payloads")
    problem = None
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        problem = "it is not UTF-8"
        # Only complete packets before the bad byte are valid.
        whole, separator, _ = body[: error.start].rpartition(_SEPARATOR.encode())
        if not separator:
            raise InvalidPacket(problem) from None
        text = whole.decode()
    known = _BARE
    for packet in text.split(_SEPARATOR):
        if packet[:1] == "4":
            yield packet[1:]
        elif len(packet) > _MAX_SHORT:
            yield decode_packet(packet)
        elif packet in known:
            yield known[packet]
        else:
            read = decode_packet(packet)
            known = remember(known, _BARE, packet, read)
            yield read
    if problem is not None:
        raise InvalidPacket(problem)


_Key = TypeVar("_Key", str, bytes)
_Known = TypeVar("_Known")


def remember(
    known: dict[_Key, _Known], first: dict[_Key, _Known], packet: _Key, read: _Known
) -> dict[_Key, _Known]:
    """
    Return the cache of a payload's parsed packets, with one more entry.

    A hostile payload holds very many packets, mostly the same few: a lookup takes a
    quarter of the time that parsing takes.

    Args:
        known: The cache; modified unless it is ``first`` or is full.
        first: The cache that each payload starts with; never modified.
        packet: A packet, encoded.
        read: The same packet, parsed.

    """
    if known is first:
        known = {**first}
    if len(known) < _MAX_KNOWN:
        known[packet] = read
    return known


def encode_payload(items: Iterable[Outgoing], *, binary: bool) -> tuple[bytes, bool]:
    """
    Encode a polling payload.

    Engine.IO protocol v4, "HTTP long-polling".

    Args:
        items: The packets and messages, at least one.
        binary: Whether the client accepts binary payloads; unused in this revision.

    Returns:
        The body, and whether it is binary: always False.

    """
    return _SEPARATOR.join(map(encode_packet, items)).encode(), False


def encode_packet(item: Outgoing) -> str:
    """
    Encode a packet or message in its textual form.

    Binary becomes ``b`` and base64: in a polling payload, or on a WebSocket whose
    handshake requested base64.
    """
    if isinstance(item, Encoded):
        if item.polled is None:
            item.polled = encode_packet(item.data)
        return item.polled
    if isinstance(item, str):
        return "4" + item
    if isinstance(item, bytes):
        return "b" + binascii.b2a_base64(item, newline=False).decode("ascii")
    kind, data = item
    # A close packet's data is the WebSocket close code, which this form cannot carry.
    return "1" if kind is PacketType.CLOSE else _DIGITS[kind] + str(data)

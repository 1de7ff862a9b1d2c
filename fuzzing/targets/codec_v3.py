"""
Revision 3 reads what a slow and simple reader reads, and writes it back the same.

For any bytes as a payload of text, as a binary one, and as a single packet:

* packets come, or InvalidPacket, and nothing else is raised; the packets before a bad
  one are given, exactly those that ``read_slowly`` and ``read_binary_slowly`` find;
* they hold no more than came, whatever a length says, and reading them runs lines in
  proportion to the bytes;
* what was read is written, and what is written is read again as it was.
"""

from __future__ import annotations

from collections.abc import Iterator

from fuzzing.items import Item, plain, read, rewritten, size_of
from fuzzing.targets.codec_v4 import packet_slowly as packet_of_revision_4
from fuzzing.work import bounded
from twisted_engineio import InvalidPacket, Packet
from twisted_engineio.protocol import codec_v3

MAX_DIGITS = 16


def check(data: bytes) -> None:
    """Read bytes as payloads of both kinds, and as a packet."""
    _check_payload(data, binary=False)
    _check_payload(data, binary=True)
    text = data.decode("latin-1")
    try:
        packet = codec_v3.decode_packet(text)
    except InvalidPacket:
        packet = None
    assert packet == packet_slowly(text)


def _check_payload(data: bytes, *, binary: bool) -> None:
    items, is_whole = bounded(
        lambda: read(_decode(data, binary)), data, 120 + 20 * len(data)
    )
    slowly = read_binary_slowly if binary else read_slowly
    assert (items, is_whole) == read(slowly(data))
    assert sum(map(size_of, items)) <= len(data)
    if items:
        for wanted in (True, False):
            body, is_binary = codec_v3.encode_payload(map(plain, items), binary=wanted)
            again = read(codec_v3.decode_payload(body, binary=is_binary))
            assert again == ([rewritten(each) for each in items], True)


def _decode(data: bytes, binary: bool) -> Iterator[Item]:
    yield from codec_v3.decode_payload(data, binary=binary)


def read_slowly(body: bytes) -> Iterator[Item]:
    """Read a payload of text: a length counts units of UTF-16, two bytes each."""
    if not body:
        raise InvalidPacket("it is empty")
    good = body.decode("utf-8", "ignore") if _is_utf8(body) else _good_part(body)
    units = good.encode("utf-16-le")
    while units:
        digits, colon, rest = units.partition(":".encode("utf-16-le"))
        # A colon that is not at a unit's place is another character's two halves.
        while colon and len(digits) % 2:
            more, colon, rest = rest.partition(":".encode("utf-16-le"))
            digits += ":".encode("utf-16-le") + more
        size = 2 * _number(digits.decode("utf-16-le", "replace"))
        if not colon or size > len(rest):
            raise InvalidPacket("it has no end")
        packet, units = rest[:size], rest[size:]
        try:
            yield _item(packet.decode("utf-16-le"))
        except UnicodeDecodeError:
            raise InvalidPacket("it cuts a character") from None
    if not _is_utf8(body):
        raise InvalidPacket("it is not UTF-8")


def read_binary_slowly(body: bytes) -> Iterator[Item]:
    """Read a binary payload."""
    if not body:
        raise InvalidPacket("it is empty")
    while body:
        kind, (length, end, rest) = body[0], body[1:].partition(b"\xff")
        if kind > 1 or not end or any(digit > 9 for digit in length):
            raise InvalidPacket("its head is bad")
        size = _number("".join(map(str, length)))
        packet, body = rest[:size], rest[size:]
        if len(packet) < size or (kind == 1 and packet[:1] != b"\4"):
            raise InvalidPacket("it is bad")
        if kind == 1:
            yield packet[1:]
            continue
        try:
            yield _item(packet.decode())
        except UnicodeDecodeError:
            raise InvalidPacket("it is not UTF-8") from None


def _item(text: str) -> Item:
    packet = packet_slowly(text)
    if packet is None:
        raise InvalidPacket("it is bad")
    bare = text[:1] == "4" or isinstance(packet.data, bytes)
    return packet.data if bare else packet


def packet_slowly(text: str) -> Packet | None:
    """Read a packet; ``None`` if it is bad."""
    if text[:1] != "b":
        return packet_of_revision_4(text)
    return packet_of_revision_4("b" + text[2:]) if text[:2] == "b4" else None


def _number(digits: str) -> int:
    if not 1 <= len(digits) <= MAX_DIGITS or set(digits) - set("0123456789"):
        raise InvalidPacket("it is no length")
    if digits[0] == "0":
        raise InvalidPacket("it is no length above 0")
    return int(digits)


def _is_utf8(body: bytes) -> bool:
    return _good_part(body).encode() == body


def _good_part(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        return body[: error.start].decode()


GUIDES = (read_slowly, read_binary_slowly, packet_slowly, _number)

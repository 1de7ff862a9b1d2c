"""
Revision 4 reads what a slow and simple reader reads, and writes it back the same.

For any bytes as a payload, and as a single packet:

* packets come, or InvalidPacket, and nothing else is raised; the packets before a bad
  one are given, exactly those that ``read_slowly`` finds;
* they hold no more than came, and reading them runs lines in proportion to the bytes;
* what was read is written, and what is written is read again as it was.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from fuzzing.items import Item, plain, read, rewritten, size_of
from fuzzing.work import bounded
from twisted_engineio import InvalidPacket, Packet, PacketType
from twisted_engineio.protocol import codec_v4

BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=))?")


def check(data: bytes) -> None:
    """Read bytes as a payload, and as a packet."""
    items, is_whole = bounded(
        lambda: read(codec_v4.decode_payload(data, binary=False)),
        data,
        60 + 20 * len(data),
    )
    assert (items, is_whole) == read(read_slowly(data))
    assert sum(map(size_of, items)) <= len(data)
    if items:
        body, is_binary = codec_v4.encode_payload(map(plain, items), binary=True)
        assert not is_binary
        again = read(codec_v4.decode_payload(body, binary=False))
        assert again == ([rewritten(each) for each in items], True)
    assert read(codec_v4.decode_payload(data, binary=True)) == ([], False)
    _check_packet(data.decode("latin-1"))


def _check_packet(text: str) -> None:
    try:
        packet = codec_v4.decode_packet(text)
    except InvalidPacket:
        packet = None
    assert packet == packet_slowly(text)


def read_slowly(body: bytes) -> Iterator[Item]:
    """Read a payload: split bytes, then decode each piece alone."""
    for piece in body.split(b"\x1e"):
        try:
            packet = packet_slowly(piece.decode())
        except UnicodeDecodeError:
            packet = None
        if packet is None:
            raise InvalidPacket("it is bad")
        is_text = piece[:1] == b"4"
        yield str(packet.data) if is_text else packet


def packet_slowly(text: str) -> Packet | None:
    """Read a packet; ``None`` if it is bad."""
    kind, data = text[:1], text[1:]
    if kind and kind in "0123456":
        return Packet(PacketType(kind), data)
    if kind == "b" and BASE64.fullmatch(data):
        return Packet(PacketType.MESSAGE, base64.b64decode(data))
    return None


GUIDES = (read_slowly, packet_slowly)

"""CVE-2020-36048: whatever a payload of max_payload is made of, it is read at once."""

from __future__ import annotations

import contextlib
import sys
import time
from itertools import islice, product
from string import ascii_letters

import pytest

from twisted_engineio import Config, InvalidPacket
from twisted_engineio.protocol import codec_v3, codec_v4
from twisted_engineio.protocol.packet import Packet, PacketType
from twisted_engineio.transports.jsonp import unwrap

CONFIG = Config()
SECONDS = 0.1
"""Well above what it takes: nobody else is served meanwhile."""


def filled(unit: bytes, end: bytes = b"") -> bytes:
    """Repeat a unit for as long as a payload may be."""
    size = CONFIG.max_payload - len(end)
    return unit * (size // len(unit)) + end


def different(form: str) -> bytes:
    """Fill a payload with packets that are all short, and all different."""
    names = ("".join(each) for each in product(ascii_letters, repeat=3))
    parts, size = [], 0
    for name in names:
        part = form.format(name, name[:2]).encode()
        size += len(part)
        if size > CONFIG.max_payload:
            break
        parts.append(part)
    return b"".join(parts)


def is_read_at_once(read):
    """Return whether one of a few calls is fast: a busy machine is slow sometimes."""
    before = sys.gettrace()
    sys.settrace(None)  # coverage's: it takes longer than what is measured
    try:
        for _ in range(5):
            start = time.process_time()
            read()
            if time.process_time() - start < SECONDS:
                return True
        return False
    finally:
        sys.settrace(before)


def drain(codec, body, binary):
    """Read as much of a payload as a server with default options does."""
    packets = codec.decode_payload(body, binary=binary)
    with contextlib.suppress(InvalidPacket):
        for _ in islice(packets, CONFIG.max_packets + 1):
            pass


REVISION_4 = [
    *(b"4", b"2", b"b", b"6", b"3a", b"0a", b"4a", b"5probe", b"bAA==", b"bAAA="),
    *(b"bAAAA", b"bAAAAAAAA", b"b" + b"A" * 16, "3\u20ac".encode(), b"", b"9"),
    "4\U0001f600".encode(),
]
REVISION_3 = [
    *(b"1:4", b"1:2", b"2:b4", b"2:4a", b"2:3a", b"6:b4AA==", b"6:b4AAAA"),
    *(b"10:b4AAAAAAAA", b"10:4aaaaaaaaa", b"10:4aaaaaaaaa1:4", b"1:41:42:b42:0a"),
    *("3:4\U0001f600".encode(), "3:3\U0001f600".encode(), "2:3\u20ac".encode()),
    *(b"2:0a", b"5:5aaaa", b"01:4", b"1:", b"0000000000000001:4", b"1:9", b"2:b5"),
]
BINARY = [
    *(b"\0\1\xff4", b"\0\1\xff2", b"\1\1\xff\x04", b"\1\2\xff\x04a", b"\0\2\xff3a"),
    *(b"\0\6\xffb4AA==", b"\0\6\xffb4AAAA", b"\0\4\xff3\xe2\x82\xac"),
    *(b"\1\1\0\xff\x04aaaaaaaaa", b"\0\1\xff4\1\1\0\xff\x04aaaaaaaaa"),
    *(b"\0\1\0\xffb4AAAAAAAA", b"\0\0\0\0\1\xff4", b"\2\1\xff4", b"\1\1\xff\x05"),
]
DIFFERENT = [
    (codec_v4, "3{0}\x1e", False),
    (codec_v4, "0{1}\x1e", False),
    (codec_v4, "b{0}A\x1e", False),
    (codec_v3, "4:3{0}", False),
    (codec_v3, "6:b4{0}A", False),
    (codec_v3, "4:4{1}\U0001f600", False),
    (codec_v3, "5:3{1}\U0001f600", False),
]


@pytest.mark.parametrize("unit", REVISION_4)
def test_revision_4(unit):
    """The smallest packets of each kind."""
    body = filled(unit + b"\x1e").removesuffix(b"\x1e")
    assert is_read_at_once(lambda: drain(codec_v4, body, False))


@pytest.mark.parametrize("unit", REVISION_3)
def test_revision_3(unit):
    """Those of revision 3, also with a bad byte at the very end."""
    for body in (filled(unit), filled(unit, b"\xff")):
        assert is_read_at_once(lambda body=body: drain(codec_v3, body, False))


@pytest.mark.parametrize("unit", BINARY)
def test_revision_3_binary(unit):
    """Those of its binary payloads."""
    body = filled(unit)
    assert is_read_at_once(lambda: drain(codec_v3, body, True))


@pytest.mark.parametrize(("codec", "form", "binary"), DIFFERENT)
def test_no_packet_is_like_another(codec, form, binary):
    """To remember packets is no help then, and no hindrance."""
    body = different(form)
    assert is_read_at_once(lambda: drain(codec, body, binary))


@pytest.mark.parametrize(
    "unit",
    [
        *(b"%41", b"%ff", b"%1e", b"%3d", b"%", b"%4", b"%zz", b"a%41", b"=", b"+"),
        *(b"\\", rb"\n", rb"\\n", rb"\n\\n", b"%5cn", b"%5C%5Cn", b"&", b"&d=", b"&d"),
    ],
)
@pytest.mark.parametrize("start", [b"d=", b"", b"%64="])
def test_forms(unit, start):
    """Every percent sign costs, and every backslash."""
    form = start + filled(unit)

    def read():
        with contextlib.suppress(InvalidPacket):
            unwrap(form)

    assert is_read_at_once(read)


@pytest.mark.parametrize("unit", [b"4%1E", b"%34%1E", b"%33%61%1e", b"bAA%3D%3D%1E"])
def test_forms_of_the_smallest_packets(unit):
    """The form and the payload in it, together."""
    form = b"d=" + filled(unit).removesuffix(b"%1E").removesuffix(b"%1e")
    assert is_read_at_once(lambda: drain(codec_v4, unwrap(form), False))


def test_what_is_remembered_is_what_was_read():
    """Each packet is itself, however often it comes, and however many others do."""
    names = ["".join(each) for each in product(ascii_letters, repeat=2)]
    sent, expected = [], []
    for name in names * 2:
        pong = Packet(PacketType.PONG, name)
        sent += [pong, name, name.encode()]
        expected += [pong, name, Packet(PacketType.MESSAGE, name.encode())]
    body, _ = codec_v4.encode_payload(sent, binary=False)
    assert list(codec_v4.decode_payload(body, binary=False)) == expected


@pytest.mark.parametrize("binary", [False, True])
def test_so_it_is_in_revision_3(binary):
    """In text, with pairs of code units and without, and in binary."""
    for last in ("", "\U0001f600"):
        items = [
            item
            for name in product(ascii_letters, repeat=2)
            for text in ["".join(name) + last]
            for item in (Packet(PacketType.PONG, text), text, text[:2].encode())
        ] * 2
        body, is_binary = codec_v3.encode_payload(items, binary=binary)
        assert is_binary is binary
        assert list(codec_v3.decode_payload(body, binary=binary)) == items

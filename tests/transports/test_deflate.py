"""RFC 7692 as a client meets it: context, fragments, the limit, revision 3."""

from __future__ import annotations

import zlib

import pytest
from fakes import BINARY, CLOSE_FRAME, TEXT, Onlooker, frame

from twisted_engineio import CloseReason

WEBSOCKET = "EIO=4&transport=websocket"
OFFER = {"Sec_WebSocket_Extensions": "permessage-deflate"}
COMPRESSED = 0xC0
"""FIN and RSV1, which says that a message is compressed: RFC 7692, 6."""


class Deflate:
    """A client's end of the extension; it keeps its context."""

    def __init__(self):
        self._packer = zlib.compressobj(wbits=-15)

    def __call__(self, data: bytes) -> bytes:
        """Compress a message: RFC 7692, 7.2.1."""
        packed = self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        return packed[:-4]


@pytest.fixture
def connect(make_server, browse):
    """Connect a client that offers compression to a server that takes it."""

    def connected(query=WEBSOCKET, **options):
        server = make_server(per_message_deflate=True, **options)
        browser = browse(server).upgrade(query, **OFFER)
        (session,) = server.sessions.values()
        browser.wire.clear()
        return browser, session

    return connected


def bodies(browser):
    """Give the payloads that came, all of compressed messages."""
    wire, sent = browser.wire.value(), browser.frames
    assert wire[0] & 0x40, "it is not compressed"
    return [body for _, body in sent]


def test_a_message_stands_alone(connect):
    """Without takeover each message can be read by itself, and costs the same."""
    browser, session = connect()
    session.send("hello " * 500)
    session.send("hello " * 500)
    first, second = bodies(browser)
    assert first == second
    reader = zlib.decompressobj(-15)
    assert reader.decompress(second + b"\0\0\xff\xff") == b"4" + b"hello " * 500


def test_a_message_may_lean_on_those_before(connect):
    """With takeover the same again costs next to nothing."""
    browser, session = connect(per_message_deflate_takeover=True)
    text = "".join(f"{number} " for number in range(1000))
    session.send(text)
    session.send(text)
    first, second = bodies(browser)
    assert len(second) < len(first) / 10
    reader = zlib.decompressobj(-15)
    for each in (first, second):
        assert reader.decompress(each + b"\0\0\xff\xff") == b"4" + text.encode()


def test_a_client_may_lean_on_what_it_sent_before(connect, listener):
    """Where takeover is on, what it sends is read so."""
    browser, _ = connect(per_message_deflate_takeover=True)
    deflate = Deflate()
    for _ in range(3):
        browser.send(frame(deflate(b"4" + b"again " * 500), TEXT, first=COMPRESSED))
    assert listener.received == ["again " * 500] * 3


def test_a_compressed_message_may_come_in_fragments(connect, listener):
    """The first frame says that it is compressed, for all of them."""
    browser, _ = connect()
    body = Deflate()(b"4" + bytes(range(65, 91)) * 200)
    browser.send(frame(body[:9], TEXT, first=0x40))
    browser.send(frame(body[9:12], 0, first=0))
    browser.send(frame(body[12:], 0))
    assert listener.received == [bytes(range(65, 91)).decode() * 200]


@pytest.mark.parametrize("fragments", [1, 7])
def test_the_limit_counts_what_comes_out(make_server, browse, listener, fragments):
    """One byte over it is 1009, however small and cut up it came."""
    onlooker = Onlooker()
    server = make_server(
        per_message_deflate=True, max_payload=10_000, observers=[onlooker]
    )
    for size, within in ((9_999, True), (10_000, False)):
        browser = browse(server).upgrade(WEBSOCKET, **OFFER)
        body = Deflate()(b"4" + b"x" * size)
        assert len(body) < 100
        step = len(body) // fragments + 1
        cuts = [body[at : at + step] for at in range(0, len(body), step)]
        for at, cut in enumerate(cuts):
            fin = 0x80 if at == len(cuts) - 1 else 0
            first = (0 if at else 0x40) | fin
            browser.send(frame(cut, 0 if at else TEXT, first=first))
        assert listener.received == ["x" * 9_999]
        assert (browser.frames[-1] == (CLOSE_FRAME, b"\x03\xf1")) is not within
    assert listener.reasons == [CloseReason.PAYLOAD_TOO_LARGE]
    (limit,) = [each[2] for each in onlooker.events if each[0] == "payload_refused"]
    assert limit == 10_000


@pytest.mark.parametrize("garbage", [b"\xff" * 20, b"\x07", b"\x00\x01"])
def test_what_cannot_be_decompressed_ends_the_session(
    connect, listener, garbage, logged
):
    """And is no unhandled error."""
    browser, session = connect()
    browser.send(frame(garbage, BINARY, first=COMPRESSED))
    browser.lose()
    assert listener.received in ([], [b""])
    assert session.sid not in session.server.sessions


def test_a_compressed_frame_that_nobody_agreed_on_is_refused(server, browse, listener):
    """A reserved bit without an extension: RFC 6455, 5.2."""
    browser = browse(server).upgrade(WEBSOCKET)
    browser.send(frame(Deflate()(b"4x"), TEXT, first=COMPRESSED))
    assert browser.frames[-1] == (CLOSE_FRAME, b"\x03\xea")
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


def test_binary_of_revision_3_is_compressed_with_its_type(connect, listener):
    """Both ways."""
    browser, session = connect("EIO=3&transport=websocket", allow_eio3=True)
    browser.send(frame(Deflate()(b"\x04" + b"a" * 2000), BINARY, first=COMPRESSED))
    assert listener.received == [b"a" * 2000]
    session.send(b"b" * 2000)
    (body,) = bodies(browser)
    plain = zlib.decompressobj(-15).decompress(body + b"\0\0\xff\xff")
    assert plain == b"\x04" + b"b" * 2000


def test_a_broadcast_may_be_left_plain(connect):
    """For each who gets it."""
    browser, session = connect()
    session.server.broadcast("x" * 2000, compress=False)
    session.server.clock.advance(0)
    assert browser.texts == ["4" + "x" * 2000]

"""``max_payload`` holds on a WebSocket from 1 byte up, however a message comes."""

from __future__ import annotations

import zlib

import pytest
from fakes import BINARY, CLOSE_FRAME, PING_FRAME, PONG_FRAME, TEXT, Onlooker, frame

from twisted_engineio import CloseReason
from twisted_engineio.transports.websocket.frames import FastWebSocketTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

WEBSOCKET = "EIO=4&transport=websocket"
REVISION_3 = "EIO=3&transport=websocket"
LANES = [WebSocketTransport, FastWebSocketTransport]
LIMITS = [1, 2, 3, 6, 7, 64, 100, 124, 125, 126, 127, 200]
TOO_LARGE = (CLOSE_FRAME, b"\x03\xf1")  # 1009 and an empty reason
CONTINUATION = 0


@pytest.fixture(params=LANES)
def lane(request):
    """Run a test with Autobahn alone, and with the fast lane."""
    return request.param


@pytest.fixture
def connect(lane, make_server, browse):
    """Open a session whose messages are limited; its first frames are left out."""

    def connected(limit, query=WEBSOCKET, **headers):
        onlooker = Onlooker()
        server = make_server(
            max_payload=limit,
            allow_eio3=True,
            per_message_deflate=bool(headers),
            observers=[onlooker],
        )
        if not headers:
            server.websockets.use(lane)
        browser = browse(server).upgrade(query, **headers)
        browser.wire.clear()
        browser.onlooker = onlooker
        return browser

    return connected


def text(size: int) -> bytes:
    """Make a text message whose frame has a payload of this size."""
    return frame("4" + "x" * (size - 1))


def ended(browser, listener, limit):
    """Assert that the session was ended because of the limit."""
    assert browser.frames[-1] == TOO_LARGE
    assert listener.reasons == [CloseReason.PAYLOAD_TOO_LARGE]
    (refused,) = [each for each in browser.onlooker.events if each[0].endswith("used")]
    assert refused == ("payload_refused", limit + 1, limit)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("kind", ["text", "binary"])
def test_a_message_of_the_limit_is_the_largest(connect, listener, limit, kind):
    """The payload of the frame counts, with the digit that a text message has."""
    make = text if kind == "text" else lambda size: frame(b"x" * size)
    browser = connect(limit)
    browser.send(make(limit)).send(make(limit))
    message = "x" * (limit - 1) if kind == "text" else b"x" * limit
    assert listener.received == [message] * 2
    browser.send(make(limit + 1))
    ended(browser, listener, limit)
    assert len(listener.received) == 2


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("cut", [0, 1, 5])
def test_one_of_several_in_one_read_is_too_large(connect, listener, limit, cut):
    """Those before it count, those behind it do not, wherever the read ends."""
    browser = connect(limit)
    data = text(limit) + frame(b"y" * (limit + 1)) + text(1)
    browser.send(data[: len(data) - cut])
    ended(browser, listener, limit)
    assert listener.received == ["x" * (limit - 1)]


@pytest.mark.parametrize("limit", LIMITS)
def test_a_text_that_is_not_ascii_counts_in_bytes(connect, listener, limit):
    """As UTF-8, which is what comes."""
    browser = connect(limit)
    size = (limit - 1) // 2
    browser.send(frame("4" + "\u00e9" * size))
    assert listener.received == ["\u00e9" * size]
    browser.send(frame("4" + "\u00e9" * (size + 1)))
    assert browser.frames[-1] == TOO_LARGE


@pytest.mark.parametrize("limit", [each for each in LIMITS if each > 1])
def test_a_message_in_fragments_counts_as_a_whole(connect, listener, limit):
    """The frame with which it is too large ends the session."""
    browser = connect(limit)
    browser.send(frame(b"x", BINARY, first=0))
    browser.send(frame(b"x" * (limit - 1), CONTINUATION))
    assert listener.received == [b"x" * limit]
    browser.send(frame(b"4", TEXT, first=0) + frame(b"x" * limit, CONTINUATION))
    ended(browser, listener, limit)


@pytest.mark.parametrize("limit", [each for each in LIMITS if each > 1])
def test_binary_of_revision_3_counts_with_its_type(connect, listener, limit):
    """It is a part of the frame's payload."""
    browser = connect(limit, REVISION_3)
    browser.send(frame(b"\x04" + b"x" * (limit - 1)))
    assert listener.received == [b"x" * (limit - 1)]
    browser.send(frame(b"\x04" + b"x" * limit))
    ended(browser, listener, limit)


@pytest.mark.parametrize("limit", [64, 100, 125, 126, 200])
def test_a_compressed_message_counts_as_what_comes_out(connect, listener, limit):
    """However little it was on the wire."""

    def packed(size):
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(b"4" + b"x" * (size - 1))
        body += packer.flush(zlib.Z_SYNC_FLUSH)
        return frame(body[:-4], TEXT, first=0xC0)

    offer = {"Sec_WebSocket_Extensions": "permessage-deflate"}
    browser = connect(limit, **offer)
    browser.send(packed(limit))
    assert listener.received == ["x" * (limit - 1)]
    browser.send(packed(limit + 1))
    ended(browser, listener, limit)


@pytest.mark.parametrize("data", ["bAAEC", "2probe", "9" * 10])
def test_packets_that_are_no_messages_count_too(connect, listener, data):
    """Whatever is in the frame: it is not looked at."""
    browser = connect(len(data) - 1)
    browser.send(frame(data))
    ended(browser, listener, len(data) - 1)


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_control_frames_have_a_limit_of_their_own(connect, listener, limit):
    """RFC 6455, 5.5: 125 bytes, whatever messages may have."""
    browser = connect(limit)
    browser.send(frame(b"p" * 125, PING_FRAME) + frame(b"q" * 125, PONG_FRAME))
    assert browser.frames == [(PONG_FRAME, b"p" * 125)]
    browser.send(frame("3"))
    assert listener.closed == []
    browser.send(frame(b"\x03\xe8bye", CLOSE_FRAME))
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]

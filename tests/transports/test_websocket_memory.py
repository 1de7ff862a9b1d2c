"""What a WebSocket keeps: of a message that has not come whole, and between two."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from fakes import BINARY, PING_FRAME, TEXT, frame

from twisted_engineio.transports.websocket import transport as websocket
from twisted_engineio.transports.websocket.frames import FastWebSocketTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

WEBSOCKET = "EIO=4&transport=websocket"
LANES = [WebSocketTransport, FastWebSocketTransport]
COMPRESSED = 0xC0
OFFERS = [
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
]
"""The second is what browsers and Node's ws say."""


@pytest.fixture(params=LANES)
def lane(request):
    """Run a test with Autobahn alone, and with the fast lane."""
    return request.param


# Between two messages.


def deflate(data: bytes) -> bytes:
    """Compress a message as one that stands alone."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflate(data: bytes) -> bytes:
    """Read a message that stands alone."""
    return zlib.decompressobj(-15).decompress(data + b"\0\0\xff\xff")


def held(transport) -> list[object]:
    """Find the zlib objects that a transport holds."""
    extension = transport._perMessageCompress
    kinds = (type(zlib.compressobj()), type(zlib.decompressobj()))
    return [each for each in vars(extension).values() if isinstance(each, kinds)]


@pytest.fixture
def compressing(make_server, browse):
    """Open a session that compresses."""

    def connected(offer, **options):
        server = make_server(per_message_deflate=True, **options)
        browser = browse(server).upgrade(WEBSOCKET, Sec_WebSocket_Extensions=offer)
        (browser.session,) = server.sessions.values()
        agreed = browser.answers[0].headers["sec-websocket-extensions"]
        browser.agreed = {each.strip() for each in agreed.split(";")}
        browser.wire.clear()
        return browser

    return connected


@pytest.mark.parametrize("offer", OFFERS)
def test_without_takeover_no_zlib_object_is_kept(compressing, listener, offer):
    """In neither direction, whatever the client has offered."""
    browser = compressing(offer)
    transport = browser.session.transport
    assert held(transport) == []
    assert "client_no_context_takeover" in browser.agreed
    for _ in range(3):
        browser.send(frame(deflate(b"4" + b"in" * 2000), TEXT, first=COMPRESSED))
        assert held(transport) == []
        browser.session.send("out" * 2000)
        assert held(transport) == []
    assert listener.received == ["in" * 2000] * 3
    answers = [inflate(body) for _, body in browser.frames]
    assert answers == [b"4" + b"out" * 2000] * 3


def test_in_a_message_of_fragments_it_is_kept_until_the_last(compressing, listener):
    """Also if a control frame comes between, or a message that is not compressed."""
    browser = compressing(OFFERS[0])
    transport = browser.session.transport
    body = deflate(b"4" + b"in" * 2000)
    browser.send(frame(body[:5], TEXT, first=0x40) + frame(b"", PING_FRAME))
    assert len(held(transport)) == 1
    browser.send(frame(body[5:], 0))
    assert held(transport) == []
    browser.send(frame("4plain") + frame(deflate(b"4"), TEXT, first=COMPRESSED))
    assert listener.received == ["in" * 2000, "plain", ""]
    assert held(transport) == []


@pytest.mark.parametrize("offer", OFFERS[:2])
def test_with_takeover_each_direction_keeps_its_own(compressing, offer, listener):
    """That is what it is for."""
    browser = compressing(offer, per_message_deflate_takeover=True)
    browser.send(frame(deflate(b"4in"), TEXT, first=COMPRESSED))
    browser.session.send("out" * 2000)
    assert len(held(browser.session.transport)) == 2
    assert listener.received == ["in"]
    assert "client_no_context_takeover" not in browser.agreed


def test_a_client_that_asks_for_no_takeover_costs_none(compressing):
    """It may ask for one direction, though the server would keep both."""
    browser = compressing(
        "permessage-deflate; server_no_context_takeover",
        per_message_deflate_takeover=True,
    )
    browser.session.send("out" * 2000)
    assert held(browser.session.transport) == []


@pytest.mark.parametrize("name", websocket.DEFLATE)
def test_autobahn_still_has_what_is_known_of_its_extension(compressing, name):
    """Private names may go; then this fails before anything else does."""
    browser = compressing(OFFERS[0])
    assert hasattr(browser.session.transport._perMessageCompress, name)


# Of a message that has not come whole.


MUCH = 60_000


def trickle(browser, data: bytes, step: int) -> int:
    """Send bytes a few at a time; return how much memory that has taken."""
    tracemalloc.start()
    try:
        for at in range(0, len(data), step):
            browser.send(data[at : at + step])
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return now


FRAMES = {
    "a binary frame": frame(bytes(MUCH)),
    "a text frame": frame("4" + "x" * MUCH),
    "a fragment": frame(bytes(MUCH), BINARY, first=0),
    "two fragments": frame(bytes(MUCH // 2), BINARY, first=0)
    + frame(bytes(MUCH // 2), 0, first=0),
    "many fragments": frame(b"", BINARY, first=0)
    + frame(bytes(20), 0, first=0) * (MUCH // 26),
}


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("data", FRAMES.values(), ids=FRAMES)
def test_what_trickles_costs_no_more_than_twice_its_bytes(
    lane, make_server, browse, listener, data, step
):
    """However it is cut: by the network, or into fragments."""
    server = make_server()
    server.websockets.use(lane)
    browser = browse(server).upgrade(WEBSOCKET)
    data = data[: -max(step, 10)]
    if step == 1:
        data = data[:10_000]
    taken = trickle(browser, data, step)
    assert listener.received == []
    assert taken < 2 * len(data) + 4000


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_what_trickles_arrives(lane, make_server, browse, listener, step):
    """As it was sent."""
    server = make_server()
    server.websockets.use(lane)
    browser = browse(server).upgrade(WEBSOCKET)
    parts = [frame(b"one" * 100, BINARY, first=0), frame(b"two" * 100, 0)]
    data = b"".join([*parts, frame("4" + "\u20ac" * 500), frame(b"x" * 2000)])
    trickle(browser, data, step)
    assert listener.received == [
        b"one" * 100 + b"two" * 100,
        "\u20ac" * 500,
        b"x" * 2000,
    ]


def test_a_compressed_message_that_trickles_is_kept_once(compressing, listener):
    """As what comes out of it, which is what the limit counts."""
    browser = compressing(OFFERS[0])
    packer = zlib.compressobj(0, wbits=-15)
    body = packer.compress(b"4" + b"x" * MUCH) + packer.flush(zlib.Z_SYNC_FLUSH)
    data = frame(body[:-4], TEXT, first=COMPRESSED)
    taken = trickle(browser, data[:-100], 50)
    assert listener.received == []
    assert taken < 2 * len(data) + 70_000  # zlib's window
    browser.send(data[-100:])
    assert listener.received == ["x" * MUCH]

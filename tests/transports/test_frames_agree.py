"""The fast lane against stock Autobahn: the same bytes, cut anywhere, to both."""

from __future__ import annotations

import pytest
from autobahn.twisted.websocket import WebSocketServerProtocol
from fakes import Browser, Listener, frame
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from twisted_engineio import Config, EngineIOResource, EngineIOSite, Server
from twisted_engineio.transports.websocket import frames as fastlane
from twisted_engineio.transports.websocket.frames import FastWebSocketTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

LIMIT = 70_000
OPCODES = [0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xA, 0xB]

good_texts = st.text(max_size=200).map(lambda text: (0x81, b"4" + text.encode()))
packets = st.sampled_from(
    [b"3", b"2", b"6", b"0", b"4", b"", b"9", b"b4", b"b", b"bAQ=="]
)
good_binaries = st.binary(max_size=300).map(lambda data: (0x82, data))
sizes = st.sampled_from(
    [125, 126, 127, 1535, 1536, 1537, 65_535, 65_536, LIMIT, LIMIT + 1]
)
large = st.tuples(st.sampled_from([0x81, 0x82]), sizes).map(
    lambda pair: (pair[0], b"4" * pair[1])
)
any_frames = st.tuples(
    st.builds(
        lambda fin, rsv, opcode: fin | rsv | opcode,
        st.sampled_from([0x80, 0x00]),
        st.sampled_from([0, 0, 0, 0x40, 0x10]),
        st.sampled_from(OPCODES),
    ),
    st.binary(max_size=140),
)
frames = st.lists(
    st.one_of(
        good_texts,
        good_binaries,
        packets.map(lambda data: (0x81, data)),
        large,
        any_frames,
    ),
    max_size=8,
)


def masked(first: int, payload: bytes) -> bytes:
    """Write a client's frame whose first byte may be anything."""
    return bytes((first,)) + frame(payload)[1:]


def outcome(kind: type[WebSocketTransport], pieces: list[bytes]) -> dict[str, object]:
    """Feed a session over this kind of transport, and tell all that can be seen."""
    listener, clock = Listener(), Clock()
    listener.on_message = lambda session, data: session.send(data) and None
    server = Server(listener, Config(max_payload=LIMIT, max_fragments=5), clock=clock)
    server.websockets.use(kind)
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    browser = Browser(EngineIOSite(root, server))
    browser.upgrade("EIO=4&transport=websocket")
    browser.wire.clear()
    for piece in pieces:
        browser.send(piece)
    seen = {
        "received": listener.received,
        "reasons": listener.reasons,
        "written": browser.wire.value(),
        "disconnecting": browser.wire.disconnecting,
    }
    browser.lose()
    for session in list(server.sessions.values()):
        session.abort()
    clock.advance(1_000)
    assert not clock.getDelayedCalls()
    return seen


@given(
    frames=frames,
    cuts=st.lists(st.integers(min_value=0, max_value=2_000), max_size=6),
)
@example(frames=[(0x81, b"4a"), (0x81, b"4\xff"), (0x81, b"4b")], cuts=[])
@example(frames=[(0x01, b"4a"), (0x80, b"b"), (0x82, b"c")], cuts=[7])
@example(frames=[(0x81, b"4" * LIMIT), (0x81, b"4" * (LIMIT + 1))], cuts=[9])
@settings(max_examples=300, deadline=None)
def test_both_lanes_do_the_same(frames, cuts):
    """
    Messages, close codes, reasons and every byte that goes out are the same.

    Once the frames are whole: Autobahn refuses text in the middle of a frame, as soon
    as it can't be UTF-8 any more, and the lane at its end.
    """
    data = b"".join(masked(first, payload) for first, payload in frames)
    pieces, rest = [], data
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    pieces = [piece for piece in pieces if piece]
    stock = outcome(WebSocketTransport, pieces)
    lane = outcome(FastWebSocketTransport, pieces)
    assert lane == stock


def test_a_broken_byte_is_the_same_to_both():
    """Byte by byte, every head that is not a client's best."""
    for head in (
        b"\x81\x02",
        b"\x81\xfe\x00\x05",
        b"\x82\xff" + b"\x00" * 8,
        b"\x81\xff",
    ):
        data = masked(0x81, b"4a") + head + b"\x00\x00\x00\x00hello"
        pieces = [data[i : i + 1] for i in range(len(data))]
        assert outcome(FastWebSocketTransport, pieces) == outcome(
            WebSocketTransport, pieces
        )


@pytest.mark.parametrize("name", fastlane.AUTOBAHN)
def test_autobahn_still_has_what_the_lane_reads(server, browse, name):
    """Private attributes may go; then this fails before anything else does."""
    server.websockets.use(WebSocketTransport)
    browse(server).upgrade("EIO=4&transport=websocket")
    (session,) = server.sessions.values()
    assert isinstance(session.transport, WebSocketServerProtocol)
    assert hasattr(session.transport, name)

"""WebSockets that break the rules: closed with a code and no reason, and told of."""

from __future__ import annotations

import pytest
from fakes import BINARY, CLOSE_FRAME, PING_FRAME, TEXT, Onlooker, frame
from twisted.internet.defer import Deferred

from twisted_engineio import CloseReason
from twisted_engineio.transports.websocket.frames import FastWebSocketTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

WEBSOCKET = "EIO=4&transport=websocket"
CONTINUATION = 0x0
TOO_LARGE, PARSE_ERROR = CloseReason.PAYLOAD_TOO_LARGE, CloseReason.PARSE_ERROR
TRANSPORT_ERROR = CloseReason.TRANSPORT_ERROR


@pytest.fixture
def onlooker():
    """Give an observer that writes down every event."""
    return Onlooker()


@pytest.fixture(params=[WebSocketTransport, FastWebSocketTransport])
def browser(request, make_server, browse, onlooker):
    """Open a session over a WebSocket with small limits; its open packet is dropped."""
    server = make_server(max_payload=1000, max_fragments=10, observers=[onlooker])
    server.websockets.use(request.param)
    browser = browse(server).upgrade(WEBSOCKET)
    browser.wire.clear()
    onlooker.events.clear()
    return browser


def closed_with(browser):
    """Give the code of the only frame that came: a close frame without a reason."""
    ((opcode, payload),) = browser.frames
    assert opcode == CLOSE_FRAME
    assert len(payload) == 2
    return int.from_bytes(payload, "big")


def unmasked(payload):
    """Make a frame as only a server may: RFC 6455, 5.1."""
    return bytes([0x80 | TEXT, len(payload)]) + payload


VIOLATIONS = {
    "an unmasked frame": (unmasked(b"4hello"), 1002, TRANSPORT_ERROR),
    "a reserved bit": (frame("4x", first=0xC0), 1002, TRANSPORT_ERROR),
    "a reserved opcode": (frame(b"4x", 0x3), 1002, TRANSPORT_ERROR),
    "a reserved control opcode": (frame(b"", 0xB), 1002, TRANSPORT_ERROR),
    "a fragmented ping": (frame(b"", PING_FRAME, first=0), 1002, TRANSPORT_ERROR),
    "a long ping": (frame(b"x" * 126, PING_FRAME), 1002, TRANSPORT_ERROR),
    "a continuation of nothing": (frame(b"x", CONTINUATION), 1002, TRANSPORT_ERROR),
    "a message within another": (
        frame("4x", first=0) + frame("4y"),
        1002,
        TRANSPORT_ERROR,
    ),
    "a length that is not the shortest": (
        bytes([0x82, 0xFE, 0, 1]) + b"mask" + b"x",
        1002,
        TRANSPORT_ERROR,
    ),
    "a length over the limit": (frame(b"x" * 1001), 1009, TOO_LARGE),
    "a text over the limit": (frame("4" + "x" * 1000), 1009, TOO_LARGE),
    "a giant length": (
        bytes([0x82, 0xFF]) + (2**62).to_bytes(8, "big") + b"mask",
        1009,
        TOO_LARGE,
    ),
    "a length with the top bit": (
        bytes([0x82, 0xFF]) + b"\xff" * 8 + b"mask",
        1002,
        TRANSPORT_ERROR,
    ),
    "fragments over the limit": (
        frame(b"x" * 600, BINARY, first=0) + frame(b"x" * 600, CONTINUATION),
        1009,
        TOO_LARGE,
    ),
    "text that is not UTF-8": (frame(b"4\xff", TEXT), 1007, PARSE_ERROR),
    "a surrogate in UTF-8": (frame(b"4\xed\xa0\x80", TEXT), 1007, PARSE_ERROR),
    "text that is cut short": (frame(b"4\xe2\x82", TEXT), 1007, PARSE_ERROR),
    "a bad type": (frame("9foo"), 1000, PARSE_ERROR),
    "an empty text frame": (frame(""), 1000, PARSE_ERROR),
    "bad base64": (frame("b!!"), 1000, PARSE_ERROR),
    "an Arabic digit": (frame("\u0663"), 1000, PARSE_ERROR),
    "a ping of version 3": (frame("2"), 1000, TRANSPORT_ERROR),
    "too many fragments": (
        frame(b"x", BINARY, first=0) + frame(b"", CONTINUATION, first=0) * 10,
        1008,
        TRANSPORT_ERROR,
    ),
}


@pytest.mark.parametrize(
    ("data", "code", "reason"), VIOLATIONS.values(), ids=VIOLATIONS
)
def test_a_broken_rule_ends_the_session(browser, listener, data, code, reason):
    """With its code, and nothing of it or behind it delivered."""
    browser.send(frame("4before") + data + frame("4after"))
    assert closed_with(browser) == code
    assert listener.received == ["before"]
    assert listener.reasons == [reason]


@pytest.mark.parametrize(
    ("data", "code", "reason"), VIOLATIONS.values(), ids=VIOLATIONS
)
def test_a_broken_rule_is_seen_byte_by_byte(browser, listener, data, code, reason):
    """However slowly it comes."""
    for byte in frame("4before") + data:
        browser.send(bytes([byte]))
    assert closed_with(browser) == code
    assert listener.received == ["before"]
    assert listener.reasons == [reason]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_a_bad_close_code_ends_the_session(browser, listener, code):
    """RFC 6455, 7.4: it is answered as a protocol error."""
    browser.send(frame(code.to_bytes(2, "big"), CLOSE_FRAME))
    assert closed_with(browser) == 1002
    assert len(listener.closed) == 1


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xe8\xff"])
def test_a_bad_close_frame_ends_the_session(browser, listener, payload):
    """Half a code, or a reason that is not UTF-8."""
    browser.send(frame(payload, CLOSE_FRAME))
    assert closed_with(browser) in (1002, 1007)
    assert len(listener.closed) == 1


# Limits are inclusive.


@pytest.mark.parametrize("size", [1, 125, 126, 999, 1000])
def test_what_is_within_the_limit_is_delivered(browser, listener, size):
    """max_payload bytes of one frame, whatever its kind."""
    browser.send(frame(b"x" * size)).send(frame("4" + "x" * (size - 1)))
    assert listener.received == [b"x" * size, "x" * (size - 1)]


def test_fragments_within_the_limits_are_one_message(browser, listener):
    """Ten frames, a thousand bytes; a ping may come between them."""
    browser.send(frame("4" + "x" * 99, first=0))
    for _ in range(8):
        browser.send(frame(b"x" * 100, CONTINUATION, first=0))
    browser.send(frame(b"", PING_FRAME))
    browser.send(frame(b"x" * 100, CONTINUATION))
    browser.send(frame("4next"))
    assert listener.received == ["x" * 999, "next"]


def test_fragments_are_counted_for_each_message(browser, listener):
    """A client that always sends two goes on for ever."""
    for _ in range(20):
        browser.send(frame(b"x", BINARY, first=0) + frame(b"y", CONTINUATION))
    assert listener.received == [b"xy"] * 20


def test_the_limit_is_the_observers_to_know(browser, onlooker):
    """Size and limit, whatever was announced."""
    browser.send(frame(b"x" * 1001))
    assert ("payload_refused", 1001, 1000) in onlooker.events


def test_a_flood_of_empty_fragments_is_left_in_the_socket(browser, clock, listener):
    """Nothing more is read, and the connection ends after close_timeout."""
    flood = frame(b"", CONTINUATION, first=0) * 1000
    browser.send(frame(b"", BINARY, first=0) + flood)
    assert browser.wire.producerState == "paused"
    assert closed_with(browser) == 1008
    assert listener.reasons == [TRANSPORT_ERROR]
    clock.advance(30)
    assert browser.wire.disconnecting or browser.wire.disconnected


def test_no_memory_is_reserved_by_a_header_s_word(browser):
    """A frame that is announced but never comes costs what came of it."""
    browser.send(bytes([0x82, 0xFE]) + (1000).to_bytes(2, "big") + b"mask" + b"x")
    assert browser.frames == []
    browser.lose()


def test_what_comes_behind_a_broken_rule_is_not_delivered(browser, listener):
    """Also in later reads, until the connection is gone."""
    browser.send(frame(b"4\xff", TEXT))
    browser.send(frame("4late"))
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    browser.send(b"\xff" * 100)
    browser.lose()
    assert listener.received == []
    assert listener.reasons == [PARSE_ERROR]


def test_a_broken_rule_waits_behind_a_busy_application(browser, listener):
    """What came before it counts: the session ends when it was delivered."""
    job = Deferred()
    listener.on_message = lambda *_: None if job.called else job
    browser.send(frame("4one") + frame("4two") + frame(b"4\xff", TEXT))
    assert closed_with(browser) == 1007
    assert listener.closed == []
    job.callback(None)
    assert listener.received == ["one", "two"]
    assert listener.reasons == [PARSE_ERROR]


def test_a_broken_rule_on_a_connection_that_closes_changes_nothing(browser, clock):
    """RFC 6455, 7.1.7: a close frame has been sent already."""
    browser.site.server.sessions[next(iter(browser.site.server.sessions))].close()
    clock.advance(0)
    assert closed_with(browser) == 1000
    browser.send(frame(b"x", 0x3))
    assert closed_with(browser) == 1000


def test_a_flood_of_fragments_is_told_to_observers(make_server, browse):
    """As a limit that was reached, once."""
    onlooker = Onlooker()
    server = make_server(max_fragments=10, observers=[onlooker])
    browser = browse(server).upgrade("EIO=4&transport=websocket")
    (session,) = server.sessions.values()
    browser.send(frame(b"x", BINARY, first=0) + frame(b"", CONTINUATION, first=0) * 20)
    told = [each for each in onlooker.events if each[0] == "limit_reached"]
    assert told == [("limit_reached", "max_fragments", session)]

"""Floods of frames: they are read in time slices, in order, and paused meanwhile."""

from __future__ import annotations

import zlib

import pytest
from fakes import (
    BINARY,
    CLOSE_FRAME,
    PING_FRAME,
    PONG_FRAME,
    TEXT,
    Onlooker,
    frame,
)
from twisted.internet.defer import Deferred

from twisted_engineio import CloseReason, EchoApplication
from twisted_engineio.transports.time_slices import TimeSlices
from twisted_engineio.transports.websocket import transport as websocket
from twisted_engineio.transports.websocket.frames import FastWebSocketTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
LANES = [WebSocketTransport, FastWebSocketTransport]
CONTINUATION = 0
MANY = 4000
"""Frames: their bytes are many looks at the clock."""


class Slow:
    """The test's clock, on which each look takes a millisecond."""

    def __init__(self, clock):
        self.callLater = clock.callLater
        self.now = 0.0

    def seconds(self):
        self.now += 0.001
        return self.now


@pytest.fixture(params=LANES)
def lane(request):
    """Run a test with Autobahn alone, and with the fast lane."""
    return request.param


@pytest.fixture
def connect(lane, make_server, browse, clock):
    """Open a session over a WebSocket of a server on which all takes long."""

    def connected(application=None, server=None, **options):
        if server is None:
            server = make_server(application, **options)
            server.websockets.use(lane)
            server.websockets.slices = TimeSlices(Slow(clock), 0.002)
        known = set(server.sessions)
        browser = browse(server).upgrade(WEBSOCKET)
        (sid,) = set(server.sessions) - known
        browser.session = server.sessions[sid]
        browser.wire.clear()
        return browser

    return connected


@pytest.fixture
def turn(clock):
    """Let one turn of the reactor pass; tell whether another is waited for."""

    def passes(number=1):
        for _ in range(number):
            due = [
                each
                for each in clock.getDelayedCalls()
                if each.getTime() <= clock.seconds()
            ]
            if not due:
                return False
            calls = [each.func for each in due]
            for each in due:
                each.cancel()
            for call in calls:
                call()
        return True

    return passes


def numbered(count=MANY):
    """Make frames of messages that can be told apart."""
    return b"".join(frame(f"4{number}") for number in range(1, count + 1))


FLOODS = {
    "pings": frame(b"", PING_FRAME),
    "pings with data": frame(b"ping", PING_FRAME),
    "pongs": frame(b"", PONG_FRAME),
    "pings and pongs": frame(b"a", PING_FRAME) + frame(b"b", PONG_FRAME),
    "empty binary messages": frame(b""),
    "empty messages": frame("4"),
    "packets that are ignored": frame("6"),
    "messages": frame("4hello"),
    "messages and pings": frame("4hello") + frame(b"", PING_FRAME),
    "fragments of two": frame(b"x", BINARY, first=0) + frame(b"", CONTINUATION),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_read_in_slices(connect, turn, listener, flood):
    """Meanwhile the connection is paused, and what was behind it comes behind it."""
    browser = connect()
    browser.send(flood * MANY + frame("4last"))
    assert browser.wire.producerState == "paused"
    assert listener.received[-1:] != ["last"]
    turns = 1
    while turn():
        turns += 1
    assert turns > 5
    assert listener.received[-1] == "last"
    assert browser.wire.producerState == "producing"
    assert listener.closed == []


def test_a_message_of_many_empty_fragments_is_read_in_slices(connect, turn, listener):
    """As many as it may have, with pings between."""
    browser = connect()
    parts = (frame(b"", CONTINUATION, first=0) + frame(b"", PING_FRAME)) * MANY
    start, end = frame("4a", first=0), frame(b"b", CONTINUATION)
    browser.send(start + parts + end + frame("4last"))
    assert browser.wire.producerState == "paused"
    assert listener.received == []
    assert turn(5)
    assert listener.received == []
    while turn():
        pass
    assert listener.received == ["ab", "last"]


def test_nothing_is_lost_doubled_or_reordered(connect, turn, listener):
    """However many slices it takes; what comes meanwhile waits behind it."""
    browser = connect()
    data = numbered()
    browser.send(data[: len(data) // 2])
    # TLS gives what it had decrypted, though it was paused.
    browser.send(data[len(data) // 2 :])
    assert 0 < len(listener.received) < MANY
    while turn():
        pass
    assert listener.received == [str(number) for number in range(1, MANY + 1)]


def test_few_frames_are_read_at_once(connect, clock, listener):
    """A turn is for floods: nothing is armed, and nothing paused."""
    browser = connect()
    before = clock.getDelayedCalls()
    browser.send(frame("4one") + frame(b"two") + frame(b"", PING_FRAME))
    assert listener.received == ["one", b"two"]
    assert clock.getDelayedCalls() == before
    assert browser.wire.producerState == "producing"


def test_a_large_message_is_no_flood(connect, listener):
    """However long its one frame is."""
    browser = connect()
    browser.send(frame("4" + "x" * 100_000))
    assert listener.received == ["x" * 100_000]
    assert browser.wire.producerState == "producing"


def test_others_are_served_between_two_slices(connect, turn):
    """Two flood, and a third has its answer at once; the two share each turn."""
    first = connect(EchoApplication())
    second = connect(server=first.site.server)
    honest = connect(server=first.site.server)
    first.send(numbered())
    second.send(numbered())
    answered = [len(first.frames), len(second.frames)]
    grown = []
    for _ in range(6):
        honest.send(frame("4hello"))
        assert turn()
        now = [len(first.frames), len(second.frames)]
        grown.append(
            [after > before for before, after in zip(answered, now, strict=True)]
        )
        answered = now
    assert grown == [[True, False], [False, True]] * 3
    assert honest.texts == ["4hello"] * 6


@pytest.mark.parametrize("count", [1, 2, 10, MANY])
@pytest.mark.parametrize("between", [b"", frame(b"p", PONG_FRAME)])
def test_of_the_pings_in_one_read_the_last_is_answered(connect, turn, count, between):
    """RFC 6455, 5.5.3, however long they take."""
    browser = connect()
    pings = [frame(b"%d" % number, PING_FRAME) for number in range(count)]
    browser.send(between.join(pings))
    while turn():
        pass
    assert browser.frames == [(PONG_FRAME, b"%d" % (count - 1))]
    browser.send(frame(b"next", PING_FRAME))
    assert browser.frames[1:] == [(PONG_FRAME, b"next")]


@pytest.mark.parametrize(
    "behind",
    [
        frame("4a"),
        frame("4" + "a" * 200),
        frame("4", first=0) + frame("a", CONTINUATION),
    ],
)
def test_a_pong_comes_before_the_answer_to_what_is_behind_the_ping(connect, behind):
    """As in the reference, though they come in one read."""
    browser = connect(EchoApplication())
    pings = frame(b"1", PING_FRAME) + frame(b"2", PING_FRAME)
    browser.send(pings + behind + frame(b"3", PING_FRAME) + frame(b"4", PING_FRAME))
    kinds = [(kind, data[:1]) for kind, data in browser.frames]
    assert kinds == [(PONG_FRAME, b"2"), (TEXT, b"4"), (PONG_FRAME, b"4")]


def test_a_pong_comes_between_fragments(connect):
    """Before the message that they are."""
    browser = connect(EchoApplication())
    start, end = frame("4a", first=0), frame(b"b", CONTINUATION)
    browser.send(start + frame(b"p", PING_FRAME) * 3 + end)
    assert browser.frames == [(PONG_FRAME, b"p"), (TEXT, b"4ab")]


def test_pings_that_come_byte_by_byte_are_answered(connect, turn):
    """Each, for each has come by itself; between two messages or in one."""
    browser = connect()
    data = frame(b"one", PING_FRAME) + frame("4a", first=0)
    data += frame(b"two", PING_FRAME) + frame(b"b", CONTINUATION)
    for byte in data:
        browser.send(bytes([byte]))
    assert browser.frames == [(PONG_FRAME, b"one"), (PONG_FRAME, b"two")]


# What ends a connection while some of a read waits.


def test_a_close_frame_in_a_flood_ends_it(connect, turn, listener):
    """When its turn has come; nothing behind it is read."""
    browser = connect()
    close = frame(b"\x03\xe8", CLOSE_FRAME)
    browser.send(numbered() + close + numbered())
    while turn():
        pass
    assert len(listener.received) == MANY
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]
    assert browser.frames == [(CLOSE_FRAME, b"\x03\xe8")]


ENDS = {
    "the application closes": lambda browser: browser.session.close(),
    "the application aborts": lambda browser: browser.session.abort(),
    "it is slow": lambda browser: browser.session.fail(CloseReason.SLOW_CLIENT),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_waits_is_dropped_when_it_ends(connect, turn, clock, listener, end):
    """No message is delivered after the end, and no timer is left."""
    browser = connect()
    browser.send(numbered())
    end(browser)
    turn()
    received = len(listener.received)
    assert received < MANY
    clock.advance(0)
    clock.advance(40)
    assert len(listener.received) == received
    assert len(listener.closed) == 1
    browser.lose()
    assert clock.getDelayedCalls() == []


def test_a_message_in_a_flood_may_end_its_session(connect, turn, clock, listener):
    """What is behind it in the same read is not delivered."""
    browser = connect()
    listener.on_message = lambda session, data: data == "2000" and session.abort()
    browser.send(numbered())
    clock.advance(0)
    assert listener.received[-1] == "2000" or len(listener.received) < MANY
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_a_flood_behind_a_broken_rule_is_not_kept(connect, turn, clock, listener):
    """It costs slices until close_timeout, and no memory."""
    browser = connect()
    transport = browser.session.transport
    browser.send(frame(b"", 0x3))
    assert browser.frames == [(CLOSE_FRAME, b"\x03\xea")]
    browser.send(frame(b"", PING_FRAME) * MANY)
    assert turn(2)
    clock.advance(30)
    assert browser.wire.disconnected
    browser.send(b"x" * 100_000)
    assert len(transport.data) < 14  # the beginning of a frame
    assert not transport._unread


def test_what_comes_on_a_closed_connection_is_not_kept(connect):
    """Twisted still reads it, while the last bytes wait for a full socket."""
    browser = connect()
    transport = browser.session.transport
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    for _ in range(10):
        browser.send(b"x" * 10_000)
    assert transport.data == b""


def test_an_error_in_a_later_slice_cuts_the_connection(connect, clock, logged):
    """As the reactor does when one is raised by a read."""

    class Broken:
        def __init__(self):
            self.left = 1000

        def receive(self, data):
            self.left -= 1
            if not self.left:
                raise ZeroDivisionError

        def fail(self, reason):
            pass

    browser = connect()
    browser.session.transport.receiver = Broken()
    browser.send(numbered())
    with pytest.raises(ZeroDivisionError):
        clock.advance(0)
    assert browser.wire.disconnected


@pytest.mark.parametrize("size", [300, 5000, 100_000])
def test_one_broken_rule_in_a_long_message_is_one(connect, clock, turn, listener, size):
    """The client's close frame is waited for, behind all that it had sent."""
    browser = connect(max_payload=200_000)
    browser.send(frame(b"4\xff" + b"\xff" * size, TEXT))
    while turn():
        pass
    assert browser.frames == [(CLOSE_FRAME, b"\x03\xef")]
    assert not browser.wire.disconnecting
    browser.send(frame(b"", CLOSE_FRAME))
    assert browser.wire.disconnecting or browser.wire.disconnected
    assert listener.reasons == [CloseReason.PARSE_ERROR]


def test_the_rest_of_what_is_too_large_is_not_inflated(make_server, browse, clock):
    """It is skipped, and the connection is closed in good order."""
    server = make_server(per_message_deflate=True, max_payload=10_000)
    offer = {"Sec_WebSocket_Extensions": "permessage-deflate"}
    browser = browse(server).upgrade(WEBSOCKET, **offer)
    (session,) = server.sessions.values()
    extension = session.transport._perMessageCompress
    packer = zlib.compressobj(0, wbits=-15)
    body = packer.compress(b"4" + b"x" * 9_990) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(wbits=-15)
    body += packer.compress(bytes(5_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert len(body) > 14_000
    inflated = []
    inflate = extension.decompress_message_data
    extension.decompress_message_data = lambda data, **limit: (
        inflated.append(len(data)) or inflate(data, **limit)
    )
    data = frame(body[:9_000], BINARY, first=0x40)
    browser.send(data + frame(body[9_000:], CONTINUATION, first=0))
    assert sum(inflated) < len(body)
    count = len(inflated)
    assert browser.frames[-1] == (CLOSE_FRAME, b"\x03\xf1")
    browser.send(frame(body[:1000], CONTINUATION))
    assert len(inflated) == count
    assert not browser.wire.disconnecting


@pytest.mark.parametrize("name", websocket.MESSAGE)
def test_autobahn_still_sets_what_is_known_of_a_message(make_server, browse, name):
    """Private attributes may go; then this fails before anything else does."""
    server = make_server()
    server.websockets.use(WebSocketTransport)
    browser = browse(server).upgrade(WEBSOCKET)
    (session,) = server.sessions.values()
    before = set(vars(session.transport))
    browser.send(frame("4a", first=0))
    assert name in vars(session.transport)
    assert name not in before or name == "inside_message"


# What else pauses the reading.


def test_a_busy_application_pauses_beyond_the_flood(connect, turn, listener):
    """What has been read waits, and above 64 KiB no more is read until it is done."""
    job = Deferred()
    listener.on_message = lambda *_: None if job.called else job
    browser = connect()
    browser.send(numbered(4 * MANY))
    while turn():
        pass
    assert listener.received == ["1"]
    assert browser.wire.producerState == "paused"
    job.callback(None)
    assert listener.received == [str(number) for number in range(1, 4 * MANY + 1)]
    assert browser.wire.producerState == "producing"


def test_an_application_that_is_done_does_not_resume_a_flood(connect, turn, listener):
    """The rest of the read comes first."""
    job = Deferred()
    listener.on_message = lambda *_: None if job.called else job
    browser = connect()
    browser.send(numbered())
    job.callback(None)
    assert 1 < len(listener.received) < MANY
    assert browser.wire.producerState == "paused"
    while turn():
        pass
    assert listener.received == [str(number) for number in range(1, MANY + 1)]
    assert browser.wire.producerState == "producing"


def test_a_flood_behind_a_handshake_waits_as_well(
    lane, make_server, browse, clock, listener
):
    """What came before the WebSocket was open is a read like any other."""
    server = make_server()
    server.websockets.use(lane)
    server.websockets.slices = TimeSlices(Slow(clock), 0.002)
    browser = browse(server)
    browser.get(
        WEBSOCKET,
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Version="13",
    )
    browser.send(numbered())
    assert listener.received == []
    clock.advance(0.001)
    clock.advance(0)
    assert listener.received == [str(number) for number in range(1, MANY + 1)]


def test_compressed_messages_are_read_in_slices(make_server, browse, clock, listener):
    """Each is small on the wire, and large when it is read."""
    server = make_server(per_message_deflate=True)
    server.websockets.slices = TimeSlices(Slow(clock), 0.002)
    offer = {"Sec_WebSocket_Extensions": "permessage-deflate"}
    browser = browse(server).upgrade(WEBSOCKET, **offer)
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(b"4" + b"x" * 500_000) + packer.flush(zlib.Z_SYNC_FLUSH)
    browser.send(frame(body[:-4], TEXT, first=0xC0) * 10)
    assert len(listener.received) < 4
    clock.advance(0)
    assert listener.received == ["x" * 500_000] * 10


def packed(body):
    """Compress a message in one frame: RFC 7692, 7.2.1."""
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(body) + packer.flush(zlib.Z_SYNC_FLUSH)
    return frame(data[:-4], TEXT, first=0xC0)


@pytest.mark.parametrize("slow", [True, False])
def test_a_paused_session_takes_no_more_of_what_is_compressed(
    make_server, browse, clock, listener, slow
):
    """A read of 15 KB that inflates to 10 MB waits as the bytes that were read."""
    server = make_server(per_message_deflate=True)
    if slow:
        server.websockets.slices = TimeSlices(Slow(clock), 0.002)
    offer = {"Sec_WebSocket_Extensions": "permessage-deflate"}
    browser = browse(server).upgrade(WEBSOCKET, **offer)
    (session,) = server.sessions.values()
    session.pause_reading()
    browser.send(packed(b"4" + b"x" * 500_000) * 20)
    for _ in range(50):
        clock.advance(0)
    assert session._inbox.size < 1_500_000
    assert browser.wire.producerState == "paused"
    session.resume_reading()
    for _ in range(50):
        clock.advance(0)
    assert listener.received == ["x" * 500_000] * 20
    assert browser.wire.producerState == "producing"


def test_nor_does_it_when_its_connection_is_lost(make_server, browse, clock, listener):
    """What it has no room for is dropped with the connection."""
    server = make_server(per_message_deflate=True)
    offer = {"Sec_WebSocket_Extensions": "permessage-deflate"}
    browser = browse(server).upgrade(WEBSOCKET, **offer)
    (session,) = server.sessions.values()
    session.pause_reading()
    browser.send(packed(b"4" + b"x" * 500_000) * 20)
    browser.lose()
    assert session._inbox.size < 1_500_000
    session.abort()


@pytest.mark.parametrize("deflate", [True, False])
def test_what_was_received_before_the_end_is_delivered(
    make_server, browse, clock, listener, deflate
):
    """Though the connection is lost while it waits for its turn."""
    server = make_server(per_message_deflate=deflate)
    server.websockets.slices = TimeSlices(Slow(clock), 0.002)
    offer = {"Sec_WebSocket_Extensions": "permessage-deflate"} if deflate else {}
    browser = browse(server).upgrade(WEBSOCKET, **offer)
    browser.send(numbered())
    assert len(listener.received) < MANY
    browser.lose()
    assert listener.received == [str(number) for number in range(1, MANY + 1)]
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]


# Control frames and the limit on the rate.


@pytest.fixture
def limited(lane, make_server, browse):
    """Open a session that may send five packets a second."""

    def connected(**options):
        onlooker = Onlooker()
        server = make_server(max_messages_per_second=5, observers=[onlooker], **options)
        server.websockets.use(lane)
        browser = browse(server).upgrade(WEBSOCKET)
        browser.wire.clear()
        browser.onlooker = onlooker
        return browser

    return connected


def told(browser):
    """Give the limits that observers were told of."""
    return {each[1] for each in browser.onlooker.events if each[0] == "limit_reached"}


@pytest.mark.parametrize("opcode", [PING_FRAME, PONG_FRAME])
def test_control_frames_are_slowed_down(limited, clock, listener, opcode):
    """As packets are; those that came together are paid for afterwards."""
    browser = limited()
    browser.send(frame(b"", opcode) * 5)
    assert browser.wire.producerState == "producing"
    browser.send(frame(b"", opcode) * 10)
    assert browser.wire.producerState == "paused"
    assert told(browser) == {"max_messages_per_second"}
    clock.advance(1.99)
    assert browser.wire.producerState == "paused"
    clock.advance(0.02)
    assert browser.wire.producerState == "producing"
    assert listener.closed == []


def test_control_frames_between_fragments_count(limited, clock, listener):
    """Autobahn reads those."""
    browser = limited()
    browser.send(frame("4a", first=0) + frame(b"", PING_FRAME) * 6)
    assert browser.wire.producerState == "paused"
    clock.advance(0.3)
    assert browser.wire.producerState == "producing"
    clock.advance(1)
    browser.send(frame(b"b", CONTINUATION))
    assert listener.received == ["ab"]


def test_a_flood_that_is_held_is_told_once(limited, clock):
    """What else comes of it is paid for when it has been let go."""
    browser = limited()
    browser.send((frame(b"", PING_FRAME) + frame("6")) * 20)
    assert [each[0] for each in browser.onlooker.events].count("limit_reached") == 1
    clock.advance(0.3)
    browser.send(frame(b"", PING_FRAME))
    assert browser.wire.producerState == "paused"
    clock.pump([0.1] * 60)
    assert browser.wire.producerState == "paused"
    clock.pump([0.1] * 30)
    assert browser.wire.producerState == "producing"


def test_a_message_behind_control_frames_waits(limited, clock, listener):
    """They have taken what it needs."""
    browser = limited()
    browser.send(frame(b"", PING_FRAME) * 6 + frame("4a"))
    assert listener.received == []
    clock.advance(0.21)
    assert listener.received == []
    clock.advance(0.2)
    assert listener.received == ["a"]


def test_a_flood_of_control_frames_ends_where_it_is_to(limited, listener):
    """Once, with 1008, as a flood of messages does."""
    browser = limited(over_rate="close")
    browser.send(frame(b"", PING_FRAME) * 5)
    assert listener.closed == []
    browser.send(frame(b"", PONG_FRAME) * 1000 + frame("4late"))
    assert listener.reasons == [CloseReason.RATE_EXCEEDED]
    assert browser.frames[-1] == (CLOSE_FRAME, b"\x03\xf0")
    assert listener.received == []


def test_few_control_frames_cost_an_honest_client_nothing(limited, clock, listener):
    """A ping each second beside its messages."""
    browser = limited()
    for _ in range(10):
        browser.send(frame(b"", PING_FRAME) + frame("4a") * 3)
        clock.advance(1)
    assert len(listener.received) == 30
    assert told(browser) == set()


def test_control_frames_are_not_counted_without_that_limit(lane, make_server, browse):
    """A limit in bytes is one on messages."""
    server = make_server(max_bytes_per_second=10)
    server.websockets.use(lane)
    browser = browse(server).upgrade(WEBSOCKET)
    browser.send(frame(b"x" * 100, PING_FRAME) * 50)
    assert browser.wire.producerState == "producing"


def test_a_candidate_s_control_frames_are_answered(lane, make_server, browse):
    """They are no step of an upgrade, and no reason to end it."""
    server = make_server(max_messages_per_second=100)
    server.websockets.use(lane)
    browser = browse(server)
    browser.get(POLLING)
    sid = browser.answers[0].open()["sid"]
    candidate = browse(server).upgrade(f"{WEBSOCKET}&sid={sid}")
    candidate.send(frame(b"1", PING_FRAME) * 1000 + frame("2probe"))
    assert candidate.frames == [(PONG_FRAME, b"1"), (TEXT, b"3probe")]

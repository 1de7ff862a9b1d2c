"""
The fast lane: that it may be left out, and how it writes.

That it reads as Autobahn does is tested in test_websocket_transport.py and
test_websocket_limits.py: both run with it and without.
"""

from __future__ import annotations

import gc
import weakref

import pytest
from fakes import CLOSE_FRAME, frame
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

from twisted_engineio import EchoApplication, State
from twisted_engineio.transports.websocket import frames as fastlane
from twisted_engineio.transports.websocket.frames import head, unmask
from twisted_engineio.transports.websocket.transport import WebSocketTransport

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"


@pytest.fixture
def browser(tcp_browse, make_server):
    """Give a client with an echoing session over a WebSocket on TCP."""
    browser = tcp_browse(make_server(EchoApplication())).upgrade(WEBSOCKET)
    browser.turn()
    browser.socket.sends = 0
    return browser


def test_an_echo_goes_straight_to_the_socket(browser):
    """In one write for one read, without a turn of the reactor."""
    browser.send(frame("4one") + frame(b"two") + frame("4three"))
    assert [data for _, data in browser.frames][1:] == [b"4one", b"two", b"4three"]
    assert browser.socket.sends == 1
    assert browser.wire not in browser.wire.reactor.writers


@pytest.mark.parametrize("kind", [0x81, 0x82])
def test_a_frame_without_a_mask_is_refused_at_its_second_byte(browser, kind):
    """Also if that comes alone: Autobahn waits for no more either."""
    browser.send(bytes((kind,))).send(b"\x00")
    assert browser.frames[-1] == (CLOSE_FRAME, b"\x03\xea")


def test_a_socket_that_is_full_is_left_to_twisted(browser):
    """What it did not take waits in the transport, and nothing overtakes it."""
    browser.socket.room = 3
    browser.send(frame("4one")).send(frame("4two"))
    browser.socket.room = 0
    browser.send(frame("4three"))
    browser.socket.room = None
    browser.send(frame("4four"))
    browser.turn()
    browser.send(frame("4five"))
    texts = [data.decode() for _, data in browser.frames][1:]
    assert texts == ["4one", "4two", "4three", "4four", "4five"]


def test_a_socket_that_takes_nothing_is_left_to_twisted(browser):
    """An error is the transport's to find out."""
    browser.socket.room = 0
    browser.send(frame("4one"))
    assert browser.wire in browser.wire.reactor.writers
    browser.socket.room = None
    browser.turn()
    assert browser.frames[-1] == (1, b"4one")


def test_a_full_socket_holds_the_queue(browser):
    """The transport tells of it from the first byte on that waits there."""
    (session,) = browser.site.server.sessions.values()
    low = browser.site.server.config.low_water_mark
    assert browser.wire.producer is None
    browser.socket.room = 0
    session.send("x" * (low - 100))
    assert session.transport.writable
    session.send("y" * 100)
    assert not session.transport.writable
    session.send("z")
    assert session.transport.buffered < low + 10  # the last one waits in the queue
    browser.socket.room = None
    browser.turn()
    assert session.transport.writable
    assert [data[1:2] for _, data in browser.frames][1:] == [b"x", b"y", b"z"]


def test_a_socket_that_is_full_does_not_keep_a_goodbye(browser):
    """What waits there leaves, and the connection ends, though it was held up."""
    (session,) = browser.site.server.sessions.values()
    browser.socket.room = 0
    session.send("x" * (browser.site.server.config.low_water_mark + 1))
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    assert session.state is State.CLOSED
    browser.socket.room = None
    assert browser.wire.doWrite() is CONNECTION_DONE
    assert browser.frames[-1] == (CLOSE_FRAME, b"\x03\xe8")


def test_polling_goes_straight_to_the_socket(tcp_browse, make_server):
    """An answer is one write, and what the socket does not take is Twisted's."""
    server = make_server(EchoApplication())
    browser = tcp_browse(server)
    browser.get(POLLING).turn()
    sid = browser.answers[0].open()["sid"]
    query = f"{POLLING}&sid={sid}"
    browser.socket.sends = 0
    browser.post(query, b"4one")
    assert (len(browser.answers), browser.socket.sends) == (2, 1)
    browser.socket.room = 10
    browser.get(query)
    assert len(browser.answers) == 2
    browser.socket.room = None
    browser.turn()
    assert browser.answers[2].body == b"4one"
    browser.post(query, b"4two")
    browser.socket.room = 0
    browser.get(query)
    browser.socket.room = None
    browser.turn()
    assert browser.answers[4].body == b"4two"


def test_a_goodbye_leaves_behind_what_was_held_back(browser, clock):
    """A broadcast and a close in one turn: both, in order."""
    server = browser.site.server
    server.broadcast("last words")
    (session,) = server.sessions.values()
    session.send("and one more")
    session.close()
    clock.advance(0)
    clock.advance(0)
    texts = [data for _, data in browser.frames][1:]
    assert texts == [b"4last words", b"4and one more", b"\x03\xe8"]


def test_broadcasts_of_one_turn_leave_together(tcp_browse, make_server, clock):
    """Framed once for all sessions, in order with what is said to what they send."""
    server = make_server(EchoApplication())
    browsers = [tcp_browse(server).upgrade(WEBSOCKET) for _ in range(2)]
    for each in browsers:
        each.turn()
        each.socket.sends = 0
    server.broadcast("one")
    server.broadcast(b"two")
    browsers[0].send(frame("4echo"))
    assert [each.socket.sends for each in browsers] == [0, 0]
    clock.advance(0)
    assert [each.socket.sends for each in browsers] == [1, 1]
    first, second = ([data for _, data in each.frames][1:] for each in browsers)
    assert first == [b"4one", b"two", b"4echo"]
    assert second == [b"4one", b"two"]


def test_the_plain_transport_holds_nothing_back(make_server, browse, clock):
    """A broadcast goes at once, and letting go does nothing."""
    server = make_server()
    server.websockets.use(WebSocketTransport)
    browser = browse(server).upgrade(WEBSOCKET)
    server.broadcast("now")
    assert browser.texts[-1] == "4now"
    (session,) = server.sessions.values()
    session.transport.uncork()
    clock.advance(0)
    assert browser.texts[1:] == ["4now"]


def test_a_client_that_closes_gets_what_was_held_back(browser, clock):
    """Before the answer to its close frame."""
    browser.site.server.broadcast("last words")
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    clock.advance(0)
    browser.turn()
    assert [data for _, data in browser.frames][1:] == [b"4last words", b"\x03\xe8"]


def test_a_client_that_closes_is_hung_up_on(browser, clock):
    """At the end of the turn, and where it can be with the answer: in one packet."""
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    assert browser.frames[-1] == (CLOSE_FRAME, b"\x03\xe8")
    assert browser.socket.more == (b"\x88\x02\x03\xe8" if fastlane._MORE else b"")
    assert browser.socket.calls == []
    clock.advance(0)
    assert browser.socket.calls == ["shutdown", "close"]
    assert browser.wire not in browser.wire.reactor.writers
    assert not clock.getDelayedCalls()


def test_a_connection_that_is_lost_meanwhile_is_not_hung_up_on(browser, clock):
    """Twisted has closed the socket: there is nothing left to do."""
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    browser.wire.connectionLost(Failure(ConnectionDone()))
    clock.advance(0)
    assert browser.socket.calls == ["shutdown", "close"]


def test_who_has_not_read_all_is_hung_up_on_by_twisted(browser, clock):
    """When the socket has taken the last bytes."""
    browser.socket.room = 2
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    clock.advance(0)
    assert browser.socket.calls == []
    browser.socket.room = None
    assert browser.wire.doWrite() is CONNECTION_DONE
    assert browser.frames[-1] == (CLOSE_FRAME, b"\x03\xe8")


def test_a_websocket_that_is_retired_is_closed(browser):
    """No session leaves a WebSocket yet, but a transport can be left."""
    (session,) = browser.site.server.sessions.values()
    session.transport.retire()
    assert browser.frames[-1] == (CLOSE_FRAME, b"\x03\xe8")
    assert not session.transport.writable


def test_a_slow_client_is_cut_off_with_what_is_held_back(make_server, browse, clock):
    """Aborting a corked connection writes, and then cuts."""
    server = make_server(max_buffered=70_000)
    browser = browse(server).upgrade(WEBSOCKET)
    (session,) = server.sessions.values()
    server.broadcast("first")
    session.transport.pauseProducing()
    session.send(b"x" * 70_001)
    clock.advance(0)
    assert browser.wire.disconnected
    assert server.sessions == {}


def test_what_is_read_of_autobahn_and_twisted_still_exists(browser):
    """Private attributes may go; then this fails before anything else does."""
    (session,) = browser.site.server.sessions.values()
    for name in fastlane.AUTOBAHN:
        assert hasattr(session.transport, name), name
    for name in fastlane.TWISTED:
        assert hasattr(browser.wire, name), name


def test_the_lane_adds_nothing_that_others_must_know():
    """It may be left out: all of its doors are the plain transport's."""
    public = {
        name
        for name in vars(fastlane.FastWebSocketTransport)
        if not name.startswith("_")
    }
    assert all(hasattr(WebSocketTransport, name) for name in public)


@given(st.binary(max_size=5000), st.binary(min_size=4, max_size=4))
def test_unmasking_is_exclusive_or(payload, mask):
    """RFC 6455, 5.3, for short payloads and long ones."""
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    assert unmask(masked, mask) == payload


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\x00\x80\x01"])
@pytest.mark.parametrize("size", [0, 1, 1536, 1537, 100_000])
def test_unmasking_at_the_edge_between_its_two_ways(size, mask):
    """Python's integers, and Autobahn's C."""
    payload = (b"0123456789" * (size // 10 + 1))[:size]
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    assert unmask(masked, mask) == payload


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_the_head_of_a_frame_is_the_shortest(length, expected):
    """RFC 6455, 5.2."""
    assert head(1, length) == expected


def test_what_is_held_back_is_bounded(server, browse):
    """A handler that sends until it is told to stop is told to stop."""
    browser = browse(server).upgrade(WEBSOCKET)
    (session,) = server.sessions.values()
    assert session.transport.cork()
    for _ in range(fastlane._MAX_HELD * 3):
        session.send("x")
    assert len(session.transport._held) <= fastlane._MAX_HELD
    assert len(browser.texts) > fastlane._MAX_HELD
    session.transport.uncork()
    assert browser.texts[1:] == ["4x"] * fastlane._MAX_HELD * 3


@pytest.fixture
def no_collector():
    """Let nothing go but what nobody refers to."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def kept_by(session):
    """Give a session something to keep, and a way to see whether it still does."""

    class Kept:
        pass

    session.data = Kept()
    return weakref.ref(session.data)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("ends", ["by a close frame", "by a close packet", "by us"])
def test_a_session_that_is_over_needs_no_garbage_collector(browser, clock, ends):
    """One that comes and goes each millisecond would keep it busy."""
    (session,) = browser.site.server.sessions.values()
    kept = kept_by(session)
    if ends == "by us":
        session.close()
        clock.advance(0)
    if ends == "by a close packet":
        browser.send(frame("1"))
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    clock.advance(0)
    assert browser.wire.disconnected
    del session
    assert kept() is None


@pytest.mark.usefixtures("no_collector")
def test_nor_does_one_that_polls(tcp_browse, make_server):
    """Though its connection is still there."""
    server = make_server(EchoApplication())
    browser = tcp_browse(server)
    browser.get(POLLING).turn()
    (session,) = server.sessions.values()
    kept = kept_by(session)
    browser.post(f"{POLLING}&sid={session.sid}", b"1").turn()
    del session
    assert server.sessions == {}
    assert kept() is None

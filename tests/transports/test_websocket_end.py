"""However a WebSocket ends, and whether its client reads: it is closed in time."""

from __future__ import annotations

import pytest
from autobahn.twisted.websocket import WebSocketServerProtocol
from fakes import CLOSE_FRAME, PING_FRAME, TEXT, Listener, frame
from twisted.internet.error import ConnectionDone
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from twisted_engineio import CloseReason, Reject
from twisted_engineio.session.revision import REVISION_4
from twisted_engineio.transports.websocket import limits as bounded
from twisted_engineio.transports.websocket.frames import FastWebSocketTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
LANES = [WebSocketTransport, FastWebSocketTransport]
LIMIT = 1000
FRAGMENTS = 10
TIMEOUT = 30.0
CONTINUATION = 0


@pytest.fixture(params=LANES)
def lane(request):
    """Run a test with Autobahn alone, and with the fast lane."""
    return request.param


@pytest.fixture
def connect(lane, make_server, tcp_browse):
    """Open a session over a WebSocket whose socket is full, with much behind it."""

    def connected(application=None, **options):
        options = {"max_payload": LIMIT, "max_fragments": FRAGMENTS, **options}
        server = make_server(application, **options)
        server.websockets.use(lane)
        browser = tcp_browse(server).upgrade(WEBSOCKET)
        browser.turn()
        (browser.session,) = server.sessions.values()
        assert browser.socket.sent
        fill(browser, browser.session.send)
        assert server.connected == 1
        return browser

    return connected


def fill(browser, send):
    """Read nothing more, though something waits to be read."""
    browser.socket.room = 100
    send("x" * 20_000)
    browser.turn()
    assert browser.socket.room == 0


def passes(clock, seconds):
    """Let time pass, and the turn in which a connection is lost."""
    clock.advance(seconds)
    clock.advance(0)


def unmasked(data):
    return frame(data)[:1] + bytes([len(data)]) + data


FRAMES = {
    "a close frame": frame(b"\x03\xe8", CLOSE_FRAME),
    "a page that goes away": frame(b"\x03\xe9", CLOSE_FRAME),
    "a close frame without a code": frame(b"", CLOSE_FRAME),
    "a close frame with a reason": frame(b"\x0f\xa0bye", CLOSE_FRAME),
    "a close frame with a bad code": frame(b"\x00\x01", CLOSE_FRAME),
    "two close frames": frame(b"\x03\xe8", CLOSE_FRAME) * 2,
    "a close packet": frame("1"),
    "a close packet and a close frame": frame("1") + frame(b"\x03\xe8", CLOSE_FRAME),
    "a bad packet": frame("9"),
    "a frame without a mask": unmasked(b"4x"),
    "two broken rules": frame(b"", 3) + frame(b"", 3),
    "three broken rules in one frame": b"\x7f\x7e",
    "a broken rule and a close frame": frame(b"", 3) + frame(b"", CLOSE_FRAME),
    "a message that is too large": frame(b"x" * (LIMIT + 1)),
    "text that is not UTF-8": frame(b"4\xff", TEXT),
    "too many fragments": frame(b"x", TEXT, first=0)
    + frame(b"", CONTINUATION, first=0) * FRAGMENTS,
}


@pytest.mark.parametrize("data", FRAMES.values(), ids=FRAMES)
def test_a_client_that_ends_it_and_reads_nothing_is_cut_off(connect, clock, data):
    """After close_timeout, though bytes wait in the socket that nobody takes."""
    browser = connect()
    browser.send(data)
    passes(clock, TIMEOUT)
    assert browser.site.server.connected == 0
    assert browser.site.server.sessions == {}
    assert browser.socket.calls[-1] == "close"
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("end", ["a close frame", "a close packet", "two broken rules"])
def test_a_client_that_reads_before_the_deadline_gets_all(connect, clock, end):
    """What waited, then the close frame; and no timer is left."""
    browser = connect()
    browser.send(FRAMES[end])
    passes(clock, TIMEOUT - 0.001)
    assert browser.site.server.connected == 1
    browser.socket.room = None
    browser.turn()
    data, (kind, _) = browser.frames[1:]
    assert data == (TEXT, b"4" + b"x" * 20_000)
    assert kind == CLOSE_FRAME
    browser.wire.connectionLost(Failure(ConnectionDone()))
    assert browser.site.server.connected == 0
    assert clock.getDelayedCalls() == []


WAYS = {
    "the application closes": lambda session: session.close(),
    "the application aborts": lambda session: session.abort(),
    "another transport takes over": lambda session: (
        session.transport.retire(),
        session.fail(CloseReason.TRANSPORT_CLOSE),
    ),
    "the session fails": lambda session: session.fail(CloseReason.TRANSPORT_ERROR),
}


@pytest.mark.parametrize("end", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("answers", [False, True])
def test_a_client_that_is_closed_and_reads_nothing_is_cut_off(
    connect, clock, end, answers
):
    """Also if it answers with a close frame of its own, and then stays."""
    browser = connect()
    end(browser.session)
    passes(clock, 0)
    if answers:
        browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    passes(clock, TIMEOUT)
    assert browser.site.server.connected == 0
    assert clock.getDelayedCalls() == []


def test_a_close_behind_a_full_socket_has_no_longer(connect, clock):
    """Its session waits for close_timeout, and its connection not once more."""
    browser = connect()
    browser.session.send("behind")
    browser.session.close(CloseReason.SERVER_CLOSE)
    passes(clock, 0)
    passes(clock, TIMEOUT)
    assert browser.site.server.connected == 0


def test_a_client_that_answers_no_ping_and_reads_nothing_is_cut_off(
    connect, clock, listener
):
    """The close frame is not waited for, and the socket for close_timeout at most."""
    browser = connect()
    clock.advance(25)
    clock.advance(20)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]
    assert browser.site.server.connected == 1
    passes(clock, TIMEOUT)
    assert browser.site.server.connected == 0


def test_a_client_that_sends_too_fast_and_reads_nothing_is_cut_off(
    connect, clock, listener
):
    """Likewise."""
    browser = connect(max_messages_per_second=1, over_rate="close")
    browser.send(frame("4a") * 2)
    assert listener.reasons == [CloseReason.RATE_EXCEEDED]
    passes(clock, TIMEOUT)
    assert browser.site.server.connected == 0


def test_an_application_that_fails_ends_its_client_in_time(connect, clock, logged):
    """Whatever the client does then."""
    listener = Listener()
    browser = connect(listener)
    listener.on_message = lambda *_: 1 / 0
    browser.send(frame("4a"))
    logged.take(ZeroDivisionError)
    passes(clock, TIMEOUT)
    assert browser.site.server.connected == 0


def test_a_client_that_floods_after_its_end_is_cut_off(connect, clock):
    """Bytes do not put the end off."""
    browser = connect()
    browser.send(frame("1"))
    for _ in range(11):
        browser.send(frame(b"", PING_FRAME) * 10)
        clock.advance(TIMEOUT / 10)
    assert browser.site.server.connected == 0


# Connections that have no session.


def test_a_candidate_that_is_given_up_is_cut_off(lane, make_server, tcp_browse, clock):
    """One that never finishes its upgrade, and answers nothing."""
    server = make_server(upgrade_timeout=10, ping_interval=100)
    server.websockets.use(lane)
    browser = tcp_browse(server)
    browser.get(POLLING).turn()
    candidate = tcp_browse(server).upgrade(
        f"{WEBSOCKET}&sid={browser.answers[0].open()['sid']}"
    )
    candidate.socket.room = 0
    passes(clock, 10)
    assert server.connected == 1
    passes(clock, TIMEOUT)
    assert server.connected == 0


def test_a_candidate_that_is_one_too_many_is_cut_off(
    lane, make_server, tcp_browse, clock
):
    """The session is on another, and lives."""
    server = make_server(ping_interval=100)
    server.websockets.use(lane)
    browser = tcp_browse(server).upgrade(WEBSOCKET)
    browser.turn()
    (session,) = server.sessions.values()
    second = tcp_browse(server).upgrade(f"{WEBSOCKET}&sid={session.sid}")
    second.socket.room = 0
    assert server.connected == 2
    passes(clock, TIMEOUT)
    assert server.connected == 1
    assert session.sid in server.sessions


def test_a_client_that_is_refused_by_a_close_code_is_cut_off(
    lane, make_server, tcp_browse, clock, listener
):
    """There never was a session."""
    listener.on_admit = lambda _: (_ for _ in ()).throw(
        Reject(403, "no", close_code=4003)
    )
    server = make_server()
    server.websockets.use(lane)
    tcp_browse(server).upgrade(WEBSOCKET)
    assert server.connected == 1
    passes(clock, TIMEOUT)
    assert server.connected == 0
    assert clock.getDelayedCalls() == []


def test_a_handshake_that_autobahn_refuses_is_cut_off(
    lane, make_server, tcp_browse, clock, logged
):
    """It is our mistake, for each is checked before: an error in the log."""
    server = make_server()
    server.websockets.use(lane)
    browser = tcp_browse(server)
    browser.socket.room = 0
    transport = server.websockets.protocol(lambda _: None, {}, REVISION_4.codec)
    transport.factory = server.websockets
    browser.wire.protocol.hand_over(transport)
    transport.dataReceived(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert logged.take()["reason"] == "HTTP Upgrade header missing"
    passes(clock, TIMEOUT)
    assert server.connected == 0


def test_a_close_after_the_end_arms_nothing(connect, clock):
    """There is no connection that it could be for."""
    browser = connect()
    transport = browser.session.transport
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    passes(clock, TIMEOUT)
    transport.close_with(4000, "too late")
    assert clock.getDelayedCalls() == []


# The common case.


def test_a_close_that_nothing_holds_up_arms_no_timer_for_it(
    make_server, tcp_browse, clock
):
    """Nothing waits in the socket: it is hung up on at the end of the turn."""
    server = make_server()
    browser = tcp_browse(server).upgrade(WEBSOCKET)
    browser.turn()
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    (hangs_up,) = clock.getDelayedCalls()
    assert hangs_up.getTime() == clock.seconds()


@pytest.mark.usefixtures("observers")
@pytest.mark.parametrize("data", FRAMES.values(), ids=FRAMES)
def test_no_client_writes_to_the_log_by_how_it_ends(connect, clock, data):
    """It could do so as often as it likes."""
    events = []
    globalLogPublisher.addObserver(events.append)
    browser = connect()
    browser.send(data)
    browser.send(data)
    passes(clock, TIMEOUT)
    assert [each for each in events if each["log_level"] > LogLevel.debug] == []


# The end of a server.


def test_a_server_that_stops_aborts_what_is_left(connect, clock):
    """No connection is open when its Deferred fires."""
    browser = connect()
    server = browser.site.server
    left = []
    server.stop(timeout=5).addCallback(lambda _: left.append(server.connected))
    passes(clock, 5)
    for _ in range(20):
        clock.advance(0.1)
    assert left == [0]
    assert browser.socket.calls[-1] == "close"
    assert clock.getDelayedCalls() == []


def test_a_server_that_stops_aborts_what_had_ended_before(connect, clock):
    """There is no session any more that could be aborted."""
    browser = connect()
    server = browser.site.server
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    assert (server.sessions, server.connected) == ({}, 1)
    left = []
    server.stop(timeout=5).addCallback(lambda _: left.append(server.connected))
    passes(clock, 4.9)
    assert left == []
    passes(clock, 0.1)
    for _ in range(20):
        clock.advance(0.1)
    assert left == [0]
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("name", bounded.AUTOBAHN)
def test_autobahn_still_has_what_is_overridden(name):
    """Private names may go; then this fails before anything else does."""
    assert hasattr(WebSocketServerProtocol, name)

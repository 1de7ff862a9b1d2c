"""WebSocket: Autobahn over a transport in memory, with the fast lane and without."""

from __future__ import annotations

import pytest
from fakes import BINARY, CLOSE_FRAME, PING_FRAME, PONG_FRAME, TEXT, frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher

from twisted_engineio import CloseReason, EchoApplication, Encoded, State
from twisted_engineio.transports.websocket.frames import FastWebSocketTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
LANES = [WebSocketTransport, FastWebSocketTransport]
NORMAL = (CLOSE_FRAME, b"\x03\xe8")  # 1000


@pytest.fixture(params=LANES)
def lane(request):
    """Run a test with Autobahn alone, and with the fast lane."""
    return request.param


@pytest.fixture
def connect(lane, browse):
    """Open a session over a WebSocket; its open packet is left out of the frames."""

    def open_one(server, query=""):
        server.websockets.use(lane)
        browser = browse(server).upgrade(WEBSOCKET + query)
        assert browser.texts[0].startswith('0{"sid":')
        browser.wire.clear()
        (browser.session,) = [
            each
            for each in server.sessions.values()
            if getattr(each.transport, "transport", None) is browser.wire
        ]
        assert isinstance(browser.session.transport, lane)
        return browser

    return open_one


@pytest.fixture
def browser(connect, server):
    """Give a client with a session over a WebSocket."""
    return connect(server)


# Opening.


def test_a_handshake_is_answered_with_101(server, browse):
    """RFC 6455, 4.2.2: the key is answered, and the open packet follows."""
    browser = browse(server).upgrade(WEBSOCKET)
    assert browser.answer.status == 101
    headers = browser.answer.headers
    assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert "sec-websocket-extensions" not in headers
    assert "sec-websocket-protocol" not in headers
    assert [text[0] for text in browser.texts] == ["0"]
    assert '"upgrades":[]' in browser.texts[0]


def test_the_first_subprotocol_is_taken(server, browse):
    """As the reference does: there is a client that takes no for an error."""
    browser = browse(server).upgrade(WEBSOCKET, Sec_WebSocket_Protocol="a, b")
    assert browser.answer.headers["sec-websocket-protocol"] == "a"


@pytest.mark.parametrize("origin", [None, "http://example.com"])
def test_the_same_origin_may_connect(server, browse, origin):
    """And who is no browser."""
    headers = {"Origin": origin} if origin else {}
    assert browse(server).upgrade(WEBSOCKET, **headers).answer.status == 101


@pytest.mark.parametrize("origin", ["null", "https://a.org"])
def test_any_origin_may_connect_where_any_is_allowed(make_server, browse, origin):
    """Origins are checked in one place, for all wires; not by Autobahn again."""
    server = make_server(cors=["*"])
    browser = browse(server).upgrade(WEBSOCKET, Origin=origin)
    assert browser.answer.status == 101


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "websocket"},
        {"Upgrade": "websocket", "Connection": "Upgrade"},
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec_WebSocket_Version": "12",
        },
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec_WebSocket_Key": "short",
            "Sec_WebSocket_Version": "13",
        },
    ],
)
def test_a_handshake_that_breaks_the_rules_is_refused(server, browse, headers):
    """RFC 6455, 4.2.1: an HTTP error, no session, the connection closed."""
    browser = browse(server).get(WEBSOCKET, **headers)
    status = int(browser.wire.value().split()[1])
    assert 400 <= status < 500
    assert server.sessions == {}
    assert browser.wire.disconnecting


# Messages.


def test_messages_come_in_frames_of_their_own(browser, listener):
    """Text with its digit, binary as it is, binary as base64 too."""
    for data in ("4text", b"bytes", "4", b"", "4\u20ac", "bAAEC", "b", "4" + "x" * 200):
        browser.send(frame(data))
    assert listener.received == [
        "text",
        b"bytes",
        "",
        b"",
        "\u20ac",
        b"\x00\x01\x02",
        b"",
        "x" * 200,
    ]


def test_frames_that_come_together_are_all_read(browser, listener):
    """However many one read brings."""
    browser.send(b"".join(frame(f"4{number}") for number in range(100)))
    assert listener.received == [str(number) for number in range(100)]


def test_frames_that_come_byte_by_byte_are_read(browser, listener):
    """However a network cuts them."""
    stream = b"".join(map(frame, ["4one", b"two", "4" + "x" * 300, "3", b"y" * 70_000]))
    for byte in stream[:700]:
        browser.send(bytes([byte]))
    for start in range(700, len(stream), 999):
        browser.send(stream[start : start + 999])
    assert listener.received == ["one", b"two", "x" * 300, b"y" * 70_000]


@pytest.mark.parametrize("data", ["", "text", "\u20ac", "x" * 125, "x" * 70_000])
def test_text_goes_out_as_text(browser, data):
    """The digit, then the data."""
    browser.session.send(data)
    assert browser.frames == [(TEXT, b"4" + data.encode())]


@pytest.mark.parametrize("data", [b"", b"\xff", b"x" * 126, b"x" * 65_536])
def test_binary_goes_out_as_it_is(browser, data):
    """Without any prefix."""
    browser.session.send(data)
    assert browser.frames == [(BINARY, data)]


def test_b64_sends_binary_as_text(connect, server, clock):
    """For a client whose handshake said so; text is text as ever."""
    browser = connect(server, "&b64=1")
    for data in (b"\x00\x01\x02", Encoded(b"\x00"), "text", b""):
        browser.session.send(data)
    server.broadcast(b"\xff")
    clock.advance(0)
    assert browser.texts == ["bAAEC", "bAA==", "4text", "b", "b/w=="]


@pytest.mark.parametrize("data", ["text", b"bytes", "\u20ac" * 100, b"x" * 200])
def test_a_shared_message_is_a_message_like_any_other(browser, server, clock, data):
    """Framed once, sent often, in order with what else is sent."""
    shared = Encoded(data)
    browser.session.send(shared)
    server.broadcast(data)
    browser.session.send("after")
    clock.advance(0)
    payload = b"4" + data.encode() if isinstance(data, str) else data
    kind = TEXT if isinstance(data, str) else BINARY
    assert browser.frames == [(kind, payload)] * 2 + [(TEXT, b"4after")]


def test_echo_answers_everything(connect, make_server):
    """What goes in comes out, in order."""
    browser = connect(make_server(EchoApplication()))
    sent = ["4one", b"two", "4\u20ac", b""]
    browser.send(b"".join(map(frame, sent)))
    assert [data for _, data in browser.frames] == [
        each if isinstance(each, bytes) else each.encode() for each in sent
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(items=st.lists(st.text() | st.binary(max_size=200)), data=st.data())
def test_any_cut_of_any_frames_is_read(browse, make_server, listener, items, data):
    """Messages arrive whole and in order, however the stream is cut, in both lanes."""
    stream = b"".join(
        frame("4" + each if isinstance(each, str) else each) for each in items
    )
    # Not a parameter: pytest-twisted cannot run a hypothesis test that has some.
    for lane in LANES:
        server = make_server()
        server.websockets.use(lane)
        browser = browse(server).upgrade(WEBSOCKET)
        listener.received.clear()
        start = 0
        while start < len(stream):
            size = data.draw(st.integers(1, len(stream) - start))
            browser.send(stream[start : start + size])
            start += size
        assert listener.received == items
        browser.lose()


# Heartbeat.


def test_a_ping_goes_out_and_its_pong_counts(browser, clock, listener):
    """Packets in text frames; RFC 6455's own ping is another thing."""
    clock.advance(25)
    assert browser.texts == ["2"]
    browser.send(frame("3"))
    clock.advance(24)
    assert listener.closed == []


def test_autobahn_answers_the_pings_of_websocket(browser, listener):
    """RFC 6455, 5.5.2: with a pong of the same data; the session hears nothing."""
    browser.send(frame(b"data", PING_FRAME)).send(frame(b"", PONG_FRAME))
    assert browser.frames == [(PONG_FRAME, b"data")]
    assert (listener.received, listener.closed) == ([], [])


def test_of_pings_to_a_full_socket_the_last_is_answered(browser):
    """RFC 6455, 5.5.3: else a client that reads nothing would fill our memory."""
    browser.wire.producer.pauseProducing()
    for number in range(1000):
        browser.send(frame(b"%d" % number, PING_FRAME))
    assert browser.frames == []
    browser.wire.producer.resumeProducing()
    assert browser.frames == [(PONG_FRAME, b"999")]
    browser.wire.producer.pauseProducing()
    browser.wire.producer.resumeProducing()
    assert len(browser.frames) == 1


def test_a_pong_that_waits_comes_before_what_is_queued(browser):
    """It may fill the socket again."""
    browser.wire.producer.pauseProducing()
    browser.send(frame(b"", PING_FRAME))
    browser.session.send("one")
    browser.wire.producer.resumeProducing()
    assert browser.frames == [(PONG_FRAME, b""), (TEXT, b"4one")]


def test_who_does_not_answer_is_cut_off(browser, clock, listener):
    """A close frame, and the connection is not kept for its answer."""
    clock.advance(25)
    clock.advance(20)
    assert browser.frames[-1] == NORMAL
    assert browser.wire.disconnecting
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


# The end.


def test_a_lost_connection_ends_the_session(browser, listener, clock):
    """Also without a close frame."""
    browser.lose()
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]
    assert clock.getDelayedCalls() == []


def test_a_close_frame_ends_the_session(browser, listener):
    """It is answered, and the connection closed: RFC 6455, 5.5.1."""
    browser.send(frame(b"\x03\xe8", CLOSE_FRAME))
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]
    assert browser.frames == [NORMAL]
    assert browser.wire.disconnecting


@pytest.mark.parametrize("code", [b"", b"\x03\xe9", b"\x0f\xa0bye"])
def test_any_close_frame_ends_the_session(browser, listener, code):
    """Without a code, with another, with a reason."""
    browser.send(frame(code, CLOSE_FRAME))
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]
    assert browser.frames[0][0] == CLOSE_FRAME


def test_a_close_packet_ends_the_session_at_once(browser, listener):
    """Nothing after it is handled."""
    browser.send(frame("4last") + frame("1") + frame("4after") + frame(b"after"))
    assert listener.received == ["last"]
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]
    assert browser.frames == [NORMAL]


def test_a_closed_session_says_goodbye(browser, clock, listener):
    """What was sent before, then a close frame, no close packet."""
    browser.session.send("last words")
    browser.session.close()
    clock.advance(0)
    assert browser.frames == [(TEXT, b"4last words"), NORMAL]
    assert listener.reasons == [CloseReason.FORCED_CLOSE]
    browser.send(frame("4late")).send(frame(b"\x03\xe8", CLOSE_FRAME))
    assert browser.wire.disconnecting
    assert listener.received == []


def test_a_client_that_never_answers_a_close_frame_is_cut_off(browser, clock):
    """After close_timeout."""
    browser.session.close()
    clock.advance(0)
    clock.advance(29)
    assert not browser.wire.disconnecting
    clock.advance(1)
    assert browser.wire.disconnecting


def test_an_aborted_session_says_goodbye(browser, clock, listener):
    """At once, whatever it had sent before has gone."""
    browser.session.abort()
    clock.advance(0)
    assert browser.frames == [NORMAL]
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


# Back-pressure.


def test_a_full_socket_holds_the_queue(browser):
    """Twisted pauses its producer: the bounded queue of the session takes over."""
    assert browser.wire.producer is browser.session.transport
    assert browser.wire.streaming is True
    browser.wire.producer.pauseProducing()
    browser.session.send("one")
    browser.session.send("two")
    assert (browser.frames, browser.session.buffered) == ([], 6)
    browser.wire.producer.resumeProducing()
    assert browser.texts == ["4one", "4two"]
    assert browser.session.buffered == 0


def test_a_socket_that_fills_again_takes_only_what_it_can(browser):
    """The flush stops where Twisted pauses."""
    transport = browser.session.transport
    transport.pauseProducing()
    for number in range(5):
        browser.session.send(str(number))
    write, writes = browser.wire.write, []

    def write_until_full(data):
        writes.append(data)
        write(data)
        if len(writes) == 2:
            transport.pauseProducing()

    browser.wire.write = write_until_full
    transport.resumeProducing()
    assert browser.texts == ["40", "41"]
    transport.resumeProducing()
    assert browser.texts == ["40", "41", "42", "43", "44"]


def test_a_slow_client_is_cut_off(connect, make_server, clock, listener):
    """Without a close frame: it would not read it."""
    browser = connect(make_server(max_buffered=70_000))
    browser.session.transport.pauseProducing()
    browser.session.send(b"x" * 70_001)
    clock.advance(0)
    assert browser.wire.disconnected
    assert browser.frames == []
    assert listener.reasons == [CloseReason.SLOW_CLIENT]


@pytest.mark.usefixtures("observers")
def test_a_slow_client_is_no_news(connect, make_server, clock):
    """A client can't fill the log, and whoever is cut off is counted no longer."""
    events = []
    globalLogPublisher.addObserver(events.append)
    server = make_server(max_buffered=70_000)
    browser = connect(server)
    browser.session.transport.pauseProducing()
    browser.session.send(b"x" * 70_001)
    clock.advance(0)
    browser.lose()
    assert [each for each in events if each["log_level"] > LogLevel.debug] == []
    assert server.connected == 0
    assert clock.getDelayedCalls() == []


def test_a_transport_that_stops_is_not_written_to(browser):
    """Twisted says so before it says that the connection is lost."""
    transport = browser.session.transport
    transport.stopProducing()
    browser.session.send("nowhere")
    assert browser.frames == []
    browser.session.close()
    transport.resumeProducing()


def test_a_dead_socket_does_not_become_writable(browser, clock):
    """Twisted may resume a producer whose session is over."""
    transport = browser.session.transport
    browser.session.close()
    clock.advance(0)
    transport.resumeProducing()
    assert not transport.writable


def test_a_busy_application_pauses_the_socket(browser, listener):
    """Once 64 KiB are read ahead of it; what was read already is held."""
    job = Deferred()
    listener.on_message = lambda *_: None if job.called else job
    browser.send(frame("4one") + frame("4two"))
    assert browser.wire.producerState == "producing"
    browser.send(frame(bytes(65_536), BINARY))
    assert browser.wire.producerState == "paused"
    assert listener.received == ["one"]
    job.callback(None)
    assert listener.received == ["one", "two", bytes(65_536)]
    assert browser.wire.producerState == "producing"
    assert browser.session.state is State.OPEN


def test_a_session_that_ends_while_it_is_busy_reads_the_goodbye(browser, listener):
    """The connection ends with the client's close frame, not with a timeout."""
    work = Deferred()
    listener.on_message = lambda session, _: work
    browser.send(frame("4a"))
    browser.send(frame(bytes(65_536), BINARY))
    assert browser.wire.producerState == "paused"
    browser.session.abort()
    browser.site.reactor.advance(0)
    assert browser.wire.producerState == "producing"
    work.callback(None)


def test_who_says_goodbye_while_it_is_busy_is_read_on(browser, listener):
    """Over TLS there is more to read then: what is paused would never be closed."""
    listener.on_message = lambda *_: Deferred()
    browser.send(frame("4a") + frame(b"\x03\xe8", CLOSE_FRAME))
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]
    assert browser.wire.producerState == "producing"


def test_messages_before_a_close_frame_come_before_the_end(browser, listener):
    """Also if the application is busy with the first."""
    work = Deferred()
    listener.on_message = lambda *_: work
    browser.send(frame("4a") + frame("4b") + frame(b"\x03\xe8", CLOSE_FRAME))
    listener.on_message = lambda *_: None
    assert listener.closed == []
    work.callback(None)
    assert listener.received == ["a", "b"]
    assert len(listener.closed) == 1

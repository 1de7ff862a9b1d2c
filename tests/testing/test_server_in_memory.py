"""The server and client in memory: what a test of an application may rely on."""

from __future__ import annotations

import pytest
from fakes import Listener
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_engineio import (
    Application,
    CloseReason,
    Config,
    EchoApplication,
    Observer,
    Reject,
)
from twisted_engineio.testing import ClientState, HandshakeRefused, MemoryServer

EVERYTHING = ("polling", "sse", "websocket")


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def server(listener):
    """A server with all transports; what a test leaves behind is found."""
    with MemoryServer(listener, Config(transports=EVERYTHING)) as server:
        yield server


@pytest.fixture(params=EVERYTHING)
def transport(request):
    return request.param


@pytest.fixture
def client(server, transport):
    return server.connect(transport)


# Connecting.


def test_a_client_connects(server, listener, client, transport):
    """It is open on the transport that was asked for, and so is its session."""
    assert client.is_open
    assert client.transport == client.session.transport.name == transport
    assert listener.opened == [client.session]
    assert server.sessions == {client.sid: client.session}
    assert repr(client).startswith(f"<MemoryClient {client.sid[:6]}... open on ")


def test_a_handshake_says_what_the_test_gives(server, listener, transport):
    """Query, headers, address and TLS, as the application sees them."""
    server.connect(
        transport,
        query={"room": "käse"},
        headers={"User-Agent": "a test", "X-Y": "z"},
        address="2001:db8::1",
        secure=True,
    )
    (shake,) = listener.admitted
    assert shake.query["room"] == "käse"
    assert shake.headers["user-agent"] == "a test"
    assert shake.headers["x-y"] == "z"
    assert shake.client_address == "2001:db8::1"
    assert shake.server_address == ("192.0.2.1", 80)
    assert shake.is_secure


def test_a_client_is_plain_unless_it_is_said(client, listener):
    """No TLS, and an address of those that are kept for examples."""
    assert not listener.admitted[0].is_secure
    assert listener.admitted[0].client_address == "203.0.113.5"


def test_there_is_no_such_transport(server):
    """A name that is none is told from one that is switched off."""
    with pytest.raises(ValueError, match="'carrier pigeon' is none of"):
        server.connect("carrier pigeon")


def test_a_transport_that_is_switched_off_is_refused():
    """By the server, as it would in life."""
    server = MemoryServer(Listener(), Config(transports=["polling"]))
    with pytest.raises(HandshakeRefused, match="400 Transport unknown"):
        server.connect("sse")


def test_a_refusal_says_what_the_client_is_told(server, listener, transport):
    """Status, message and headers of what admit raised."""

    def refuse(handshake):
        raise Reject(429, "Slowly", headers={"Retry-After": "5"})

    listener.on_admit = refuse
    with pytest.raises(HandshakeRefused) as refused:
        server.connect(transport)
    assert (refused.value.status, refused.value.message) == (429, "Slowly")
    assert refused.value.headers["retry-after"] == "5"
    assert refused.value.close_code is None
    assert not server.sessions


def test_a_websocket_may_be_opened_to_be_refused(server, listener):
    """Then its close code tells, and its reason."""

    def refuse(handshake):
        raise Reject(401, "Who are you?", close_code=4401)

    listener.on_admit = refuse
    with pytest.raises(HandshakeRefused, match="4401 Who are you") as refused:
        server.connect("websocket")
    assert refused.value.close_code == 4401


def test_a_server_that_hangs_up_has_refused(server, listener, logged, monkeypatch):
    """Status 0, for there is none."""
    monkeypatch.setattr(type(server), "open", lambda *_: 1 / 0)
    monkeypatch.setattr(
        "twisted_engineio.web.resource.EngineIOResource._not_admitted", lambda *_: 1 / 0
    )
    with pytest.raises(HandshakeRefused) as refused:
        server.connect()
    assert refused.value.status == 0
    logged.take(ZeroDivisionError)


def test_admit_may_wait(server, listener, transport):
    """The client is connecting until it is done."""
    waiting = Deferred()
    listener.on_admit = lambda _: waiting
    client = server.connect(transport)
    assert client.state is ClientState.CONNECTING
    assert not client.is_open
    with pytest.raises(ConnectionError, match="is not open"):
        client.send("too early")
    waiting.callback(None)
    assert client.is_open


def test_admit_may_wait_and_refuse(server, listener, transport):
    """Then the client says why it is closed."""
    waiting = Deferred()
    listener.on_admit = lambda _: waiting
    client = server.connect(transport)
    waiting.errback(Reject(403, "No"))
    assert not client.is_open
    assert client.state is ClientState.CLOSED
    assert client.refusal.status == 403


# Messages.


def test_messages_arrive(listener, client):
    """As they were sent, text and bytes, in order."""
    sent = ["a", b"\x00\xff", "%0D\r\n\x1e"[:5], "é" * 70_000, b"", ""]
    for each in sent:
        client.send(each)
    assert listener.received == sent


def test_messages_come_back(server, client, listener):
    """What the application sends is received without another word."""
    sent = ["a", b"\x00\xff", "100 %\r\n", "é" * 70_000, b"x" * 200, b"", ""]
    for each in sent:
        client.session.send(each)
    assert client.received == sent
    client.received.clear()
    server.broadcast("all")
    assert client.received == ["all"]


def test_only_messages_are_sent(client):
    """As on the server's side."""
    with pytest.raises(TypeError, match="str, bytes"):
        client.send(7)


def test_what_is_too_much_for_one_payload_goes_in_several(server, listener):
    """As npm's client does it: max_payload holds for a POST."""
    waiting = Deferred()
    listener.on_message = lambda *_: waiting
    client = server.connect()
    client.send("first")
    for _ in range(5):
        client.send("x" * 300_000)
    assert listener.received == ["first"]
    listener.on_message = lambda *_: None
    waiting.callback(None)
    assert client.is_open
    assert [len(each) for each in listener.received] == [5] + [300_000] * 5


def test_a_client_that_the_server_does_not_understand_is_closed():
    """A message over the limit ends the session, and the client knows."""
    server = MemoryServer(Listener(), Config(max_payload=100))
    client = server.connect()
    client.send("x" * 200)
    assert not client.is_open
    socket = server.connect("websocket")
    socket.send("x" * 200)
    assert not socket.is_open
    assert socket.close_code == 1009
    assert socket.session.reason is CloseReason.PAYLOAD_TOO_LARGE


# Time.


def test_pings_are_answered(server, client):
    """A client that is there stays for as long as the test likes."""
    server.advance(1000)
    assert client.is_open


def test_pings_may_be_left_unanswered(server, listener, transport):
    """Then the session ends when it must, and not before."""
    client = server.connect(transport, answers_pings=False)
    server.advance(44.9)
    assert client.is_open
    server.advance(0.1)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]
    assert not client.is_open


def test_time_is_twisted_s_clock(listener):
    """An application that measures time itself is given the same."""
    clock = Clock()
    calls = []
    clock.callLater(1, lambda: clock.callLater(1, calls.append, 1))
    with MemoryServer(listener, clock=clock) as server:
        assert server.clock is clock
        server.advance(2.5)
        assert calls == [1]
        assert clock.seconds() == 2.5


def test_a_websocket_opens_in_a_millisecond(server):
    """And nothing else takes any of the clock's time."""
    server.connect("polling")
    server.connect("sse")
    assert server.clock.seconds() == 0
    server.connect("websocket")
    assert server.clock.seconds() == 0.001


def test_a_websocket_may_need_more_time(server, monkeypatch):
    """Then it is not open yet."""
    monkeypatch.setattr("twisted_engineio.testing.server._MOMENT", 0.00001)
    client = server.connect("websocket")
    assert client.state is ClientState.OPENING
    server.advance(0.001)
    assert client.is_open


def test_two_who_answer_each_other_for_ever_are_found(server, monkeypatch):
    """A test that would never end says so."""
    monkeypatch.setattr("twisted_engineio.testing.server._ROUNDS", 50)
    client = server.connect("websocket")

    class Parrot(list):
        def append(self, data):
            client._enqueue(data)

    client._received = Parrot()
    server.application.on_message = lambda session, data: session.send(data)
    with pytest.raises(AssertionError, match="for ever"):
        client.send("hello")
    client._received = []


# Upgrades.


@pytest.mark.parametrize("way", [["sse"], ["websocket"], ["sse", "websocket"]])
def test_a_client_moves(server, listener, way):
    """With nothing lost on the way, in either direction."""
    client = server.connect()
    listener.on_message = lambda session, data: session.send(data)
    sent = []
    for number, each in enumerate(way):
        client.session.send(f"before {number}")
        client.upgrade(each)
        assert client.transport == client.session.transport.name == each
        client.send(f"{number}")
        sent += [f"before {number}", f"{number}"]
        server.advance(30)
    assert client.received == sent
    assert client.is_open


def test_only_an_upgrade_that_is_offered_is_taken(server):
    """The open packet names them, and what lies behind is gone."""
    client = server.connect()
    client.upgrade()
    with pytest.raises(ConnectionError, match=r"no upgrade to 'sse': it may be \[\]"):
        client.upgrade("sse")


def test_a_client_that_is_gone_does_not_move(server):
    """Nor does one that is not there yet."""
    client = server.connect()
    client.close()
    with pytest.raises(ConnectionError, match="is not open"):
        client.upgrade()


def test_an_upgrade_that_the_server_breaks_off_is_told(listener):
    """The client is where it was, and goes on."""

    class Breaking(Observer):
        def upgrading(self, session, transport):
            session.probe.cancel()

    with MemoryServer(listener, observers=[Breaking()]) as server:
        client = server.connect()
        with pytest.raises(ConnectionError, match="closed the new transport"):
            client.upgrade()
        assert client.transport == "polling"
        client.send("still here")
        assert listener.received == ["still here"]


def test_an_upgrade_that_the_server_refuses_is_told(listener):
    """As when an origin is not welcome any more."""
    welcome = ["https://example.org"]
    config = Config(cors=lambda origin: origin in welcome)
    with MemoryServer(listener, config) as server:
        client = server.connect(headers={"Origin": "https://example.org"})
        assert welcome.pop()
        with pytest.raises(ConnectionError, match="closed the new transport"):
            client.upgrade()
        welcome.append("https://example.org")
        assert client.is_open
        assert client.refusal is None


def test_a_session_may_end_with_an_upgrade(listener):
    """Then the client is closed, and so is what it tried."""

    class Ending(Observer):
        def upgrading(self, session, transport):
            session.abort()

    with MemoryServer(listener, observers=[Ending()]) as server:
        client = server.connect()
        with pytest.raises(ConnectionError, match="closed the new transport"):
            client.upgrade()
        assert not client.is_open


def test_an_upgrade_may_fail_before_the_last_poll_is_read(server, listener):
    """Then it is not asked for twice."""
    client = server.connect()
    client.stop_reading()
    client.upgrade()
    assert client.state is ClientState.MOVING
    server.advance(server.config.upgrade_timeout)
    client.read_on()
    client.session.send("heard")
    assert client.received == ["heard"]


MUCH = "much " * 20_000
"""More than is read ahead of an application that is busy."""


@pytest.mark.parametrize("transport", ["polling", "sse"])
def test_an_upgrade_waits_for_the_application(server, listener, transport):
    """A POST of more than is read ahead of it must be answered first."""
    waiting = Deferred()
    listener.on_message = lambda *_: waiting
    client = server.connect(transport)
    client.send("wait")
    client.send(MUCH)
    client.upgrade()
    client.send("behind it")
    assert client.state is ClientState.MOVING
    assert client.transport == transport
    waiting.callback(None)
    assert client.is_open
    assert client.transport == "websocket"
    assert listener.received == ["wait", MUCH, "behind it"]


@pytest.mark.parametrize("transport", ["polling", "sse"])
def test_an_upgrade_that_takes_too_long_fails(server, listener, transport):
    """The client stays where it was, and says there what it had to say."""
    waiting = Deferred()
    listener.on_message = lambda *_: waiting
    client = server.connect(transport)
    client.send("wait")
    client.send(MUCH)
    client.upgrade()
    server.advance(server.config.upgrade_timeout)
    assert client.state is ClientState.OPEN
    waiting.callback(None)
    client.send("after it")
    assert client.transport == transport
    assert listener.received == ["wait", MUCH, "after it"]
    client.session.send("heard")
    assert client.received == ["heard"]


# The end.


def test_a_client_leaves(server, listener, client):
    """Behind what it said, and only once."""
    client.send("bye")
    client.close()
    client.close()
    assert listener.received == ["bye"]
    assert listener.closed == [(client.session, CloseReason.TRANSPORT_CLOSE)]
    assert not client.is_open
    server.assert_nothing_left()


def test_a_client_leaves_behind_what_waits(server, listener):
    """A busy application hears everything first."""
    waiting = Deferred()
    listener.on_message = lambda *_: waiting
    client = server.connect()
    client.send("wait")
    client.send("and this")
    client.close()
    assert client.state is ClientState.CLOSED  # its connection is not kept for that
    assert not listener.closed
    listener.on_message = lambda *_: None
    waiting.callback(None)
    server.settle()
    assert listener.received == ["wait", "and this"]
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]


def test_a_client_leaves_while_it_moves(server, listener):
    """The new transport is dropped, and the goodbye said on the old."""
    waiting = Deferred()
    listener.on_message = lambda *_: waiting
    client = server.connect()
    client.send("wait")
    client.send(MUCH)
    client.upgrade()
    assert client.state is ClientState.MOVING
    client.close()
    waiting.callback(None)
    server.settle()
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]


def test_a_client_whose_session_ends_while_it_moves_is_closed(server, listener):
    """With what it had begun."""
    waiting = Deferred()
    listener.on_message = lambda *_: waiting
    client = server.connect()
    client.send("wait")
    client.upgrade()
    client.session.abort()
    assert not client.is_open
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_a_client_vanishes(server, listener, client):
    """No word arrives: only the heartbeat finds out."""
    client.vanish()
    assert not client.is_open
    server.advance(44)
    assert not listener.closed
    server.advance(1)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


def test_a_client_is_closed_by_the_server(server, listener, client):
    """It hears the last words first."""
    client.session.send("last words")
    client.session.close()
    assert client.received == ["last words"]
    assert not client.is_open
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_a_client_finds_its_session_gone(server):
    """It polls again, and is told."""
    client = server.connect()
    client.session.fail(CloseReason.TRANSPORT_CLOSE)
    assert not client.is_open


def test_a_close_code_is_told(server):
    """Where there is one: on a WebSocket."""
    client = server.connect("websocket")
    client.session.close(code=4000)
    assert not client.is_open
    assert client.close_code == 4000


def test_a_websocket_may_be_cut(server, logged):
    """Without a close frame there is no code."""
    client = server.connect("websocket")
    client.session.transport.transport.abortConnection()
    assert not client.is_open
    assert client.close_code is None


def test_a_slow_reader_is_told_from_others(server, listener, transport):
    """The server stops writing, and goes on where it was."""
    client = server.connect(transport)
    client.stop_reading()
    sent = ["x" * 30_000] * 10
    ready = [client.session.send(each) for each in sent]
    server.settle()
    assert ready[0] is True
    assert ready[-1] is False
    assert client.received == []
    drained = client.session.drained()
    assert not drained.called
    client.read_on()
    assert client.received == sent
    assert drained.called


def test_a_reader_that_is_too_slow_is_dropped(listener, transport):
    """By max_buffered."""
    config = Config(transports=EVERYTHING, max_buffered=200_000)
    with MemoryServer(listener, config) as server:
        client = server.connect(transport)
        client.stop_reading()
        for _ in range(20):
            client.session.send("x" * 30_000)
        server.settle()
        assert listener.reasons == [CloseReason.SLOW_CLIENT]


def test_a_stream_goes_on_in_another(listener):
    """Of server-sent events: after so many bytes the client connects anew."""
    config = Config(transports=EVERYTHING, sse_max_bytes=1000)
    with MemoryServer(listener, config) as server:
        client = server.connect("sse")
        for number in range(50):
            client.session.send(f"{number}" * 20)
        assert client.received == [f"{number}" * 20 for number in range(50)]


def test_a_stream_that_cannot_go_on_is_lost(server):
    """The session was over before the client came again."""
    client = server.connect("sse")
    client.session.transport._stream.drop()
    client.session.transport._stream = None
    client.session.abort()
    assert not client.is_open


def test_a_stream_may_break_before_its_first_event(server):
    """Then there is nothing to go on from."""
    client = server.connect("sse")
    client._carrier._seen = ""
    client.session.transport._stream._rotate()
    assert client.is_open
    client.session.send("again")
    assert client.received == ["again"]


# What is left.


def test_an_open_session_is_left(server):
    """It is named."""
    server.connect().vanish()
    with pytest.raises(AssertionError, match=r"still open: .*<Session"):
        server.assert_nothing_left()


def test_a_timer_is_left():
    """It is named."""

    class Forgetful(Application):
        def session_opened(self, session):
            session.server.clock.callLater(100, remind_me)

    def remind_me():
        """Do nothing."""

    server = MemoryServer(Forgetful())
    server.connect().close()
    with pytest.raises(AssertionError, match=r"still on the clock: .*remind_me"):
        server.assert_nothing_left()
    with pytest.raises(AssertionError, match=r"still on the clock: .*remind_me"):
        server.finish()


def test_finish_ends_what_is_open(listener):
    """With the goodbye of a server that stops."""
    with MemoryServer(listener, Config(transports=EVERYTHING)) as server:
        clients = [server.connect(each) for each in EVERYTHING]
        server.connect().vanish()
    assert listener.reasons == [CloseReason.SERVER_CLOSE] * 4
    assert not any(each.is_open for each in clients)


def test_a_test_that_fails_says_why():
    """What is left behind is then no news."""

    def fail():
        with MemoryServer(EchoApplication()) as server:
            server.connect()
            raise LookupError

    with pytest.raises(LookupError):
        fail()


def test_the_site_is_real():
    """What a client does not do, a test may write by hand."""
    heard = []
    with MemoryServer(EchoApplication()) as server:
        wire = server.wire("203.0.113.5", heard.append, lambda: heard.append(b"FIN"))
        wire.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        server.settle()
    assert heard[0].startswith(b"HTTP/1.1 404")
    assert heard[-1] == b"FIN"

"""The connection to a router, byte by byte: Autobahn on our side, CBOR on the other."""

from __future__ import annotations

import cbor2
import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogLevel, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from wamp_fakes import said
from zope.interface import implementer

from twisted_engineio import ConfigError
from twisted_engineio.wamp import WampApplication, connect

HELLO, WELCOME, ABORT, CHALLENGE, AUTHENTICATE, GOODBYE = 1, 2, 3, 4, 5, 6
CALL, REGISTER = 48, 64
URL = "rs://unix:/run/router.sock"


class Resolver:
    """Every name is this machine's."""

    def resolveHostName(self, receiver, host, port=0, *rest, **more):
        receiver.resolutionBegan(None)
        receiver.addressResolved(IPv4Address("TCP", "127.0.0.1", port))
        receiver.resolutionComplete()


@implementer(IReactorPluggableNameResolver)
class NamingReactor(MemoryReactorClock):
    """A reactor in memory that knows names."""

    nameResolver = Resolver()


class Router:
    """A router's end of a raw socket."""

    def __init__(self, factory):
        self.wire = StringTransport()
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.wire)

    def take(self):
        """Take all bytes that came."""
        data = self.wire.value()
        self.wire.clear()
        return data

    def shake_hands(self):
        """Agree on messages of up to 16 MiB, in CBOR."""
        assert self.take() == b"\x7f\xf3\x00\x00"
        self.protocol.dataReceived(b"\x7f\xf3\x00\x00")

    def messages(self):
        """Take the messages that came."""
        data, read = self.take(), []
        while data:
            length = int.from_bytes(data[:4], "big")
            read.append(cbor2.loads(data[4 : 4 + length]))
            data = data[4 + length :]
        return read

    def send(self, *message):
        data = cbor2.dumps(list(message))
        self.protocol.dataReceived(len(data).to_bytes(4, "big") + data)

    def welcome(self):
        """Let it join; give what it said first, and what it registered."""
        self.shake_hands()
        [hello] = self.messages()
        details = {"roles": {"broker": {}, "dealer": {}}, "authrole": "bridge"}
        self.send(WELCOME, 4711, {"realm": hello[1], "authid": "me", **details})
        return hello, self.messages()

    def lose(self):
        self.protocol.connectionLost(Failure(ConnectionDone()))


@pytest.fixture
def reactor():
    """Give a reactor in memory."""
    return NamingReactor()


@pytest.fixture
def bridge():
    """Give what is joined."""
    return WampApplication()


@pytest.fixture
def start(bridge, reactor):
    """Connect, and stop at the end."""
    services = []

    def start(url=URL, **options):
        services.append(
            connect(bridge, url, reactor=reactor, retry=lambda failures: 1.0, **options)
        )
        services[-1].startService()
        return services[-1]

    yield start
    for each in services:
        each.stopService()
    reactor.advance(0)
    assert reactor.getDelayedCalls() == []


@pytest.fixture
def accept(reactor):
    """Accept the last connection that was made to a UNIX socket."""

    def accept():
        path, factory, *_ = reactor.unixClients.pop()
        assert path == "/run/router.sock"
        return Router(factory)

    return accept


@pytest.fixture
def heard():
    """Give what is logged as a warning or worse."""
    events = []

    def hear(event):
        if event["log_level"] >= LogLevel.warn:
            events.append(event)

    globalLogPublisher.addObserver(hear)
    yield events
    globalLogPublisher.removeObserver(hear)


def test_it_joins_its_realm_and_the_bridge_is_told(start, accept):
    """So the bridge's procedures are registered."""
    start(realm="chats")
    hello, registered = accept().welcome()
    assert hello[:2] == [HELLO, "chats"]
    assert [each[3] for each in registered] == [
        "engineio.send",
        "engineio.broadcast",
        "engineio.sessions",
    ]
    assert {each[0] for each in registered} == {REGISTER}


def test_a_call_fails_with_the_connection_and_the_next_one_is_made(
    start, accept, bridge, reactor, make_server, open_session
):
    """After a while; and then the bridge is joined again."""
    session = open_session(make_server(bridge))
    start()
    router = accept()
    router.welcome()
    session.receive('{"op": "call", "id": 1, "uri": "com.example.add"}')
    [call] = router.messages()
    assert (call[0], call[3]) == (CALL, "com.example.add")
    router.lose()
    [answer] = said(session.transport.written)
    assert answer["error"] == "engineio.error.no_router"
    assert reactor.unixClients == []
    reactor.advance(1.0)
    accept().welcome()
    session.receive('{"op": "publish", "uri": "com.example.chat"}')
    assert said(session.transport.written) == []


def test_a_router_may_say_goodbye(start, accept, reactor):
    """The connection is closed, and made again."""
    start()
    router = accept()
    router.welcome()
    router.send(GOODBYE, {}, "wamp.close.killed")
    assert [each[0] for each in router.messages()] == [GOODBYE]
    assert router.wire.disconnecting
    router.lose()
    reactor.advance(1.0)
    accept().welcome()


def test_a_router_that_does_not_listen_is_logged_and_tried_again(
    start, accept, reactor, heard
):
    """With its URL: it may be a wrong one."""
    start()
    _, factory, *_ = reactor.unixClients.pop()
    factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    [event] = heard
    assert event["url"] == URL
    assert "refused" in event["error"]
    reactor.advance(1.0)
    accept().welcome()


def test_a_realm_that_there_is_not_is_logged_and_tried_again(
    start, accept, reactor, heard
):
    """It may be started later."""
    start(realm="nowhere")
    router = accept()
    router.shake_hands()
    router.messages()
    router.send(ABORT, {"message": "no realm"}, "wamp.error.no_such_realm")
    assert any("no_such_realm" in str(event) for event in heard)
    assert router.wire.disconnecting
    router.lose()
    reactor.advance(1.0)
    accept().welcome()


def test_it_proves_who_it_is(start, accept):
    """With what Autobahn's components are given."""
    ticket = {"ticket": {"authid": "bridge", "ticket": "secret"}}
    start(authentication=ticket)
    router = accept()
    router.shake_hands()
    [hello] = router.messages()
    assert hello[2]["authmethods"] == ["ticket"]
    assert hello[2]["authid"] == "bridge"
    router.send(CHALLENGE, "ticket", {})
    [[kind, signature, _]] = router.messages()
    assert (kind, signature) == (AUTHENTICATE, "secret")


def test_a_service_that_stops_hangs_up(start, accept):
    """And does not come again."""
    service = start()
    router = accept()
    router.welcome()
    stopped = []
    service.stopService().addCallback(stopped.append)
    assert router.wire.disconnecting
    assert stopped == []
    router.lose()
    assert stopped == [None]


def test_it_waits_longer_each_time(bridge, reactor):
    """By default: half a minute at most, and a little at random."""
    service = connect(bridge, URL, reactor=reactor)
    service.startService()
    waits = []
    for _ in range(20):
        *_, factory = reactor.unixClients.pop()[:2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        [call] = reactor.getDelayedCalls()
        waits.append(call.getTime() - reactor.seconds())
        reactor.advance(waits[-1])
    service.stopService()
    assert 0.75 <= waits[0] <= 1.75
    assert 30.0 <= waits[-1] <= 31.0


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("rs://router:9000", 9000, False),
        ("rss://router:9000", 9000, True),
        ("ws://router:8080/ws", 8080, False),
        ("wss://router/ws", 443, True),
    ],
)
def test_a_url_says_where_the_router_is(start, reactor, url, port, tls):
    """By TCP, with TLS or without."""
    start(url)
    host, to_port, factory, *_ = reactor.tcpClients.pop()
    assert (host, to_port) == ("127.0.0.1", port)
    wrapped = factory._wrappedFactory
    assert isinstance(wrapped, TLSMemoryBIOFactory) is tls


def test_a_websocket_speaks_cbor(start, reactor):
    """So that no string of a client's can be taken for anything else."""
    start("ws://router:8080/ws")
    factory = reactor.tcpClients.pop()[2]
    wire = StringTransport()
    protocol = factory.buildProtocol(None)
    protocol.makeConnection(wire)
    request = wire.value().decode()
    assert request.startswith("GET /ws HTTP/1.1\r\n")
    assert "Sec-WebSocket-Protocol: wamp.2.cbor\r\n" in request
    protocol.connectionLost(Failure(ConnectionDone()))


@pytest.mark.parametrize(
    "url",
    ["", "router", "http://router/", "rs://", "rs://router:0", "ws://router:x/ws"],
)
def test_a_url_that_cannot_work_is_refused(bridge, reactor, url):
    """With one that could."""
    with pytest.raises(ConfigError) as caught:
        connect(bridge, url, reactor=reactor)
    assert caught.value.option == "router"
    assert "use a URL like rs://unix:/run/router.sock" in caught.value.problem


@pytest.mark.parametrize(
    ("authentication", "problem"),
    [
        ({"tickle": {}}, "tickle: Unknown authenticator 'tickle'"),
        ({"ticket": {"authid": "me"}}, "ticket: "),
        ({"ticket": "secret"}, "ticket: "),
        ("ticket", "must be an object"),
    ],
)
def test_an_authentication_that_cannot_work_is_refused(
    bridge, reactor, authentication, problem
):
    """Before anything connects."""
    with pytest.raises(ConfigError) as caught:
        connect(bridge, URL, reactor=reactor, authentication=authentication)
    assert caught.value.option == "authentication"
    assert problem in caught.value.problem

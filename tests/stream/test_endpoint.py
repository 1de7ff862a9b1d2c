"""The endpoint that listens for Engine.IO, and its description."""

from __future__ import annotations

import pytest
from fakes import Browser
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from zope.interface.verify import verifyObject

from twisted_engineio import CloseReason, Config, ConfigError
from twisted_engineio.stream.endpoint import EngineIOServerEndpoint, parse_endpoint

POLLING = "EIO=4&transport=polling"


class Greeter(Protocol):
    """Greets, and remembers how it ended."""

    def connectionMade(self):
        self.factory.made.append(self)
        self.transport.write(b"hello")

    def connectionLost(self, reason):
        self.factory.lost.append(reason.value)


class Greeters(Factory):
    noisy = False
    protocol = Greeter

    def __init__(self):
        self.made, self.lost, self.calls = [], [], []

    def startFactory(self):
        self.calls.append("start")

    def stopFactory(self):
        self.calls.append("stop")


@pytest.fixture
def reactor():
    return MemoryReactorClock()


@pytest.fixture
def factory():
    return Greeters()


def listen(reactor, factory, *args, **options):
    """Listen by a description; give the port."""
    endpoint = parse_endpoint(reactor, *args, **options)
    ports = []
    endpoint.listen(factory).addCallback(ports.append)
    (port,) = ports
    return port


# Descriptions.


def test_a_description_names_an_endpoint(reactor):
    """With nothing else said, all is as everywhere."""
    endpoint = parse_endpoint(reactor, "tcp:3000")
    verifyObject(IStreamServerEndpoint, endpoint)
    assert isinstance(endpoint._endpoint, TCP4ServerEndpoint)
    assert endpoint.path == "/engine.io"
    assert endpoint.config == Config()


def test_any_endpoint_will_do(reactor):
    """Whatever Twisted knows."""
    endpoint = parse_endpoint(reactor, "unix:/run/chat.sock:mode=600")
    assert isinstance(endpoint._endpoint, UNIXServerEndpoint)


def test_options_are_read_by_their_kind(reactor):
    """Numbers, yes and no, lists; a cookie is its name."""
    endpoint = parse_endpoint(
        reactor,
        "tcp:3000",
        path="/a/b",
        ping_interval="10",
        max_payload="1000",
        allow_upgrades="no",
        allow_eio3="True",
        transports="websocket, polling",
        cors="https://example.com",
        cookie="io",
        initial_packet="welcome",
        max_connections="7",
        max_sessions_per_address="8",
        max_messages_per_second="9",
    )
    assert endpoint.path == "/a/b"
    config = endpoint.config
    assert config.ping_interval == 10.0
    assert config.max_payload == 1000
    assert config.allow_upgrades is False
    assert config.allow_eio3 is True
    assert config.transports == ("websocket", "polling")
    assert config.cors == ("https://example.com",)
    assert config.cookie.name == "io"
    assert config.initial_packet == "welcome"
    limits = (
        config.max_connections,
        config.max_sessions_per_address,
        config.max_messages_per_second,
    )
    assert limits == (7, 8, 9.0)


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ([], {}, r"needs one endpoint, its colons written as \\:, not \(\)"),
        (
            ["tcp", "3000"],
            {},
            r"needs one endpoint.*'3000'.*example: engineio:tcp\\:3000",
        ),
        (["3000"], {}, "'3000' is no endpoint"),
        (["tcp"], {}, "'tcp' is no endpoint"),
        (["carrierpigeon:coop"], {}, "no endpoint: Unknown endpoint type"),
        (["tcp:"], {}, "'tcp:' is no endpoint: invalid literal"),
        (["tcp:1"], {"ping_intervall": "1"}, "did you mean ping_interval"),
        (["tcp:1"], {"ping_interval": "soon"}, "ping_interval: 'soon' is not a number"),
        (["tcp:1"], {"max_connections": "x"}, "max_connections: 'x' is not a number"),
        (["tcp:1"], {"max_connections": "0"}, "max_connections: must be a whole"),
        (["tcp:1"], {"ping_interval": "-1"}, "ping_interval: must be a number"),
        (["tcp:1"], {"allow_upgrades": "maybe"}, "one of true, yes, false, no"),
        (["tcp:1"], {"transports": "pigeon"}, "transports: 'pigeon' is unknown"),
        (["tcp:1"], {"path": "engine.io"}, "'engine.io' must be a path like"),
        (["tcp:1"], {"path": "/"}, "'/' must be a path like"),
        ([], {"tcp:1:interface": "127.0.0.1"}, r"escape the = after 'tcp:1:interface'"),
    ],
)
def test_a_mistake_is_told(reactor, args, options, message):
    """As a ValueError that says what is wrong, and what would be right."""
    with pytest.raises(ValueError, match=message):
        parse_endpoint(reactor, *args, **options)


def test_a_mistake_in_an_option_says_which(reactor):
    """As everywhere else where options are given."""
    with pytest.raises(ConfigError) as wrong:
        parse_endpoint(reactor, "tcp:1", max_payload="0")
    assert wrong.value.option == "max_payload"


# Listening.


def test_it_listens(reactor, factory):
    """The factory is started, and its protocols run over sessions."""
    port = listen(reactor, factory, "tcp:3000")
    verifyObject(IListeningPort, port)
    port.startListening()
    (listening,) = reactor.tcpServers
    assert listening[0] == 3000
    assert port.getHost().port == 3000
    assert factory.calls == ["start"]
    browser = Browser(listening[1]).get(POLLING)
    sid = browser.answer.open()["sid"]
    assert browser.answer.body.endswith(b"\x1ebaGVsbG8=")  # hello
    assert list(port.server.sessions) == [sid]
    browser.lose()


def test_it_serves_any_path(reactor, factory):
    """And nothing anywhere else."""
    port = listen(reactor, factory, "tcp:3000", path="/a/b.c/")
    site = reactor.tcpServers[0][1]
    browser = Browser(site)
    for path, status in (("/a/b.c", 200), ("/a/b.c/", 200), ("/engine.io", 404)):
        browser.send(f"GET {path}?{POLLING} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert browser.answers[-1].status == status
    assert site.engineio_mounts.server_at(b"/a/b.c") is port.server
    assert len(port.server.sessions) == 2
    browser.lose()


def test_its_options_hold(reactor, factory):
    """They are the server's."""
    port = listen(reactor, factory, "tcp:3000", ping_interval="7.5")
    assert port.server.config.ping_interval == 7.5
    assert port.server.clock is reactor


def test_it_can_be_made_without_a_description(reactor, factory):
    """From an endpoint and a Config."""
    inner = TCP4ServerEndpoint(reactor, 3000)
    endpoint = EngineIOServerEndpoint(reactor, inner)
    assert endpoint.config == Config()
    assert endpoint.listen(factory).called


def test_what_cannot_listen_starts_nothing(reactor, factory):
    """The error is the inner endpoint's."""

    def taken(*_, **__):
        raise OSError("taken")

    reactor.listenTCP = taken
    endpoint = parse_endpoint(reactor, "tcp:3000")
    failures = []
    endpoint.listen(factory).addErrback(failures.append)
    assert failures[0].check(OSError)
    assert factory.calls == []


def test_stopping_ends_the_sessions(reactor, factory):
    """They hear a goodbye, nobody is let in, and the factory is stopped last."""
    port = listen(reactor, factory, "tcp:3000")
    site = reactor.tcpServers[0][1]
    browser, late = Browser(site), Browser(site)
    query = f"{POLLING}&sid={browser.get(POLLING).answer.open()['sid']}"
    browser.get(query)
    stopped = []
    port.stopListening().addCallback(stopped.append)
    assert late.get(POLLING).answer.status == 503
    assert factory.calls == ["start"]
    reactor.advance(0)
    assert browser.answers[-1].body == b"1"
    assert stopped == []  # the socket may hold it yet
    reactor.advance(0.1)
    assert len(stopped) == 1
    assert factory.calls == ["start", "stop"]
    assert factory.made[0].transport.session.reason is CloseReason.SERVER_CLOSE
    browser.lose()
    late.lose()


def test_a_shutdown_ends_the_sessions(reactor, factory):
    """The reactor waits for them, whether or not the port is told to stop."""
    listen(reactor, factory, "tcp:3000")
    browser = Browser(reactor.tcpServers[0][1])
    browser.get(f"{POLLING}&sid={browser.get(POLLING).answer.open()['sid']}")
    [(function, args, kwargs)] = reactor.triggers["before"]["shutdown"]
    stopped = []
    function(*args, **kwargs).addCallback(stopped.append)
    reactor.advance(0)
    assert browser.answers[-1].body == b"1"
    reactor.advance(0.1)
    assert len(stopped) == 1
    browser.lose()


@pytest.mark.parametrize(
    ("options", "seconds"), [({}, 5.0), ({"drain_timeout": "2"}, 2.0)]
)
def test_stopping_waits_for_nobody_for_ever(reactor, factory, options, seconds):
    """Who does not fetch its goodbye is cut off after drain_timeout."""
    port = listen(reactor, factory, "tcp:3000", **options)
    browser = Browser(reactor.tcpServers[0][1]).get(POLLING)
    stopped = []
    port.stopListening().addCallback(stopped.append)
    reactor.advance(seconds - 0.1)
    assert len(port.server.sessions) == 1
    reactor.advance(0.1)
    reactor.advance(0)
    assert port.server.sessions == {}
    assert stopped == []
    reactor.advance(0.1)
    assert len(stopped) == 1
    assert len(factory.lost) == 1
    browser.lose()

"""The connections of a port are counted, and no more than a number are accepted."""

from __future__ import annotations

import pytest
from fakes import Browser, Onlooker
from tcp_browser import TCPBrowser
from twisted.internet.address import UNIXAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, globalLogPublisher
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.resource import Resource
from twisted.web.static import Data

from twisted_engineio import Config, EngineIOResource, EngineIOSite
from twisted_engineio.web.http1.connection_limit import (
    ConnectionLimit,
    RefusedConnection,
    limit_of,
)

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"


@pytest.fixture
def onlooker():
    """Give an observer that writes down every event."""
    return Onlooker()


@pytest.fixture
def said():
    """Write down the warnings."""
    events = []

    def hear(event):
        if event.get("log_level") is LogLevel.warn:
            events.append(event)

    globalLogPublisher.addObserver(hear)
    yield events
    globalLogPublisher.removeObserver(hear)


@pytest.fixture(params=[True, False], ids=["door", "no door"])
def connect(request, make_server, onlooker, house):
    """Connect to a site that accepts three connections, with its door or without."""
    made = []

    def connect(kind=Browser, limit=3, **options):
        if not made:
            server = make_server(observers=[onlooker], max_connections=limit)
            root = Resource()
            root.putChild(b"engine.io", EngineIOResource(server))
            root.putChild(b"", Data(b"home", "text/plain"))
            made.append(EngineIOSite(root, server, door=request.param))
        browser = kind(made[0], **options)
        house.append(browser)
        return browser

    return connect


def count(browser):
    """Tell how many connections there are."""
    return len(browser.site.engineio_mounts.connections)


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 201_000),
        ({"max_sessions": 5}, 1010),
        ({"max_sessions": None}, None),
        ({"max_connections": 7}, 7),
        ({"max_connections": 7, "max_sessions": None}, 7),
    ],
)
def test_the_default_leaves_room_for_all_sessions(options, limit):
    """Each may have two connections."""
    assert limit_of(Config(**options)) == limit


@pytest.mark.parametrize("says", [b"", b"GET / HTTP/1.1\r\n", None])
def test_a_connection_too_many_is_closed(connect, says, onlooker):
    """Whatever the others do, and those go on."""
    others = [connect() for _ in range(3)]
    for each in others:
        if says is None:
            each.get(POLLING)
        else:
            each.send(says)
    late = connect()
    assert late.wire.disconnecting
    assert [each for each in onlooker.events if each[0] == "limit_reached"]
    assert not any(each.wire.disconnecting for each in others)
    others[0].send(b"Host: x\r\n\r\n" if says else b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert others[0].answers


def test_observers_are_told_where_it_came_from(connect, onlooker):
    """Nothing else is known."""
    for _ in range(4):
        connect()
    [(_, limit, about)] = onlooker.events
    assert limit == "max_connections"
    assert about.client_address == "203.0.113.5"
    assert (about.transport, dict(about.query), dict(about.headers)) == ("", {}, {})
    connect(address=UNIXAddress("/x"))
    assert onlooker.events[-1][2].client_address is None


def test_it_is_said_once_a_minute(connect, said, clock):
    """A flood is no reason to fill the disk."""
    for _ in range(50):
        connect()
    assert len(said) == 1
    assert said[0]["limit"] == "max_connections"
    assert said[0]["count"] == 1
    others = [connect(), connect()]
    assert all(each.wire.disconnecting for each in others)
    assert len(said) == 1


def test_a_place_is_free_again_when_a_connection_ends(connect):
    """Before it said anything, after, and in the middle."""
    for says in (b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00"):
        browser = connect()
        browser.send(says) if says else None
        assert count(browser) == 1
        browser.lose()
        assert count(browser) == 0


def test_websockets_count(connect, clock):
    """As connections, each once, until it ends."""
    sockets = [connect().upgrade(WEBSOCKET) for _ in range(3)]
    assert count(sockets[0]) == 3
    assert connect().wire.disconnecting
    sockets[0].lose()
    assert count(sockets[1]) == 2
    assert connect().upgrade(WEBSOCKET).answer.status == 101
    assert count(sockets[1]) == 3


def test_an_upgrade_is_one_connection(connect):
    """It was twisted.web's, and is the WebSocket's."""
    sid = connect().get(POLLING).answer.open()["sid"]
    socket = connect().send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert count(socket) == 2
    socket.get(
        f"{WEBSOCKET}&sid={sid}",
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Version="13",
    ).turns()
    assert socket.answers[-1].status == 101
    assert count(socket) == 2
    socket.lose()
    assert count(socket) == 1


def test_without_a_limit_there_is_none(make_server, browse):
    """``max_sessions=None`` says so for both."""
    server = make_server(max_sessions=None)
    browsers = [browse(server) for _ in range(20)]
    assert not any(each.wire.disconnecting for each in browsers)


def test_over_tls_it_is_aborted():
    """TLS would wait for the client to agree."""
    wire = StringTransport()
    wire.protocol = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
    wire.protocol.makeConnection(wire)
    wire.protocol.abortConnection = wire.abortConnection
    RefusedConnection().makeConnection(wire.protocol)
    assert wire.disconnected


def test_a_connection_that_has_ended_holds_no_other_object(connect):
    """Each would keep the other in memory until the garbage is collected."""
    browser = connect()
    browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    channel = browser.wire.protocol._channel
    assert channel.owner is browser.wire.protocol
    browser.lose()
    assert channel.owner is None


# When the port stops.


def test_idle_connections_are_closed_when_the_port_stops(connect):
    """Also one that has said nothing; a request in progress comes to its end."""
    silent, idle, waiting = connect(), connect(), connect()
    idle.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    sid = waiting.get(POLLING).answer.open()["sid"]
    waiting.get(f"{POLLING}&sid={sid}")
    waiting.site.stopFactory()
    assert silent.wire.disconnecting
    assert idle.wire.disconnecting
    assert not waiting.wire.disconnecting
    waiting.site.server.sessions[sid].send("hi")
    assert waiting.answers[-1].body == b"4hi"


def test_who_reads_nothing_is_cut_off_when_the_port_stops(connect):
    """Whether its connection was to be closed or not."""
    browsers = []
    for last in (b"", b"Connection: close\r\n"):
        browser = connect(TCPBrowser)
        browser.socket.room = 0
        browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % last)
        browsers.append(browser)
    browsers[0].site.stopFactory()
    browsers[0].site.reactor.advance(0)
    assert all(each.wire.disconnected for each in browsers)


def test_a_connection_of_http_2_closes_by_itself(connect):
    """It says so to its client first; the stop leaves it alone."""
    browser = connect()
    browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    channel, protocol = browser.wire.protocol._channel, browser.wire.protocol
    protocol._channel = object()
    protocol.stop()
    protocol._channel = channel
    assert not browser.wire.disconnecting


def test_what_owns_a_connection_is_told_once():
    """And may end meanwhile."""
    stopped = []

    class Owner:
        def stop(self):
            stopped.append(self)
            connections.end(self)

    connections = ConnectionLimit(None, [])
    owners = [Owner(), Owner()]
    for each in owners:
        connections.begin(each)
        connections.begin(each)
    assert len(connections) == 2
    connections.stop()
    connections.stop()
    assert set(stopped) == set(owners)
    assert len(stopped) == 2
    connections.end(owners[0])
    assert len(connections) == 0

"""A lean WebSocket behaves as Autobahn's own does, and keeps less."""

from __future__ import annotations

import pytest
from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from twisted_engineio.transports.websocket import low_memory as lean
from twisted_engineio.transports.websocket.frames import FastWebSocketTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

WEBSOCKET = "EIO=4&transport=websocket"


def transport_of(server, browse, kind, **headers):
    """Open a session over this kind of WebSocket, and give that."""
    server.websockets.use(kind)
    known = set(server.sessions)
    browse(server).upgrade(WEBSOCKET, **headers)
    (sid,) = set(server.sessions) - known
    return server.sessions[sid].transport


@pytest.mark.parametrize("name", lean.AUTOBAHN)
def test_autobahn_still_has_what_is_known_of_it(name):
    """Private attributes may go; then this fails before anything else does."""
    assert hasattr(WebSocketServerProtocol(), name)


def test_every_first_value_is_the_one_that_autobahn_gives(server):
    """What an instance lacks, its class has; compared with Autobahn's own beginning."""
    ours = server.websockets.protocol
    theirs = WebSocketTransport.__new__(WebSocketTransport)
    theirs.factory = server.websockets
    WebSocketProtocol._connectionMade(theirs)
    made_each = {"factory", "utf8validator", "data", "state"}
    shared = {"trafficStats", "send_queue", "perMessageCompressionAccept"}
    for name, value in vars(theirs).items():
        if name not in made_each | shared:
            assert getattr(ours, name) == value, name


@pytest.mark.parametrize("read_by_autobahn", [False, True])
def test_a_handshake_is_forgotten_once_it_is_done(server, browse, read_by_autobahn):
    """Nothing of it is kept, and what Autobahn reads later is still there."""
    # The door leaves it alone if it asks for a subprotocol.
    more = {"Sec_WebSocket_Protocol": "x"} if read_by_autobahn else {}
    transport = transport_of(server, browse, FastWebSocketTransport, **more)
    assert set(vars(transport)).isdisjoint(lean.HANDSHAKE)
    assert transport.websocket_version == 13


def test_it_keeps_less_than_a_third_of_the_attributes(server, browse):
    """That is what it is for."""
    plain = transport_of(server, browse, WebSocketTransport)
    ours = transport_of(server, browse, FastWebSocketTransport)
    assert len(vars(ours)) * 3 < len(vars(plain))


def test_connections_are_counted_as_autobahn_does(server, browse):
    """For its own limit on them, which is off, and for whoever looks."""
    before = server.websockets.countConnections
    transport = transport_of(server, browse, FastWebSocketTransport)
    assert server.websockets.countConnections == before + 1
    transport.connectionLost(Failure(ConnectionDone()))
    assert server.websockets.countConnections == before


def test_each_factory_has_its_own_options(server, make_server):
    """Two servers in one process do not share a limit."""
    other = make_server(max_payload=77)
    assert other.websockets.protocol.maxMessagePayloadSize == 77
    assert server.websockets.protocol.maxMessagePayloadSize != 77


def test_it_stands_without_the_lane(server, browse):
    """The two are of use alone: this one saves on connections, that one on messages."""
    browser = browse(server)
    server.websockets.use(lean.LowMemoryWebSocketTransport)
    browser.upgrade(WEBSOCKET)
    (session,) = server.sessions.values()
    session.send("hello")
    assert browser.texts[-1] == "4hello"

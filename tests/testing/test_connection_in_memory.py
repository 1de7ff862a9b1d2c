"""TCP in memory: what waits, what is held back, and how it ends."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Protocol
from zope.interface.verify import verifyObject

from twisted_engineio.testing.connection import MemoryTransport

PEER = IPv4Address("TCP", "203.0.113.5", 4711)


class Recorder(Protocol):
    """Remembers what it hears; as a producer, what it is told."""

    def __init__(self):
        self.heard = b""
        self.lost = []
        self.told = []
        self.writes = []

    def dataReceived(self, data):
        self.heard += data

    def connectionLost(self, reason):
        self.lost.append(reason.type)

    def pauseProducing(self):
        self.told.append("pause")

    def resumeProducing(self):
        self.told.append("resume")
        if self.writes:
            self.transport.write(self.writes.pop())

    def stopProducing(self):
        self.told.append("stop")


@pytest.fixture
def client():
    """What the client hears; ``None`` is the end."""
    return []


@pytest.fixture
def wire(client):
    return MemoryTransport(PEER, client.append, lambda: client.append(None))


@pytest.fixture
def server(wire):
    protocol = Recorder()
    wire.connect(protocol)
    return protocol


def carry(wire):
    while wire.carry():
        pass


def test_it_is_a_transport(wire):
    """With the interfaces that Twisted's protocols ask for."""
    for each in (ITransport, IConsumer, IPushProducer):
        verifyObject(each, wire)
    assert wire.getPeer() == PEER
    assert wire.getHost() == IPv4Address("TCP", "192.0.2.1", 80)


def test_nothing_arrives_before_it_is_carried(wire, server, client):
    """Neither way; then everything that was written, together."""
    wire.send(b"to the ")
    wire.send(b"server")
    wire.write(b"to ")
    wire.writeSequence([b"the ", b"client"])
    assert server.heard == b""
    assert client == []
    assert wire.carry()
    assert server.heard == b"to the server"
    assert client == [b"to the client"]
    assert not wire.carry()


def test_a_server_that_pauses_hears_nothing(wire, server):
    """Not even the end, until it reads again."""
    wire.pauseProducing()
    wire.send(b"hello")
    wire.hang_up()
    assert not wire.carry()
    wire.resumeProducing()
    carry(wire)
    assert server.heard == b"hello"
    assert server.lost == [ConnectionDone]


def test_a_client_that_reads_nothing_pauses_a_producer(wire, server, client):
    """Once, above 64 KiB; and it goes on when the client does."""
    wire.registerProducer(server, True)
    wire.hold()
    wire.write(b"x" * 65_536)
    assert server.told == []
    wire.write(b"x")
    wire.write(b"x")
    assert server.told == ["pause"]
    assert not wire.carry()
    wire.release()
    carry(wire)
    assert server.told == ["pause", "resume"]
    assert len(b"".join(client)) == 65_538


def test_a_pull_producer_is_asked_for_more(wire, server, client):
    """At once, and whenever what it wrote has gone."""
    server.writes = [b"c", b"b", b"a"]
    wire.registerProducer(server, False)
    carry(wire)
    assert client == [b"a", b"b", b"c"]
    assert "pause" not in server.told


def test_the_server_closes(wire, server, client):
    """Behind what it wrote, and what its producer has to write."""
    server.writes = [b"bye"]
    wire.registerProducer(server, False)
    wire.loseConnection()
    assert wire.disconnecting
    carry(wire)
    assert client == [b"bye"]
    wire.unregisterProducer()
    carry(wire)
    assert client == [b"bye", None]
    assert server.lost == [ConnectionDone]
    wire.write(b"too late")
    assert not wire.carry()


def test_the_server_closes_though_a_producer_is_registered(wire, server, client):
    """One that pushes has pushed what it had."""
    wire.registerProducer(server, True)
    wire.loseConnection()
    carry(wire)
    assert client == [None]


def test_the_server_stops_producing(wire, server, client):
    """A consumer of what the client sends may close so."""
    wire.stopProducing()
    carry(wire)
    assert client == [None]


def test_the_server_aborts(wire, server, client):
    """At once: what is on its way is lost, and a producer told."""
    wire.registerProducer(server, True)
    wire.send(b"too late")
    wire.write(b"lost")
    wire.abortConnection()
    carry(wire)
    assert client == [None]
    assert server.heard == b""
    assert server.told == ["stop"]
    assert server.lost == [ConnectionAborted]


def test_the_client_hangs_up(wire, server, client):
    """Behind what it sent; it hears nothing more."""
    wire.send(b"bye")
    wire.hang_up()
    wire.write(b"to nobody")
    carry(wire)
    assert server.heard == b"bye"
    assert server.lost == [ConnectionDone]
    assert client == []


def test_the_client_vanishes(wire, server, client):
    """Nobody hears anything, and the server may close all the same."""
    wire.send(b"on its way")
    wire.vanish()
    wire.write(b"into the void")
    carry(wire)
    assert server.heard == b""
    assert server.lost == []
    wire.loseConnection()
    carry(wire)
    assert server.lost == [ConnectionDone]
    assert client == []

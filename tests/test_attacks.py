"""The soak's attackers do what their table says, and stop when they are told to."""

from __future__ import annotations

import pytest
from twisted.internet.testing import MemoryReactorClock, StringTransport

from soak.attacks import ATTACKS, PATIENCE, TICK, Attackers


class Handle:
    """A socket whose options are noted."""

    def __init__(self):
        self.options = []

    def setsockopt(self, *option):
        """Note it."""
        self.options.append(option)


class Connection(StringTransport):
    """A TCP transport in memory that tells its protocol when it is aborted."""

    aborted = False

    def __init__(self):
        super().__init__()
        self.handle = Handle()

    def getHandle(self):
        """Return the socket."""
        return self.handle

    def abortConnection(self):
        """Lose the connection at once."""
        self.aborted = True
        self.protocol.connectionLost()


@pytest.fixture
def attack():
    """Return what starts an attack of one client and connects it."""

    def start(name, rate=1000.0):
        reactor = MemoryReactorClock()
        attackers = Attackers(reactor, 3000, ATTACKS[name], 1, rate)
        attackers.start()
        transport = Connection()
        transport.protocol = attackers.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return reactor, attackers, transport

    return start


def test_an_attack_is_sent_at_its_rate(attack):
    """No client sends more bytes in a second than it may."""
    reactor, attackers, transport = attack("pages", rate=1000.0)
    reactor.pump([TICK] * int(2 / TICK))
    assert attackers.outcome.sent == pytest.approx(2000, abs=100)
    assert transport.value().startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n")


def test_an_attack_on_a_session_begins_with_its_id(attack):
    """What needs a session is sent once the open packet has come, and to its id."""
    reactor, _, transport = attack("upgrades")
    opening = transport.value()
    reactor.advance(TICK)
    assert transport.value() == opening
    transport.protocol.dataReceived(b'HTTP/1.1 200 OK\r\n\r\n0{"sid":"ab')
    transport.protocol.dataReceived(b'c","upgrades":[]}')
    reactor.pump([TICK] * 10)
    assert b"transport=websocket&sid=abc HTTP/1.1" in transport.value()


def test_an_attacker_that_does_not_read_has_a_small_socket(attack):
    """It reads up to the open packet, and nothing after it."""
    _, _, transport = attack("full")
    assert transport.handle.options
    assert transport.producerState == "producing"
    transport.protocol.dataReceived(b'HTTP/1.1 101\r\n\r\n\x810{"sid":"abc"}')
    assert transport.producerState == "paused"


def test_last_bytes_are_sent_once_and_the_server_is_to_end_it(attack):
    """A client with last bytes is left alone when an attack stops, and counted."""
    reactor, attackers, transport = attack("full-close")
    transport.protocol.dataReceived(b'HTTP/1.1 101\r\n\r\n\x810{"sid":"abc"}')
    transport.clear()
    reactor.pump([TICK] * int((PATIENCE + 1) / TICK))
    assert transport.value() == ATTACKS["full-close"].last
    attackers.stop()
    assert transport.value() == ATTACKS["full-close"].last
    assert not transport.aborted
    assert attackers.kill() == 1
    assert transport.aborted
    assert attackers.kill() == 0


def test_a_connection_that_the_server_ended_is_opened_again(attack):
    """Until the attack stops: then all are reset, and nothing is left to be called."""
    reactor, attackers, transport = attack("pings")
    transport.protocol.connectionLost()
    assert len(reactor.tcpClients) == 1
    reactor.advance(1)
    assert len(reactor.tcpClients) == 2
    assert attackers.outcome.ended == 1
    attackers.clientConnectionFailed(None, None)
    attackers.stop()
    assert not reactor.getDelayedCalls()


def test_a_full_socket_holds_an_attacker_back(attack):
    """What the server does not read is not piled up on this side."""
    reactor, attackers, transport = attack("pages")
    transport.protocol.pauseProducing()
    reactor.advance(1)
    assert attackers.outcome.sent == 0
    transport.protocol.resumeProducing()
    reactor.advance(1)
    assert attackers.outcome.sent > 0

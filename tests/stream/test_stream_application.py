"""Any Twisted protocol over a session: as a protocol would find it over TCP."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    ILoggingContext,
    IPushProducer,
    ISSLTransport,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.protocols.policies import LimitTotalConnectionsFactory
from twisted.python import log
from zope.interface.verify import verifyObject

from twisted_engineio import CloseReason, Config, Reject
from twisted_engineio.stream.application import (
    SessionLost,
    StreamApplication,
    StreamTransport,
    wrap,
)
from twisted_engineio.stream.transport import PIECE
from twisted_engineio.testing import HandshakeRefused, MemoryServer

EVERYTHING = ("polling", "sse", "websocket")


class Recorder(Protocol):
    """A protocol that writes down what it is told."""

    def __init__(self):
        self.heard = []
        self.lost = []
        self.on_made = lambda: None
        self.on_data = lambda data: None
        self.on_lost = lambda: None

    def connectionMade(self):
        self.on_made()

    def dataReceived(self, data):
        self.heard.append(data)
        self.on_data(data)

    def connectionLost(self, reason):
        self.lost.append(reason.value)
        self.on_lost()


class Recorders(Factory):
    """Makes them, and remembers them."""

    noisy = False

    def __init__(self):
        self.made = []
        self.addresses = []
        self.refuses = False
        self.on_build = lambda protocol: None

    def buildProtocol(self, addr):
        self.addresses.append(addr)
        if self.refuses:
            return None
        protocol = Recorder()
        self.on_build(protocol)
        self.made.append(protocol)
        return protocol


class Producer:
    """A producer that writes so many pieces: pushing, or when it is asked."""

    def __init__(self, consumer, pieces=()):
        self.consumer = consumer
        self.pieces = list(pieces)
        self.told = []

    def pauseProducing(self):
        self.told.append("pause")

    def resumeProducing(self):
        self.told.append("resume")
        if self.pieces:
            self.consumer.write(self.pieces.pop(0))
        else:
            self.consumer.unregisterProducer()

    def stopProducing(self):
        self.told.append("stop")


@pytest.fixture
def factory():
    return Recorders()


@pytest.fixture
def server(factory):
    with MemoryServer(wrap(factory), Config(transports=EVERYTHING)) as server:
        yield server


@pytest.fixture(params=EVERYTHING)
def transport(request):
    return request.param


@pytest.fixture
def client(server, transport):
    return server.connect(transport)


@pytest.fixture
def protocol(factory, client):
    return factory.made[0]


# Connecting.


def test_each_session_has_a_protocol(server, factory):
    """Made by the factory, which is told the client's address and was started."""
    server.connect(address="203.0.113.9")
    server.connect("websocket", address="2001:db8::1")
    assert factory.addresses == [
        IPv4Address("TCP", "203.0.113.9", 0),
        IPv6Address("TCP", "2001:db8::1", 0),
    ]
    assert factory.numPorts == 1


def test_its_transport_is_what_twisted_s_protocols_expect(protocol):
    """A transport and a consumer, and a producer of what the client sends."""
    transport = protocol.transport
    for each in (ITransport, IConsumer, IPushProducer, ILoggingContext):
        verifyObject(each, transport)
    assert transport.getHost() == IPv4Address("TCP", "192.0.2.1", 80)
    assert transport.getPeer() == IPv4Address("TCP", "203.0.113.5", 0)
    assert transport.session.handshake.headers["host"] == "example.com"
    assert transport.protocol is protocol
    assert not ISSLTransport.providedBy(transport)


def test_tls_shows(server, factory, transport):
    """As an interface, for protocols ask for that; there is no certificate."""
    server.connect(transport, secure=True)
    stream = factory.made[0].transport
    verifyObject(ISSLTransport, stream)
    assert stream.getPeerCertificate() is None


def test_it_takes_tcp_s_options(protocol):
    """Protocols set them without asking; they change nothing."""
    protocol.transport.setTcpNoDelay(False)
    protocol.transport.setTcpKeepAlive(False)
    assert protocol.transport.getTcpNoDelay()
    assert protocol.transport.getTcpKeepAlive()


def test_a_unix_socket_has_no_address(session):
    """A proxy in front says who the client is, if it is trusted."""
    assert StreamTransport(session).getPeer() == UNIXAddress(None)
    assert StreamTransport(session).getHost() == UNIXAddress(None)


def test_a_log_shows_whose_it_is(factory, protocol):
    """What a protocol logs, also from a producer, has the session in its prefix."""
    systems = []

    def note(*_):
        systems.append(log.context.get(log.ILogContext)["system"])

    stream = protocol.transport
    protocol.on_data = note
    stream.session.server.settle()
    stream.deliver(b"hello")
    assert systems == [stream.logPrefix()]
    sid = stream.session.sid
    assert stream.logPrefix() == f"Recorder,{sid[:6]},203.0.113.5"


def test_a_protocol_needs_no_log_prefix(session):
    """Then its class's name is it."""

    class Bare:
        def makeConnection(self, transport):
            transport.loseConnection()

    stream = StreamTransport(session)
    stream.connect(Bare())
    assert stream.logPrefix().startswith("Bare,")
    session.server.clock.advance(0)
    stream.lost = lambda reason: None


def test_a_factory_may_refuse(server, factory, transport):
    """Without a protocol the session ends at once, and nothing is delivered."""
    factory.refuses = True
    client = server.connect(transport)
    assert not client.is_open
    assert client.session.reason is CloseReason.FORCED_CLOSE


def test_a_factory_that_counts_is_not_confused(factory):
    """Twisted's own limit of connections holds, and lets go."""
    limited = LimitTotalConnectionsFactory()
    limited.connectionLimit = 1
    limited.protocol = Recorder
    limited.noisy = False
    with MemoryServer(wrap(limited)) as server:
        first = server.connect()
        assert not server.connect().is_open
        first.close()
        assert server.connect().is_open


def test_a_subclass_sees_the_handshake_first(factory):
    """An application that refuses is asked before there is a protocol."""

    class Guarded(StreamApplication):
        def admit(self, handshake):
            raise Reject(401, "Who are you?")

    server = MemoryServer(Guarded(factory))
    with pytest.raises(HandshakeRefused, match="401"):
        server.connect()
    assert factory.made == []


def test_a_protocol_that_fails_ends_its_session(server, factory, transport, logged):
    """And no other; it is told, as by TCP."""

    def on_build(protocol):
        protocol.on_made = lambda: 1 / 0

    other = server.connect()
    factory.on_build = on_build
    with pytest.raises((HandshakeRefused, AssertionError)):
        assert server.connect(transport).is_open
    logged.take(ZeroDivisionError)
    (lost,) = factory.made[1].lost
    assert lost.reason is CloseReason.APPLICATION_ERROR
    assert other.is_open


# Reading.


def test_what_a_client_sends_is_a_stream(client, protocol):
    """Text and bytes alike; where a message ends means nothing."""
    client.send(b"\x00\xff")
    client.send("käse")
    client.send("")
    assert b"".join(protocol.heard) == b"\x00\xff" + "käse".encode()


def test_a_protocol_that_pauses_hears_nothing(server, client, protocol):
    """Not even what has come already, until it resumes; and then in order."""
    protocol.on_data = lambda _: protocol.transport.pauseProducing()
    for each in "abc":
        client.send(each)
    assert protocol.heard == [b"a"]
    protocol.transport.resumeProducing()
    assert protocol.heard == [b"a"]  # nothing calls back
    server.settle()
    assert protocol.heard == [b"a", b"b"]
    protocol.on_data = lambda _: None
    protocol.transport.resumeProducing()
    server.settle()
    assert protocol.heard == [b"a", b"b", b"c"]


def test_a_protocol_may_pause_from_the_beginning(server, factory, transport):
    """In connectionMade, as a proxy does."""
    factory.on_build = lambda protocol: setattr(
        protocol, "on_made", lambda: protocol.transport.pauseProducing()
    )
    client = server.connect(transport)
    (protocol,) = factory.made
    client.send("a")
    assert protocol.heard == []
    protocol.transport.resumeProducing()
    server.settle()
    assert protocol.heard == [b"a"]


def test_a_protocol_may_pause_at_any_time(server, client, protocol):
    """And change its mind: only what it said last counts."""
    stream = protocol.transport
    stream.pauseProducing()
    client.send("a")
    stream.resumeProducing()
    stream.pauseProducing()
    server.settle()
    assert protocol.heard == []
    stream.resumeProducing()
    server.settle()
    assert protocol.heard == [b"a"]
    stream.pauseProducing()
    stream.resumeProducing()
    client.send("b")
    assert protocol.heard == [b"a", b"b"]


def test_a_client_that_is_not_read_is_not_given_up(server, client, protocol):
    """Its pongs wait with the rest."""
    protocol.on_data = lambda _: protocol.transport.pauseProducing()
    client.send("a")
    client.send("b")
    server.advance(300)
    protocol.transport.resumeProducing()
    server.settle()
    assert protocol.heard == [b"a", b"b"]
    assert client.is_open


def test_a_session_that_ends_while_it_is_paused_delivers_nothing(
    server, client, protocol
):
    """Resuming then does nothing."""
    protocol.on_data = lambda _: protocol.transport.pauseProducing()
    client.send("a")
    client.send("b")
    client.session.abort()
    server.settle()
    protocol.transport.resumeProducing()
    server.settle()
    assert protocol.heard == [b"a"]
    assert len(protocol.lost) == 1


def test_pauses_hold_across_an_upgrade(server, factory):
    """The new transport is not read either."""
    client = server.connect()
    (protocol,) = factory.made
    client.send("a")
    protocol.transport.pauseProducing()
    client.upgrade()
    client.send("b")
    client.send("c")
    assert protocol.heard == [b"a"]
    protocol.transport.resumeProducing()
    server.settle()
    assert protocol.heard == [b"a", b"b", b"c"]


# Writing.


def test_what_a_protocol_writes_in_a_turn_leaves_together(server, client, protocol):
    """As one message, from wherever it is written."""
    protocol.on_data = lambda _: protocol.transport.writeSequence([b"x", b"y"])
    protocol.transport.write(b"a")
    protocol.transport.write(bytearray(b"b"))
    protocol.transport.write(memoryview(b"c"))
    protocol.transport.write(b"")
    assert client.received == [b"abc"]
    client.send("more")
    assert client.received == [b"abc", b"xy"]


@pytest.mark.parametrize("wrong", ["text", 7, None])
def test_only_bytes_are_written(protocol, wrong):
    """As by TCP."""
    with pytest.raises(TypeError):
        protocol.transport.write(wrong)


def test_much_is_cut(server, client, protocol):
    """No client is sent a message that it may take for too much."""
    data = bytes(range(256)) * 1000
    protocol.transport.write(data)
    assert b"".join(client.received) == data
    assert max(map(len, client.received)) == PIECE


def test_more_than_max_buffered_ends_a_slow_client(factory):
    """A protocol that writes without a producer is bounded as any application."""
    config = Config(max_buffered=100_000)
    with MemoryServer(wrap(factory), config) as server:
        client = server.connect()
        client.stop_reading()
        factory.made[0].transport.write(b"x" * 200_000)
        server.settle()
        (lost,) = factory.made[0].lost
        assert lost.reason is CloseReason.SLOW_CLIENT


# Producers.


def test_a_push_producer_is_paused(server, client, protocol):
    """When the client reads too slowly, and resumed when it has read."""
    stream = protocol.transport
    client.stop_reading()
    stream.write(b"x")
    server.settle()  # a poll that waits is answered with it
    producer = Producer(stream)
    stream.registerProducer(producer, True)
    assert producer.told == []
    written = 1
    while not producer.told:
        stream.write(b"x" * 10_000)
        written += 10_000
    assert producer.told == ["pause"]
    stream.write(b"y" * PIECE)
    assert producer.told == ["pause"]
    server.settle()
    assert producer.told == ["pause"]
    producer.pieces = [b"z"]
    client.read_on()
    assert producer.told == ["pause", "resume"]
    assert b"".join(client.received) == b"x" * written + b"y" * PIECE + b"z"


def test_a_new_producer_is_paused_too(server, client, protocol):
    """Nobody is told to write while there is no room."""
    stream = protocol.transport
    client.stop_reading()
    for _ in range(4):
        stream.write(b"x" * 2 * PIECE)
    server.settle()
    pulling = Producer(stream)
    stream.registerProducer(pulling, False)
    server.settle()
    assert pulling.told == []
    stream.unregisterProducer()
    pushing = Producer(stream)
    stream.registerProducer(pushing, True)
    stream.write(b"y")
    server.settle()
    assert pushing.told == ["pause"]
    stream.unregisterProducer()
    client.read_on()
    assert b"".join(client.received) == b"x" * 8 * PIECE + b"y"


def test_a_pull_producer_is_asked(server, client, protocol):
    """For one piece after another, in turns of their own."""
    stream = protocol.transport
    producer = Producer(stream, [b"a", b"b", b"c"])
    stream.registerProducer(producer, False)
    assert producer.told == []  # nothing calls back
    assert client.received == [b"a", b"b", b"c"]
    assert producer.told == ["resume"] * 4


def test_a_pull_producer_waits_for_the_client(server, client, protocol):
    """A file is read as fast as it leaves."""
    client.stop_reading()
    data = bytes(range(256)) * 4_000
    file = io.BytesIO(data)
    sending = FileSender().beginFileTransfer(file, protocol.transport)
    server.settle()
    assert not sending.called
    assert file.tell() < len(data) / 2
    client.read_on()
    assert sending.called
    assert b"".join(client.received) == data


def test_there_is_one_producer(protocol):
    """As by TCP."""
    protocol.transport.registerProducer(Producer(None), True)
    with pytest.raises(RuntimeError, match="was not unregistered"):
        protocol.transport.registerProducer(Producer(None), True)
    protocol.transport.unregisterProducer()


def test_a_producer_is_stopped_when_the_session_ends(server, client, protocol):
    """And one that comes too late is stopped at once."""
    producer, late = Producer(protocol.transport), Producer(protocol.transport)
    protocol.transport.registerProducer(producer, True)
    client.close()
    assert producer.told == ["stop"]
    protocol.transport.registerProducer(late, True)
    assert late.told == ["stop"]


def test_a_producer_that_fails_ends_its_session(server, client, protocol, logged):
    """As a protocol that fails."""
    producer = Producer(protocol.transport)
    producer.resumeProducing = lambda: 1 / 0
    protocol.transport.registerProducer(producer, False)
    assert not client.is_open
    logged.take(ZeroDivisionError)
    assert protocol.lost[0].reason is CloseReason.APPLICATION_ERROR


def test_a_producer_that_fails_to_stop(server, client, protocol, logged):
    """Keeps nothing from its protocol."""
    producer = Producer(protocol.transport)
    producer.stopProducing = lambda: 1 / 0
    protocol.transport.registerProducer(producer, True)
    client.close()
    logged.take(ZeroDivisionError)
    assert [type(each) for each in protocol.lost] == [ConnectionDone]


# The end.


def test_a_protocol_closes(server, client, protocol):
    """Behind all that it has written; what comes meanwhile is not delivered."""
    stream = protocol.transport
    stream.write(b"a")
    stream.loseConnection()
    stream.write(b"b")
    stream.loseConnection()
    assert stream.disconnecting
    assert stream.deliver(b"too late") is None
    assert client.received == [b"ab"]
    assert not client.is_open
    assert [type(each) for each in protocol.lost] == [ConnectionDone]
    assert protocol.heard == []
    stream.write(b"to nobody")
    server.assert_nothing_left()


@pytest.mark.parametrize("how", ["loseWriteConnection", "stopProducing"])
def test_there_are_other_ways_to_close(client, protocol, how):
    """No half is left open."""
    protocol.transport.write(b"bye")
    getattr(protocol.transport, how)()
    assert client.received == [b"bye"]
    assert not client.is_open


def test_a_close_waits_for_a_producer(client, protocol):
    """Of one that pulls, until it is unregistered, as by TCP."""
    stream = protocol.transport
    stream.registerProducer(Producer(stream, [b"a", b"b"]), False)
    stream.loseConnection()
    assert client.received == [b"a", b"b"]
    assert not client.is_open


def test_a_close_waits_for_a_producer_that_takes_its_time(server, client, protocol):
    """One that pulls was asked, and has yet to write."""
    stream = protocol.transport
    producer = Producer(stream)
    producer.resumeProducing = lambda: producer.told.append("resume")
    stream.registerProducer(producer, False)
    server.settle()
    stream.loseConnection()
    assert client.is_open
    stream.write(b"at last")
    assert client.received == [b"at last"]
    assert producer.told == ["resume", "resume"]
    stream.unregisterProducer()
    assert not client.is_open


def test_a_close_waits_for_a_paused_producer(server, client, protocol):
    """It is asked to write on, and may; then it is done."""
    stream = protocol.transport
    client.stop_reading()
    producer = Producer(stream, [b"last"])
    stream.registerProducer(producer, True)
    stream.write(b"x" * 40 * PIECE)
    stream.loseConnection()
    server.settle()
    assert producer.told == ["pause"]
    client.read_on()
    assert b"".join(client.received) == b"x" * 40 * PIECE + b"last"
    assert producer.told == ["pause", "resume", "stop"]
    assert not client.is_open


def test_a_close_does_not_wait_for_who_pushes(client, protocol):
    """Two transports that are each other's producer both close, as by TCP."""
    producer = Producer(protocol.transport)
    protocol.transport.registerProducer(producer, True)
    protocol.transport.write(b"bye")
    protocol.transport.loseConnection()
    assert client.received == [b"bye"]
    assert not client.is_open
    assert producer.told == ["stop"]


def test_a_close_waits_for_a_slow_client(server, client, protocol):
    """As long as it lives: close_timeout is only for the goodbye."""
    client.stop_reading()
    data = b"x" * 40 * PIECE  # more than one answer to a poll takes
    protocol.transport.write(data)
    protocol.transport.loseConnection()
    server.advance(40)
    assert protocol.lost == []
    assert b"".join(client.received) == b""
    client.read_on()
    assert b"".join(client.received) == data
    server.advance(30)
    assert [type(each) for each in protocol.lost] == [ConnectionDone]


def test_a_slow_client_may_die_before_a_close(server, client, protocol):
    """Then that is how it ends."""
    client.stop_reading()
    protocol.transport.write(b"x" * 8 * PIECE)
    protocol.transport.loseConnection()
    server.settle()
    client.vanish()
    server.advance(45)
    assert len(protocol.lost) == 1


def test_a_protocol_aborts(server, client, protocol):
    """At once: what is written is lost."""
    stream = protocol.transport
    stream.write(b"lost")
    stream.abortConnection()
    stream.abortConnection()
    assert protocol.lost == []  # nothing calls back
    assert client.received == []
    assert not client.is_open
    assert [type(each) for each in protocol.lost] == [ConnectionAborted]
    late = Producer(stream)
    stream.registerProducer(late, False)
    assert late.told == ["stop"]


def test_a_protocol_may_abort_what_it_closes(server, client, protocol):
    """It will not wait any longer."""
    client.stop_reading()
    protocol.transport.write(b"x" * 8 * PIECE)
    protocol.transport.loseConnection()
    server.settle()
    protocol.transport.abortConnection()
    server.settle()
    assert [type(each) for each in protocol.lost] == [ConnectionAborted]


@pytest.mark.parametrize("reason", CloseReason)
def test_a_protocol_is_told_why(client, protocol, reason):
    """A goodbye is ConnectionDone; anything else is lost, with the reason."""
    client.session.fail(reason)
    (lost,) = protocol.lost
    if reason.value in ("transport close", "forced close", "server close"):
        assert type(lost) is ConnectionDone
    else:
        assert type(lost) is SessionLost
        assert lost.reason is reason
        assert isinstance(lost, ConnectionLost)
        assert str(lost).endswith(f": {reason.value}.")


def test_a_client_that_leaves_is_done(server, client, protocol):
    """Whatever it said before is delivered."""
    client.send("bye")
    client.close()
    assert protocol.heard == [b"bye"]
    assert [type(each) for each in protocol.lost] == [ConnectionDone]


def test_a_session_may_be_closed_by_others(server, client, protocol):
    """What a protocol writes from then on reaches nobody."""
    stream = protocol.transport
    producer = Producer(stream, [b"too late"] * 3)
    stream.registerProducer(producer, False)
    stream.write(b"too late")
    protocol.on_lost = lambda: stream.write(b"too late")
    client.session.close()
    assert client.received == []
    assert not client.is_open
    assert [type(each) for each in protocol.lost] == [ConnectionDone]
    assert producer.told == ["stop"]


# All together.


# Polling separates its packets with a character that no text may have then.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x1e"), max_size=9)
SIZES = st.integers(1, 20) | st.sampled_from([40_000, 2 * PIECE, 3 * PIECE])
STEPS = st.one_of(
    st.tuples(st.just("write"), SIZES),
    st.tuples(st.just("pull"), st.lists(SIZES, max_size=3)),
    st.tuples(st.just("send"), TEXTS | st.binary(max_size=50)),
    *(
        st.tuples(st.just(name), st.none())
        for name in ("pause", "resume", "stop reading", "read on", "wait", "move")
    ),
)


class Play:
    """A protocol and its client, which do what they are told in any order."""

    def __init__(self, server, factory, transport):
        self.server = server
        self.client = server.connect(transport)
        (self.protocol,) = factory.made
        self.stream = self.protocol.transport
        self.written, self.sent = [], []

    def step(self, what, data):
        stream, client = self.stream, self.client
        if what in ("write", "pull") and stream._producer is not None:
            return  # what others write stands anywhere in between
        if what == "write":
            stream.write(self.piece(data))
        elif what == "pull":
            pieces = [self.piece(each) for each in data]
            stream.registerProducer(Producer(stream, pieces), False)
        elif what == "send" and client.is_open:
            client.send(data)
            self.sent.append(data if isinstance(data, bytes) else data.encode())
        elif what == "move":
            client.read_on()
            if client._candidate is None and "websocket" in client._upgrades:
                client.upgrade()
        elif what in ("pause", "resume"):
            getattr(stream, f"{what}Producing")()
        elif what in ("stop reading", "read on"):
            getattr(client, what.replace(" ", "_"))()
        elif what == "wait":
            self.server.advance(1)

    def piece(self, size):
        """Make bytes that no other piece has."""
        piece = bytes([len(self.written) % 256]) * size
        self.written.append(piece)
        return piece


@given(st.sampled_from(EVERYTHING), st.lists(STEPS, max_size=20))
def test_a_stream_is_a_stream(transport, steps):
    """
    Whatever is written arrives, in order, both ways.

    With pauses, producers, slow readers and upgrades in between, in any order.
    """
    factory = Recorders()
    config = Config(transports=EVERYTHING, max_buffered=100 * PIECE)
    with MemoryServer(wrap(factory), config) as server:
        play = Play(server, factory, transport)
        for what, data in steps:
            play.step(what, data)
        play.client.read_on()
        play.stream.resumeProducing()
        server.settle()
        assert b"".join(play.client.received) == b"".join(play.written)
        assert b"".join(play.protocol.heard) == b"".join(play.sent)
        assert play.client.is_open


def test_a_protocol_of_twisted_s_own():
    """A LineReceiver closes in the middle of what it is given, and reads no further."""

    class Lines(LineReceiver):
        def lineReceived(self, line):
            self.sendLine(line.upper())
            if line == b"quit":
                self.transport.loseConnection()

    factory = Factory.forProtocol(Lines)
    factory.noisy = False
    with MemoryServer(wrap(factory)) as server:
        client = server.connect()
        client.send("one\r\ntw")
        client.send(b"o\r\nquit\r\nthree\r\n")
        assert b"".join(client.received) == b"ONE\r\nTWO\r\nQUIT\r\n"
        assert not client.is_open

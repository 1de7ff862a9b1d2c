"""What waits for a socket that is full."""

from __future__ import annotations

from collections import deque

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web._http2 import H2Connection, H2Stream
from twisted.web.http_headers import Headers

from twisted_engineio.transports.write_buffer import (
    STREAMS,
    TWISTED,
    pause_above,
    unsent,
)


class Socket(FileDescriptor):
    """A transport whose socket takes as many bytes as a test says."""

    room = 0

    def __init__(self):
        super().__init__(MemoryReactor())
        self.connected = True

    def writeSomeData(self, data):
        taken = min(len(data), self.room)
        self.room -= taken
        return taken


class Producer:
    """Writes down what it is told."""

    def __init__(self):
        self.calls = []

    def pauseProducing(self):
        self.calls.append("pause")

    def resumeProducing(self):
        self.calls.append("resume")


def wrapped(transport):
    """Put a layer around it, as TLS does."""
    factory = WrappingFactory(Factory.forProtocol(Protocol))
    wrapper = ProtocolWrapper(factory, Protocol())
    wrapper.transport = transport
    return wrapper


def test_what_a_stream_of_http_2_holds_is_counted():
    """Bytes, and not what marks its end; when it is over, nothing."""
    connection, site = H2Connection(), Factory()
    connection.makeConnection(StringTransport())
    stream = H2Stream(
        1, connection, [], lambda *args, **options: Streamed(), site, site
    )
    assert unsent(stream) == 0
    connection._outboundStreamQueues[1] = deque([b"x" * 10, object(), b"y"])
    assert unsent(stream) == 11
    assert all(hasattr(stream, name) for name in STREAMS[:2])
    assert hasattr(connection, STREAMS[2])
    connection.setTimeout(None)


class Streamed:
    """A request that is told its headers."""

    def __init__(self):
        self.requestHeaders = Headers()

    def gotLength(self, length):
        pass

    def parseCookies(self):
        pass


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_what_the_socket_has_not_taken_is_counted(layers):
    """Whatever has been written, taken, and written again; under any layers."""
    socket = seen = Socket()
    for _ in range(layers):
        seen = wrapped(seen)
    assert unsent(seen) == 0
    socket.write(b"x" * 100)
    socket.writeSequence([b"y" * 20, b"z" * 3])
    assert unsent(seen) == 123
    socket.room = 50
    socket.doWrite()
    assert unsent(seen) == 73
    socket.write(b"w" * 7)
    assert unsent(seen) == 80
    socket.room = 1000
    socket.doWrite()
    assert unsent(seen) == 0


@pytest.mark.parametrize("transport", [None, StringTransport(), object()])
def test_what_is_no_socket_holds_nothing(transport):
    """An HTTP/2 stream, a test's transport, a connection that is gone."""
    pause_above(transport, 10)
    assert unsent(transport) == 0
    assert not hasattr(transport, "bufferSize")


@pytest.mark.parametrize("layers", [0, 1])
def test_a_transport_pauses_above_the_size_that_it_is_given(layers):
    """And not at it; it resumes when nothing waits any more."""
    socket, producer = Socket(), Producer()
    pause_above(wrapped(socket) if layers else socket, 10)
    socket.registerProducer(producer, True)
    socket.write(b"x" * 10)
    assert producer.calls == []
    socket.write(b"y")
    assert producer.calls == ["pause"]
    socket.room = 10
    socket.doWrite()
    assert producer.calls == ["pause"]
    socket.room = 10
    socket.doWrite()
    assert producer.calls == ["pause", "resume"]


@pytest.mark.parametrize("name", TWISTED)
def test_twisted_still_has_what_is_read(name):
    """A release that renames it shows here."""
    assert hasattr(Socket(), name)

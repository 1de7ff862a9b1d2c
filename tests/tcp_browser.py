"""A client in memory on Twisted's own TCP transport, over a socket that is none."""

from __future__ import annotations

from dataclasses import dataclass
from errno import EWOULDBLOCK
from types import SimpleNamespace

from fakes import Browser, read_answers, read_frames
from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from twisted_engineio.transports.websocket import frames as fastlane

__all__ = ["TCPBrowser"]


class Socket:
    """
    A socket that takes as many bytes as the test lets it.

    Attributes:
        sent: The bytes that it took.
        sends: How often it was asked to.
        more: Those that were to wait for what comes next.
        calls: What else it was told.
        options: What was set on it.
        waiting: What may be read of it; ``b""`` if the other end has closed, ``None``
            if there is nothing yet.
        room: How many it takes; ``None`` for all.

    """

    def __init__(self):
        self.sent = b""
        self.sends = 0
        self.more = b""
        self.calls = []
        self.options = []
        self.room = None
        self.waiting = None

    def send(self, data, flags=0):
        self.sends += 1
        if self.room == 0:
            raise BlockingIOError
        taken = bytes(data[: self.room])
        if self.room is not None:
            self.room -= len(taken)
        self.sent += taken
        if flags & fastlane._MORE:
            self.more += taken
        return len(taken)

    def recv(self, size):
        if self.waiting is None:
            raise BlockingIOError(EWOULDBLOCK, "there is nothing yet")
        data, self.waiting = self.waiting, None
        return data

    def shutdown(self, how):
        self.calls.append("shutdown")

    def close(self):
        self.calls.append("close")

    def setblocking(self, flag):
        pass

    def setsockopt(self, *option):
        self.options.append(option)

    def fileno(self):
        return -1

    def getsockname(self):
        return "203.0.113.1", 80


class Reactor:
    """A reactor that knows whether somebody wants to write."""

    def __init__(self, clock):
        self.writers = set()
        self.callLater = clock.callLater

    def addReader(self, reader):
        pass

    removeReader = addReader

    def addWriter(self, writer):
        self.writers.add(writer)

    def removeWriter(self, writer):
        self.writers.discard(writer)


@dataclass(eq=False)
class TCPBrowser(Browser):
    """
    A client whose connection is Twisted's own TCP transport, but for the socket.

    Attributes:
        early: What it has sent before it is accepted, as ``Socket.waiting``.

    """

    early: bytes | None = None

    def __post_init__(self):
        self.socket, self.reactor = Socket(), Reactor(self.site.server.clock)
        self.socket.waiting = self.early
        protocol = self.site.buildProtocol(self.address)
        here = IPv4Address("TCP", "203.0.113.1", 80)
        port = SimpleNamespace(_realPortNumber=80, getHost=lambda: here)
        there = (self.address.host, self.address.port)
        self.wire = tcp.Server(self.socket, protocol, there, port, 1, self.reactor)
        self.wire.getHost = port.getHost
        protocol.makeConnection(self.wire)

    def turn(self):
        """Let the reactor write what waits."""
        while self.wire in self.wire.reactor.writers and self.socket.room != 0:
            self.wire.doWrite()

    @property
    def answers(self):
        return read_answers(self.socket.sent)[0]

    @property
    def frames(self):
        return read_frames(read_answers(self.socket.sent)[1])

    def lose(self):
        if self.wire.connected:
            self.wire.connected = 0
            self.wire.protocol.connectionLost(Failure(ConnectionDone()))

"""A server and its WebSocket sessions on StringTransports: bytes in, bytes out."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource

from benchmarks import wire
from twisted_engineio import (
    Application,
    EngineIOResource,
    EngineIOSite,
    Server,
    Session,
)


class Silent(Application):
    """Takes messages and does nothing."""

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Do nothing."""


class Echo(Application):
    """Sends every message back."""

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Send it back."""
        session.send(data)


class Connection(StringTransport):
    """A client's end of a connection; ``protocol`` is whoever owns the other end."""

    protocol: Protocol
    disconnected = False

    def feed(self, data: bytes) -> None:
        """Give the server what a client sends."""
        self.protocol.dataReceived(data)

    def take(self) -> bytes:
        """Return what the server has sent, once."""
        sent: bytes = self.value()
        self.clear()
        return sent


class House:
    """A server on a clock that stands still until it is told."""

    def __init__(self, application: Application, **options: Any) -> None:
        """Build the server as ``twistd engineio`` does."""
        self.clock = Clock()
        self.server = Server(application, clock=self.clock, **options)
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(self.server))
        self.site = EngineIOSite(root, self.server)

    def connect(self) -> Connection:
        """Open a connection."""
        connection = Connection()
        protocol = self.site.buildProtocol(connection.getPeer())
        connection.protocol = protocol
        protocol.makeConnection(connection)
        return connection

    def websocket(self) -> tuple[Connection, Session]:
        """Open a WebSocket session."""
        known = set(self.server.sessions)
        connection = self.connect()
        connection.feed(wire.upgrade_request(80).replace(b":80\r\n", b"\r\n"))
        self.clock.advance(0.001)
        answer = connection.take()
        assert answer.startswith(b"HTTP/1.1 101"), answer
        (sid,) = set(self.server.sessions) - known
        return connection, self.server.sessions[sid]

    def turn(self) -> None:
        """Let one turn of the reactor pass."""
        self.clock.advance(0)

"""A TCP proxy that can stop to forward: how a pulled cable looks from both ends."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
)
from twisted.internet.protocol import Factory, Protocol


class Half(Protocol):
    """One end of a connection that goes through; ``other`` is the other."""

    transport: Any
    other: Half | None = None

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self._waiting = b""

    def connectionMade(self) -> None:
        """Be one of the ends that can be frozen."""
        self._cable.halves.append(self)

    def join(self, other: Half) -> None:
        """Know the other end, and hand over what came before."""
        self.other = other
        other.transport.write(self._waiting)

    def dataReceived(self, data: bytes) -> None:
        """Hand it over."""
        if self.other is None:
            self._waiting += data
        else:
            self.other.transport.write(data)

    def connectionLost(self, *_: object) -> None:
        """Hand that over too, unless the cable is out."""
        if self.other is not None and not self._cable.is_out:
            self.other.transport.loseConnection()


class Cable(Factory):
    """
    Between clients and a server.

    Attributes:
        is_out: Whether it is pulled out.
        port: Where clients connect to.
        halves: The ends of all connections.

    """

    noisy = False

    def __init__(self) -> None:
        self.is_out = False
        self.port = 0
        self.halves: list[Half] = []
        self._server = 0
        self._listening: Any = None

    async def plug(self, server: int) -> None:
        """Begin to forward to a port."""
        self._server = server
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self._listening = await endpoint.listen(self)
        self.port = self._listening.getHost().port

    def buildProtocol(self, address: object) -> Half:
        """Connect on to the server."""
        near = Half(self)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self._server)
        connected = connectProtocol(endpoint, Half(self))
        connected.addCallback(self._join, near)
        return near

    def _join(self, far: Half, near: Half) -> None:
        near.join(far)
        far.join(near)

    def pull(self) -> None:
        """Forward nothing any more, not even that somebody hangs up."""
        self.is_out = True
        for each in self.halves:
            each.transport.pauseProducing()

    async def tidy_up(self) -> None:
        """Leave nothing behind."""
        self.is_out = True
        await self._listening.stopListening()
        for each in self.halves:
            each.transport.abortConnection()

"""
A TCP connection in memory: data written at one end is delivered to the other on demand.

Rules of this file:

1. Nothing is delivered during a call. Written data waits until ``carry`` is called.
2. It has TCP's back-pressure: a server that has paused reading receives nothing, and
   its producer is paused when 64 KiB are unread by the client.
3. It is closed once, in ``_end``, whichever end has closed it.

Driven by the server's protocol (``write``, ``loseConnection`` and the other methods of
a Twisted transport), by its client (``send``, ``hang_up``, ``vanish``, ``hold``) and by
the ``MemoryServer`` (``carry``).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["MemoryTransport"]

_FULL: Final = 65_536
"""Bytes of unsent data at which Twisted's own transports pause a producer."""
_HOST: Final = IPv4Address("TCP", "192.0.2.1", 80)
"""The server's address, from the range that RFC 5737 reserves for documentation."""


class WireFlow(enum.Enum):
    """Whether data flows in one direction."""

    FLOWING = "flowing"
    HELD = "held"


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """
    The server's end of a connection, and the data in transit.

    Attributes:
        protocol: The server's protocol.
        disconnecting: Whether the server has requested to close it.
        is_over: Whether it is closed.

    """

    def __init__(
        self,
        peer: IAddress,
        data_received: Callable[[bytes], object],
        connection_closed: Callable[[], object],
    ) -> None:
        """
        Create a connection without a protocol.

        Args:
            peer: The client's address.
            data_received: Called with the data that arrives at the client.
            connection_closed: Called when the server has closed the connection.

        """
        self.protocol: Any = None
        self.disconnecting = False
        self.is_over = False
        self._peer = peer
        self._data_received = data_received
        self._connection_closed = connection_closed
        self._up = bytearray()  # in transit to the server
        self._down = bytearray()  # in transit to the client
        self._reading = WireFlow.FLOWING  # the server's reads
        self._listening = WireFlow.FLOWING  # the client's reads
        self._close_error: Exception | None = None
        self._producer: Any = None
        self._pulls = False
        self._producing = WireFlow.FLOWING

    def connect(self, protocol: Any) -> None:
        """
        Connect the server's protocol.

        Args:
            protocol: An ``IProtocol``.

        """
        self.protocol = protocol
        protocol.makeConnection(self)

    # Called by the server: ITransport, IConsumer.

    def write(self, data: bytes) -> None:
        """Send bytes to the client; they are dropped if the connection is closed."""
        if not self.is_over:
            self._down += data
            full = len(self._down) > _FULL
            if full and self._producer is not None and not self._pulls:
                self._pause_producer()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces of bytes to the client."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close the connection once all data is sent and the producer has finished."""
        self.disconnecting = True

    def abortConnection(self) -> None:
        """Close the connection immediately."""
        self.disconnecting = True
        self._down.clear()
        self._close_error = ConnectionAborted()

    def getPeer(self) -> IAddress:
        """Return the client's address."""
        return self._peer

    def getHost(self) -> IAddress:
        """Return the server's address."""
        return _HOST

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Ignore the option: nothing is delayed here."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Register a producer, which may write as fast as the client reads."""
        self._producer, self._pulls = producer, not streaming
        self._producing = WireFlow.FLOWING
        if self._pulls:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Unregister the producer."""
        self._producer = None

    def _pause_producer(self) -> None:
        if self._producing is WireFlow.FLOWING:
            self._producing = WireFlow.HELD
            self._producer.pauseProducing()

    # Called by the server: IPushProducer, for data from the client.

    def pauseProducing(self) -> None:
        """Pause reading."""
        self._reading = WireFlow.HELD

    def resumeProducing(self) -> None:
        """Resume reading."""
        self._reading = WireFlow.FLOWING

    def stopProducing(self) -> None:
        """Close the connection."""
        self.loseConnection()

    # Called by the client.

    def send(self, data: bytes) -> None:
        """
        Send bytes to the server.

        Args:
            data: Any bytes.

        """
        self._up += data

    def hang_up(self) -> None:
        """Close the connection with a FIN, after all data that was sent."""
        self._forget_client()
        self._close_error = self._close_error or ConnectionDone()

    def vanish(self) -> None:
        """Lose the connection without a FIN: nothing is delivered from now on."""
        self._forget_client()
        self._up.clear()

    def hold(self) -> None:
        """Stop reading: arriving data stays in the socket."""
        self._listening = WireFlow.HELD

    def release(self) -> None:
        """Resume reading."""
        self._listening = WireFlow.FLOWING

    def _forget_client(self) -> None:
        self._data_received, self._connection_closed = _ignore, _ignore
        self._listening = WireFlow.FLOWING

    # Called by the MemoryServer.

    def carry(self) -> bool:
        """Deliver the data in transit, both ways; return whether there was any."""
        if self.is_over:
            return False
        return any([self._carry_up(), self._carry_down(), self._end()])

    def _carry_up(self) -> bool:
        if not self._up or self._reading is WireFlow.HELD or self.disconnecting:
            return False
        data = bytes(self._up)
        self._up.clear()
        self.protocol.dataReceived(data)
        return True

    def _carry_down(self) -> bool:
        if not self._down or self._listening is WireFlow.HELD:
            return False
        data = bytes(self._down)
        self._down.clear()
        self._data_received(data)
        if self._awaits_producer:
            self._producing = WireFlow.FLOWING
            self._producer.resumeProducing()
        return True

    @property
    def _awaits_producer(self) -> bool:
        held = self._pulls or self._producing is WireFlow.HELD
        return self._producer is not None and held

    def _end(self) -> bool:
        if self._close_error is None:
            # After the data that the server, or its producer, has still to send.
            if not self.disconnecting or self._down or self._awaits_producer:
                return False
            self._close_error = ConnectionDone()
        elif self._up and not self.disconnecting:
            return False  # a FIN arrives after the data sent before it
        self.is_over = True
        if self._producer is not None:
            self._producer.stopProducing()
        self._connection_closed()
        self.protocol.connectionLost(Failure(self._close_error))
        return True


def _ignore(*data: bytes) -> None:
    """Ignore data and the end of the connection: the client has disconnected."""

"""
A TCP connection in memory: what one end writes, the other reads when it is carried.

Rules of this file:

1. Nothing arrives in the middle of a call. What was written waits until ``carry``.
2. It holds back as TCP does: a server that pauses is given nothing more, and one whose
   client reads nothing is told to pause when 64 KiB wait.
3. It ends once, in ``_end``, whoever ended it.

Driven by the server's protocol (``write``, ``loseConnection`` and whatever else a
Twisted transport has), by its client (``send``, ``hang_up``, ``vanish``, ``hold``) and
by whoever lets time pass (``carry``).
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
"""Bytes at which Twisted's own transports pause a producer."""
_HOST: Final = IPv4Address("TCP", "192.0.2.1", 80)
"""The server's address: RFC 5737 keeps it for examples."""


class WireFlow(enum.Enum):
    """Whether one direction moves."""

    FLOWING = "flowing"
    HELD = "held"


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """
    The server's end of a connection, and the wire.

    Attributes:
        protocol: The server's protocol on it.
        disconnecting: Whether the server has asked to close it.
        is_over: Whether it has ended.

    """

    def __init__(
        self,
        peer: IAddress,
        data_received: Callable[[bytes], object],
        connection_closed: Callable[[], object],
    ) -> None:
        """
        Make a connection that leads nowhere yet.

        Args:
            peer: The client's address.
            heard: Called with what arrives at the client.
            ended: Called when the server has closed the connection.

        """
        self.protocol: Any = None
        self.disconnecting = False
        self.is_over = False
        self._peer = peer
        self._data_received = data_received
        self._connection_closed = connection_closed
        self._up = bytearray()  # on its way to the server
        self._down = bytearray()  # on its way to the client
        self._reading = WireFlow.FLOWING  # the server's
        self._listening = WireFlow.FLOWING  # the client's
        self._close_error: Exception | None = None
        self._producer: Any = None
        self._pulls = False
        self._producing = WireFlow.FLOWING

    def connect(self, protocol: Any) -> None:
        """
        Give the connection to a protocol of the server.

        Args:
            protocol: An ``IProtocol``.

        """
        self.protocol = protocol
        protocol.makeConnection(self)

    # The server's side: ITransport, IConsumer.

    def write(self, data: bytes) -> None:
        """Put bytes on their way; they are lost if it is closing."""
        if not self.is_over:
            self._down += data
            full = len(self._down) > _FULL
            if full and self._producer is not None and not self._pulls:
                self._pause_producer()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Put bytes on their way, together."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close it once all is written, and no producer is asked for more."""
        self.disconnecting = True

    def abortConnection(self) -> None:
        """Close it at once."""
        self.disconnecting = True
        self._down.clear()
        self._close_error = ConnectionAborted()

    def getPeer(self) -> IAddress:
        """Give the client's address."""
        return self._peer

    def getHost(self) -> IAddress:
        """Give the server's address."""
        return _HOST

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing: nothing is delayed."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let a producer write as fast as the client reads."""
        self._producer, self._pulls = producer, not streaming
        self._producing = WireFlow.FLOWING
        if self._pulls:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Have no producer any more."""
        self._producer = None

    def _pause_producer(self) -> None:
        if self._producing is WireFlow.FLOWING:
            self._producing = WireFlow.HELD
            self._producer.pauseProducing()

    # The server's side: IPushProducer, of what the client sends.

    def pauseProducing(self) -> None:
        """Read no further."""
        self._reading = WireFlow.HELD

    def resumeProducing(self) -> None:
        """Read on."""
        self._reading = WireFlow.FLOWING

    def stopProducing(self) -> None:
        """Close it."""
        self.loseConnection()

    # The client's side.

    def send(self, data: bytes) -> None:
        """
        Put a client's bytes on their way.

        Args:
            data: Any bytes.

        """
        self._up += data

    def hang_up(self) -> None:
        """Close it with a FIN, behind what was sent."""
        self._forget_client()
        self._close_error = self._close_error or ConnectionDone()

    def vanish(self) -> None:
        """Be gone without a word: nothing arrives any more, on either side."""
        self._forget_client()
        self._up.clear()

    def hold(self) -> None:
        """Leave what arrives unread."""
        self._listening = WireFlow.HELD

    def release(self) -> None:
        """Read again."""
        self._listening = WireFlow.FLOWING

    def _forget_client(self) -> None:
        self._data_received, self._connection_closed = _ignore, _ignore
        self._listening = WireFlow.FLOWING

    # Time.

    def carry(self) -> bool:
        """Carry what is on its way, both ways, and tell whether anything was."""
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
            # What the server wrote goes first, and what a producer is to write yet.
            if not self.disconnecting or self._down or self._awaits_producer:
                return False
            self._close_error = ConnectionDone()
        elif self._up and not self.disconnecting:
            return False  # the client's FIN stands behind what it sent
        self.is_over = True
        if self._producer is not None:
            self._producer.stopProducing()
        self._connection_closed()
        self.protocol.connectionLost(Failure(self._close_error))
        return True


def _ignore(*data_received: bytes) -> None:
    """Hear nothing: the client is gone."""

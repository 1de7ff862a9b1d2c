"""
The connections of one port: how many there are, and whether one more is accepted.

Rules of this file:

1. A connection is here from its first protocol's ``connectionMade`` to its end, or
   until it becomes a WebSocket; those are counted by their factory.
2. Above the limit a new connection is closed before anything is read from it. One that
   is there stays.
3. When the port stops, connections that wait for a request, or for a client that reads
   nothing, are closed; a request in progress comes to its end.

Driven by the site (``is_full``, ``stop``) and by the protocols that own a connection
(``begin``, ``end``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.protocols.policies import ProtocolWrapper

if TYPE_CHECKING:
    from ...config import Config

__all__ = ["ConnectionLimit", "RefusedConnection", "limit_of"]

_OTHERS: Final = 1000
"""Connections besides those of ``max_sessions`` sessions: for pages, for a status page,
and for handshakes that are answered 503."""


class Stoppable(Protocol):
    """What owns a connection."""

    def stop(self) -> None:
        """Close the connection unless a request is in progress."""


class ConnectionCounter(Protocol):
    """What counts connections: Autobahn's factory."""

    countConnections: int


def limit_of(config: Config) -> int | None:
    """
    Return how many connections a port accepts; ``None`` for any number.

    Args:
        config: The options of its server.

    """
    if config.max_connections is not None or config.max_sessions is None:
        return config.max_connections
    # A session that polls has two: the GET that waits, and one for POSTs.
    return 2 * config.max_sessions + _OTHERS


class ConnectionLimit:
    """
    The connections of one port.

    Attributes:
        limit: How many there may be, WebSockets included; ``None`` for any number.
        begin: Counts a connection; called with the protocol that owns it.
        end: Counts a connection no longer, if it is counted: it is lost, or another
            protocol's. Called as ``begin``.

    """

    def __init__(
        self, limit: int | None, websockets: Collection[ConnectionCounter]
    ) -> None:
        """
        Make it for a port that has no connections.

        Args:
            limit: How many there may be.
            websockets: Count those that are WebSockets.

        """
        self.limit = limit
        self._websockets = websockets
        self._owners: set[Stoppable] = set()
        # The set's own methods, for each connection calls both.
        self.begin: Callable[[Stoppable], None] = self._owners.add
        self.end: Callable[[Stoppable], None] = self._owners.discard

    def __len__(self) -> int:
        """Return how many there are, WebSockets included."""
        count = len(self._owners)
        for each in self._websockets:
            count += each.countConnections
        return count

    def is_full(self) -> bool:
        """Return whether a new connection is one too many."""
        return self.limit is not None and len(self) >= self.limit

    def stop(self) -> None:
        """Close the connections on which no request is in progress."""
        for owner in list(self._owners):
            owner.stop()


class RefusedConnection(TwistedProtocol):
    """A connection that is one too many: it is closed at once."""

    def connectionMade(self) -> None:
        """Close it."""
        transport: Any = self.transport
        if isinstance(transport, ProtocolWrapper):
            transport.abortConnection()  # TLS would wait for its client to agree
        else:
            transport.loseConnection()

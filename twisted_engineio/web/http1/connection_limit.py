"""
Connection count of one port, and the limit above which connections are refused.

Rules of this file:

1. A connection is counted from its first protocol's ``connectionMade`` until it is lost
   or becomes a WebSocket; the WebSocket factory counts those.
2. Above the limit a new connection is closed before anything is read from it. Existing
   connections are not affected.
3. When the port stops, idle connections are closed, and so are those whose client does
   not read; a request in progress is completed.

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
"""Connections in addition to those of ``max_sessions`` sessions: for pages, the status
page, and handshakes that are answered with 503."""


class Stoppable(Protocol):
    """The protocol that owns a connection."""

    def stop(self) -> None:
        """Close the connection unless a request is in progress."""


class ConnectionCounter(Protocol):
    """The connection count of Autobahn's factory."""

    countConnections: int


def limit_of(config: Config) -> int | None:
    """
    Return the maximum number of connections of a port; ``None`` for no limit.

    Args:
        config: The options of its server.

    """
    if config.max_connections is not None or config.max_sessions is None:
        return config.max_connections
    # A polling session uses two connections: the waiting GET, and one for POSTs.
    return 2 * config.max_sessions + _OTHERS


class ConnectionLimit:
    """
    The connection count of one port.

    Attributes:
        limit: The maximum number, WebSockets included; ``None`` for no limit.
        begin: Add a connection; called with the protocol that owns it.
        end: Remove a connection if it is counted: it is lost, or another protocol owns
            it. Called with the same argument.

    """

    def __init__(
        self, limit: int | None, websockets: Collection[ConnectionCounter]
    ) -> None:
        """
        Create the count of a port without connections.

        Args:
            limit: The maximum number of connections.
            websockets: The factories that count the WebSockets.

        """
        self.limit = limit
        self._websockets = websockets
        self._owners: set[Stoppable] = set()
        # Bound methods of the set, without a wrapper: every connection calls both.
        self.begin: Callable[[Stoppable], None] = self._owners.add
        self.end: Callable[[Stoppable], None] = self._owners.discard

    def __len__(self) -> int:
        """Return the number of connections, WebSockets included."""
        count = len(self._owners)
        for each in self._websockets:
            count += each.countConnections
        return count

    def is_full(self) -> bool:
        """Return whether a new connection would exceed the limit."""
        return self.limit is not None and len(self) >= self.limit

    def stop(self) -> None:
        """Close the connections on which no request is in progress."""
        for owner in list(self._owners):
            owner.stop()


class RefusedConnection(TwistedProtocol):
    """A connection above the limit, which is closed immediately."""

    def connectionMade(self) -> None:
        """Close the connection."""
        transport: Any = self.transport
        if isinstance(transport, ProtocolWrapper):
            transport.abortConnection()  # TLS would wait for the client's close alert
        else:
            transport.loseConnection()

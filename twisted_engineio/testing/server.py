"""
A server in memory: the real ``Server``, on a clock that only the test advances.

Requests pass as bytes through the real site and resource, and frames through the real
WebSocket protocol; only the sockets are replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from zope.interface import alsoProvides

from ..config import TRANSPORTS, Config
from ..server.server import Server
from ..web.resource import EngineIOResource
from ..web.site import EngineIOSite
from .client import ClientState, MemoryClient
from .connection import MemoryTransport

if TYPE_CHECKING:
    from ..application import Application
    from ..server.server import Entry
    from ..session.interfaces import Transport
    from ..session.session import Session

__all__ = ["MemoryServer"]

_MOMENT: Final = 0.001
"""Seconds by which the clock is advanced at a time while a WebSocket opens."""
_MOMENTS: Final = 10
_ROUNDING: Final = 1e-6
"""Seconds of tolerance: in floating point, 25.001 + 20 is slightly above 45.001."""
_ROUNDS: Final = 10_000
"""Rounds of delivery after which server and client are assumed to answer each other
endlessly."""


class MemoryServer(Server):
    """
    A ``Server`` whose clients are in memory, too.

    As a context manager it calls ``finish`` at the end.

    Attributes:
        clock: Twisted's ``Clock``, which only the test advances.
        site: The site that serves it, at ``/engine.io``.

    """

    clock: Clock

    def __init__(
        self,
        application: Application,
        config: Config | None = None,
        *,
        clock: Clock | None = None,
        **options: Any,
    ) -> None:
        """
        Create a server.

        Args:
            application: The application under test.
            config: The options; the defaults if omitted.
            clock: The clock; a new ``Clock`` if omitted.
            options: As for ``Server``.

        """
        super().__init__(application, config, clock=clock or Clock(), **options)
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(self))
        self.site = EngineIOSite(root, self)
        self._wires: list[MemoryTransport] = []
        self._clients: list[MemoryClient] = []
        self._opened: dict[str, Session] = {}

    def connect(
        self,
        transport: str = "polling",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        address: str = "203.0.113.5",
        secure: bool = False,
        answers_pings: bool = True,
    ) -> MemoryClient:
        """
        Connect a client.

        Opening a WebSocket advances the clock by a millisecond.

        Args:
            transport: ``"polling"``, ``"websocket"`` or ``"sse"``.
            query: Fields of the client's query, besides the protocol's own.
            headers: Headers of all requests of the client.
            address: The client's IP address.
            secure: Whether the client connects over TLS.
            answers_pings: Whether the client answers the server's pings.

        Returns:
            The client. It is open, unless ``admit`` is async and has not finished.

        Raises:
            HandshakeRefused: If the server refuses the client.
            ValueError: If ``transport`` is unknown.

        """
        if transport not in TRANSPORTS:
            raise ValueError(f"transport: {transport!r} is none of {TRANSPORTS}")
        client = MemoryClient(
            self,
            transport,
            query or {},
            headers or {},
            address,
            secure=secure,
            answers_pings=answers_pings,
        )
        self._clients.append(client)
        client.connect()
        self.settle()
        if client.refusal is not None:
            raise client.refusal
        return client

    def settle(self) -> None:
        """
        Deliver all data in transit, and all data sent in response.

        Raises:
            AssertionError: If server and clients answer each other endlessly.

        """
        self._carry()
        for _ in range(_MOMENTS):
            if not any(each.state is ClientState.OPENING for each in self._clients):
                break
            self.clock.advance(_MOMENT)
            self._carry()

    def _carry(self) -> None:
        for _ in range(_ROUNDS):
            self.clock.advance(0)
            moved = [each.carry() for each in self._wires]
            if not any(moved):
                break
        else:
            raise AssertionError("server and client answer each other for ever")
        self._wires = [each for each in self._wires if not each.is_over]

    def advance(self, seconds: float) -> None:
        """
        Advance the clock from timer to timer; clients answer pings in time.

        Args:
            seconds: The time to advance by, in seconds.

        """
        end = self.clock.seconds() + seconds
        self.settle()
        while (due := self._next_due()) is not None and due <= end + _ROUNDING:
            self.clock.advance(max(0.0, due - self.clock.seconds()))
            self.settle()
        self.clock.advance(max(0.0, end - self.clock.seconds()))
        self.settle()

    def _next_due(self) -> float | None:
        times = [each.getTime() for each in self.clock.getDelayedCalls()]
        return min(times, default=None)

    def assert_nothing_left(self) -> None:
        """
        Check that no session is open and no timer is scheduled.

        Raises:
            AssertionError: If there is one; the message names it.

        """
        self.settle()
        if self.sessions:
            raise AssertionError(f"still open: {list(self.sessions.values())}")
        for client in self._clients:
            if client.state is ClientState.CLOSED:
                client.cut()
        self.settle()
        left = self.clock.getDelayedCalls()
        if left:
            raise AssertionError(f"still on the clock: {', '.join(map(str, left))}")

    def finish(self) -> None:
        """
        Stop the server as twistd does, and check that nothing is left.

        Raises:
            AssertionError: If a session or a timer is left.

        """
        patience = self.config.close_timeout
        self.settle()
        self.stop(timeout=patience)
        self.advance(patience)
        for client in self._clients:
            client.cut()
        self.advance(1.0)  # for the close packets
        self.assert_nothing_left()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if error is None:  # otherwise the test has failed already
            self.finish()

    # Called by its clients.

    def open(self, entry: Entry, transport: Transport) -> Session:
        """Open a session, and keep it for ``session_of``."""
        session = super().open(entry, transport)
        self._opened[session.sid] = session
        return session

    def session_of(self, sid: str) -> Session:
        """
        Return the session with an id, even if it has ended.

        Args:
            sid: The session id.

        """
        return self._opened[sid]

    def wire(
        self,
        address: str,
        data_received: Callable[[bytes], object],
        connection_closed: Callable[[], object],
        *,
        secure: bool = False,
    ) -> MemoryTransport:
        """
        Open a connection to the site.

        Args:
            address: The IP address that the site sees.
            data_received: Called with the data that the site sends.
            connection_closed: Called when the site has closed the connection.
            secure: Whether the site takes the connection for TLS.

        """
        wire = MemoryTransport(_address(address), data_received, connection_closed)
        if secure:
            alsoProvides(wire, ISSLTransport)  # twisted.web's test for TLS
        site: Any = self.site  # buildProtocol is not annotated
        wire.connect(site.buildProtocol(wire.getPeer()))
        self._wires.append(wire)
        return wire


def _address(host: str) -> IAddress:
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, 4711)

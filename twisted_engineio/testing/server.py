"""
A server in memory: the real one, on a clock that stands still until it is told.

Requests go as bytes through the real site and resource, and frames through the real
WebSocket protocol; only the sockets are missing.
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
"""Seconds by which time goes on while a WebSocket opens: it does so in steps."""
_MOMENTS: Final = 10
_ROUNDING: Final = 1e-6
"""Seconds: 25.001 and 20 make a little more than 45.001, and nobody means that."""
_ROUNDS: Final = 10_000
"""How often what arrives may cause something to be sent, before that is no answer."""


class MemoryServer(Server):
    """
    A ``Server`` whose clients are in memory too.

    As a context manager it ends with ``finish``.

    Attributes:
        clock: Its time, Twisted's ``Clock``.
        site: The site that it stands in, at ``/engine.io``.

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
        Make a server.

        Args:
            application: The application under test.
            config: Its options; the defaults if left out.
            clock: What to measure time with; a new ``Clock`` if left out.
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

        A WebSocket takes a millisecond of the clock to open.

        Args:
            transport: ``"polling"``, ``"websocket"`` or ``"sse"``.
            query: What the client's query says, besides the protocol's own.
            headers: What the headers of all its requests say.
            address: Its IP address.
            secure: Whether it comes over TLS.
            answers_pings: Whether it answers the server's pings.

        Returns:
            The client, open; or not yet, if ``admit`` waits for something.

        Raises:
            HandshakeRefused: If the server does not let it in.
            ValueError: If there is no such transport.

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
        Let everything arrive that is on its way, and whatever that causes.

        Raises:
            AssertionError: If it never comes to rest.

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
        Let time pass, step by step: whoever has to answer does so in time.

        Args:
            seconds: How long.

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
        See that no session is open, and that nobody has left a timer behind.

        Raises:
            AssertionError: If there is one, with its name.

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
        Stop as under twistd, and see that nothing is left.

        Raises:
            AssertionError: If a session or a timer is left.

        """
        patience = self.config.close_timeout
        self.settle()
        self.stop(timeout=patience)
        self.advance(patience)
        for client in self._clients:
            client.cut()
        self.advance(1.0)  # the last words leave
        self.assert_nothing_left()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if error is None:  # else that is what the test has to say
            self.finish()

    # For its clients.

    def open(self, entry: Entry, transport: Transport) -> Session:
        """Open a session, and remember it for its client."""
        session = super().open(entry, transport)
        self._opened[session.sid] = session
        return session

    def session_of(self, sid: str) -> Session:
        """
        Find a session, also one that is over.

        Args:
            sid: Its id.

        """
        return self._opened[sid]

    def wire(
        self,
        address: str,
        heard: Callable[[bytes], object],
        ended: Callable[[], object],
        *,
        secure: bool = False,
    ) -> MemoryTransport:
        """
        Connect somebody to the site.

        Args:
            address: The IP address that the site shall see.
            heard: Called with what the site sends.
            ended: Called when the site has hung up.
            secure: Whether the site shall take it for TLS.

        """
        wire = MemoryTransport(_address(address), heard, ended)
        if secure:
            alsoProvides(wire, ISSLTransport)  # what twisted.web asks for
        site: Any = self.site  # buildProtocol is not annotated
        wire.connect(site.buildProtocol(wire.getPeer()))
        self._wires.append(wire)
        return wire


def _address(host: str) -> IAddress:
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, 4711)

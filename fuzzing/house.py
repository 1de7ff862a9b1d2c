"""A server and its site in memory: built once for millions of inputs, left empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from fuzzing import quiet  # noqa: F401  as in the lane's target
from fuzzing.wire import Wire
from twisted_engineio import (
    Application,
    Config,
    EngineIOResource,
    EngineIOSite,
    Handshake,
    Server,
)
from twisted_engineio.server.server import Entry
from twisted_engineio.session.interfaces import Admission
from twisted_engineio.session.revision import REVISION_4
from twisted_engineio.transports.polling import PollingTransport

__all__ = ["ADDRESS", "CONFIGS", "HOST", "KNOWN", "LISTED", "UPGRADE", "House", "calm"]

ADDRESS: Final = IPv4Address("TCP", "10.0.0.1", 4711)
HOST: Final = b"example.com"
LISTED: Final = "https://listed.example"
KNOWN: Final = "known"
"""The id of the session that a client may know; new ones are ``sid-0``, ``sid-1``..."""

UPGRADE: Final = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
CONFIGS: Final = (
    Config(),
    Config(
        transports=("polling", "websocket", "sse"),
        allow_eio3=True,
        jsonp=True,
        cors=(LISTED,),
        cors_credentials=True,
        trusted_proxies=("10.0.0.0/8",),
    ),
)


class House:
    """
    A server on a clock that stands still, and one connection at a time.

    Attributes:
        server: The server.
        clock: Its time.

    """

    def __init__(
        self, application: Application, config: Config, *, door: bool = True
    ) -> None:
        self.clock = Clock()
        self.server = Server(
            application, config, clock=self.clock, make_sid=lambda _: next(self._ids)
        )
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(self.server))
        self._site = EngineIOSite(root, self.server, door=door)

    def begin(self, *, with_session: bool) -> Wire:
        """Connect a client; there may be a session that it knows."""
        self._ids = (f"sid-{number}" for number in range(1000))
        if with_session:
            transport = PollingTransport(REVISION_4.codec, self.server.config)
            shake = Handshake("polling", {"EIO": "4", "transport": "polling"}, {})
            self.server.open(Entry(shake, REVISION_4, KNOWN, Admission()), transport)
        wire = Wire(ADDRESS)
        wire.protocol = self._site.buildProtocol(ADDRESS)
        wire.protocol.makeConnection(wire)
        return wire

    def end(self, wire: Wire) -> None:
        """Let the client go, and find neither a timer nor a session left."""
        wire.protocol.connectionLost(Failure(ConnectionDone()))
        for session in list(self.server.sessions.values()):
            session.abort()
        self.server.flush_log()
        self.clock.advance(0)
        assert not self.clock.getDelayedCalls()
        assert not self.server.sessions


@contextmanager
def calm() -> Iterator[None]:
    """See that nothing is logged as an error meanwhile."""
    events: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.error:
            events.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)
    assert not events, events

"""A server on a real port, in this process, and everything a test asks of it."""

from __future__ import annotations

import gc
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from peers import (
    DEADLINE,
    POLLING,
    WEBSOCKET,
    HttpPeer,
    WebSocketPeer,
    timely,
    websocket_factory,
)
from twisted.internet import reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    connectProtocol,
    serverFromString,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import LogLevel
from twisted.web.resource import Resource
from twisted.web.server import Site

from twisted_engineio import (
    Application,
    CloseReason,
    Config,
    EngineIOResource,
    EngineIOSite,
    Server,
    Session,
)
from twisted_engineio.transports.descriptors import Descriptors

__all__ = [
    "Echo",
    "Logged",
    "Recorder",
    "Serve",
    "Stage",
    "at_once",
    "sockets",
    "turn",
    "until",
]


class Logged:
    """What an operator would have to look at in Twisted's log, during a test."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def take(self, error: type[Exception]) -> list[dict[str, Any]]:
        """Take out the failures that a test meant to cause."""
        gc.collect()
        taken = [
            each
            for each in self.events
            if "log_failure" in each and each["log_failure"].check(error)
        ]
        self.events = [each for each in self.events if each not in taken]
        return taken

    def observe(self, event: dict[str, Any]) -> None:
        """Keep what matters; the rest would keep alive what logged it."""
        if "log_failure" in event or event["log_level"] >= LogLevel.error:
            self.events.append(event)


class Recorder(Application):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.opened: list[Session] = []
        self.received: list[str | bytes] = []
        self.closed: list[CloseReason] = []

    def session_opened(self, session: Session) -> None:
        """Remember a session."""
        self.opened.append(session)

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Remember a message."""
        self.received.append(data)

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """Remember why a session ended."""
        self.closed.append(reason)


class Echo(Recorder):
    """Sends every message back, too."""

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Remember a message, and send it back."""
        super().message_received(session, data)
        session.send(data)


def turn(seconds: float = 0.0) -> Deferred[None]:
    """Let the reactor do what it has to do."""
    return deferLater(reactor, seconds)


def sockets() -> set[FileDescriptor]:
    """Find the sockets that the reactor serves, besides its own."""
    readers = reactor.getReaders()
    for each in readers:
        if isinstance(each, Descriptors):
            readers.extend(each.connections)
    return {each for each in readers if isinstance(each, FileDescriptor)}


async def until(true: Callable[[], object]) -> None:
    """Let the reactor turn until something is true."""
    end = reactor.seconds() + DEADLINE
    while not true():
        assert reactor.seconds() < end, "it never became true"
        await turn(0.002)


async def at_once(*jobs: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run coroutines at the same time; if one fails, the others are cancelled."""
    running = [Deferred.fromCoroutine(each) for each in jobs]
    try:
        return await gatherResults(running, consumeErrors=True)
    except FirstError as first:
        for each in running:
            each.cancel()
        first.subFailure.raiseException()
        raise


class Stage:
    """
    A server that listens.

    Attributes:
        server: The server.
        application: What it runs.
        client: Where a client connects to.
        scheme: How its URLs begin, ``http`` or ``https``.

    """

    def __init__(
        self, application: Application | None, config: Config | None, **options: Any
    ) -> None:
        self.application: Any = Echo() if application is None else application
        self.server = Server(
            self.application, config or Config(), clock=reactor, **options
        )
        self.client: IStreamClientEndpoint
        self.scheme = "http"
        self._listening: Any = None
        self._clients: list[Any] = []

    async def listen(self, endpoint: str, *, own_site: bool) -> None:
        """Listen, with a Site of ours or one of twisted.web's."""
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(self.server))
        site = EngineIOSite(root, self.server) if own_site else Site(root)
        await self.listen_with(site, endpoint)

    async def listen_with(self, site: Site, endpoint: str) -> None:
        """Listen with any Site."""
        site.noisy = False
        self._listening = await serverFromString(reactor, endpoint).listen(site)
        address = self._listening.getHost()
        if hasattr(address, "port"):
            self.client = TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)

    def narrow(self) -> None:
        """Give connections to come little room in the kernel."""
        self._listening.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    async def stop_listening(self) -> None:
        """Accept no further connection."""
        await self._listening.stopListening()

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return int(self._listening.getHost().port)

    @property
    def host(self) -> str:
        """Where HTTP finds it; a UNIX socket has no port, and needs none."""
        port = getattr(self._listening.getHost(), "port", 80)
        return f"{self.scheme}://localhost:{port}"

    @property
    def polling_url(self) -> str:
        """Where a session begins."""
        return self.host + POLLING

    @property
    def session(self) -> Session:
        """Its only session."""
        (session,) = self.server.sessions.values()
        return session

    async def peer(self) -> HttpPeer:
        """Connect a client that speaks HTTP by hand."""
        peer = HttpPeer()
        await timely(connectProtocol(self.client, peer))
        self._clients.append(peer)
        return peer

    async def peers(self, count: int) -> list[HttpPeer]:
        """Connect some of them."""
        return [await self.peer() for _ in range(count)]

    async def polling(self) -> tuple[HttpPeer, str]:
        """Open a session by polling: a client, and the target of its requests."""
        peer = await self.peer()
        sid = (await peer.ask(POLLING)).sid
        return peer, f"{POLLING}&sid={sid}"

    async def websocket(
        self, target: str = WEBSOCKET, headers: Mapping[str, str] | None = None
    ) -> WebSocketPeer:
        """Connect a client that speaks WebSocket, open or refused."""
        url = self.host.replace("http", "ws", 1) + target
        peer: Any = await timely(self.client.connect(websocket_factory(url, headers)))
        self._clients.append(peer)
        await peer.opened()
        return peer

    async def candidate(self, target: str) -> WebSocketPeer:
        """Connect a WebSocket for the session of that polling target."""
        return await self.websocket(target.replace("=polling", "=websocket"))

    def forget_clients(self) -> None:
        """Forget the clients whose connection is gone."""
        self._clients = [each for each in self._clients if not each.is_lost]

    async def ended(self) -> CloseReason:
        """Wait until its first session has ended, and none is left: why it did."""
        await until(lambda: self.application.closed and not self.server.sessions)
        return CloseReason(self.application.closed[0])

    async def close(self) -> None:
        """Leave nothing behind, however the test ended."""
        await self._listening.stopListening()
        for session in list(self.server.sessions.values()):
            session.abort()
        for client in self._clients:
            if not client.is_lost:
                client.drop()
        await until(lambda: all(each.is_lost for each in self._clients))
        await until(lambda: not self.server.sessions)
        self.server.flush_log()


Serve = Callable[..., Awaitable[Stage]]
"""Starts a server that lives as long as the test; the fixture ``serve``."""

"""A server process, seen from outside: its log, its sockets, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from honest import HonestPolling, HonestStream, HonestWebSocket
from peers import POLLING, HttpPeer, timely, websocket_factory
from stages import until
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

SCRIPT = Path(__file__).with_name("faulty_server.py")

Honest = HonestPolling | HonestStream | HonestWebSocket
Start = Callable[..., Awaitable["Child"]]


class Child:
    """
    ``faulty_server.py``, running.

    Attributes:
        port: Where it listens.
        process: It.
        faults: What each traceback in its log must come with; nothing: there is none.
        notes: What else its log may say, besides what its application says.

    """

    def __init__(self, log: Path, config: dict[str, Any], **options: Any) -> None:
        self.port = 0
        self.faults: str | None = None
        self.notes: list[str] = []
        self._log = log
        self._clients: list[Any] = []
        argument = json.dumps({"config": config, **options})
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPT), argument],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    # What it says.

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self._log.read_text("utf-8", "replace")

    async def says(self, text: str, times: int = 1) -> None:
        """Wait until its log has something, so many times."""
        try:
            await until(lambda: self.log.count(text) >= times or self.has_ended)
        except AssertionError:
            raise AssertionError(f"never said {text!r}:\n{self.log[-8000:]}") from None
        assert self.log.count(text) >= times, self.log[-8000:]

    async def starts(self) -> None:
        """Wait until it listens."""
        await self.says("listens on ")
        found = re.search(r"listens on (\d+)\.", self.log)
        assert found is not None, self.log
        self.port = int(found[1])

    def reasons(self) -> dict[str, str]:
        """Why each session has ended that has, by its id."""
        return dict(re.findall(r"closed (\S+): (.+)$", self.log, re.M))

    async def ended(self, *sids: str) -> list[str]:
        """Wait until sessions have ended: why they did."""
        for sid in sids:
            await self.says(f"closed {sid}: ")
        reasons = self.reasons()
        return [reasons[sid] for sid in sids]

    def open_sessions(self) -> set[str]:
        """Find the sessions that were opened and have not ended."""
        return {*re.findall(r"opened (\S+)$", self.log, re.M)} - {*self.reasons()}

    # Its sockets.

    def endpoint(self, port: int = 0) -> TCP4ClientEndpoint:
        """Where a client connects to: itself, or a proxy in front of it."""
        return TCP4ClientEndpoint(reactor, "127.0.0.1", port or self.port)

    async def peer(self, port: int = 0) -> HttpPeer:
        """Connect a client that speaks HTTP by hand."""
        peer: HttpPeer = await timely(connectProtocol(self.endpoint(port), HttpPeer()))
        self._clients.append(peer)
        return peer

    async def polling(self, port: int = 0, query: str = "") -> HonestPolling:
        """Open a session that polls."""
        pair = [await self.peer(port) for _ in range(2)]
        return await HonestPolling.open(*pair, POLLING + query)

    async def stream(self, port: int = 0) -> HonestStream:
        """Open a session on a stream of events."""
        stream: HonestStream = await timely(
            connectProtocol(self.endpoint(port), HonestStream())
        )
        self._clients.append(stream)
        await stream.opens(await self.peer(port))
        return stream

    async def websocket(
        self, port: int = 0, query: str = "&transport=websocket"
    ) -> HonestWebSocket:
        """Open a session on a WebSocket, or a candidate, or be refused."""
        url = f"ws://localhost:{self.port}/engine.io/?EIO=4{query}"
        factory = websocket_factory(url)
        factory.protocol = HonestWebSocket
        peer: Any = await timely(self.endpoint(port).connect(factory))
        self._clients.append(peer)
        if await peer.opened() and "sid=" not in query:
            await until(lambda: peer.sid or peer.is_lost)
        return peer  # type: ignore[no-any-return]

    async def everybody(self, port: int = 0) -> list[Honest]:
        """Open a session of each kind."""
        return [
            await self.polling(port),
            await self.stream(port),
            await self.websocket(port),
        ]

    async def hangs_up(self) -> None:
        """Lose every client of this test."""
        clients, self._clients = self._clients, []
        for each in clients:
            if not each.is_lost:
                each.drop()
        await until(lambda: all(each.is_lost for each in clients))

    # Its end.

    @property
    def has_ended(self) -> bool:
        """Whether the process is over."""
        return self.process.poll() is not None

    async def stops(self) -> None:
        """Send SIGTERM, see it end well, and find nothing in its log but the faults."""
        try:
            if not self.has_ended:
                self.process.send_signal(signal.SIGTERM)
                await until(lambda: self.has_ended)
        finally:
            self.process.kill()
            status = self.process.wait()
        log = self.log
        assert status in (0, -signal.SIGTERM), log[-8000:]
        assert "Unhandled" not in log, log[-8000:]
        # What was left out, beyond ten in a second, has a count and no traceback.
        meant = rf"(?<!like: ){re.escape(self.faults)}" if self.faults else r"(?!)"
        assert log.count("Traceback") == len(re.findall(meant, log)), log[-8000:]
        assert self._other_lines() == [], log[-8000:]

    def _other_lines(self) -> list[str]:
        """Find what nobody expects in the log of a server that logs at level info."""
        known = [*self.notes, *filter(None, [self.faults])]
        said = re.findall(r"^\S+ \[(\S+)#(\w+)\] (.*)$", self.log, re.M)
        return [
            text
            for whose, level, text in said
            if (whose, level) != ("__main__.Faulty", "info")
            and whose != "twisted.internet.base"  # that it was told to stop
            and level != "debug"
            and not text.startswith("refused ")  # which a test's clients are told
            and not any(each in text for each in known)
        ]

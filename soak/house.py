"""The server's process: started, asked, and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineOnlyReceiver

from benchmarks.servers import free_port
from soak.figures import Sample, process

APPLICATION = "soak.application:Soak"
# Twisted's own backlog is 50: hundreds of handshakes a second overflow it whenever the
# server is busy for a moment, and TCP then makes clients wait for seconds.
LISTEN = "tcp:{port}:interface=127.0.0.1:backlog=4096"
OPTIONS = (
    *("--transports", "polling,sse,websocket"),
    # Longer than any client of the soak takes: one that asks for the end of an upgrade
    # as the server gives it up has lost its session, in this protocol.
    *("--upgrade-timeout", "75", "--allow-eio3", "--jsonp"),
)


class Asking(LineOnlyReceiver):
    """The other end of the application's control socket."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self) -> None:
        self._waiting: deque[Deferred[dict[str, Any]]] = deque()

    def ask(self, what: str) -> Deferred[dict[str, Any]]:
        """Ask; answers come in the order of the questions."""
        self.sendLine(what.encode())
        answer: Deferred[dict[str, Any]] = Deferred()
        self._waiting.append(answer)
        return answer

    def lineReceived(self, line: bytes) -> None:
        """Give an answer to who asked."""
        self._waiting.popleft().callback(json.loads(line))


class House:
    """
    A ``twistd engineio`` of our own.

    Attributes:
        port: Where it listens.

    """

    def __init__(
        self, reactor: Any, folder: Path, seed: int, pause: float, *options: str
    ) -> None:
        self.port = free_port()
        self._reactor = reactor
        self._folder = folder
        twistd = "from twisted.scripts.twistd import run; run()"
        (folder / "control").unlink(missing_ok=True)
        with (folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-c", twistd, "-n", "--pidfile=", "--logfile=-"),
                    *("engineio", "--listen", LISTEN.format(port=self.port)),
                    *OPTIONS,
                    *options,
                ],
                env={
                    **os.environ,
                    "SOAK_FOLDER": str(folder),
                    "SOAK_SEED": str(seed),
                    "SOAK_PAUSE": str(pause),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._asking: Any = None

    async def started(self) -> None:
        """
        Wait until it listens.

        Raises:
            RuntimeError: If it doesn't.

        """
        end = time.monotonic() + 60
        while not (self._folder / "control").exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no server; see {self._folder / 'server.log'}")
            await deferLater(self._reactor, 0.05)
        endpoint = UNIXClientEndpoint(self._reactor, str(self._folder / "control"))
        self._asking = await endpoint.connect(Factory.forProtocol(Asking))

    async def ask(self, what: str) -> dict[str, Any]:
        """Ask the application."""
        return await self._asking.ask(what)

    async def sample(self, since: float) -> Sample:
        """Read all its figures."""
        facts = await self.ask("figures")
        rss, cpu, descriptors = process(self._process.pid)
        at = self._reactor.seconds() - since
        return Sample(at, rss, cpu, descriptors, **facts)

    async def stop(self) -> int | None:
        """Stop it as systemd does, and give its exit status; ``None`` if it hangs."""
        self._process.send_signal(signal.SIGTERM)
        for _ in range(600):
            if self._process.poll() is not None:
                return self._process.returncode
            await deferLater(self._reactor, 0.05)
        return None

    def kill(self) -> None:
        """Make sure that it is gone."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)

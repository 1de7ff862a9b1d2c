"""The three servers: how each is started on a core of its own, and stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import install
from benchmarks.loop import Stuck
from benchmarks.meter import on_core

OURS = "twisted_engineio"
NODE = "engine.io"
PYTHON = "python-engineio"


@dataclass(frozen=True)
class Start:
    """What a server is told; intervals in seconds, long enough to be out of the way."""

    port: int
    ping_interval: float = 300.0
    ping_timeout: float = 200.0


@dataclass(frozen=True)
class Server:
    """A server's name, how to get it, and the command line that runs it."""

    name: str
    install: Callable[[], None]
    command: Callable[[Start], list[str]]


def _ours(start: Start) -> list[str]:
    twistd = "from twisted.scripts.twistd import run; run()"
    return [
        *(sys.executable, "-c", twistd, "-n", "--pidfile=", "--logfile=-"),
        *("engineio", "--listen", f"tcp:{start.port}:interface=127.0.0.1"),
        *("--app", "benchmarks.apps:EchoOrBroadcast"),
        *("--ping-interval", str(start.ping_interval)),
        *("--ping-timeout", str(start.ping_timeout)),
    ]


def _node(start: Start) -> list[str]:
    milliseconds = (start.ping_interval * 1000, start.ping_timeout * 1000)
    script = install.PEERS / "node" / "server.js"
    return ["node", str(script), str(start.port), *(f"{n:.0f}" for n in milliseconds)]


def _python(start: Start) -> list[str]:
    return [
        *(str(install.PYTHON / "bin" / "python"), "-m", "uvicorn"),
        *("--app-dir", str(install.PEERS / "python"), "server:app"),
        *("--host", "127.0.0.1", "--port", str(start.port), "--loop", "uvloop"),
        *("--http", "httptools", "--ws", "auto", "--no-access-log"),
        # Its WebSocket pings, every 20 s besides Engine.IO's: out of the way, too.
        *("--log-level", "warning", "--ws-ping-interval", "3600"),
    ]


SERVERS = {
    server.name: server
    for server in (
        Server(OURS, lambda: None, _ours),
        Server(NODE, install.install_node, _node),
        Server(PYTHON, install.install_python, _python),
    )
}


@contextmanager
def running(server: Server, start: Start, core: int) -> Iterator[int]:
    """
    Run a server, pinned to ``core``; the value is its process id.

    Raises:
        Stuck: If it doesn't listen within 20 seconds.

    """
    environment = {
        **os.environ,
        "NODE_PATH": str(install.NODE / "node_modules"),
        "NODE_ENV": "production",
        "BENCH_PING_INTERVAL": str(start.ping_interval),
        "BENCH_PING_TIMEOUT": str(start.ping_timeout),
    }
    install.BUILD.mkdir(parents=True, exist_ok=True)
    with (
        (install.BUILD / f"{server.name}.log").open("ab") as log,
        on_core(core),
    ):
        process = subprocess.Popen(
            server.command(start),
            cwd=install.ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(server, process, start.port)
        yield process.pid
    finally:
        _end(process)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(server: Server, process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    log = install.BUILD / f"{server.name}.log"
    raise Stuck(f"{server.name} doesn't listen on {port}; see {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)

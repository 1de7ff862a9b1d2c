"""
Servers under test: ours and the reference, each a process of its own.

Nothing here sleeps: waiting is for an event (a port that accepts, a process that ends),
and every wait has a deadline.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from programs import free_port
from wire import Peer

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
SSE_CLASS = PROJECT / "twisted_engineio" / "js" / "engine.io-sse.mjs"
START_DEADLINE = 20.0
STOP_DEADLINE = 10.0
CLIENT_DEADLINE = 45.0

APP = ("--app", "interop_app:App", "--static", str(HERE))
EIO3 = ("--allow-eio3",)
JSONP = ("--jsonp",)
QUICK = ("--ping-interval", "0.3", "--ping-timeout", "0.2")
# A busy machine may keep a browser waiting for longer than QUICK allows.
STEADY = ("--ping-interval", "0.3", "--ping-timeout", "3")
SMALL = ("--max-payload", "10000")


class Service:
    """A server process that is told its port, watched, and ended with SIGTERM."""

    name: str

    def __init__(self, command: Sequence[str], port: int, log: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        self._checked = 0
        self._told_to_stop = False
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """All that the server has written so far, to stdout and to stderr."""
        return self._log.read_text("utf-8", "replace")

    def wait_until_it_accepts(self) -> None:
        """Connect until somebody answers."""
        for _ in range(int(START_DEADLINE / 0.05)):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                return
            except ConnectionRefusedError:
                self._still_starting()
        self.fail(f"did not listen within {START_DEADLINE} s")

    def _still_starting(self) -> None:
        try:
            status = self.process.wait(0.05)
        except subprocess.TimeoutExpired:
            return
        self.fail(f"ended with status {status} before it listened")

    def check_it_runs(self) -> None:
        """Whoever needs it fails if it has ended."""
        status = self.process.poll()
        if status is not None:
            self.fail(f"has ended with status {status}")

    def sweep(self) -> None:
        """Forget the sessions whose clients are gone, if they are remembered."""

    def tell_to_stop(self) -> None:
        """Send SIGTERM, once."""
        if not self._told_to_stop:
            self._told_to_stop = True
            self.sweep()
            self.process.send_signal(signal.SIGTERM)

    def check_log(self) -> None:
        """Whatever was done to it, a server must not have stumbled over it."""
        news = self.log[self._checked :]
        self._checked += len(news)
        if "Unhandled" in news or "Traceback" in news:
            self.fail("has stumbled")

    def stop(self) -> None:
        """Tell it to stop, unless it was told, and see it end well."""
        self.tell_to_stop()
        try:
            status = self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.fail(f"did not end within {STOP_DEADLINE} s of SIGTERM")
        if not self.ended_well(status):
            self.fail(f"ended with status {status} on SIGTERM")
        self.check_log()

    def ended_well(self, status: int) -> bool:
        """Whether this is the status of an orderly end."""
        return status == 0

    def fail(self, what: str) -> None:
        """End the test with the server's own words."""
        pytest.fail(f"{self.name} {what}; its log:\n{self.log[-8000:]}", pytrace=False)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{HERE}:{PROJECT}", "PYTHONUNBUFFERED": "1"}


class Ours(Service):
    """``twistd -n engineio``, as an operator starts it."""

    def __init__(
        self, options: Sequence[str], log: Path, port: int | None = None
    ) -> None:
        port = free_port() if port is None else port
        self.name = f"twistd -n engineio {' '.join(options)}"
        twistd = Path(sys.executable).with_name("twistd")
        listen = f"tcp:{port}:interface=127.0.0.1"
        plugin = ["engineio", "--listen", listen, *options]
        super().__init__([str(twistd), "-n", "--pidfile=", *plugin], port, log)
        self._sweeps = APP[1] in options

    def sweep(self) -> None:
        """Let the application end all sessions."""
        if not self._sweeps or self.process.poll() is not None:
            return
        peer = Peer(self.port)
        with contextlib.suppress(AssertionError):  # it may be in no state to answer
            peer.post(peer.open(), b"4!sweep")
        peer.close()

    def ended_well(self, status: int) -> bool:
        """Shut down in good order."""
        return status == 0 and "Server Shut Down." in self.log


class Reference(Service):
    """npm's engine.io, with an application like ours."""

    def __init__(self, options: dict[str, object], log: Path) -> None:
        port = free_port()
        self.name = f"reference.mjs {options}"
        script = str(HERE / "reference.mjs")
        command = ["node", script, str(port), json.dumps(options)]
        super().__init__(command, port, log)


PlayInPage = Callable[..., Any]
StartOurs = Callable[..., Service]
StartReference = Callable[..., Service]


def run_client(command: list[str], service: Service) -> Any:
    """Run a client to its end; its last line is what it found out."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=CLIENT_DEADLINE, check=False
        )
        output, status = done.stdout + done.stderr, f"status {done.returncode}"
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"") + (late.stderr or b"")
        status = f"no end within {CLIENT_DEADLINE} s"
    said = output.decode("utf-8", "replace")
    return service.fail(f"and {' '.join(command[1:])}: {status}\n{said}")

"""Programs that serve: started by a test, awaited, and stopped in good order."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

__all__ = [
    "PATIENCE",
    "default_signals",
    "free_port",
    "free_ports",
    "program",
    "started",
]

EXAMPLES = Path(__file__).parent.parent / "examples"
PATIENCE = 60.0
"""Seconds that a program has to start, to answer or to stop."""


def free_port() -> int:
    """
    Find a port that nobody listens on.

    Below those that the system gives to whoever connects: one of those may be gone
    again before it is used. The workers of pytest-xdist share the ports
    out among them, so that two of them never find the same one.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for _ in range(100):
        port = random.randrange(15_000 + worker, 32_000, workers)
        with suppress(OSError), socket.create_server(("", port)):
            return port
    pytest.fail("no port is free")


def free_ports(count: int) -> list[int]:
    """Find several of them, all different."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def default_signals() -> None:
    """
    Heed the signals that end a program: for ``preexec_fn``.

    Tests that were started in the background, or by nohup, have inherited some of them
    as ignored, and so would a program that they start.
    """
    for each in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)


@contextmanager
def started(
    folder: Path, *command: object, place: object, **environment: str
) -> Iterator[None]:
    """
    Run a command that serves, in a folder, until SIGTERM stops it in good order.

    Args:
        folder: Where it runs, and leaves its log.
        command: The command; ``twistd`` is ours.
        place: The port, or the path of the UNIX socket, that shows that it serves.
        environment: What is added to its environment.

    """
    twistd = Path(sys.executable).with_name("twistd")
    words = [str(twistd if each == "twistd" else each) for each in command]
    log = folder / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            words,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(EXAMPLES), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=default_signals,
        ) as process,
    ):
        try:
            await_service(process, place, log)
            yield
            process.send_signal(signal.SIGTERM)
            # twistd, too, may say that it was a signal that ended it.
            assert process.wait(PATIENCE) in (0, -signal.SIGTERM), log.read_text()
        finally:
            process.kill()
    assert "Traceback" not in log.read_text()


def await_service(process: subprocess.Popen, place: object, log: Path) -> None:
    """Connect until somebody answers; fail when the process ends, or time does."""
    family = socket.AF_INET if isinstance(place, int) else socket.AF_UNIX
    address = ("127.0.0.1", place) if isinstance(place, int) else str(place)
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with socket.socket(family) as probe, suppress(OSError):
            probe.connect(address)
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    pytest.fail(f"it does not serve:\n{log.read_text()}")


def program(name: str) -> str:
    """Find a program of Debian's, which keeps servers where only root looks."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if found is None:
        pytest.fail(f"{name} is missing: run `make test`", pytrace=False)
    return found

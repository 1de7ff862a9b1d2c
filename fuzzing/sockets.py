"""
Broken bytes thrown at a live server: ``python -m fuzzing.sockets --seconds 60``.

A server runs in a process of its own. In each round many connections send what
``broken.py`` makes, some at the same time, and leave in every way. After each round:

* a session that was there before it still echoes, and a new one polls, upgrades, echoes
  and closes as ever;
* the number of sessions is back, and so is the number of the reactor's sockets;
* the log holds nothing unhandled: no traceback, no error.

What fails says the seed, which gives the same attacks again.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from fuzzing import PROJECT
from fuzzing.broken import Attack, Broken, Leave
from fuzzing.healthy import PollingClient, WebSocketClient, ask

__all__ = ["Siege", "besiege"]

AT_ONCE: Final = 8
"""Connections that attack at the same time."""

ATTACKS: Final = 160
"""Connections in a round."""

DEADLINE: Final = 30.0
"""Seconds in which a server that is well is seen to be so: far above what it takes."""

VICTIM: Final = ("-m", "fuzzing.victim")

_TROUBLE: Final = re.compile(r"Traceback|Unhandled|#error|#critical")


class Siege:
    """
    A server that is attacked, and a session that lives through it all.

    Attributes:
        seed: What its attacks are made from.

    """

    def __init__(
        self,
        seed: int,
        *,
        victim: Sequence[str] = VICTIM,
        patience: float = DEADLINE,
    ) -> None:
        """
        Prepare a siege; it begins when it is entered.

        Args:
            seed: What the attacks are made from.
            victim: Arguments for Python that start the server.
            patience: Seconds after which it is not as it was before the attack.

        """
        self.seed = seed
        self._command = [sys.executable, *victim]
        self._patience = patience
        self._broken = Broken(random.Random(seed))

    def __enter__(self) -> Self:
        """Start a server, and a session that is to live through it all."""
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "log"
        with self._log.open("ab") as log:
            self._victim = subprocess.Popen(
                self._command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=log
            )
        try:
            assert self._victim.stdout is not None
            line = self._victim.stdout.readline()
            assert line, self._logged()
            self._address = ("127.0.0.1", int(line))
            self._witness = WebSocketClient(self._address)
            self._before = self._counts()
        except BaseException:
            self._victim.kill()
            self._victim.wait()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nothing running, and find that the server could still be stopped."""
        self._witness.close()
        self._victim.send_signal(signal.SIGTERM)
        try:
            status = self._victim.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._victim.kill()
            status = self._victim.wait()
        assert self._victim.stdout is not None
        self._victim.stdout.close()
        log = self._logged()
        self._folder.cleanup()
        if error is None:
            assert status == 0, log
            assert not _TROUBLE.search(log), log

    def round(self, number: int) -> None:
        """
        Attack, then look whether all is well.

        Args:
            number: Which round it is, for what is said when it is not.

        Raises:
            AssertionError: If it is not; it says the seed.

        """
        try:
            self._attack()
            self._look()
        except Exception as error:
            raise AssertionError(
                f"round {number} of seed {self.seed}: {error!r}\n"
                f"again: python -m fuzzing.sockets --seed {self.seed}\n"
                f"{self._logged()[-5000:]}"
            ) from error

    def _attack(self) -> None:
        for _ in range(ATTACKS // AT_ONCE):
            target = PollingClient(self._address)  # one that may be harmed
            attacks = [self._broken.attack(target.sid) for _ in range(AT_ONCE)]
            _throw(self._address, attacks)
            target.leave()

    def _look(self) -> None:
        self._witness.echo("still here")
        client = PollingClient(self._address)
        client.echo("by polling")
        client.upgrade().echo("by WebSocket").close()
        PollingClient(self._address).close()
        end = time.monotonic() + self._patience
        while (counts := self._counts()) != self._before:
            assert time.monotonic() < end, f"{self._before} before, and now {counts}"
            time.sleep(0.05)
        log = self._logged()
        trouble = _TROUBLE.search(log)
        if trouble is not None:
            start = max(0, trouble.start() - 300)
            raise AssertionError(f"trouble in the log: {log[start : start + 4000]}")
        assert self._victim.poll() is None

    def _counts(self) -> dict[str, int]:
        answer: dict[str, int] = json.loads(ask(self._address, b"/counts"))
        return {"sessions": answer["sessions"], "sockets": answer["sockets"]}

    def _logged(self) -> str:
        return self._log.read_text(errors="replace")


def _throw(address: tuple[str, int], attacks: list[Attack]) -> None:
    """Carry out attacks at the same time, piece by piece."""
    connections = [(socket.create_connection(address), each) for each in attacks]
    for step in range(max(len(each.pieces) for each in attacks)):
        for connection, attack in connections:
            with suppress(OSError):  # the server has hung up, as it may
                for piece in attack.pieces[step : step + 1]:
                    connection.settimeout(1.0)
                    connection.sendall(piece)
    for connection, attack in connections:
        with suppress(OSError):
            _leave(connection, attack.leave)
        connection.close()


def _leave(connection: socket.socket, how: Leave) -> None:
    if how is Leave.RESET:
        # Closing a socket that lingers for no time sends a RST.
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    elif how is Leave.HALF:
        connection.shutdown(socket.SHUT_WR)
        _read_on(connection, 0.05)
    elif how is Leave.STAY:
        _read_on(connection, 0.1)


def _read_on(connection: socket.socket, patience: float) -> None:
    connection.settimeout(patience)
    while connection.recv(65_536):
        pass


def besiege(seed: int, rounds: int | None = None, seconds: float = 0.0) -> int:
    """
    Besiege a server.

    Args:
        seed: What the attacks are made from.
        rounds: How many; if left out, as many as the time allows, one at least.
        seconds: How long.

    Returns:
        How many connections attacked.

    Raises:
        AssertionError: If the server was harmed.

    """
    end, done = time.monotonic() + seconds, 0
    with Siege(seed) as siege:
        while not done or (done < rounds if rounds else time.monotonic() < end):
            siege.round(done)
            done += 1
    return done * ATTACKS


def main() -> None:
    """Besiege a server for as long as asked."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing.sockets")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long; 60")
    parser.add_argument("--seed", type=int, help="of an earlier run; else a new one")
    options: Any = parser.parse_args()
    seed = options.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    count = besiege(seed, seconds=options.seconds)
    print(f"{count} connections attacked it, and the server is well")


if __name__ == "__main__":
    main()

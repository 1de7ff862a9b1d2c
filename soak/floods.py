"""
What a flood costs an honest client: ``python -m soak.floods``.

Each attack of ``attacks`` runs in a process of its own against a fresh ``twistd
engineio`` with its defaults, on a core of its own, while one honest client sends a
small message, waits for its echo, pauses, and sends again. Printed for each: the
honest client's milliseconds, what the attackers could send, how many of their
connections were ended, and by how much the server's memory grew.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import install, wire
from benchmarks.meter import PAGE, PROC, cores, on_core
from benchmarks.servers import Server, Start, free_port, running
from soak.attacks import ATTACKS

PAUSE = 0.002
"""Seconds between an echo and the next message."""
PATIENCE = 30.0
"""Seconds after which an echo that has not come counts as one that took so long."""
WARM = 1.0
"""Seconds that the attackers have to connect."""

HEAD = (
    f"{'':16}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'MB sent':>9}"
    f"{'ended':>7}{'memory MiB':>12}"
)


def _ours(start: Start) -> list[str]:
    twistd = "from twisted.scripts.twistd import run; run()"
    return [
        *(sys.executable, "-c", twistd, "-n", "--pidfile=", "--logfile=-"),
        *("engineio", "--listen", f"tcp:{start.port}:interface=127.0.0.1"),
        *("--app", "soak.filling:Filling"),
    ]


@dataclass(frozen=True)
class Figures:
    """What one attack came to: seconds, bytes and counts."""

    latencies: list[float]
    sent: int
    ended: int
    grown: int

    def row(self, name: str) -> str:
        """Write the line of the table."""
        cuts = statistics.quantiles(self.latencies, n=100)
        return (
            f"{name:16}{cuts[49] * 1e3:>9.2f}{cuts[98] * 1e3:>9.2f}"
            f"{max(self.latencies) * 1e3:>9.1f}{self.sent / 1e6:>9.1f}"
            f"{self.ended:>7}{self.grown / 2**20:>12.1f}"
        )


def measure(
    name: str | None, clients: int, rate: float, seconds: float, folder: Path
) -> Figures:
    """Run one attack, or none, against a fresh server."""
    load_core, server_core = cores()
    start = Start(free_port())
    server = Server("floods", lambda: None, _ours, folder)
    with running(server, start, server_core) as pid, on_core(load_core):
        client = Honest(start.port)
        client.echo(0.5)
        before = most = _memory(pid)
        attack = None
        if name is not None:
            command = (name, clients, rate, seconds + 2 * WARM)
            attack = subprocess.Popen(
                [
                    *(sys.executable, "-m", "soak.attacks", str(start.port)),
                    *map(str, command),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
        latencies: list[float] = []
        end = time.monotonic() + seconds + WARM
        try:
            client.echo(WARM)
            while time.monotonic() < end:
                latencies += client.echo(0.25)
                most = max(most, _memory(pid))
        except TimeoutError:
            latencies += [PATIENCE, PATIENCE]
            most = max(most, _memory(pid))
        outcome = {"sent": 0, "ended": 0}
        if attack is not None:
            said, _ = attack.communicate(timeout=60)
            outcome = json.loads(said)
        client.close()
    return Figures(latencies, outcome["sent"], outcome["ended"], most - before)


def _memory(pid: int) -> int:
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE


class Honest:
    """A WebSocket session that answers its pings, in blocking calls."""

    def __init__(self, port: int) -> None:
        """Open the session."""
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(wire.upgrade_request(port))
        data = b""
        while b'"sid"' not in data or not data.endswith(b"}"):
            data += self._socket.recv(1 << 16)
        self._message = wire.client_frame(wire.TEXT, b"4hello")
        self._echo = wire.server_frame(wire.TEXT, b"4hello")

    def echo(self, seconds: float) -> list[float]:
        """Send one message after the other; return the seconds that each took."""
        taken = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.perf_counter()
            self._socket.sendall(self._message)
            self._await_echo()
            taken.append(time.perf_counter() - begun)
            time.sleep(PAUSE)
        return taken

    def _await_echo(self) -> None:
        data = b""
        while not data.endswith(self._echo):
            more = self._socket.recv(1 << 16)
            if not more:
                raise ConnectionError(f"the server ended the honest session: {data!r}")
            data += more
            if wire.server_frame(wire.TEXT, b"2") in data:
                self._socket.sendall(wire.client_frame(wire.TEXT, b"3"))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def main() -> None:
    """Measure what was asked for, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m soak.floods", description=__doc__)
    add = parser.add_argument
    add("attacks", nargs="*", default=list(ATTACKS), help=", ".join(ATTACKS))
    add("--clients", type=int, default=10, help="attackers at once; 10")
    add("--rate", type=float, default=40_000, help="bytes/s of each; 40,000")
    add("--seconds", type=float, default=5.0, help="how long each; 5")
    add("--folder", type=Path, default=install.ROOT, help="another checkout's server")
    given = parser.parse_args()
    print(
        f"{given.clients} attackers, {given.rate:,.0f} bytes/s each,"
        f" {given.seconds:g} s.\n{HEAD}"
    )
    for name in [None, *given.attacks]:
        figures = measure(
            name, given.clients, given.rate, given.seconds, given.folder.resolve()
        )
        print(figures.row(name or "nobody"), flush=True)


if __name__ == "__main__":
    main()

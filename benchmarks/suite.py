"""
Runs: every server gets the same work, in turn, for several rounds.

A run has a server process of its own: it is started, rehearsed (so that code is loaded
and memory has its shape), given its sessions, warmed up, and then measured between two
readings of the meters. Who comes first changes from round to round.
"""

from __future__ import annotations

import gc
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from benchmarks import meter
from benchmarks.clients import Echo, Tally
from benchmarks.loop import Loop, Stuck
from benchmarks.meter import Reading
from benchmarks.servers import Server, Start, free_port, running
from benchmarks.workloads import ONE, Workload

# Below the backlog of 50 that Twisted listens with.
REHEARSAL = 32
PATIENCE = 60.0


@dataclass(frozen=True)
class Length:
    """How long a run lasts, in seconds, and how often it is done."""

    warm_up: float
    measure: float
    rounds: int


FULL = Length(warm_up=1.5, measure=3.5, rounds=3)
QUICK = Length(warm_up=0.5, measure=1.0, rounds=1)


@dataclass(frozen=True)
class Run:
    """One server at one kind of work; shares are of one core, 0 to 1."""

    server: str
    workload: str
    messages: int
    seconds: float
    cpu_us: float
    kernel_share: float
    rate: float
    p50_ms: float
    p99_ms: float
    server_share: float
    others_share: float
    load_share: float
    load_others_share: float
    kib_per_session: float

    def as_dict(self) -> dict[str, float | int | str]:
        """Return it for JSON."""
        return asdict(self)


def interleaved(
    servers: list[Server],
    workloads: list[Workload],
    length: Length,
    failures: list[str],
) -> Iterator[Run]:
    """Run every workload on every server; what doesn't work goes into ``failures``."""
    for round_number in range(length.rounds):
        for workload in workloads:
            first = round_number % len(servers)
            for server in servers[first:] + servers[:first]:
                print(
                    f"round {round_number + 1}/{length.rounds}"
                    f"  {workload.name:15} {server.name}",
                    file=sys.stderr,
                    flush=True,
                )
                try:
                    yield run_once(server, workload, length)
                except (Stuck, OSError, ValueError) as failure:
                    failures.append(f"{workload.name}, {server.name}: {failure}")
                    print(f"  FAILED: {failure}", file=sys.stderr)


def run_once(server: Server, workload: Workload, length: Length) -> Run:
    """Start a server, put it to work, and read the meters before and after."""
    cores = load_core, server_core = meter.cores()
    start = Start(free_port(), workload.ping_interval)
    with running(server, start, server_core) as pid, meter.on_core(load_core):
        _rehearse(start.port)
        loop = Loop(start.port)
        gc.collect()
        gc.disable()
        try:
            empty = Reading.take(pid, *cores)
            tally = workload.setup(loop)
            _run_whole_rounds(loop, tally, workload, length.warm_up)
            tally.messages = 0
            del tally.latencies[:]
            before = Reading.take(pid, *cores)
            _run_whole_rounds(loop, tally, workload, length.measure)
            after = Reading.take(pid, *cores)
        finally:
            gc.enable()
            loop.close()
    return _run(server, workload, tally, (empty, before, after))


def _run_whole_rounds(
    loop: Loop, tally: Tally, workload: Workload, seconds: float
) -> None:
    """
    Run for so long, and until every session has had its turn equally often.

    With thousands of messages in flight a server may read all of them before it
    answers one: between two arbitrary moments it would seem cheap or dear.
    """
    loop.run(seconds)
    if workload.sessions and not workload.memory:
        goal = (tally.messages // workload.sessions + 1) * workload.sessions
        loop.run_until(lambda: tally.messages >= goal, PATIENCE, "a round of answers")


def _rehearse(port: int) -> None:
    """Open and close some sessions."""
    loop, tally = Loop(port), Tally()
    sessions = [Echo(loop, tally, ONE, ONE.lumps()) for _ in range(REHEARSAL)]
    loop.run_until(lambda: all(one.open for one in sessions), 20, "rehearsal")
    for session in sessions:
        session.begin()
    loop.run(0.1)
    loop.close()


def _run(
    server: Server,
    workload: Workload,
    tally: Tally,
    readings: tuple[Reading, Reading, Reading],
) -> Run:
    empty, before, after = readings
    wall = after.wall - before.wall
    cpu = after.server - before.server
    user = after.server_user - before.server_user
    system = after.server_system - before.server_system
    load = after.load - before.load
    server_core = after.server_core - before.server_core
    load_core = after.load_core - before.load_core
    messages = tally.messages
    p50, p99 = _percentiles(tally)
    return Run(
        server=server.name,
        workload=workload.name,
        messages=messages,
        seconds=wall,
        cpu_us=cpu / messages * 1e6 if messages else 0.0,
        kernel_share=system / (user + system) if user + system else 0.0,
        rate=messages / wall,
        p50_ms=p50 * 1e3,
        p99_ms=p99 * 1e3,
        server_share=cpu / wall,
        others_share=max(0.0, server_core - cpu) / wall,
        load_share=load / wall,
        load_others_share=max(0.0, load_core - load) / wall,
        kib_per_session=(after.rss_bytes - empty.rss_bytes) / 1024 / workload.sessions
        if workload.sessions
        else 0.0,
    )


def _percentiles(tally: Tally) -> tuple[float, float]:
    if len(tally.latencies) < 2:
        return 0.0, 0.0
    cuts = statistics.quantiles(tally.latencies, n=100)
    return cuts[49], cuts[98]

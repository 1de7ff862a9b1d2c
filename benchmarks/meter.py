"""
What a process used: CPU time, memory, and whose core it had.

CPU time is the account behind ``utime + stime`` of ``/proc/<pid>/stat``, all threads,
read through the process's POSIX clock, which gives nanoseconds instead of ticks of
10 ms. ``stat`` itself is read for the share of it that was spent in the kernel.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Return ``pid`` and its descendants."""
    found = [pid]
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:  # a kernel without them: single-process servers only
            continue
        for child in children:
            found += tree(int(child))
    return found


@dataclass(frozen=True)
class Reading:
    """The meters at one moment; seconds, except where the name says otherwise."""

    wall: float
    server: float
    server_user: float
    server_system: float
    load: float
    server_core: float
    load_core: float
    rss_bytes: int

    @classmethod
    def take(cls, pid: int, load_core: int, server_core: int) -> Reading:
        """Read the meters of the server ``pid``, of both cores, and our own."""
        cpu, user, system, rss = 0.0, 0.0, 0.0, 0
        for member in tree(pid):
            # CPUCLOCK_SCHED of another process, linux/include/linux/posix-timers.h
            cpu += time.clock_gettime_ns((~member << 3) | 2) / 1e9
            stat = (PROC / str(member) / "stat").read_text().rpartition(")")[2].split()
            user += int(stat[11]) / TICKS
            system += int(stat[12]) / TICKS
            rss += int(stat[21]) * PAGE
        return cls(
            time.perf_counter(),
            cpu,
            user,
            system,
            time.process_time(),
            _core_busy(server_core),
            _core_busy(load_core),
            rss,
        )


def _core_busy(core: int) -> float:
    """Return for how many seconds ``core`` has done anything, for anybody."""
    for line in (PROC / "stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / TICKS
    return 0.0


def cores() -> tuple[int, int]:
    """Return the core for the load and the one for the server."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run what is started in here, and its threads, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

"""What a server process used, sampled, and a straight line through the samples."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.meter import PAGE, PROC, TICKS


@dataclass(frozen=True)
class Sample:
    """
    The server at one moment.

    Attributes:
        at: Seconds since the first session.
        rss: Resident memory, in bytes.
        cpu: Seconds of CPU so far.
        descriptors: Open file descriptors.
        sessions: Open sessions.
        delayed: The reactor's delayed calls.
        sent: Messages that the application has sent so far.
        received: Messages that it has received so far.

    """

    at: float
    rss: int
    cpu: float
    descriptors: int
    sessions: int
    delayed: int
    sent: int
    received: int


def process(pid: int) -> tuple[int, float, int]:
    """Read a process's memory in bytes, CPU seconds and open descriptors."""
    folder = PROC / str(pid)
    stat = (folder / "stat").read_text().rpartition(")")[2].split()
    cpu = (int(stat[11]) + int(stat[12])) / TICKS
    return int(stat[21]) * PAGE, cpu, len(os.listdir(folder / "fd"))


def growth(points: Sequence[tuple[float, float]]) -> float:
    """Fit a line by least squares; give by how much it rises from first to last."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    width = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / width
    return slope * (points[-1][0] - points[0][0])

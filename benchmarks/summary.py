"""Medians over the rounds, and ours divided by theirs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks import targets
from benchmarks.servers import OURS
from benchmarks.suite import Run
from benchmarks.workloads import WORKLOADS, Workload

FIELDS = (
    *("cpu_us", "kernel_share", "rate", "p50_ms", "p99_ms", "server_share"),
    *("others_share", "load_share", "load_others_share", "kib_per_session"),
)


@dataclass(frozen=True)
class Median:
    """One server at one kind of work: what a Run says, medians over the rounds."""

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
    spread: float
    rounds: int

    @classmethod
    def of(cls, runs: list[Run], memory: bool) -> Median:
        """Reduce the rounds; ``spread`` is that of the figure that counts."""
        figures = [run.kib_per_session if memory else run.cpu_us for run in runs]
        middle = statistics.median(figures)
        medians = {
            name: statistics.median(getattr(run, name) for run in runs)
            for name in FIELDS
        }
        return cls(
            **medians,
            spread=(max(figures) - min(figures)) / middle if middle else 0.0,
            rounds=len(runs),
        )


@dataclass(frozen=True)
class Ratio:
    """Ours divided by a peer's, and what we promised, if we did."""

    workload: str
    peer: str
    value: float
    at_most: float | None

    @property
    def verdict(self) -> str:
        """Say whether the promise is kept."""
        if self.at_most is None:
            return ""
        return "kept" if self.value <= self.at_most else "MISSED"


class Summary:
    """All that was measured, by workload and server, in the order it was run."""

    def __init__(self, runs: Iterable[Run]) -> None:
        """Group the runs."""
        groups: dict[str, dict[str, list[Run]]] = {}
        for run in runs:
            groups.setdefault(run.workload, {}).setdefault(run.server, []).append(run)
        self.medians = {
            workload: {
                server: Median.of(some, WORKLOADS[workload].memory)
                for server, some in by_server.items()
            }
            for workload, by_server in groups.items()
        }

    @property
    def workloads(self) -> list[Workload]:
        """The workloads, in the order of the table of workloads."""
        return [work for name, work in WORKLOADS.items() if name in self.medians]

    def cost(self, workload: Workload, server: str) -> float | None:
        """Return what counts: CPU microseconds, or KiB per session; None if not run."""
        median = self.medians[workload.name].get(server)
        if median is None:
            return None
        return median.kib_per_session if workload.memory else median.cpu_us

    def ratios(self, workload: Workload) -> list[Ratio]:
        """Divide ours by each peer's."""
        ours = self.cost(workload, OURS)
        found = []
        for peer in self.medians[workload.name]:
            theirs = self.cost(workload, peer)
            if peer != OURS and ours is not None and theirs:
                at_most = targets.AT_MOST.get(workload.name, {}).get(peer)
                found.append(Ratio(workload.name, peer, ours / theirs, at_most))
        return found

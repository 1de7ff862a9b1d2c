"""The command line: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import install, meter, report
from benchmarks.limits import allow_descriptors
from benchmarks.servers import SERVERS, before
from benchmarks.suite import FULL, QUICK, Run, interleaved
from benchmarks.summary import Summary
from benchmarks.workloads import WORKLOADS

RESULTS = install.BUILD / "results.json"
SPARE_DESCRIPTORS = 200


def main() -> int:
    """Run what was asked for, and write it down."""
    options = _options()
    workloads = [WORKLOADS[name] for name in options.workloads]
    servers = [SERVERS[name] for name in options.servers]
    if options.before is not None:
        servers.append(before(options.before))
    length = QUICK if options.quick else FULL
    if options.rounds is not None:
        length = replace(length, rounds=options.rounds)
    if options.show:
        _show(json.loads(RESULTS.read_text()))
        return 0
    most = max(workload.sessions for workload in workloads)
    allow_descriptors(most + SPARE_DESCRIPTORS)
    for server in servers:
        server.install()
        (install.BUILD / f"{server.name}.log").unlink(missing_ok=True)
    runs: list[Run] = []
    failures: list[str] = []
    try:
        for run in interleaved(servers, workloads, length, failures):
            runs.append(run)  # noqa: PERF402 - what there is must outlive an interrupt
    except KeyboardInterrupt:
        failures.append("interrupted")
    results = {
        "heading": _heading("quick" if options.quick else "full", length.rounds),
        "failures": failures,
        "runs": [run.as_dict() for run in runs],
    }
    install.BUILD.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    _show(results)
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="short runs; good for ratios only"
    )
    parser.add_argument(
        "--rounds", type=int, help="rounds, interleaved; 3, or 1 with --quick"
    )
    parser.add_argument(
        "--show", action="store_true", help="measure nothing, show the last results"
    )
    parser.add_argument(
        "--servers",
        type=_names(SERVERS),
        default=list(SERVERS),
        help=", ".join(SERVERS),
    )
    parser.add_argument(
        "--before",
        type=Path,
        help="a checkout of an earlier state, measured beside this one",
    )
    parser.add_argument(
        "--workloads",
        type=_names(WORKLOADS),
        default=[name for name, work in WORKLOADS.items() if not work.extra],
        help=", ".join(WORKLOADS),
    )
    return parser.parse_args()


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what reads a list of known names, with commas between them."""

    def names(text: str) -> list[str]:
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {list(known)}")
        return found

    return names


def _heading(kind: str, rounds: int) -> str:
    load, server = meter.cores()
    shared = "" if load != server else "  ONE CORE FOR BOTH: no rate means much."
    return (
        f"Engine.IO servers, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, "
        f"{kind}, {rounds} round(s).\n"
        f"CPython {platform.python_version()}, {platform.system()} "
        f"{platform.release()}, {os.cpu_count()} cores: "
        f"server on {server}, load on {load}.{shared}\n"
    )


def _show(results: dict[str, Any]) -> None:
    """Print and plot what was measured."""
    summary = Summary(Run(**run) for run in results["runs"])
    text = report.table(summary, results["heading"], results["failures"])
    (install.BUILD / "table.txt").write_text(text + "\n")
    # For docs/performance, to be copied there when the run was a good one.
    for name, page in report.pages(summary, results["heading"]).items():
        (install.BUILD / name).write_text(page)
    print(text)
    try:
        from benchmarks import plots
    except ImportError as missing:
        print(f"no plots: {missing} (benchmarks/requirements.txt)", file=sys.stderr)
        return
    for path in plots.draw(summary, install.BUILD):
        print(path, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

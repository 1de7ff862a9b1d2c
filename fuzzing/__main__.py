"""
Run the targets, some at a time: ``python -m fuzzing [--seconds N | --runs N]``.

Each runs in a process of its own and writes to ``.fuzz/<target>.log``. What one finds
is printed with the file that holds it, and with the command that shows it again.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from fuzzing import FOUND, PROJECT, TARGETS

SOCKETS = "sockets"
"""The one that is no target of atheris: ``sockets.py``."""

_INPUTS = re.compile(r"^#(\d+)", re.MULTILINE)
_FILE = re.compile(r"Test unit written to (\S+)")


class Outcome(NamedTuple):
    """
    How a run ended.

    Attributes:
        target: What ran.
        status: Its exit status; 0 if it found nothing.
        log: All that it printed.
        seconds: How long it ran.

    """

    target: str
    status: int
    log: str
    seconds: float


def main() -> int:
    """Run what was asked for; give 1 if something was found."""
    options = _options()
    FOUND.mkdir(exist_ok=True)
    found = False
    with ThreadPoolExecutor(options.at_once) as pool:
        runs = [pool.submit(_run, each, options) for each in options.targets]
        for run in as_completed(runs):
            outcome = run.result()
            found = found or outcome.status != 0
            print(told(outcome), flush=True)
    return int(found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=__doc__)
    parser.add_argument("targets", nargs="*", help=", ".join((*TARGETS, SOCKETS)))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=int, default=60, help="for each; 60")
    length.add_argument("--runs", type=int, help="inputs for each, instead of seconds")
    parser.add_argument("--at-once", type=int, default=2, help="processes; 2")
    options = parser.parse_args()
    options.targets = options.targets or [*TARGETS, SOCKETS]
    unknown = set(options.targets) - {*TARGETS, SOCKETS}
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    return options


def _run(target: str, options: argparse.Namespace) -> Outcome:
    command = [sys.executable, "-m"]
    if target == SOCKETS:
        command += ["fuzzing.sockets", "--seconds", str(options.seconds)]
    elif options.runs is not None:
        command += ["fuzzing.fuzz", target, f"-runs={options.runs}"]
    else:
        command += ["fuzzing.fuzz", target, f"-max_total_time={options.seconds}"]
    log, start = FOUND / f"{target}.log", time.monotonic()
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    text = log.read_text(errors="replace")
    return Outcome(target, done.returncode, text, time.monotonic() - start)


def told(outcome: Outcome) -> str:
    """Say how a run ended, and of a finding how to see it again."""
    target, status, log, seconds = outcome
    counts = _INPUTS.findall(log)
    inputs = f"{int(counts[-1]):,} inputs" if counts else log.strip().split("\n")[-1]
    if status == 0:
        return f"{target}: {inputs} in {seconds:.0f} s, nothing found"
    lines = [f"{target}: FOUND something ({inputs}, {seconds:.0f} s)", ""]
    lines += [f"    {line}" for line in log.splitlines()[-40:]]
    written = _FILE.search(log)
    if written is not None:
        path = Path(written[1])
        lines += ["", f"The input is in {path}. To see it again:"]
        lines += [f"    {sys.executable} -m fuzzing.replay {target} {path}"]
    lines += ["", f"All that it printed is in {FOUND / target}.log"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

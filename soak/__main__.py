"""The command line: ``python -m soak --help``."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from benchmarks.limits import allow_descriptors
from soak import summary
from soak.attacks import ATTACKS
from soak.house import APPLICATION
from soak.run import Options, Run
from soak.verdict import SHOWN

FOLDER = Path(__file__).resolve().parent.parent / "build" / "soak"


def main() -> int:
    """Run it, and say how it went."""
    options = _options()
    # Two connections a session at most, and as many again on their way out.
    allow_descriptors(3 * options.sessions + len(ATTACKS) * options.attackers + 500)
    options.folder.mkdir(parents=True, exist_ok=True)
    outcome: list[int] = []

    def soak(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(_soak(reactor, options, outcome))

    try:
        react(soak)
    except SystemExit:
        if not outcome:
            raise
    return outcome[0]


async def _soak(reactor: Any, options: Options, outcome: list[int]) -> None:
    run = Run(reactor, options)
    wrong = await run.go()
    text = summary.text(run, wrong, options)
    print(text)
    (options.folder / "summary.txt").write_text(text + "\n")
    for line in wrong[:SHOWN]:
        print(line)
    _plot(run, options.folder)
    outcome.append(1 if wrong else 0)


def _plot(run: Run, folder: Path) -> None:
    try:
        from soak import plot
    except ImportError as missing:
        print(f"no plot: {missing} (the extra 'bench' has it)", file=sys.stderr)
        return
    plot.draw(run.samples, run.evidence.samples, folder)
    print(folder / "soak.png", file=sys.stderr)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=10.0, help="how long; 10")
    add("--sessions", type=int, default=5000, help="how many at once; 5,000")
    add("--life", type=float, default=90.0, help="a session's seconds, on average")
    add("--pause", type=float, default=15.0, help="seconds between its messages")
    add("--rate", type=float, default=100.0, help="sessions opened in a second at most")
    add("--ping-interval", type=float, default=25.0, help="the server's; 25")
    add("--ping-timeout", type=float, default=20.0, help="the server's; 20")
    add("--attackers", type=int, default=2, help="clients of each attack; 2")
    add("--app", default=APPLICATION, help="another one, to see the soak fail")
    add("--seed", type=int, help="repeat the run that had this seed")
    add("--folder", type=Path, default=FOLDER, help="where the ledgers and plots go")
    given = parser.parse_args()
    if given.seed is None:
        given.seed = secrets.randbelow(1 << 32)
    return Options(**vars(given))


if __name__ == "__main__":
    sys.exit(main())

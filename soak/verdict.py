"""
What the ledgers and the figures prove, or disprove.

Pure functions over what was written down: ``tests/test_soak.py`` gives them ledgers
with a lost, a doubled, a reordered message, and figures with a leak.

A stream of messages is numbered. Whoever listened logged the numbers as they came; who
spoke says which are certain to be heard and which may be. A session that ended in an
orderly way must have heard all; one that died, a beginning without gaps.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from soak.figures import Sample, growth
from soak.plan import Ending

Ledger = dict[str, Any]
Runs = Sequence[Sequence[int]]

REASONS = {
    Ending.BYE: {"transport close"},
    Ending.TOLD: {"forced close"},
    Ending.DRAINED: {"server close"},
    # A stream's session outlives its connection, until a pong is missing.
    Ending.RESET: {"transport close", "transport error", "ping timeout"},
    Ending.KILLED: {"transport close", "transport error", "ping timeout"},
    Ending.HALF: {"transport close", "transport error", "ping timeout"},
    # Who reads nothing may be found out by what waits for it, before its ping.
    Ending.FROZEN: {"ping timeout", "slow client", "replay overflow"},
}
BYTES_PER_SESSION = 256
"""Bytes by which memory may grow for each session that has come and gone. The least
that the server holds for a session is some 5 KiB: so less than one in twenty may be
left behind, or a twentieth of each."""
ALLOCATOR = 4 << 20
"""Bytes besides: what CPython's and libc's allocators keep or give back of their own
accord while thousands of buffers of all sizes come and go."""
SETTLED = 120.0
"""Seconds to look at from which on that is enough. In a run of a minute the allocators
are still on their way up, and may have twice as much."""
OBJECTS = 2000
"""Objects, of some 200,000, that may be more after all than after the rehearsal:
caches and free lists, none of which grows with the sessions."""
KINDS = {"twisted_engineio.policy.limited_log._Kind": 50}
"""Objects that may be more: of each kind of line that a client has caused there is one,
from the first on, and there are few kinds."""
DELAYED_SHARE = 0.05
"""By how much of their mean the delayed calls may drift: as the sessions do. Twice as
much in a run that has not settled, for connections that are kept alive outlast their
sessions by up to 75 seconds."""
BAD_WORDS = ("Traceback", "Unhandled", "#error", "#critical")
SHOWN = 40


@dataclass
class Evidence:
    """
    All that a run has written down.

    Attributes:
        clients: The clients' ledgers.
        server: The server's.
        samples: The server's figures, from the moment that all sessions were there
            until they were told to end.
        fresh: Descriptors and delayed calls before the first session.
        after: The same after the last.
        objects_before: Objects by kind, after a rehearsal and a collection.
        objects_after: The same after the last session.
        left: Sessions that the application knows after the last.
        log: The server's log.
        exit_status: Of the server.
        mishaps: What went wrong in the load itself.

    """

    clients: list[Ledger] = field(default_factory=list)
    server: list[Ledger] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    fresh: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    objects_before: dict[str, int] = field(default_factory=dict)
    objects_after: dict[str, int] = field(default_factory=dict)
    left: int = 0
    log: str = ""
    exit_status: int | None = 0
    mishaps: list[str] = field(default_factory=list)


def judge(evidence: Evidence) -> list[str]:
    """Give a line for everything that is wrong; none if all is well."""
    return [
        *evidence.mishaps,
        *_judge_log(evidence.log),
        *_judge_remains(evidence),
        *_judge_memory(evidence.samples, evidence.server),
        *_judge_delayed_calls(evidence.samples),
        # Last, for it may be a line for each message.
        *_judge_sessions(evidence.clients, evidence.server),
    ]


# Messages.


def faults(runs: Runs, first: int, certain: int, stop: int) -> Iterator[str]:
    """
    Say which numbers were lost, doubled, reordered or made up.

    Args:
        runs: What was heard, in order: pairs of the first number and that behind the
            last.
        first: The number that the stream began with.
        certain: The numbers below this one must have been heard.
        stop: The numbers from this one on were never sent.

    """
    if not runs and certain <= first:
        return
    if len(runs) == 1 and runs[0][0] == first and certain <= runs[0][1] <= stop:
        return
    heard = [number for start, end in runs for number in range(start, end)]
    highest = first - 1
    for number in heard:
        if number < first or number >= stop:
            yield f"number {number} was heard and never sent"
        elif number < highest:
            yield f"number {number} came behind {highest}: reordered or doubled"
        highest = max(highest, number)
    counted = Counter(heard)
    for number, times in counted.items():
        if times > 1:
            yield f"number {number} was heard {times} times: doubled"
    for number in range(first, max(certain, min(highest + 1, stop))):
        if number not in counted:
            yield f"number {number} was sent and not heard: lost"


def _judge_sessions(clients: list[Ledger], server: list[Ledger]) -> Iterator[str]:
    counted = Counter(line["who"] for line in server)
    for who, times in counted.items():
        if times > 1:
            yield f"session {who}: the server ended it {times} times"
    by_name = {line["who"]: line for line in server}
    for mine in clients:
        theirs = by_name.pop(mine["who"], None)
        for fault in _judge_session(mine, theirs):
            yield f"session {mine['who']} ({describe(mine)}): {fault}"
    for who in by_name:
        yield f"session {who}: the server had it, and no client did"


def describe(mine: Ledger) -> str:
    """Tell where a session has been."""
    way = " to ".join(mine["way"])
    if len(mine["planned"]) > len(mine["way"]):
        way += f" (on its way to {mine['planned'][len(mine['way'])]})"
    return f"{way}, revision {mine['revision']}, {mine['ending']}"


def _judge_session(mine: Ledger, theirs: Ledger | None) -> Iterator[str]:
    ending = Ending(mine["ending"])
    if mine["trouble"]:
        yield mine["trouble"]
    for each in mine["spoilt"]:
        yield f"the client heard {each}"
    if theirs is None:
        if mine["opened"]:
            yield "the server has never said goodbye to it"
        return
    for each in theirs["spoilt"]:
        yield f"the server heard {each}"
    if not mine["trouble"] and theirs["reason"] not in REASONS[ending]:
        yield f"the server ended it for {theirs['reason']!r}"
    where = f"on {theirs['transport']}"
    sent, said = mine["sent"], theirs["sent"]
    all_of_ours = ending in (Ending.BYE, Ending.TOLD)
    for fault in faults(theirs["up"], 0, sent if all_of_ours else 0, sent):
        yield f"up, {where}: {fault}"
    for fault in faults(mine["down"], 0, said if ending.orderly else 0, said):
        yield f"down, {where}: {fault}"
    first, certain, stop = theirs["casts"]
    for fault in faults(
        mine["cast"], first, certain if ending.orderly else first, stop
    ):
        yield f"broadcast, {where}: {fault}"


# Figures.


def second_half(samples: list[Sample]) -> list[Sample]:
    """Leave out the time until memory has its shape."""
    return samples[len(samples) // 2 :]


def memory_bound(samples: list[Sample], server: list[Ledger]) -> tuple[float, float]:
    """Give by how much memory grew in the second half, and by how much it may."""
    half = second_half(samples)
    grown = growth([(each.at, float(each.rss)) for each in half])
    seconds = half[-1].at - half[0].at
    allocator = ALLOCATOR if seconds >= SETTLED else 2 * ALLOCATOR
    ended = len(server) * seconds / samples[-1].at
    return grown, allocator + BYTES_PER_SESSION * ended


def _judge_memory(samples: list[Sample], server: list[Ledger]) -> Iterator[str]:
    if len(samples) < 8:
        yield f"{len(samples)} samples are too few to tell about memory"
        return
    grown, bound = memory_bound(samples, server)
    if grown > bound:
        yield (
            f"memory grew by {grown / 1024:,.0f} KiB in the second half; "
            f"{bound / 1024:,.0f} would have passed"
        )


def _judge_delayed_calls(samples: list[Sample]) -> Iterator[str]:
    half = second_half(samples)
    if len(half) < 4:
        return
    grown = growth([(each.at, float(each.delayed)) for each in half])
    mean = sum(each.delayed for each in half) / len(half)
    share = DELAYED_SHARE if half[-1].at - half[0].at >= SETTLED else 2 * DELAYED_SHARE
    if grown > share * mean:
        yield f"delayed calls grew by {grown:,.0f} in the second half, from {mean:,.0f}"


def _judge_remains(evidence: Evidence) -> Iterator[str]:
    if evidence.left:
        yield f"{evidence.left} sessions are left"
    for what, before, after in zip(
        ("file descriptors", "delayed calls"),
        evidence.fresh,
        evidence.after,
        strict=True,
    ):
        if after != before:
            yield f"{after} {what} after all, and {before} before the first session"
    before, after = evidence.objects_before, evidence.objects_after
    for kind in sorted(after):
        allowed = OBJECTS if kind == "all" else KINDS.get(kind, 0)
        more = after[kind] - before.get(kind, 0)
        if more > allowed:
            yield f"{more} more objects of kind {kind} than before"
    if evidence.exit_status not in (0, -signal.SIGTERM):
        # twistd ends itself with the signal that it was stopped by.
        yield f"the server exited with status {evidence.exit_status}"


def _judge_log(log: str) -> Iterator[str]:
    for line in log.splitlines():
        if any(word in line for word in BAD_WORDS):
            yield f"the server's log says: {line[:200]}"

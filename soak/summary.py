"""What a run was and how it went, in a dozen lines."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from soak.run import count
from soak.verdict import memory_bound, second_half

if TYPE_CHECKING:
    from soak.run import Options, Run

MIB = 1 << 20


def text(run: Run, wrong: list[str], options: Options) -> str:
    """Write it."""
    evidence = run.evidence
    clients, server = evidence.clients, evidence.server
    lines = [
        f"Soak, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {options.minutes:g} minutes,"
        f" {options.sessions:,} sessions at once, seed {options.seed}."
        f" CPython {platform.python_version()}.",
        f"Sessions: {len(server):,} opened and ended; {count(clients, 'ending')}.",
        f"Upgrades: {sum(len(line['way']) - 1 for line in clients):,} done,"
        f" {sum(line['faltered'] for line in clients):,} given up half-way.",
        f"Messages: {_heard(server, 'up'):,} up, {_heard(clients, 'down'):,} down,"
        f" {_heard(clients, 'cast'):,} of broadcasts.",
        *_figures(run),
        *_attacks(run),
    ]
    if wrong:
        lines.append(
            f"FAILED: {len(wrong)} things are wrong; repeat with --seed {options.seed}:"
        )
    else:
        lines.append("Nothing lost, doubled or reordered; nothing left.")
    return "\n".join(lines)


def _figures(run: Run) -> list[str]:
    evidence = run.evidence
    samples = evidence.samples
    if len(samples) < 2:
        return []
    half = second_half(samples)
    grown, bound = memory_bound(samples, evidence.server)
    seconds = half[-1].at - half[0].at
    rate = (
        half[-1].sent + half[-1].received - half[0].sent - half[0].received
    ) / seconds
    share = (half[-1].cpu - half[0].cpu) / seconds
    return [
        f"Server, second half: {min(each.sessions for each in half):,} to"
        f" {max(each.sessions for each in half):,} sessions, {rate:,.0f} messages/s,"
        f" {share:.0%} of a core.",
        f"Memory: {half[0].rss / MIB:.1f} MiB to {half[-1].rss / MIB:.1f} MiB; the line"
        f" through it rises by {grown / MIB:+.2f} MiB, {bound / MIB:.2f} would pass.",
        f"Delayed calls: {half[0].delayed:,} to {half[-1].delayed:,};"
        f" {evidence.fresh[1]} before the first session, {evidence.after[1]} after"
        " the last.",
        f"File descriptors: {max(each.descriptors for each in samples):,} at most;"
        f" {evidence.fresh[0]} before, {evidence.after[0]} after.",
        f"Objects: {evidence.objects_before.get('all', 0):,} before,"
        f" {evidence.objects_after.get('all', 0):,} after.",
        f"Stopped with {run.guests} sessions open: exit status {evidence.exit_status}.",
    ]


def _attacks(run: Run) -> list[str]:
    if not run.attacks:
        return []
    outcomes = run.attacks.values()
    return [
        f"Attackers: {len(outcomes)} kinds, {sum(each.sent for each in outcomes):,}"
        f" bytes sent, {sum(each.opened for each in outcomes):,} connections opened,"
        f" {sum(each.ended for each in outcomes):,} ended."
    ]


def _heard(ledgers: list[dict[str, object]], stream: str) -> int:
    runs = [run for line in ledgers for run in line[stream]]
    return sum(stop - first for first, stop in runs)

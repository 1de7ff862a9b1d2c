"""The table, in plain text, and what to beware of when reading it."""

from __future__ import annotations

from textwrap import indent

from benchmarks.servers import BEFORE, NODE, PYTHON
from benchmarks.summary import Median, Summary
from benchmarks.workloads import Workload

SATURATED = 0.95
NOISY = 0.10
MANY = 1000

HEAD = (
    f"{'':20}{'CPU us':>9}{'spread':>8}{'kernel':>8}{'per s':>11}"
    f"{'p50 ms':>9}{'p99 ms':>9}{'KiB/sess':>10}{'server':>8}{'load':>6}{'other':>7}"
)

LEGEND = """\
CPU us: server CPU time (user + system, all threads) per unit of work, in microseconds.
spread: (largest - smallest) / median over the rounds.   kernel: share in system calls.
KiB/sess: growth of the server's resident memory per session.
server, load, other: share of a core used by the server, by the load generator (on
another core), and by anybody else on the server's core.
"""


def table(summary: Summary, heading: str, failures: list[str]) -> str:
    """Write everything."""
    return _joined(
        *_measured(summary, heading),
        ratios(summary),
        _caveats(summary),
        *(f"FAILED: {text}" for text in failures),
    )


def pages(summary: Summary, heading: str) -> dict[str, str]:
    """Write what docs/performance.rst includes: the names of files, and their text."""
    whole = _joined(*_measured(summary, heading), _caveats(summary))
    texts = {"ratios.rst": ratios(summary), "table.rst": whole}
    return {
        name: ".. code-block:: text\n\n" + indent(text.rstrip("\n"), "   ") + "\n"
        for name, text in texts.items()
    }


def _measured(summary: Summary, heading: str) -> list[str]:
    blocks = [_block(summary, workload) for workload in summary.workloads]
    return [heading, LEGEND, *blocks]


def _joined(*blocks: str) -> str:
    return "\n".join(block for block in blocks if block)


def _block(summary: Summary, workload: Workload) -> str:
    title = f"{workload.title}  [{workload.name}, per {workload.unit}]"
    lines = [title, HEAD]
    for server, median in summary.medians[workload.name].items():
        lines.append(f"  {server:18}{_row(workload, median)}")
    return "\n".join(lines) + "\n"


def _row(workload: Workload, median: Median) -> str:
    memory = f"{median.kib_per_session:.1f}" if workload.sessions >= MANY else "-"
    spread = f"{median.spread:.0%}" if median.rounds > 1 else "-"
    speed = f"{'-':>9}{spread:>8}{'-':>8}{'-':>11}"
    if median.rate:
        speed = (
            f"{median.cpu_us:>9.2f}{spread:>8}{median.kernel_share:>8.0%}"
            f"{median.rate:>11,.0f}"
        )
    if median.p99_ms:
        speed += f"{median.p50_ms:>9.2f}{median.p99_ms:>9.2f}"
    else:
        speed += f"{'-':>9}{'-':>9}"
    return (
        f"{speed}{memory:>10}{median.server_share:>8.0%}"
        f"{median.load_share:>6.0%}{median.others_share:>7.0%}"
    )


def ratios(summary: Summary) -> str:
    """Write ours / theirs, beside what was promised."""
    columns = [(NODE, 20), (PYTHON, 24)]
    if any(BEFORE in medians for medians in summary.medians.values()):
        columns.append((BEFORE, 9))
    names = "".join(f"{peer:>{width}}" for peer, width in columns)
    lines = [f"{'ours / theirs':42}{names}"]
    for workload in summary.workloads:
        found = {ratio.peer: ratio for ratio in summary.ratios(workload)}
        if not found:
            continue
        cells = ""
        for peer, width in columns:
            ratio = found.get(peer)
            text = ""
            if ratio is not None:
                text = f"{ratio.value:.2f}"
                if ratio.at_most is not None:
                    text += f" (<= {ratio.at_most:.2f} {ratio.verdict})"
            cells += f"{text:>{width}}"
        name = workload.title + (" (KiB)" if workload.memory else "")
        lines.append(f"{name:42}{cells}")
    return "\n".join(lines) + "\n" if len(lines) > 1 else ""


def _caveats(summary: Summary) -> str:
    """Say where a server's core was not saturated, or not its own."""
    lines = []
    for workload in summary.workloads:
        if workload.memory or workload.name == "heartbeat":
            continue
        for server, median in summary.medians[workload.name].items():
            if caveat := _caveat(median):
                lines.append(f"  {workload.name}, {server}: {caveat}")
    if not lines:
        return "Every server's core was saturated, and its own, in every workload."
    head = "Where a server's core was not saturated, or not its own, read CPU us only:"
    return "\n".join([head, *lines])


def _caveat(median: Median) -> str:
    """Say what kept a server from using the whole of its core; nothing if it did."""
    if median.others_share > NOISY:
        return f"others used {median.others_share:.0%} of its core"
    if median.server_share >= SATURATED:
        return ""
    busy = f"busy for {median.server_share:.0%} of the time; "
    if median.load_share > SATURATED:
        return busy + "the load generator was the bottleneck"
    if median.load_others_share > NOISY:
        return busy + f"others used {median.load_others_share:.0%} of the load's core"
    return busy + "it waited for what its clients would send next"

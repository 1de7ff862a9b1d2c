"""Three plots, as PNG and SVG: what it costs, ours by theirs, and many sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmarks.servers import NODE, OURS, PYTHON
from benchmarks.summary import Ratio, Summary
from benchmarks.workloads import WORKLOADS, Workload

# Okabe and Ito's palette, told apart by every kind of eye; and shapes besides.
COLOURS = {OURS: "#D55E00", NODE: "#009E73", PYTHON: "#0072B2"}
MARKERS = {OURS: "o", NODE: "s", PYTHON: "D"}
GREY = "#777777"
TICK = "#111111"
NEAR = 1.35
SCALING = ("echo", "echo-1000", "echo-9000")
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "xtick.color": "#444444",
    "ytick.color": "#222222",
    "svg.hashsalt": "twisted_engineio",
    "svg.fonttype": "none",
    "savefig.dpi": 150,
    "savefig.facecolor": "white",
}


def draw(summary: Summary, folder: Path) -> list[Path]:
    """Draw what there are results for, and return the files."""
    paths = []
    with pyplot.rc_context(STYLE):
        for name, figure in (
            ("cost", _cost(summary)),
            ("ratio", _ratio(summary)),
            ("sessions", _sessions(summary)),
        ):
            if figure is None:
                continue
            for suffix in ("png", "svg"):
                path = folder / f"{name}.{suffix}"
                figure.savefig(path, bbox_inches="tight", metadata=_metadata(suffix))
                paths.append(path)
            pyplot.close(figure)
    return paths


def _metadata(suffix: str) -> dict[str, None]:
    """Leave the date out, so that equal results make equal files."""
    return {"Date": None} if suffix == "svg" else {"Software": None}


def _plain(value: float, _position: int = 0) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".") if value < 10 else f"{value:,.0f}"


def _rows(axes: Axes, works: list[Workload]) -> None:
    """Name the rows, the first at the top, on a quiet grid."""
    axes.set_yticks(range(len(works)), [work.title for work in works])
    axes.set_ylim(len(works) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def _log(axes: Axes, steps: tuple[float, ...]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=30))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(axes: Axes, columns: int) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        frameon=False,
        handletextpad=0.3,
        borderaxespad=0.2,
    )


def _cost(summary: Summary) -> Figure | None:
    """Draw a row for every workload and a dot for every server."""
    works = [work for work in summary.workloads if not work.memory]
    if not works:
        return None
    figure, axes = pyplot.subplots(figsize=(9, 0.48 * len(works) + 1.6))
    for row, work in enumerate(works):
        costs = {
            server: cost
            for server in COLOURS
            if (cost := summary.cost(work, server)) is not None
        }
        axes.plot(
            [min(costs.values()), max(costs.values())],
            [row, row],
            color="#cccccc",
            linewidth=2.5,
            zorder=1,
        )
        for server, cost in costs.items():
            axes.scatter(
                cost,
                row,
                s=62,
                marker=MARKERS[server],
                color=COLOURS[server],
                edgecolor="white",
                linewidth=0.8,
                label=server if not row else None,
                zorder=3 if server == OURS else 2,
            )
            first, last = cost == min(costs.values()), cost == max(costs.values())
            _label(axes, server, cost, row, first=first, last=last)
    _rows(axes, works)
    _log(axes, (1.0, 2.0, 5.0))
    axes.margins(x=0.06)
    axes.set_xlabel("server CPU microseconds per message (logarithmic; less is better)")
    axes.set_title("What a message costs the server", pad=28)
    _legend(axes, 3)
    return figure


def _label(
    axes: Axes, server: str, cost: float, row: int, *, first: bool, last: bool
) -> None:
    """Write a cost beside its dot, where the other labels and the line won't be."""
    offset, across, along = (0.0, 6.5), "bottom", "center"
    if server == OURS:
        offset, across = (0.0, -6.5), "top"
    elif server == PYTHON and (first or last):
        offset = (7.0 if last else -7.0, 0.0)
        across, along = "center", "left" if last else "right"
    axes.annotate(
        _plain(float(f"{cost:.2g}") if cost < 10 else cost),
        (cost, row),
        xytext=offset,
        textcoords="offset points",
        va=across,
        ha=along,
        fontsize=8,
        color=COLOURS[server],
    )


def _ratio(summary: Summary) -> Figure | None:
    """Draw ours divided by theirs, and a tick where we promised to be."""
    works = [work for work in summary.workloads if summary.ratios(work)]
    if not works:
        return None
    figure, axes = pyplot.subplots(figsize=(9, 0.46 * len(works) + 1.6))
    axes.axvline(1, color="#444444", linewidth=1.2, zorder=1)
    for row, work in enumerate(works):
        for ratio in summary.ratios(work):
            if ratio.peer in COLOURS:  # an earlier state of ours is in the table only
                place = row + (-0.16 if ratio.peer == NODE else 0.16)
                _ratio_row(axes, ratio, place)
    for peer in (NODE, PYTHON):
        axes.scatter(
            [],
            [],
            s=48,
            marker=MARKERS[peer],
            color=COLOURS[peer],
            label=f"against {peer}",
        )
    axes.plot(
        [],
        [],
        "|",
        color=TICK,
        markersize=9,
        markeredgewidth=1.6,
        label="promised at most",
    )
    titles = [work.title + (" (memory)" if work.memory else "") for work in works]
    _rows(axes, works)
    axes.set_yticks(range(len(works)), titles)
    _log(axes, (1.0, 2.0, 5.0))
    axes.margins(x=0.08)
    axes.set_xlabel(
        "cost of twisted_engineio / cost of the other (logarithmic; less is better)"
    )
    axes.set_title("Ours divided by theirs", pad=28)
    _legend(axes, 3)
    return figure


def _ratio_row(axes: Axes, ratio: Ratio, place: float) -> None:
    """Draw one ratio as a line from 1, and the promise as a tick."""
    colour, value = COLOURS[ratio.peer], ratio.value
    axes.plot([1, value], [place, place], color=colour, linewidth=2)
    axes.scatter(
        value,
        place,
        s=48,
        marker=MARKERS[ratio.peer],
        color=colour,
        edgecolor="white",
        linewidth=0.7,
        zorder=3,
    )
    anchor, below = value, value < 1
    if ratio.at_most is not None:
        axes.plot(
            [ratio.at_most] * 2,
            [place - 0.15, place + 0.15],
            color=TICK,
            linewidth=1.6,
            zorder=4,
        )
        # A tick just where the number would stand: the number goes beyond it.
        beyond = ratio.at_most / value
        if NEAR > (1 / beyond if below else beyond) > 1:
            anchor = ratio.at_most
    axes.annotate(
        f"{value:.2f}",
        (anchor, place),
        xytext=(-8 if below else 8, 0),
        textcoords="offset points",
        ha="right" if below else "left",
        va="center",
        fontsize=8,
        color=colour,
    )


def _sessions(summary: Summary) -> Figure | None:
    """Draw what more sessions do to the cost of an echo, and what they weigh."""
    works = [WORKLOADS[name] for name in SCALING if name in summary.medians]
    idle = WORKLOADS["idle"]
    if len(works) < 2 or idle.name not in summary.medians:
        return None
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(9.6, 4.2), width_ratios=(3, 2), layout="constrained"
    )
    for server, colour in COLOURS.items():
        points = [
            (work.sessions, cost)
            for work in works
            if (cost := summary.cost(work, server)) is not None
        ]
        if not points:
            continue
        left.plot(
            *zip(*points, strict=True),
            color=colour,
            marker=MARKERS[server],
            markersize=7,
            markeredgecolor="white",
            linewidth=2,
            label=server,
            zorder=3 if server == OURS else 2,
        )
    left.set_xscale("log")
    left.set_xticks(
        [work.sessions for work in works], [f"{work.sessions:,}" for work in works]
    )
    left.xaxis.set_minor_locator(NullLocator())
    left.set_xlim(works[0].sessions * 0.8, works[-1].sessions * 1.25)
    left.set_ylim(bottom=0)
    left.grid(axis="y", color="#e6e6e6")
    left.set_axisbelow(True)
    left.set_xlabel("WebSocket sessions, one message in flight on each")
    left.set_ylabel("server CPU microseconds per message")
    left.set_title("Echo, 32 bytes", pad=28)
    _legend(left, 3)
    weights = {
        server: weight
        for server in COLOURS
        if (weight := summary.cost(idle, server)) is not None
    }
    bars = right.barh(
        list(weights),
        list(weights.values()),
        height=0.55,
        color=[COLOURS[server] for server in weights],
    )
    right.bar_label(bars, fmt=" %.1f", padding=2)
    right.invert_yaxis()
    right.tick_params(axis="y", length=0)
    right.spines["left"].set_visible(False)
    right.margins(x=0.15)
    right.set_xlabel("KiB of the server's memory per session")
    right.set_title("9,000 idle sessions", pad=28)
    return figure

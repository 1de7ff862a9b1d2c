"""The picture of a run: four figures of the server over time, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchmarks.plots import COLOURS, GREY, STYLE
from benchmarks.servers import NODE, OURS, PYTHON
from soak.figures import Sample

MIB = 1 << 20
SMOOTH = 5
"""Samples that a rate is taken over."""


def draw(samples: Sequence[Sample], steady: Sequence[Sample], folder: Path) -> None:
    """
    Draw all samples of a run.

    Args:
        samples: From the first session to the last.
        steady: Those among them that were judged.
        folder: Where the files go.

    """
    minutes = [each.at / 60 for each in samples]
    with pyplot.rc_context(STYLE):
        figure, rows = pyplot.subplots(
            4, 1, figsize=(9, 9.5), sharex=True, layout="constrained"
        )
        _line(rows[0], minutes, [each.rss / MIB for each in samples], OURS)
        rows[0].set_title("The server's resident memory, MiB")
        _line(rows[1], minutes, [each.sessions for each in samples], NODE)
        rows[1].set_title("Open sessions")
        _line(rows[2], minutes, [each.delayed for each in samples], PYTHON)
        rows[2].set_title("Delayed calls")
        for name, colour, read in (
            ("to clients", OURS, lambda each: each.sent),
            ("from clients", PYTHON, lambda each: each.received),
        ):
            rates = _rates(samples, read)
            rows[3].plot(minutes[SMOOTH:], rates, color=COLOURS[colour], label=name)
        # Above the axes: beside the title there is nothing that it could hide.
        rows[3].legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        rows[3].set_title("Messages per second, by the application")
        for each in rows:
            _dress(each, steady)
        rows[3].set_xlabel("minutes; shaded: the half that must be flat")
        for suffix in ("png", "svg"):
            metadata = {"Date": None} if suffix == "svg" else {"Software": None}
            figure.savefig(folder / f"soak.{suffix}", metadata=metadata)
        pyplot.close(figure)


def _line(
    axes: Axes, minutes: Sequence[float], values: Sequence[float], colour: str
) -> None:
    axes.plot(minutes, values, color=COLOURS[colour], linewidth=1.8)


def _rates(samples: Sequence[Sample], read: Callable[[Sample], int]) -> list[float]:
    pairs = zip(samples, samples[SMOOTH:], strict=False)
    return [(read(b) - read(a)) / (b.at - a.at) for a, b in pairs]


def _dress(axes: Axes, steady: Sequence[Sample]) -> None:
    """From zero, so that flat looks flat and steep looks steep."""
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if steady:
        half = steady[len(steady) // 2]
        axes.axvspan(half.at / 60, steady[-1].at / 60, color=GREY, alpha=0.12)

"""
Draw ``house.svg``: run this after adding or removing a module, and check the picture.

The layers are those of ``tests/test_floors.py``, from the top down.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

NAMES = (
    ("cli", "imports all layers below"),
    ("Optional packages", "imported by no layer below"),
    ("web", "URLs, and the connections of a Site"),
    ("server", "the registry of sessions"),
    ("transports", "requests, sockets and a Session"),
    ("observer", "notified by the layers below"),
    ("session", "a clock and a Transport"),
    ("config", "all limits"),
    ("policy", "rules without a session"),
    ("protocol", "data on the wire"),
    ("Base", "the standard library"),
)


def label(name: str, folders: tuple[str, ...]) -> str:
    """Return a module's name, without its folder if that is the layer's name."""
    return name.removeprefix(f"{folders[0]}.").replace(".", "/")


def floors() -> list[tuple[str, str, list[str]]]:
    """Return the layers from the top down: name, description, modules."""
    known = runpy.run_path(str(Path(__file__).parent.parent / "tests/test_floors.py"))
    modules = [
        name
        for name, path in known["MODULES"].items()
        if path.name not in ("__init__.py", "_version.py")
    ]
    held = [
        [label(each, names) for each in modules if each.partition(".")[0] in names]
        for names, _ in reversed(known["FLOORS"])
    ]
    return [(*told, each) for told, each in zip(NAMES, filter(None, held), strict=True)]


FLOORS = floors()
MESSAGE = (
    ("a browser", "engine.io-client", "out"),
    ("its transport", "polling, sse or websocket", "floor4"),
    ("its Session", "owns state, queue and timer", "floor6"),
    ("your Application", "four methods", "out"),
)
BETWEEN = (
    ("GET, POST,", "frames", "responses,", "frames"),
    ("", "receive()", "", "send()"),
    ("message_", "received()", "Session", ".send()"),
)

LEFT, WIDTH, TOP = 30, 560, 84
COLUMN, COLUMN_WIDTH, NODE = 640, 230, 64
ROW, HEAD, GAP = 37, 38, 8

STYLE = """
text { font: 14px "DejaVu Sans", Verdana, sans-serif; fill: #1d2733; }
.title { font-size: 20px; font-weight: bold; fill: #fff; }
.name { font-weight: bold; }
.knows, .lab, .note { font-size: 12.5px; fill: #44525f; }
.mod { font: 13px "DejaVu Sans Mono", Consolas, monospace; }
.paper { fill: #f8fafb; } .head { fill: #46617c; }
.box { fill: #fff; stroke: #9fb0c0; }
.floor0 { fill: #dfe5ea; }
.floor1 { fill: #fbf7e6; stroke: #b9a96b; stroke-dasharray: 5 4; }
.floor2 { fill: #ecdcea; } .floor3 { fill: #dcdff0; }
.floor4 { fill: #d3e3f0; } .floor5 { fill: #e0ecec; }
.floor6 { fill: #d6e6d2; } .floor7 { fill: #e9e4f0; }
.floor8 { fill: #f0e6dc; } .floor9 { fill: #e6e0d4; } .floor10 { fill: #dfe5ea; }
.out { fill: #fff; stroke: #46617c; stroke-width: 1.5; }
.arrow { stroke: #46617c; stroke-width: 2; fill: none; marker-end: url(#tip); }
.tip { fill: #46617c; }
"""
TIP = (
    '<defs><marker id="tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="6"'
    ' markerHeight="6" orient="auto"><path class="tip" d="M 0 0 L 10 5 L 0 10 z"/>'
    "</marker></defs>"
)


def rect(x: float, y: float, width: float, height: float, style: str) -> str:
    """Draw a box with rounded corners."""
    size = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    return f'<rect class="{style}" {size} rx="7"/>'


def text(x: float, y: float, words: str, style: str, anchor: str = "middle") -> str:
    """Draw a text."""
    at = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f'<text class="{style}" {at}>{words}</text>'


def path(steps: str, style: str) -> str:
    """Draw a line."""
    return f'<path class="{style}" d="{steps}"/>'


def rows(modules: list[str]) -> list[list[tuple[str, float]]]:
    """Wrap modules into rows that fit into a layer, each with the width of its box."""
    broken: list[list[tuple[str, float]]] = [[]]
    used = 0.0
    for module in modules:
        width = len(module) * 7.9 + 22
        if used + width > WIDTH - 32:
            broken.append([])
            used = 0.0
        broken[-1].append((module, width))
        used += width + 10
    return broken


def layers() -> Iterator[str]:
    """Draw the title and the layers."""
    middle = LEFT + WIDTH / 2
    yield rect(LEFT, 20, WIDTH, TOP - 20 - GAP, "head")
    yield text(middle, 55, "twisted_engineio", "title")
    y = TOP
    for number, (name, knows, modules) in enumerate(FLOORS):
        broken = rows(modules)
        height = HEAD + ROW * len(broken) + 6
        yield rect(LEFT, y, WIDTH, height, f"floor{number}")
        yield text(LEFT + 16, y + 25, name, "name", "start")
        yield text(LEFT + WIDTH - 16, y + 25, knows, "knows", "end")
        for at, row in enumerate(broken):
            x = LEFT + 16.0
            for module, width in row:
                yield rect(x, y + HEAD + at * ROW, width, 30, "box")
                yield text(x + width / 2, y + HEAD + at * ROW + 20, module, "mod")
                x += width + 10
        y += height + GAP
    note = "Imports point down: no layer imports one above it."
    yield text(middle, y + 22, note, "note")


def message(height: float) -> Iterator[str]:
    """Draw the path of a message, in and out, down to ``height``."""
    middle = COLUMN + COLUMN_WIDTH / 2
    step = (height - 20 - NODE) / (len(MESSAGE) - 1)
    tops = [20 + step * number for number in range(len(MESSAGE))]
    for y, (name, knows, style) in zip(tops, MESSAGE, strict=True):
        yield rect(COLUMN, y, COLUMN_WIDTH, NODE, style)
        yield text(middle, y + 29, name, "name")
        yield text(middle, y + 48, knows, "knows")
    for y, below, words in zip(tops, tops[1:], BETWEEN, strict=False):
        start, end = y + NODE + 4, below - 5
        yield path(f"M {middle - 27:g} {start:g} L {middle - 27:g} {end:g}", "arrow")
        yield path(
            f"M {middle + 27:g} {end + 1:g} L {middle + 27:g} {start + 1:g}", "arrow"
        )
        line = (start + end) / 2
        for number, word in enumerate(words):
            x, anchor = (middle - 37, "end") if number < 2 else (middle + 37, "start")
            if word:
                yield text(x, line - 1 + 15 * (number % 2), word, "lab", anchor)
    yield text(middle, height + 30, "The path of a message, in and out", "note")


def svg() -> str:
    """Draw everything."""
    drawn = list(layers())
    end = TOP - GAP + sum(HEAD + ROW * len(rows(m)) + 6 + GAP for _, _, m in FLOORS)
    width, height = COLUMN + COLUMN_WIDTH + LEFT, end + 50
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="img">',
        "<title>The layers of the package, and the path of a message</title>",
        f"<style>{STYLE}</style>",
        TIP,
        f'<rect class="paper" width="{width}" height="{height}"/>',
        *drawn,
        *message(end),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("house.svg").write_text(svg(), encoding="utf-8")

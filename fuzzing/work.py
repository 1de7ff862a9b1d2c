"""How much work a call is, in lines of Python run: the same on every machine."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

__all__ = ["bounded", "work_of"]

EVERY = 256
"""Of how many inputs one is counted: to count takes longer than all the rest."""

Result = TypeVar("Result")


def work_of(function: Callable[[], Result]) -> tuple[Result, int]:
    """
    Call a function, and count the lines that it runs, with all that it calls.

    Args:
        function: Called without arguments.

    Returns:
        What it returned, and the number of lines.

    """
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> object:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        result = function()
    finally:
        sys.settrace(before)
    return result, count


def bounded(
    function: Callable[[], Result],
    data: bytes,
    most: int,
    more: Callable[[Result], int] = lambda _: 0,
) -> Result:
    """
    Call a function, and see of some inputs that it runs no more lines than it may.

    Args:
        function: Called without arguments.
        data: The input, which decides whether lines are counted.
        most: How many lines it may run.
        more: How many besides, by what it returned.

    Returns:
        What it returned.

    """
    if zlib.crc32(data) % EVERY:
        return function()
    result, count = work_of(function)
    most += more(result)
    assert count <= most, f"{count} lines were run, and {most} are allowed"
    return result

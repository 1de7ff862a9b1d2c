"""How much work a call is, in lines of Python run: the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

__all__ = ["work_of"]

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

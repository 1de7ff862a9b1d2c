"""
How many Python functions a message calls: a cost that no busy machine can blur.

Calls of C functions aren't counted, nor what the interpreter inlines. ``AT_MOST`` is
the written bound: frame, session, application on the way in, and session,
transport, socket on the way out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

AT_MOST = {"in": 3, "out": 3}


def calls_of(function: Callable[..., object], *args: object) -> list[str]:
    """
    Call ``function`` and return the names of the Python functions it led to, in order.

    The first is ``function`` itself, if it is written in Python.
    """
    names: list[str] = []

    def profile(frame: FrameType, event: str, _arg: object) -> None:
        # The wire of a test is written in Python; a socket's send is C.
        test_wire = frame.f_globals["__name__"].startswith("twisted.internet.")
        if event == "call" and not test_wire:
            names.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function(*args)
    finally:
        sys.setprofile(before)
    return names

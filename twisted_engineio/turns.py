"""
Turns of the reactor, shared fairly by connections whose clients have sent ahead.

A client may send two thousand small requests in one read. Handled at once they take
half a second, in which no other connection is served.

Rules of this file:

1. Each connection that waits has one turn in each pass, in the order in which they
   began to wait, until ``_PASS`` seconds are over; the rest wait for the next pass.
2. A pass is a call of the reactor's next turn: sockets are served between two passes.
3. While no connection waits there is no timer.

Driven by connections (``wait``, ``end``) and by the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Turns"]

Call: TypeAlias = Callable[[], object]

_PASS: Final = 0.004
"""Seconds that a pass takes, and one call more: an echo that waits for it is late by
less than a client on a LAN notices."""


class Turns:
    """
    Calls that wait for their turn.

    Attributes:
        clock: What it measures time with.

    """

    __slots__ = ("_timer", "_waiting", "clock")

    def __init__(self, clock: IReactorTime) -> None:
        """
        Make a queue that no call waits in.

        Args:
            clock: What to measure time with.

        """
        self.clock = clock
        self._waiting: dict[Call, None] = {}  # in the order in which they came
        self._timer: IDelayedCall | None = None

    @property
    def busy(self) -> bool:
        """Whether any call waits."""
        return bool(self._waiting)

    def wait(self, call: Call) -> None:
        """
        Make a call in a later turn of the reactor; does nothing if it waits already.

        Args:
            call: Called once, without arguments.

        """
        self._waiting[call] = None
        self._arm()

    def end(self, call: Call) -> None:
        """
        Cancel a call; does nothing if it does not wait.

        Args:
            call: What ``wait`` was given.

        """
        self._waiting.pop(call, None)
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self.clock.callLater(0, self._run)

    def _run(self) -> None:
        self._timer = None
        end = self.clock.seconds() + _PASS
        try:
            for call in list(self._waiting):
                if call in self._waiting:  # not ended by an earlier one
                    del self._waiting[call]
                    call()
                    if self.clock.seconds() >= end:
                        break
        finally:
            if self._waiting:  # also if one has failed
                self._arm()

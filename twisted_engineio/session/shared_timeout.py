"""
Timeouts with one common delay, sharing one ``DelayedCall``.

Rules of this file:

1. A later call is due later, so only the first needs a timer. If the clock was set back
   since, all restart their delay.
2. While no call is pending there is no timer.

Driven by its callers (``begin``, ``end``, ``expire``) and by the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["SharedTimeout"]

Call: TypeAlias = Callable[[], object]


class SharedTimeout:
    """
    Pending calls with the same delay.

    A reactor timer costs as much as a message; connections that open and close within a
    second share a few of these instead of one timer each.

    Attributes:
        delay: The delay of each call, in seconds.

    """

    __slots__ = ("_clock", "_due", "_next", "_timer", "delay")

    def __init__(self, clock: IReactorTime, delay: float) -> None:
        """
        Make one without pending calls.

        Args:
            clock: The clock that schedules the calls.
            delay: The delay of each call, in seconds; 0 for the end of this turn.

        """
        self.delay = delay
        self._clock = clock
        self._due: dict[Call, float] = {}  # in the order in which they are due
        self._timer: IDelayedCall | None = None
        self._next = 0.0  # when it fires

    def begin(self, call: Call) -> float:
        """
        Schedule a call.

        Args:
            call: Called once, without arguments; must not be pending.

        Returns:
            The time at which it is due, on the clock.

        """
        due: float = self._clock.seconds() + self.delay
        self._due[call] = due
        if self._timer is None:
            if len(self._due) == 1:  # else _fire is running, and arms the timer
                self._arm(self.delay, due)
        elif due < self._next:  # the clock was set back: rule 1
            self._due = dict.fromkeys(self._due, due)
            self._timer.reset(self.delay)
            self._next = due
        return due

    def end(self, call: Call) -> None:
        """
        Cancel a call; does nothing if it is not pending.

        Args:
            call: The argument of ``begin``.

        """
        self._due.pop(call, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expire(self) -> None:
        """Make all pending calls now, in the order in which they are due."""
        for call in tuple(self._due):
            if call in self._due:  # not cancelled by an earlier one
                self.end(call)
                call()

    def _arm(self, delay: float, due: float) -> None:
        self._timer = self._clock.callLater(delay, self._fire)
        self._next = due

    def _fire(self) -> None:
        """Make the calls that are due; an exception does not affect later calls."""
        self._timer = None
        now = self._clock.seconds()
        ready = []
        for each in self._due.items():
            if each[1] > now:
                break
            ready.append(each)
        try:
            for call, due in ready:
                if self._due.get(call) == due:  # not cancelled or rescheduled meanwhile
                    del self._due[call]
                    call()
        finally:
            if self._due and self._timer is None:
                due = next(iter(self._due.values()))
                self._arm(max(due - now, 0), due)

"""
Calls that all wait equally long: one timer for however many.

Rules of this file:

1. Who begins later is due later, so only the first needs a timer. If the clock was set
   back since, all wait anew.
2. While nobody waits there is no timer.

Driven by whoever waits (``begin``, ``end``, ``expire``) and by the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["SharedTimeout"]

Call: TypeAlias = Callable[[], object]


class SharedTimeout:
    """
    Calls that are due after the same delay each.

    A timer of the reactor's costs as much as a message; a crowd that comes and goes
    within a second needs a few of these instead of one each.

    Attributes:
        delay: For how long each waits, in seconds.

    """

    __slots__ = ("_clock", "_due", "_next", "_timer", "delay")

    def __init__(self, clock: IReactorTime, delay: float) -> None:
        """
        Make one that nobody waits for.

        Args:
            clock: What to measure time with.
            delay: For how long each waits, in seconds; 0 for the end of this turn.

        """
        self.delay = delay
        self._clock = clock
        self._due: dict[Call, float] = {}  # in the order in which they are due
        self._timer: IDelayedCall | None = None
        self._next = 0.0  # when it fires

    def begin(self, call: Call) -> float:
        """
        Wait, and then call.

        Args:
            call: Called once, without arguments; it is not waiting yet.

        Returns:
            When that is due, on the clock.

        """
        due: float = self._clock.seconds() + self.delay
        self._due[call] = due
        if self._timer is None:
            if len(self._due) == 1:  # else _fire, whose call this is, sees to it
                self._arm(self.delay, due)
        elif due < self._next:
            self._due = dict.fromkeys(self._due, due)
            self._timer.reset(self.delay)
            self._next = due
        return due

    def end(self, call: Call) -> None:
        """
        Wait no longer; does nothing if it does not wait.

        Args:
            call: What ``begin`` was given.

        """
        self._due.pop(call, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expire(self) -> None:
        """Make all calls now, in the order in which they are due."""
        for call in tuple(self._due):
            if call in self._due:  # not ended by one before it
                self.end(call)
                call()

    def _arm(self, delay: float, due: float) -> None:
        self._timer = self._clock.callLater(delay, self._fire)
        self._next = due

    def _fire(self) -> None:
        """Make the calls that are due; one that raises keeps no other from its turn."""
        self._timer = None
        now = self._clock.seconds()
        ready = []
        for each in self._due.items():
            if each[1] > now:
                break
            ready.append(each)
        try:
            for call, due in ready:
                if self._due.get(call) == due:  # not ended, and begun again, meanwhile
                    del self._due[call]
                    call()
        finally:
            if self._due and self._timer is None:
                due = next(iter(self._due.values()))
                self._arm(max(due - now, 0), due)

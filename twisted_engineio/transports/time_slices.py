"""
Time slices: connections with unfinished work share a few milliseconds per reactor turn.

Rules of this file:

1. A connection works until its slice is over, and adds itself if work is left. Its
   slice is shorter the more connections are pending: all connections whose work begins
   in one turn together take little longer than one.
2. In each turn the pending connections share one slice, in order: however many they
   are, they delay all other connections by no more.
3. While no connection is pending there is no timer.

Driven by connections (``begin``, ``add``, ``remove``) and by the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["TimeSlices"]

Call: TypeAlias = Callable[[], object]


class TimeSlices:
    """
    Pending calls, each of which continues a connection's work in a later turn.

    Attributes:
        length: The length of a slice, in seconds.

    """

    __slots__ = ("_clock", "_timer", "_waiting", "length")

    def __init__(self, clock: IReactorTime, length: float) -> None:
        """
        Make one without pending calls.

        Args:
            clock: The clock that measures slices.
            length: The length of a slice, in seconds.

        """
        self.length = length
        self._clock = clock
        self._waiting: dict[Call, None] = {}  # in the order in which they came
        self._timer: IDelayedCall | None = None

    @property
    def busy(self) -> bool:
        """Whether any call is pending."""
        return bool(self._waiting)

    def begin(self) -> float:
        """
        Begin a slice.

        Returns:
            The time at which it is over, for ``is_over``.

        """
        # 1 + 1/2 + 1/3 + ...: ten that begin in one turn take three slices.
        return self._clock.seconds() + self.length / (1 + len(self._waiting))

    def is_over(self, end: float) -> bool:
        """
        Return whether a slice is over.

        Args:
            end: The result of ``begin``.

        """
        left = end - self._clock.seconds()
        # More than rounding can add to a slice: the clock was set back.
        return left <= 0 or left > 2 * self.length

    def add(self, call: Call) -> None:
        """
        Schedule a call for a later turn.

        Args:
            call: Called once, without arguments.

        """
        self._waiting[call] = None
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._turn)

    def remove(self, call: Call) -> None:
        """
        Cancel a call; does nothing if it is not pending.

        Args:
            call: The argument of ``add``.

        """
        self._waiting.pop(call, None)
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        """Make calls until one slice is over; an exception ends the turn early."""
        self._timer = None
        end = self._clock.seconds() + self.length
        try:
            for _ in range(len(self._waiting)):  # each at most once, and one at least
                if not self._waiting:
                    break  # removed by another call
                call = next(iter(self._waiting))
                del self._waiting[call]
                call()
                if self.is_over(end):
                    break
        finally:
            if self._waiting and self._timer is None:
                self._timer = self._clock.callLater(0, self._turn)

"""
Token bucket: a rate limit that allows a burst of one second's worth.

Pure: the time is an argument, in seconds of any monotonic clock.
"""

from __future__ import annotations

from typing import Final

__all__ = ["TokenBucket"]

_TOLERANCE: Final = 1e-9
"""Tolerance for rounding errors: a smaller deficit causes no wait."""


class TokenBucket:
    """
    Holds at most one second's worth of tokens, refilled at a constant rate.

    An amount above the capacity may be taken from a full bucket, whose level then
    becomes negative: so no amount waits for ever, and the average rate still holds.

    Attributes:
        rate: Tokens added per second.
        capacity: Maximum number of tokens, at least one.

    """

    __slots__ = ("_level", "_since", "capacity", "rate")

    def __init__(self, rate: float, now: float) -> None:
        """
        Make a full bucket.

        Args:
            rate: See the attribute; above 0.
            now: The current time, in seconds.

        """
        self.rate = rate
        self.capacity = max(rate, 1.0)
        self._level = self.capacity
        self._since = now

    def wait(self, amount: float, now: float) -> float:
        """
        Return the seconds until an amount can be taken; 0.0 if it can be now.

        Args:
            amount: In tokens.
            now: The current time, in seconds.

        """
        if now > self._since:  # else the clock was set back: add nothing
            gained = (now - self._since) * self.rate
            self._level = min(self._level + gained, self.capacity)
            self._since = now
        lacking = min(amount, self.capacity) - self._level
        return lacking / self.rate if lacking > _TOLERANCE else 0.0

    def take(self, amount: float) -> None:
        """
        Take an amount for which ``wait`` returned 0.0.

        Args:
            amount: In tokens.

        """
        self._level -= amount

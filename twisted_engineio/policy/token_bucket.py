"""
Token buckets: so many a second on average, and as many as that at once.

Pure: the time is an argument, in seconds of any clock that only goes forward.
"""

from __future__ import annotations

from typing import Final

__all__ = ["TokenBucket"]

_GRAIN: Final = 1e-9
"""What rounding may lose: less is no reason to wait."""


class TokenBucket:
    """
    Holds tokens, a second's worth at most, and fills steadily.

    An amount that is more than a second's worth may be taken from a full bucket, which
    then owes the rest: so nothing waits for ever, and the average holds all the same.

    Attributes:
        rate: Tokens that come in each second.
        capacity: Tokens that it holds, at least one.

    """

    __slots__ = ("_level", "_since", "capacity", "rate")

    def __init__(self, rate: float, now: float) -> None:
        """
        Make a full one.

        Args:
            rate: See the attribute; above 0.
            now: The time.

        """
        self.rate = rate
        self.capacity = max(rate, 1.0)
        self._level = self.capacity
        self._since = now

    def wait(self, amount: float, now: float) -> float:
        """
        Tell for how many seconds an amount cannot be taken; 0.0 if it can be now.

        Args:
            amount: In tokens.
            now: The time.

        """
        if now > self._since:
            gained = (now - self._since) * self.rate
            self._level = min(self._level + gained, self.capacity)
            self._since = now
        lacking = min(amount, self.capacity) - self._level
        return lacking / self.rate if lacking > _GRAIN else 0.0

    def take(self, amount: float) -> None:
        """
        Take an amount, for which ``wait`` has said 0.0.

        Args:
            amount: In tokens.

        """
        self._level -= amount

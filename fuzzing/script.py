"""An input read as a script: a byte that says what to do, then what that needs."""

from __future__ import annotations

__all__ = ["Script"]


class Script:
    """
    An input, read from its beginning; behind its end there are zeros, and no bytes.

    A fuzzer changes, cuts and splices inputs, so every input means something, and what
    a change means stays near it.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        """Read one byte."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def number(self) -> int:
        """Read a number of two bytes."""
        return self.byte() << 8 | self.byte()

    def some(self) -> bytes:
        """Read a byte that says how many follow, and as many as do."""
        size = self.byte()
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        """Read all that is left."""
        at, self._at = self._at, len(self._data)
        return self._data[at:]

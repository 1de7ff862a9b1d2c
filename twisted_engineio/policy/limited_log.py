"""
Bounds for the log: lines that a client can cause are cut, escaped and limited in rate.

Rules of this file:

1. Of one kind of line at most ``lines`` are written in any ``seconds``. The others are
   counted, and the count is a line of its own as soon as there is room for one.
2. A kind is a format and never what a client sent: there are few kinds.
3. Text is cut to 120 characters, what is not printable in it is escaped, and session
   ids in URLs are redacted: a client neither fills the log nor writes lines of its own
   into it.
4. A kind has a DelayedCall while lines of it are counted, unless they are counted for
   longer than a timer should live; ``flush`` cancels it.

Driven by whatever logs: ``server.log`` and what borrows it, and ``service.py``, which
puts the same bound before twistd's own log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

from .redaction import redact

__all__ = ["MOST", "LimitedLog", "LineLimit", "tame", "tame_failure", "tame_value"]

MOST: Final = 120
"""Characters of a client's text in a line of the log."""
_MOST_OF_ERROR: Final = 400
"""Characters of an exception's own text, in which a client's may stand."""
_READ: Final = 4096
"""Characters of a text that are looked at."""
_MORE: Final = "lines left out: {count}, like: {like}"


def tame(text: str, most: int = MOST) -> str:
    """
    Return text that can stand in a line: cut, on one line, without session ids.

    Args:
        text: Any text, perhaps a client's.
        most: Characters that are left of it.

    """
    # Redacted before it is cut; of a megabyte no more than the beginning is read.
    short = redact(text[:_READ])
    is_cut = len(short) > most or len(text) > _READ
    short = short[:most]
    if not short.isprintable():
        # One at a time: "unicode_escape" would escape every letter beyond ASCII.
        short = "".join(
            each if each.isprintable() else ascii(each)[1:-1] for each in short
        )[:most]
    return short + "..." if is_cut else short


def tame_failure(failure: Failure) -> Failure:
    """
    Return a failure whose exception has a text that can stand in a line.

    Args:
        failure: The failure; it stays as it is. A ``KeyError`` of a client's message,
            for example, has all of that in its text.

    """
    text = safe_str(failure.value)
    short = tame(text, _MOST_OF_ERROR)
    if short == text:
        return failure
    tamed = Failure.__new__(Failure)
    tamed.__dict__.update(failure.__dict__)
    # Its type, by which it is checked and printed, stays.
    tamed.value = Exception(short)
    return tamed


class _Kind:
    """What was written and counted of one kind of line."""

    __slots__ = ("left_out", "report", "timer", "times")

    def __init__(self, lines: int) -> None:
        self.times: deque[float] = deque(maxlen=lines)
        self.left_out = 0
        # Of the first line that was left out, until it is called: it refers to all that
        # stands in that line, a failure's frames among it.
        self.report: Callable[[int], None] | None = None
        self.timer: IDelayedCall | None = None


class LineLimit:
    """So many lines of each kind in so many seconds, and then a count."""

    def __init__(
        self,
        clock: IReactorTime,
        lines: int = 10,
        seconds: float = 1.0,
        *,
        timed: bool = True,
    ) -> None:
        """
        Make a limit of which nothing is used up.

        Args:
            clock: What to measure time with.
            lines: How many of each kind may be written ...
            seconds: ... in any such time.
            timed: Whether a count is written as soon as there is room, by a timer. If
                not, the next line that there is room for is the count.

        """
        self._timed = timed
        self._clock = clock
        self._lines = lines
        self._seconds = seconds
        self._kinds: dict[object, _Kind] = {}

    def admits(
        self, name: object, report: Callable[[int], None], lines: int | None = None
    ) -> bool:
        """
        Return whether a line may be written now; count it if not.

        Args:
            name: The kind of line.
            report: Writes how many were left out; called later, if this one is.
            lines: How many of this kind may be written, if not as many as of others.

        """
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._kinds[name] = _Kind(lines or self._lines)
        now = self._clock.seconds()
        wait = 0.0
        if len(kind.times) == kind.times.maxlen:
            wait = kind.times[0] + self._seconds - now
        if not 0.0 < wait <= self._seconds:  # more, if the clock was set back
            if not self._timed and kind.left_out:
                kind.left_out += 1
                kind.report = report
                self._report(kind)
                return False
            kind.times.append(now)
            return True
        kind.left_out += 1
        if kind.report is None:
            kind.report = report
        if kind.timer is None and self._timed:
            kind.timer = self._clock.callLater(wait, self._report, kind)
        return False

    def _report(self, kind: _Kind) -> None:
        count, kind.left_out, kind.timer = kind.left_out, 0, None
        report, kind.report = kind.report, None
        assert report is not None  # something was left out
        kind.times.append(self._clock.seconds())
        report(count)

    def flush(self) -> None:
        """Write every count now, and leave no timer."""
        for kind in list(self._kinds.values()):
            if kind.timer is not None:
                kind.timer.cancel()
            if kind.left_out:
                self._report(kind)


class LimitedLog:
    """
    A ``twisted.logger.Logger`` whose lines are tamed and limited.

    Attributes:
        limit: What its lines are counted against; logs may share one.

    """

    def __init__(self, logger: Logger, limit: LineLimit) -> None:
        """
        Make a log.

        Args:
            logger: What writes its lines.
            limit: See the attribute.

        """
        self._logger = logger
        self.limit = limit

    def emit(
        self,
        level: Any,
        format: str,
        *,
        kind: object = None,
        lines: int | None = None,
        more: str = _MORE,
        **values: object,
    ) -> None:
        """
        Write a line, or count it.

        Args:
            level: One of ``LogLevel``.
            format: As for Twisted's logger.
            kind: What it is counted as, where its format is not enough.
            lines: How many of its kind may be written, if not as many as of others.
            more: The format of the count: ``{count}``, and what is in ``values``.
            values: What stands in the line; text is cut and escaped.

        """

        def report(count: int) -> None:
            rest = {**values, "count": count, "like": format}
            rest.pop("log_failure", None)
            self._logger.emit(level, more, **_tamed(rest))

        name = (self._logger.namespace, level, format, kind)
        if self.limit.admits(name, report, lines):
            self._logger.emit(level, format, **_tamed(values))

    def debug(self, format: str, **values: Any) -> None:
        """Write a line of level debug."""
        self.emit(LogLevel.debug, format, **values)

    def info(self, format: str, **values: Any) -> None:
        """Write a line of level info."""
        self.emit(LogLevel.info, format, **values)

    def warn(self, format: str, **values: Any) -> None:
        """Write a line of level warn."""
        self.emit(LogLevel.warn, format, **values)

    def error(self, format: str, **values: Any) -> None:
        """Write a line of level error."""
        self.emit(LogLevel.error, format, **values)

    def failure(
        self,
        format: str,
        failure: Failure | None = None,
        **values: Any,
    ) -> None:
        """
        Write a line of level critical, with a traceback.

        Args:
            format: As for Twisted's logger.
            failure: What failed; the exception that is being handled if left out.
            values: What stands in the line.

        """
        failure = Failure() if failure is None else failure
        self.emit(LogLevel.critical, format, log_failure=failure, **values)


def _tamed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tame_value(value) for name, value in values.items()}


def tame_value(value: Any) -> Any:
    """
    Return a field of an event that can stand in a line.

    Args:
        value: Text and failures are cut; anything else stays as it is.

    """
    if isinstance(value, str):
        return tame(value)
    return tame_failure(value) if isinstance(value, Failure) else value

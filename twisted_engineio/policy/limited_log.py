"""
Log limits: lines that a client can cause are truncated, escaped and rate-limited.

Rules of this file:

1. At most ``lines`` lines of one kind are written in any ``seconds``. The others are
   counted, and the count is logged as a line of its own as soon as the limit allows.
2. A kind is a format, never a client's text: there are few kinds.
3. Text is truncated to 120 characters, unprintable characters in it are escaped, and
   session ids in URLs are redacted: a client can neither fill the log nor inject lines.
4. A kind has a DelayedCall while suppressed lines of it are counted, unless counts are
   needed for longer than a timer should exist (``timed=False``); ``flush`` cancels it.

Driven by every module that logs, through ``server.log``, and by the command line, which
applies the same limit to twistd's own log.
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

__all__ = [
    "MAX_TEXT",
    "LimitedLog",
    "LineLimit",
    "sanitize",
    "sanitize_failure",
    "sanitize_value",
]

MAX_TEXT: Final = 120
"""Characters of a client's text in one log line."""
_MAX_ERROR_TEXT: Final = 400
"""Characters of an exception's message, which may quote a client's text."""
_READ: Final = 4096
"""Characters of a text that are processed at all."""
_MORE: Final = "lines left out: {count}, like: {like}"


def sanitize(text: str, most: int = MAX_TEXT) -> str:
    """
    Return text that is safe in a log line: truncated, printable, without session ids.

    Args:
        text: Any text, possibly a client's.
        most: Maximum characters of the result, before an ellipsis.

    """
    # Redact before truncating, or half an id would remain; never scan a whole megabyte.
    short = redact(text[:_READ])
    is_cut = len(short) > most or len(text) > _READ
    short = short[:most]
    if not short.isprintable():
        # One at a time: "unicode_escape" would escape every letter beyond ASCII.
        short = "".join(
            each if each.isprintable() else ascii(each)[1:-1] for each in short
        )[:most]
    return short + "..." if is_cut else short


def sanitize_failure(failure: Failure) -> Failure:
    """
    Return a failure whose exception message is safe in a log line.

    Args:
        failure: The failure; it is not modified. The message of a ``KeyError``, for
            example, may quote a client's whole message.

    """
    text = safe_str(failure.value)
    short = sanitize(text, _MAX_ERROR_TEXT)
    if short == text:
        return failure
    sanitized = Failure.__new__(Failure)
    sanitized.__dict__.update(failure.__dict__)
    # Failure.type is kept: it decides check() and the printed class name.
    sanitized.value = Exception(short)
    return sanitized


class _Kind:
    """The recent and the suppressed lines of one kind."""

    __slots__ = ("left_out", "report", "timer", "times")

    def __init__(self, lines: int) -> None:
        self.times: deque[float] = deque(maxlen=lines)
        self.left_out = 0
        # Of the first line that was left out, until it is called: it refers to all that
        # stands in that line, a failure's frames among it.
        self.report: Callable[[int], None] | None = None
        self.timer: IDelayedCall | None = None


class LineLimit:
    """A rate limit per kind of line, with a count of the suppressed lines."""

    def __init__(
        self,
        clock: IReactorTime,
        lines: int = 10,
        seconds: float = 1.0,
        *,
        timed: bool = True,
    ) -> None:
        """
        Initialize the limit.

        Args:
            clock: The clock that measures the rate.
            lines: How many lines of each kind may be written ...
            seconds: ... in any period of this length, in seconds.
            timed: Whether a timer logs the count as soon as the limit allows. If not,
                the count replaces the next line that the limit allows.

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
        Return whether a line may be written now; count it as suppressed if not.

        Args:
            name: The kind of line.
            report: Logs the number of suppressed lines; called later, if this line is
                suppressed.
            lines: The limit for this kind, if it differs from the common one.

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
        """Log every count now, and cancel all timers."""
        for kind in list(self._kinds.values()):
            if kind.timer is not None:
                kind.timer.cancel()
            if kind.left_out:
                self._report(kind)


class LimitedLog:
    """
    A ``twisted.logger.Logger`` whose lines are sanitized and rate-limited.

    Attributes:
        limit: The limit that its lines count against; logs may share one.

    """

    def __init__(self, logger: Logger, limit: LineLimit) -> None:
        """
        Wrap a logger.

        Args:
            logger: The logger that writes the lines.
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
        Write a line, or count it as suppressed.

        Args:
            level: One of ``LogLevel``.
            format: As for Twisted's logger.
            kind: What distinguishes kinds of line that share a format.
            lines: The limit for this kind, if it differs from the common one.
            more: The format of the count: ``{count}``, and the fields of ``values``.
            values: The fields of the line; text is truncated and escaped.

        """

        def report(count: int) -> None:
            rest = {**values, "count": count, "like": format}
            rest.pop("log_failure", None)
            self._logger.emit(level, more, **_sanitized_values(rest))

        name = (self._logger.namespace, level, format, kind)
        if self.limit.admits(name, report, lines):
            self._logger.emit(level, format, **_sanitized_values(values))

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
            failure: The failure; if omitted, the exception that is being handled.
            values: The fields of the line.

        """
        failure = Failure() if failure is None else failure
        self.emit(LogLevel.critical, format, log_failure=failure, **values)


def _sanitized_values(values: dict[str, Any]) -> dict[str, Any]:
    return {name: sanitize_value(value) for name, value in values.items()}


def sanitize_value(value: Any) -> Any:
    """
    Return a field of a log event in a form that is safe in a line.

    Args:
        value: Text and failures are sanitized; anything else is returned as it is.

    """
    if isinstance(value, str):
        return sanitize(value)
    return sanitize_failure(value) if isinstance(value, Failure) else value

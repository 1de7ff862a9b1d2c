"""
The log of ``twistd engineio``: bounded lines, as text or as JSON.

Rules of this file:

1. Every line of Twisted's and Autobahn's that a client can cause passes through a
   ``BoundedObserver``, which cuts it and limits its rate. Lines of the application are
   not changed, except errors that were logged by Twisted's legacy functions.
2. JSON is one object per line, from twistd's first line on, including printed text and
   tracebacks. It is written to the destination of twistd's text log.

Driven by ``twisted.logger`` and by the clock.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import FileLogObserver, ILogObserver, LogEvent, formatEvent
from twisted.python import threadable
from twisted.python.failure import Failure
from twisted.python.reflect import qual, safe_str
from twisted.python.usage import UsageError
from twisted.scripts import twistd as twistd_script
from zope.interface import implementer

from ..policy.limited_log import MAX_TEXT, LineLimit, sanitize, sanitize_value

__all__ = [
    "TWISTED",
    "BoundedObserver",
    "as_json",
    "check_access_log",
    "check_log_format",
    "json_observer",
]

TWISTED: Final = ("_SomeApplicationRunner", "_getLogObserver")
"""Private names of twistd with which it creates its own log observer."""
_FORMATS: Final = ("text", "json")
_OTHERS: Final = ("twisted.", "autobahn.")
"""Namespaces whose lines are bounded here; ours are bounded where they are logged."""
_LEGACY: Final = ("Ignoring malformed Range header",)
"""First words of legacy lines that clients cause and that have no namespace."""
_FIRST: Final = MAX_TEXT + 33
"""Maximum length of the first line of a legacy event, in characters: Twisted's own text
takes 33 or more of them before the client's begins."""
_LINE: Final = 400
"""Maximum length of every other line, in characters."""
_RESERVED: Final = frozenset(
    ("format", "isError", "message", "system", "time", "failure", "why", "logLevel")
)
"""Keys that Twisted adds to an event, besides those that begin with ``log_``."""


@implementer(ILogObserver)
class BoundedObserver:
    """A log observer that cuts lines and limits their rate before passing them on."""

    def __init__(
        self, observer: Callable[[LogEvent], object], clock: IReactorTime
    ) -> None:
        """
        Create an observer in front of another one.

        Args:
            observer: The observer to pass events to.
            clock: The clock to measure rates with.

        """
        self._observer = observer
        self._limit = LineLimit(clock)

    def __call__(self, event: LogEvent) -> None:
        """Pass an event on, or count it as suppressed."""
        kind = _kind_of(event)
        if kind is None:
            self._observer(event)
            return

        def report(count: int) -> None:
            self._observer(_count_of(event, count))

        # Events of other threads are not caused by clients, and timers can only be set
        # in the reactor's thread.
        if _is_elsewhere() or self._limit.admits(kind, report):
            self._observer(_sanitized_values(event))

    def flush(self) -> None:
        """Log the counts of all suppressed lines."""
        self._limit.flush()


def _is_elsewhere() -> bool:
    io_thread: object = threadable.ioThread
    return io_thread is not None and not threadable.isInIOThread()


def _kind_of(event: LogEvent) -> object:
    """Return the key to count a line under; None if no client can cause it."""
    namespace = event.get("log_namespace") or ""
    if namespace.startswith(_OTHERS):
        return namespace, event.get("log_format")
    if namespace == "log_legacy":
        if event.get("isError"):
            failure = event.get("failure")
            return failure.type if isinstance(failure, Failure) else "error"
        text = str(event.get("log_text"))
        return next((each for each in _LEGACY if text.startswith(each)), None)
    return None


def _count_of(event: LogEvent, count: int) -> LogEvent:
    kept = ("log_level", "log_namespace", "log_system", "log_time", "time", "system")
    like = sanitize(formatEvent(event).partition("\n")[0])
    text = f"lines suppressed: {count}, like: {like}"
    return {
        **{name: event[name] for name in kept if name in event},
        "log_format": "{log_text}",
        "log_text": text,
        "count": count,
        "message": (text,),
        "isError": 0,
    }


def _sanitized_values(event: LogEvent) -> LogEvent:
    """Return a copy of an event with escaped and shortened text."""
    sanitized = {name: sanitize_value(value) for name, value in event.items()}
    if event.get("log_namespace") == "log_legacy":
        # The text was formatted before it was logged, and may contain a traceback.
        first, *rest = str(event.get("log_text")).splitlines() or [""]
        lines = [sanitize(first, _FIRST), *(sanitize(each, _LINE) for each in rest)]
        text = "\n".join(lines)
        sanitized["message"] = (text,)
    else:
        text = sanitize(formatEvent(event), _LINE)
    return {**sanitized, "log_format": "{log_text}", "log_text": text}


# JSON.


def as_json(event: LogEvent) -> str:
    """
    Format an event as a line of JSON.

    Args:
        event: An event of ``twisted.logger``.

    Returns:
        An object with ``time``, ``level``, ``logger`` and ``message``, and the event's
        own fields. For an exception also ``exception``, its class, and ``traceback``.

    """
    level = event.get("log_level")
    seconds = event.get("log_time")
    when = datetime.fromtimestamp(seconds or 0.0, UTC)
    failure = event.get("log_failure") or event.get("failure")
    message = formatEvent(event)
    said: dict[str, Any] = {
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": getattr(level, "name", "info"),
        "logger": event.get("log_namespace") or "-",
        "message": message,
    }
    for name, value in event.items():
        if not name.startswith("log_") and name not in _RESERVED:
            said.setdefault(name, _plain(value))
    if isinstance(failure, Failure):
        said["message"] = _message_with(failure, event, message)
        said["exception"] = qual(failure.type or type(failure.value))
        said["traceback"] = failure.getTraceback()
    return json.dumps(said) + "\n"


def _message_with(failure: Failure, event: LogEvent, message: str) -> str:
    """Return the message of a failure, without its traceback."""
    if event.get("log_namespace") == "log_legacy":
        return str(event.get("why") or "Unhandled Error")
    return message or safe_str(failure.value)


def _plain(value: Any) -> Any:
    """Return a value as JSON can represent it: as its text if there is no other way."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return sanitize(safe_str(value), _LINE)


# Options.


def check_log_format(name: str, twistd: Mapping[str, Any] | None) -> None:
    """
    Check that the log can be written in a format.

    Args:
        name: ``text`` or ``json``.
        twistd: The options of twistd, if it runs the server.

    Raises:
        UsageError: If the format is unknown, or twistd logs to another destination.

    """
    if name not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise UsageError(f"--log-format: {name!r} is unknown; use one of {known}")
    for option in ("syslog", "logger"):
        if name == "json" and twistd is not None and twistd.get(option):
            raise UsageError(
                f"--log-format: json does not work with twistd's --{option}; omit that"
                " option"
            )


def json_observer(twistd: Mapping[str, Any]) -> FileLogObserver:
    """
    Return twistd's own log observer, changed to write JSON.

    Args:
        twistd: The options of twistd.

    """
    script: Any = twistd_script
    logger = script._SomeApplicationRunner.loggerFactory(twistd)
    observer: FileLogObserver = logger._getLogObserver()
    observer.formatEvent = as_json
    return observer


def check_access_log(path: str | None) -> None:
    """
    Check that the access log can be written.

    Args:
        path: The path of the access log, or ``None``.

    Raises:
        UsageError: If it cannot.

    """
    if path is None:
        return
    try:
        with open(path, "ab"):
            pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--access-log: {path!r}: {why}") from None

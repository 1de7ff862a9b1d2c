"""What twistd writes: bounded, as text or JSON; and the signal to open a log again."""

from __future__ import annotations

import json
import signal
import sys

import pytest
from twisted.internet.address import IPv4Address
from twisted.logger import (
    FileLogObserver,
    Logger,
    LogPublisher,
    eventAsText,
    formatEvent,
)
from twisted.python import log as legacy
from twisted.python import threadable
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.scripts import twistd
from twisted.web.resource import Resource

from twisted_engineio import EngineIOSite
from twisted_engineio.cli import log_format
from twisted_engineio.cli.log_format import (
    BoundedObserver,
    as_json,
    check_access_log,
    check_log_format,
    json_observer,
)


@pytest.fixture
def events():
    """What passes."""
    return []


@pytest.fixture
def bounded(clock, events):
    """What stands before an observer."""
    return BoundedObserver(events.append, clock)


@pytest.fixture
def say(bounded):
    """Log as a module of some name does."""

    def say(namespace, level, line, **values):
        getattr(Logger(namespace, observer=bounded), level)(line, **values)

    return say


@pytest.fixture
def old(bounded):
    """Twisted's old way to log."""
    return legacy.LogPublisher(
        observerPublisher=LogPublisher(),
        publishPublisher=LogPublisher(bounded),
    )


# Bounds.


@pytest.mark.parametrize(
    "namespace",
    [
        "twisted.web._http2.H2Connection",
        "twisted.internet.tcp",
        "autobahn.twisted.websocket",
        "twisted.internet.defer",
    ],
)
def test_lines_of_twisted_are_limited(say, events, clock, namespace):
    """Ten a second of each, and then a count with their level and name."""
    for number in range(50):
        say(namespace, "warn", "client {client} did it", client=f"192.0.2.{number}")
    assert len(events) == 10
    clock.advance(1)
    assert formatEvent(events[10]) == (
        "lines suppressed: 40, like: client 192.0.2.10 did it"
    )
    assert events[10]["log_namespace"] == namespace
    assert events[10]["log_level"].name == "warn"


@pytest.mark.parametrize(
    "namespace", ["chat", "twisted_engineio.x", "twistedly", "stdout"]
)
def test_lines_of_the_application_pass(say, events, namespace):
    """Whatever it says, and as often as it likes: it is the same event."""
    text = "x\n" * 1000
    for _ in range(50):
        say(namespace, "info", "{text}", text=text)
    assert len(events) == 50
    assert events[0]["text"] == text


@pytest.mark.parametrize(
    "value", ["x" * 9000, "a\n2026 [fake]", "/?sid=Zm9vYmFyYmF6cXV4", object(), 17]
)
def test_lines_of_twisted_are_tamed(say, events, value):
    """Cut, on one line, and without a session's id."""
    say("twisted.web.server", "info", "of {it} and {it!r}", it=value)
    line = formatEvent(events[0])
    assert len(line) < 450
    assert line.isprintable()
    assert "Zm9vYmF" not in line


def test_legacy_lines_that_clients_cause_are_bounded(old, events, clock):
    """Of twisted.web's static files: the whole header stood in it."""
    for _ in range(30):
        old.msg(f"Ignoring malformed Range header {'x' * 9000!r}")
    assert len(events) == 10
    assert formatEvent(events[0]).count("x") <= 121
    assert len(events[0]["message"][0]) < 200
    clock.advance(1)
    assert "lines suppressed: 20, like: Ignoring" in formatEvent(events[10])


def test_legacy_lines_of_anybody_else_pass(old, events):
    """An application may log so, as often as it likes."""
    for _ in range(30):
        old.msg("somebody says " + "x" * 1000)
    assert len(events) == 30
    assert len(formatEvent(events[0])) > 1000


@pytest.mark.parametrize(
    "error", [KeyError("k\n" * 9000), ValueError("\x1b[2J"), ZeroDivisionError()]
)
def test_legacy_errors_are_bounded(old, events, clock, error):
    """What reached Twisted alone: each a traceback, of a text that clients choose."""
    for _ in range(30):
        old.msg(failure=Failure(error), why="why " + "w\n" * 200, isError=1)
    assert len(events) == 10
    text = eventAsText(events[0])
    assert len(text) < 2000
    assert type(error).__name__ in text
    assert "\x1b" not in text
    clock.advance(1)
    assert len(events) == 11


def test_lines_of_other_threads_are_tamed_alone(say, events, clock, monkeypatch):
    """There nothing may be scheduled."""
    monkeypatch.setattr(threadable, "ioThread", -1)
    for _ in range(30):
        say("twisted.python.threadpool", "error", "{it}", it="x\n" * 1000)
    assert len(events) == 30
    assert formatEvent(events[0]).isprintable()
    assert clock.getDelayedCalls() == []


def test_an_error_without_a_failure_is_bounded(bounded, events):
    """Some say only isError."""
    event = {"log_namespace": "log_legacy", "isError": 1, "message": ("x",)}
    for _ in range(30):
        bounded(dict(event))
    assert len(events) == 10
    bounded._limit.flush()


def test_an_event_without_a_name_passes(bounded, events):
    """Whoever made it."""
    bounded({"log_format": "x"})
    assert events == [{"log_format": "x"}]


# JSON.


def read(event):
    """Read a line of JSON, strictly."""
    line = as_json(event)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert line.isascii()

    def never(constant):
        raise AssertionError(constant)

    return json.loads(line, parse_constant=never)


def test_an_event_is_an_object(events):
    """With its own fields beside what each has."""
    log = Logger("some.module", observer=events.append)
    log.warn(
        "{a} of {b}", a="x\n\u2028", b=1.5, c=None, d=True, e=IPv4Address("TCP", "h", 1)
    )
    said = read(events[0])
    time = said.pop("time")
    assert time[10] == "T"
    assert time[-1] == "Z"
    assert said == {
        "level": "warn",
        "logger": "some.module",
        "message": "x\n\u2028 of 1.5",
        "a": "x\n\u2028",
        "b": 1.5,
        "c": None,
        "d": True,
        "e": "IPv4Address(type='TCP', host='h', port=1)",
    }


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), b"\xff", "\ud800", [1], {}]
)
def test_any_value_is_written(events, value):
    """As what JSON has, or as text."""
    Logger("x", observer=events.append).info("{it}", it=value)
    assert isinstance(read(events[0])["it"], str)


def test_a_value_whose_text_fails_is_written(events):
    """A line is never lost."""

    class Broken:
        def __str__(self):
            raise ZeroDivisionError

        __repr__ = __str__

    Logger("x", observer=events.append).info("line", it=Broken())
    assert read(events[0])["message"] == "line"


def test_a_field_hides_none_of_ours(events):
    """Whatever an application calls its fields."""
    Logger("x", observer=events.append).info("line", logger="mine", traceback="mine")
    said = read(events[0])
    assert (said["level"], said["logger"]) == ("info", "x")


def test_a_traceback_is_a_field(events):
    """With the exception's class; the message is what was said of it."""
    log = Logger("x", observer=events.append)
    log.failure("it failed", Failure(ZeroDivisionError("why")))
    log.failure("", Failure(ZeroDivisionError("why")))
    first, second = map(read, events)
    assert first["message"] == "it failed"
    assert first["exception"] == "builtins.ZeroDivisionError"
    assert "ZeroDivisionError: why" in first["traceback"]
    assert first["level"] == "critical"
    assert second["message"] == "why"


def test_a_legacy_event_is_an_object(old, events):
    """Like any other; its traceback is not said twice."""
    old.msg("a line")
    old.msg(failure=Failure(ZeroDivisionError("x")), why="why", isError=1)
    old.msg(failure=Failure(ZeroDivisionError("x")), why=None, isError=1)
    first, second, third = map(read, events)
    assert first["message"] == "a line"
    assert set(first) == {"time", "level", "logger", "message"}
    assert (second["message"], second["level"]) == ("why", "critical")
    assert second["exception"] == "builtins.ZeroDivisionError"
    assert third["message"] == "Unhandled Error"


def test_an_event_of_nothing_is_an_object():
    """Whoever made it."""
    assert read({}) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "info",
        "logger": "-",
        "message": "",
    }


# Options.


@pytest.mark.parametrize("name", ["xml", "JSON", "", "text "])
def test_an_unknown_format_is_a_clear_error(name):
    """With those that are known."""
    with pytest.raises(
        UsageError, match=r"--log-format: .* is unknown; use one of text, json"
    ):
        check_log_format(name, None)


@pytest.mark.parametrize(("option", "value"), [("syslog", 1), ("logger", lambda: None)])
def test_json_cannot_go_where_twistd_does_not_write(option, value):
    """An operator hears of it before anything listens."""
    with pytest.raises(
        UsageError, match=f"json does not work with twistd's --{option}; omit"
    ):
        check_log_format("json", {option: value})
    check_log_format("text", {option: value})
    check_log_format("json", {option: None})


def test_json_is_written_where_twistd_would_write_text(tmp_path):
    """By twistd's own observer, so that it rotates and reopens as ever."""
    options = {"logfile": str(tmp_path / "log"), "nodaemon": True, "syslog": 0}
    before = signal.getsignal(signal.SIGUSR1)
    observer = json_observer(options)
    assert isinstance(observer, FileLogObserver)
    Logger("x", observer=observer).info("a line")
    observer._outFile.close()
    assert json.loads((tmp_path / "log").read_text())["message"] == "a line"
    signal.signal(signal.SIGUSR1, before)


def test_what_is_known_of_twistd_exists():
    """Private names of Twisted's."""
    runner, make = log_format.TWISTED
    assert hasattr(getattr(twistd, runner).loggerFactory({}), make)


@pytest.mark.parametrize(
    ("path", "why"),
    [("/no/such/folder/log", "No such file"), ("/", "Is a directory"), ("\0", "null")],
)
def test_an_access_log_that_cannot_be_written_is_a_clear_error(path, why):
    """Before anything listens."""
    with pytest.raises(UsageError, match=f"--access-log: .*: .*{why}"):
        check_access_log(path)


def test_an_access_log_may_be_there_already(tmp_path):
    """It is gone on with."""
    (tmp_path / "log").write_text("before\n")
    check_access_log(str(tmp_path / "log"))
    check_access_log(None)
    assert (tmp_path / "log").read_text() == "before\n"


# The signal.


class Reactor:
    """A reactor that does at once what it is asked to do later."""

    def callWhenRunning(self, function):
        function()

    callFromThread = callWhenRunning


@pytest.fixture
def usr1():
    """Put the signal's handler back."""
    before = signal.getsignal(signal.SIGUSR1)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def site(server, tmp_path, clock):
    """A site with an access log."""
    site = EngineIOSite(
        Resource(), server, "/engine.io", logPath=str(tmp_path / "access.log")
    )
    site.startFactory()
    yield site
    site.stopFactory()
    for each in clock.getDelayedCalls():
        each.cancel()


def test_an_access_log_is_opened_again_by_its_name(site, tmp_path):
    """After it was renamed."""
    (tmp_path / "access.log").rename(tmp_path / "access.log.1")
    site._logFile.write("old\n")
    site.reopen_log()
    site._logFile.write("new\n")
    assert (tmp_path / "access.log.1").read_text() == "old\n"
    assert (tmp_path / "access.log").read_text() == "new\n"


def test_a_log_that_cannot_be_opened_again_is_gone_on_with(site, tmp_path, logged):
    """And the operator is told."""
    (tmp_path / "folder").mkdir()
    site.logPath = str(tmp_path / "folder")
    site.reopen_log()
    site._logFile.write("still here\n")
    assert (tmp_path / "access.log").read_text() == "still here\n"
    assert "Is a directory" in logged.take()["why"]


@pytest.mark.parametrize("log_path", [None, "stopped"])
def test_what_is_not_open_is_not_opened(server, tmp_path, clock, log_path):
    """A site without a log, or one that does not listen."""
    path = None if log_path is None else str(tmp_path / log_path)
    site = EngineIOSite(Resource(), server, "/engine.io", logPath=path)
    if path is None:
        site.startFactory()
    site._logFile = None if path else site._logFile
    site.reopen_log()
    if path is None:
        site.stopFactory()
    assert list(tmp_path.iterdir()) == []
    assert sys.stdout is not None


def test_counts_are_written_when_the_process_ends(bounded, say, events, clock):
    """Whatever is left of the last second."""
    for number in range(25):
        say("twisted.web.server", "info", "line {number}", number=number)
    bounded.flush()
    assert "lines suppressed: 15" in formatEvent(events[-1])
    assert clock.getDelayedCalls() == []

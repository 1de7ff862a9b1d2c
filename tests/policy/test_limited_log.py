"""The bounds of the log: what clients can cause is cut, escaped and counted."""

from __future__ import annotations

import gc
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import (
    Logger,
    LogLevel,
    eventAsText,
    formatEvent,
)
from twisted.python.failure import Failure

from twisted_engineio.policy.limited_log import (
    LimitedLog,
    LineLimit,
    sanitize,
    sanitize_failure,
)


@pytest.fixture
def events():
    """What was logged."""
    return []


@pytest.fixture
def log(clock, events):
    """A log of ten lines a second of each kind, on the test's clock."""
    logger = Logger("test", observer=events.append)
    return LimitedLog(logger, LineLimit(clock))


# What a line may hold.


@given(st.text())
def test_tamed_text_stands_on_one_line(text):
    """Whatever a client sends: short, printable, and of one line."""
    sanitized = sanitize(text)
    assert len(sanitized) <= 123
    assert sanitized.isprintable()
    assert len(sanitized.splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "sanitized"),
    [
        ("https://example.com", "https://example.com"),
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 120 + "..."),
        ("two\nlines", r"two\nlines"),
        ("a\rb\x1b[2Jc", r"a\rb\x1b[2Jc"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("gr\u00fc\u00dfe", "gr\u00fc\u00dfe"),
        ("lone \ud800", r"lone \ud800"),
        ("\0" * 120, r"\x00" * 30),
        ("", ""),
    ],
)
def test_text_is_cut_and_escaped(text, sanitized):
    """To 120 characters; letters of any script stay."""
    assert sanitize(text) == sanitized


@pytest.mark.parametrize(
    "text", ["k" * 100_000, "a\n2026-01-01 [fake] line", "\x1b[2J"]
)
def test_an_exception_s_text_is_tamed(text):
    """A KeyError of a message would write the whole message."""
    failure = Failure(KeyError(text))
    sanitized = sanitize_failure(failure)
    assert sanitized.check(KeyError)
    assert len(sanitized.getTraceback()) < 700
    assert all(
        each.isprintable()
        for each in sanitized.getTraceback().splitlines()
        if "Key" in each
    )
    assert "\n2026" not in sanitized.getTraceback()
    assert "builtins.KeyError: " in sanitized.getTraceback()
    assert failure.value.args == (text,)


def test_an_ordinary_exception_stays_as_it_is():
    """It is the same object, for whoever looks."""
    failure = Failure(ValueError("a word"))
    assert sanitize_failure(failure) is failure


# How many lines.


def test_ten_lines_a_second_and_then_a_count(log, events, clock):
    """The count comes when there is room for a line, whether more come or not."""
    for number in range(1000):
        log.info("line {number}", number=number)
    assert [formatEvent(each) for each in events] == [f"line {n}" for n in range(10)]
    del events[:]
    clock.advance(0.5)
    log.info("line {number}", number=0)
    assert events == []
    clock.advance(0.5)
    assert [formatEvent(each) for each in events] == [
        "lines left out: 991, like: line {number}"
    ]
    assert events[0]["count"] == 991
    assert events[0]["log_level"] is LogLevel.info
    assert clock.getDelayedCalls() == []


def test_in_no_second_are_there_more_than_ten(clock, events):
    """A flood of any pace; and each line is said or counted."""
    logger = Logger("test", observer=lambda event: events.append((now(), event)))
    now = clock.seconds
    log = LimitedLog(logger, LineLimit(clock))
    for _ in range(700):
        clock.advance(0.013)
        log.warn("again", more="{count} again")
    clock.advance(1)
    times = [at for at, _ in events]
    assert all(
        late - early >= 0.999 for early, late in zip(times, times[10:], strict=False)
    )
    counted = sum(event.get("count", 1) for _, event in events)
    assert counted == 700


def test_each_kind_has_its_own_lines(log, events):
    """One that floods hides no other: by format, level, and what a caller names."""
    for _ in range(20):
        log.info("one")
        log.error("one")
        log.info("two", kind="a")
        log.info("two", kind="b")
    assert len(events) == 40
    log.limit.flush()
    assert [each["count"] for each in events[40:]] == [10, 10, 10, 10]


def test_what_a_client_says_makes_no_kind(log, events):
    """Else it could have as many lines as it likes."""
    for number in range(100):
        log.info("refused {agent!r}", agent=str(number))
    assert len(events) == 10
    log.limit.flush()


def test_a_count_has_a_sentence_of_its_own(log, events):
    """With what stands in the first line that was left out."""
    for _ in range(12):
        log.warn("{limit} is reached", limit="x", more="{limit}: {count} more")
    log.limit.flush()
    assert formatEvent(events[-1]) == "x: 2 more"


def test_flush_leaves_no_timer(log, events, clock):
    """And says nothing where nothing was left out."""
    log.info("once")
    log.limit.flush()
    assert len(events) == 1
    for _ in range(11):
        log.info("once")
    log.limit.flush()
    log.limit.flush()
    assert len(events) == 11
    assert clock.getDelayedCalls() == []


def test_a_clock_that_was_set_back_silences_nothing(clock, events):
    """A line is said that would else wait for as long as the clock was set back."""
    limit = LineLimit(clock, 1, 60.0)
    clock.advance(1000)
    assert limit.admits("kind", events.append)
    clock.rightNow = 10.0
    assert limit.admits("kind", events.append)


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error"])
def test_a_line_has_its_level(log, events, level):
    """And its fields, tamed."""
    getattr(log, level)("{a} {b}", a="x\n", b=1)
    (event,) = events
    assert event["log_level"].name == level
    assert formatEvent(event) == r"x\n 1"


def test_a_failure_has_a_traceback_and_its_count_none(log, events):
    """The one that is being handled, or the one that is given."""
    for _ in range(11):
        try:
            raise KeyError("a\nb" * 1000)
        except KeyError:
            log.failure("it failed")
    log.failure("given", Failure(ValueError("x")))
    log.limit.flush()
    assert "builtins.KeyError: " in eventAsText(events[0])
    assert len(eventAsText(events[0])) < 1000
    assert events[10]["log_failure"].check(ValueError)
    assert "log_failure" not in events[11]
    assert events[11]["count"] == 1


def test_a_count_without_a_timer_is_the_next_line(clock, events):
    """For a line a minute: nothing is left on the clock meanwhile."""
    logger = Logger("test", observer=events.append)
    log = LimitedLog(logger, LineLimit(clock, 1, 60.0, timed=False))
    for seconds in (0, 1, 1, 58, 30, 100):
        clock.advance(seconds)
        log.warn("full: {count}", more="full: {count}", count=1)
        assert clock.getDelayedCalls() == []
    assert [formatEvent(each) for each in events] == ["full: 1", "full: 3", "full: 2"]


# What is kept of a line.


class Value:
    """Something that stands in a line, and that others may wait to be gone."""


def test_nothing_of_a_line_is_kept_once_it_is_written(log, events):
    """Neither what stands in it nor the log of whatever wrote it."""
    value, borrowed = Value(), LimitedLog(log._logger, log.limit)
    known = [ref(value), ref(borrowed)]
    borrowed.info("{value}", value=value)
    del value, borrowed
    events.clear()
    assert [each() for each in known] == [None, None]


def test_nothing_of_a_line_is_kept_once_it_is_counted(log, clock, events):
    """The first that is left out stands in the count; then it is gone."""
    value = Value()
    known = ref(value)
    for _ in range(11):
        log.info("{value}", value=value)
    del value
    assert known() is not None
    clock.advance(1.0)
    events.clear()
    assert known() is None


def test_nothing_of_a_failure_is_kept(log, events):
    """Its frames have whole requests in them."""
    value = Value()
    known = ref(value)
    try:
        raise ValueError(value)
    except ValueError:
        log.failure("it failed")
    events.clear()
    del value
    gc.collect()
    assert known() is None


def test_a_count_without_a_timer_is_flushed_once(clock, events):
    """And a flush before the next line counts, as the first that was left out."""
    logger = Logger("test", observer=events.append)
    log = LimitedLog(logger, LineLimit(clock, 1, 60.0, timed=False))
    for number in range(4):
        log.info("{number}", more="{count} more, as {number}", number=number)
    log.limit.flush()
    assert [formatEvent(each) for each in events] == ["0", "3 more, as 1"]
    log.limit.flush()
    assert len(events) == 2

"""Connections that have sent ahead wait for their turn, each in its order."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from twisted_engineio.turns import Turns


class SlowClock(Clock):
    """A clock on which a call takes a millisecond."""

    def seconds(self):
        return self.rightNow

    def work(self):
        """Take a millisecond."""
        self.rightNow += 0.001


@pytest.fixture
def slow():
    """Give time that passes while calls are made."""
    return SlowClock()


@pytest.fixture
def turns(slow):
    """Give a queue that no call waits in."""
    return Turns(slow)


def test_a_call_is_made_in_a_later_turn(turns, slow):
    """Not at once, and only once."""
    made = []
    turns.wait(lambda: made.append("made"))
    assert made == []
    assert turns.busy
    slow.advance(0)
    assert made == ["made"]
    assert not turns.busy
    assert slow.getDelayedCalls() == []


def test_calls_are_made_in_their_order(turns, slow):
    """However often one says that it waits."""
    made = []
    calls = [lambda number=number: made.append(number) for number in range(3)]
    for call in (*calls, calls[0]):
        turns.wait(call)
    slow.advance(0)
    assert made == [0, 1, 2]


def test_a_pass_ends_when_its_time_is_over(turns, slow):
    """What is left has the next one, before the calls that wait anew."""
    made = []
    calls = {}
    passes = []

    def work(number):
        slow.work()
        made.append(number)
        turns.wait(calls[number])

    for number in range(6):
        calls[number] = lambda number=number: work(number)
        turns.wait(calls[number])
    for _ in range(3):
        (timer,) = slow.getDelayedCalls()
        timer.cancel()
        turns._run()  # the clock would go on until no call waits
        passes.append(list(made))
        made.clear()
    assert passes == [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]]
    for call in calls.values():
        turns.end(call)
    assert slow.getDelayedCalls() == []


def test_a_call_that_ends_waits_no_longer(turns, slow):
    """Also when another one ends it, and when it does not wait."""
    made = []

    def second():
        made.append("second")

    def first():
        made.append("first")
        turns.end(second)

    turns.wait(first)
    turns.wait(second)
    slow.advance(0)
    assert made == ["first"]
    turns.end(second)
    turns.wait(second)
    turns.end(second)
    assert slow.getDelayedCalls() == []


def test_a_call_that_fails_keeps_no_other_from_its_turn(turns, slow):
    """The reactor logs it."""
    made = []
    turns.wait(lambda: 1 / 0)
    turns.wait(lambda: made.append("made"))
    with pytest.raises(ZeroDivisionError):
        slow.advance(0)
    slow.advance(0)
    assert made == ["made"]

"""Work in time slices: some of it in each turn, in order, and no timer without work."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from twisted_engineio.transports.time_slices import TimeSlices

LENGTH = 0.002


@pytest.fixture
def slices(clock):
    """Give time slices without work."""
    return TimeSlices(clock, LENGTH)


class Work:
    """Takes some time, and adds itself until it is done."""

    def __init__(self, slices, clock, log, name, times=1, takes=0.0):
        self.slices, self.clock, self.log, self.name = slices, clock, log, name
        self.times, self.takes = times, takes

    def __call__(self):
        self.log.append(self.name)
        self.clock.rightNow += self.takes  # as work does: no timer fires meanwhile
        self.times -= 1
        if self.times:
            self.slices.add(self)


def test_a_slice_is_over_after_its_length(slices, clock):
    """Not before, whatever the time is."""
    for now in (0.0, 0.1, 1000.1, 1.7e9 + 0.3):
        clock.rightNow = now
        end = slices.begin()
        assert not slices.is_over(end)
        clock.rightNow = now + LENGTH / 2
        assert not slices.is_over(end)
        clock.rightNow = now + LENGTH * 1.01
        assert slices.is_over(end)


def test_a_clock_that_is_set_back_ends_it(slices, clock):
    """Else it would last for as long as the clock was set back."""
    clock.rightNow = 100.0
    end = slices.begin()
    clock.rightNow = 50.0
    assert slices.is_over(end)


def test_a_slice_is_shorter_the_more_have_work_left(slices, clock):
    """A hundred that begin in one turn take no longer than six slices."""
    log, began = [], clock.seconds()
    for name in range(100):
        clock.rightNow = slices.begin()
        slices.add(Work(slices, clock, log, name))
    assert clock.seconds() - began < 6 * LENGTH
    clock.advance(0)
    assert slices.begin() - clock.seconds() == pytest.approx(LENGTH)


def test_what_takes_no_time_is_done_in_one_turn(slices, clock):
    """However many they are."""
    log = []
    for name in range(100):
        slices.add(Work(slices, clock, log, name))
    assert log == []
    clock.advance(0)
    assert log == list(range(100))
    assert clock.getDelayedCalls() == []


def test_all_share_one_slice_in_each_turn(slices, clock):
    """In the order in which they came, and round again."""
    log = []
    for name in "abc":
        slices.add(Work(slices, clock, log, name, times=2, takes=LENGTH))
    turns = []
    while clock.getDelayedCalls():
        (call,) = clock.getDelayedCalls()
        call.cancel()
        slices._turn()
        turns.append(list(log))
        log.clear()
    assert turns == [["a"], ["b"], ["c"], ["a"], ["b"], ["c"]]


def test_one_that_adds_itself_waits_for_the_next_turn(slices, clock):
    """Even if there is time left."""
    log = []
    slices.add(Work(slices, clock, log, "a", times=3))
    slices.add(Work(slices, clock, log, "b"))
    slices._timer.cancel()
    slices._turn()
    assert log == ["a", "b"]
    clock.advance(0)
    assert log == ["a", "b", "a", "a"]


def test_what_is_removed_is_not_called(slices, clock):
    """Before its turn, or by another in that very turn; then no timer is left."""
    log = []
    last = Work(slices, clock, log, "last")
    slices.add(lambda: slices.remove(last))
    slices.add(last)
    clock.advance(0)
    assert log == []
    slices.add(last)
    slices.remove(last)
    slices.remove(last)
    assert clock.getDelayedCalls() == []


def test_one_that_raises_keeps_no_other_from_its_turn(slices, clock):
    """They have theirs in the next turn; the reactor logs the exception."""
    log = []

    def fails():
        raise ZeroDivisionError

    slices.add(fails)
    slices.add(Work(slices, clock, log, "next"))
    with pytest.raises(ZeroDivisionError):
        clock.advance(0)
    clock.advance(0)
    assert log == ["next"]


def test_any_time_of_the_clock_makes_progress():
    """At one call in each turn, at least: rounding must not stop it."""
    for start in range(1000):
        clock = Clock()
        clock.rightNow = 1.7e9 + start / 7
        log = []
        slices = TimeSlices(clock, LENGTH)
        slices.add(Work(slices, clock, log, "a", times=3))
        clock.advance(0)
        assert log == ["a"] * 3

"""Calls that wait equally long: each in its time, on one timer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from twisted_engineio.session.shared_timeout import SharedTimeout

DELAY = 4.0


class Caller:
    """Keeps when it was called, and may wait again then."""

    def __init__(self, clock, again=None):
        self.clock = clock
        self.called = []
        self.again = again

    def call(self):
        self.called.append(self.clock.seconds())
        if self.again is not None:
            self.again.begin(self.call)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("begin"), st.integers(0, 4)),
            st.tuples(st.just("end"), st.integers(0, 4)),
            st.tuples(st.just("pass"), st.integers(1, 6)),
        )
    )
)
def test_each_is_called_in_its_time(steps):
    """Whoever begins, ends or goes on: once, when due, on one timer at most."""
    clock = Clock()
    made = SharedTimeout(clock, DELAY)
    callers = [Caller(clock, made if each < 2 else None) for each in range(5)]
    due, expected = {}, [[] for _ in callers]
    for what, which in steps:
        if what == "begin" and which not in due:
            due[which] = made.begin(callers[which].call)
            assert due[which] == clock.seconds() + DELAY
        elif what == "end":
            made.end(callers[which].call)
            due.pop(which, None)
        elif what == "pass":
            for _ in range(which):
                clock.advance(1)
                now = clock.seconds()
                for each in [each for each, when in due.items() if when == now]:
                    expected[each].append(due.pop(each))
                    if each < 2:
                        due[each] = now + DELAY
        assert len(clock.getDelayedCalls()) == bool(due)
    assert [each.called for each in callers] == expected


def test_who_begins_again_when_called_waits_again():
    """Behind whoever waits already, even without a delay."""
    clock, called = Clock(), []
    made = SharedTimeout(clock, 0.0)

    def again():
        called.append("again")
        if called.count("again") < 3:
            made.begin(again)

    made.begin(again)
    made.begin(lambda: called.append("other"))
    assert called == []
    clock.advance(0)
    assert called == ["again", "other", "again", "again"]
    assert not clock.getDelayedCalls()


def test_who_raises_keeps_nobody_from_its_turn():
    """The reactor logs it, as it does for any timer; the next is called after it."""
    clock = Clock()
    made = SharedTimeout(clock, 0.0)
    caller = Caller(clock)

    def fail():
        raise ZeroDivisionError

    made.begin(fail)
    made.begin(caller.call)
    with pytest.raises(ZeroDivisionError):
        clock.advance(0)
    clock.advance(0)
    assert caller.called == [0.0]
    assert not clock.getDelayedCalls()


def test_who_ends_the_others_when_called_leaves_no_timer():
    """Its own call is one of those that wait no more."""
    clock = Clock()
    made = SharedTimeout(clock, 1.0)
    other = Caller(clock)
    made.begin(lambda: made.end(other.call))
    made.begin(other.call)
    clock.advance(1)
    clock.advance(5)
    assert other.called == []
    assert not clock.getDelayedCalls()


def test_a_clock_that_is_set_back_holds_nobody_up():
    """All wait anew then; else who came before would keep the one timer far ahead."""
    clock = Clock()
    clock.advance(3600)
    made = SharedTimeout(clock, DELAY)
    before, after = Caller(clock), Caller(clock)
    made.begin(before.call)
    clock.rightNow = 100.0
    made.begin(after.call)
    clock.advance(DELAY)
    assert before.called == after.called == [100.0 + DELAY]
    assert not clock.getDelayedCalls()


def test_who_ends_another_that_is_due_keeps_it_from_being_called():
    """And who begins it again gives it all of its time."""
    clock = Clock()
    made = SharedTimeout(clock, 1.0)
    other = Caller(clock)

    def renew():
        made.end(other.call)
        made.begin(other.call)

    made.begin(renew)
    made.begin(other.call)
    clock.advance(1)
    assert other.called == []
    clock.advance(1)
    assert other.called == [2.0]


def test_all_may_be_made_due_at_once(clock):
    """Each once, in order; one that ends another takes it out."""
    made, called = SharedTimeout(clock, DELAY), []

    def first():
        called.append("first")
        made.end(third)

    def second():
        called.append("second")

    def third():
        called.append("third")

    for each in (first, second, third):
        made.begin(each)
    made.expire()
    assert called == ["first", "second"]
    assert clock.getDelayedCalls() == []

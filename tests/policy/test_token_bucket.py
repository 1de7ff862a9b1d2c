"""Token buckets: what may be taken, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio.policy.token_bucket import TokenBucket

rates = st.floats(0.01, 1e6)
gaps = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), max_size=60)


def test_a_second_s_worth_may_come_at_once():
    """Then one more for each part of a second that it takes to fill."""
    bucket = TokenBucket(10, now=0.0)
    for _ in range(10):
        assert bucket.wait(1, 0.0) == 0.0
        bucket.take(1)
    assert bucket.wait(1, 0.0) == pytest.approx(0.1)
    assert bucket.wait(1, 0.05) == pytest.approx(0.05)
    assert bucket.wait(1, 0.1) == 0.0


def test_it_never_holds_more_than_a_second_s_worth():
    """However long nobody took anything."""
    bucket = TokenBucket(2, now=0.0)
    assert bucket.wait(1, 1000.0) == 0.0
    bucket.take(1)
    bucket.take(1)
    assert bucket.wait(1, 1000.0) == pytest.approx(0.5)


def test_a_slow_rate_still_allows_one():
    """One in ten seconds is one at the beginning, and one after ten seconds."""
    bucket = TokenBucket(0.1, now=5.0)
    assert bucket.wait(1, 5.0) == 0.0
    bucket.take(1)
    assert bucket.wait(1, 5.0) == pytest.approx(10.0)


def test_more_than_it_holds_is_owed():
    """A large amount goes when the bucket is full, and all others wait for it."""
    bucket = TokenBucket(100, now=0.0)
    assert bucket.wait(1000, 0.0) == 0.0
    bucket.take(1000)
    assert bucket.wait(1, 0.0) == pytest.approx(9.01)
    assert bucket.wait(1000, 9.0) == pytest.approx(1.0)


def test_a_clock_that_goes_back_takes_nothing_away():
    """Nor does it give anything."""
    bucket = TokenBucket(1, now=10.0)
    bucket.take(1)
    assert bucket.wait(1, 9.0) == pytest.approx(1.0)
    assert bucket.wait(1, 10.5) == pytest.approx(0.5)


@given(rates, gaps)
def test_no_more_is_taken_than_the_rate_allows(rate, steps):
    """In any time, at most a second's worth and what the time brings in."""
    bucket, now, taken = TokenBucket(rate, now=0.0), 0.0, 0.0
    for gap, share in steps:
        now += gap
        amount = share * bucket.capacity
        if bucket.wait(amount, now) == 0.0:
            bucket.take(amount)
            taken += amount
        assert taken <= (bucket.capacity + rate * now) * (1 + 1e-6) + 1e-6


@given(rates, gaps, st.floats(0, 100))
def test_who_waits_as_long_as_told_gets_it(rate, steps, large):
    """An amount of any size goes after the time that ``wait`` gave, not before."""
    bucket, now = TokenBucket(rate, now=0.0), 0.0
    for gap, share in steps:
        now += gap
        amount = share * large * bucket.capacity
        seconds = bucket.wait(amount, now)
        if seconds:
            now += seconds * (1 + 1e-9)  # a timer fires a little late
            assert bucket.wait(amount, now) == 0.0
        bucket.take(amount)

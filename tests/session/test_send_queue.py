"""The queue that knows its size."""

from __future__ import annotations

import pytest
from fakes import CLOSE, PING, PROBE_PING
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio import Encoded
from twisted_engineio.session.send_queue import SendQueue, size_of

SIZES = [
    ("", 0),
    ("abc", 3),
    ("\u20ac", 3),
    ("\U0001f600", 4),
    (b"", 0),
    (b"\xff\xff", 2),
    (Encoded("\xe9"), 2),
    (Encoded(b"12345"), 5),
    (PING, 0),
    (PROBE_PING, 5),
]

messages = st.text(st.characters(exclude_categories=["Cs"])) | st.binary()


@pytest.mark.parametrize(("item", "size"), SIZES)
def test_an_item_counts_its_data_in_bytes(item, size):
    """Text counts as UTF-8, whoever wraps it."""
    assert size_of(item) == size


@given(st.lists(st.none() | messages))
def test_the_size_is_that_of_what_is_in_it(steps):
    """After any puts and takes the size is right, and the order kept."""
    outbox, expected = SendQueue(), []
    for item in steps:  # None takes, anything else is put
        if item is not None:
            outbox.append(item)
            expected.append(item)
        elif expected:
            assert outbox.popleft() == expected.pop(0)
        assert outbox.size == sum(max(size_of(each), 3) for each in expected)
    assert list(outbox) == expected


@pytest.mark.parametrize("item", ["", b"", "ab", PING])
def test_an_item_counts_three_bytes_at_least(item):
    """Else what is empty could be queued without end."""
    outbox = SendQueue()
    for _ in range(100):
        outbox.append(item)
    assert outbox.size == 300
    for _ in range(99):
        outbox.popleft()
    assert outbox.size == 3
    outbox.popleft()
    assert outbox.size == 0


def test_an_empty_outbox_is_false():
    """Asking whether something is queued costs no call of ours."""
    outbox = SendQueue()
    assert not outbox
    outbox.append("")
    assert outbox


def test_nothing_can_be_taken_from_an_empty_one():
    """It raises as a deque does, and its size stays nothing."""
    outbox = SendQueue()
    with pytest.raises(IndexError):
        outbox.popleft()
    assert outbox.size == 0


@pytest.mark.parametrize(
    ("max_size", "taken"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (100, 4)]
)
def test_what_leaves_together_is_bounded(max_size, taken):
    """One item at least, and none from the limit on."""
    outbox = SendQueue()
    for item in ("1234", b"1234", "1234", "1234"):
        outbox.append(item)
    assert len(outbox.take(max_size, max_size)) == taken
    assert outbox.size == 4 * (4 - taken)


@pytest.mark.parametrize(("close_after", "alone"), [(7, True), (8, False)])
def test_a_goodbye_does_not_leave_with_much(close_after, alone):
    """It comes the next time; by itself, or behind little, it leaves at once."""
    outbox = SendQueue()
    for item in ("1234", "1234", CLOSE):
        outbox.append(item)
    assert outbox.take(100, close_after) == ["1234", "1234"] + [CLOSE] * (not alone)
    assert list(outbox) == [CLOSE] * alone
    outbox.clear()
    outbox.append(CLOSE)
    assert outbox.take(100, close_after) == [CLOSE]


def test_only_a_goodbye_is_left_behind():
    """A ping leaves with whatever stands before it."""
    outbox = SendQueue()
    for item in ("1234", "1234", PING):
        outbox.append(item)
    assert outbox.take(100, 1) == ["1234", "1234", PING]


def test_clearing_throws_everything_away():
    """Size and content together."""
    outbox = SendQueue()
    outbox.append("abc")
    outbox.clear()
    assert (list(outbox), outbox.size) == ([], 0)


def test_text_that_has_no_utf_8_changes_nothing():
    """A lone surrogate is refused before it is in the queue."""
    outbox = SendQueue()
    with pytest.raises(UnicodeEncodeError):
        outbox.append("\ud800")
    assert (list(outbox), outbox.size) == ([], 0)

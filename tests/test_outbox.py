"""The queue that knows its size."""

from __future__ import annotations

import pytest
from fakes import PING, PROBE_PING
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio import Encoded
from twisted_engineio.outbox import Outbox, size_of

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
    outbox, expected = Outbox(), []
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
    outbox = Outbox()
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
    outbox = Outbox()
    assert not outbox
    outbox.append("")
    assert outbox


def test_nothing_can_be_taken_from_an_empty_one():
    """It raises as a deque does, and its size stays nothing."""
    outbox = Outbox()
    with pytest.raises(IndexError):
        outbox.popleft()
    assert outbox.size == 0


def test_clearing_throws_everything_away():
    """Size and content together."""
    outbox = Outbox()
    outbox.append("abc")
    outbox.clear()
    assert (list(outbox), outbox.size) == ([], 0)


def test_text_that_has_no_utf_8_changes_nothing():
    """A lone surrogate is refused before it is in the queue."""
    outbox = Outbox()
    with pytest.raises(UnicodeEncodeError):
        outbox.append("\ud800")
    assert (list(outbox), outbox.size) == ([], 0)

"""The ring of events that are not acknowledged, and the ids that clients give back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio.transports.sse.replay import ReplayBuffer, escape, read_event_id


def unescape(payload):
    for written, plain in ((b"%0D", b"\r"), (b"%0A", b"\n"), (b"%25", b"%")):
        payload = payload.replace(written, plain)
    return payload


@given(st.binary())
def test_a_payload_stands_on_one_line(payload):
    """And is the same again when it is read."""
    escaped = escape(payload)
    assert b"\n" not in escaped
    assert b"\r" not in escaped
    assert unescape(escaped) == payload


def test_an_event_id_is_read():
    """A sid may have a dot in it."""
    assert read_event_id("abc.17") == ("abc", 17)
    assert read_event_id("a.b.0") == ("a.b", 0)


@pytest.mark.parametrize(
    "text",
    ["", "abc", ".1", "abc.", "abc.-1", "abc.+1", "abc. 1", "abc.1_0", "abc.1.5x"]
    + ["abc.٣", "abc.²", "abc." + "9" * 17, "__proto__", "abc.1\r\nX: y"],
)
def test_what_is_no_event_id_is_none(text):
    """Ids that lie; digits are ASCII, and few."""
    with pytest.raises(ValueError, match="malformed event"):
        read_event_id(text)


def test_events_are_numbered_from_one():
    """The id is the session's and the number."""
    ring = ReplayBuffer("sid", 10, 1000)
    assert (ring.first, ring.last) == (1, 0)
    assert [ring.append(b"a"), ring.append(b"b")] == [1, 2]
    assert ring[1] == (b"id: sid.1\ndata: a\n\n",)
    assert ring[2] == (b"id: sid.2\ndata: b\n\n",)
    assert ring.size == 2 * len("id: sid.1\ndata: a\n\n")


@pytest.mark.parametrize("more", [b"", b"\x1e2"])
def test_a_long_payload_is_kept_as_it_came(more):
    """Not copied: other rings may hold it too. On the wire it looks like any other."""
    ring = ReplayBuffer("sid", 10, 100_000)
    payload = b"x" * 4096
    ring.append(payload, more)
    ring.append(payload[1:], more)
    long, short = ring[1], ring[2]
    assert long[1] is payload
    assert len(short) == 1
    assert b"".join(long) == b"id: sid.1\ndata: %b%b\n\n" % (payload, more)
    assert b"".join(short) == b"id: sid.2\ndata: %b%b\n\n" % (payload[1:], more)
    assert ring.size == len(b"".join(long + short))
    ring.acknowledge(1)
    assert ring.size == len(short[0])


def test_what_is_acknowledged_is_gone():
    """Up to that number; once, and never what was not sent."""
    ring = ReplayBuffer("sid", 10, 1000)
    for payload in (b"a", b"b", b"c"):
        ring.append(payload)
    ring.acknowledge(2)
    ring.acknowledge(1)
    assert (ring.first, ring.last, len(ring)) == (3, 3, 1)
    assert ring[3] == (b"id: sid.3\ndata: c\n\n",)
    ring.acknowledge(99)
    assert (ring.first, ring.last, ring.size, len(ring)) == (4, 3, 0, 0)
    assert ring.append(b"d") == 4


def test_a_client_may_go_on_from_what_it_saw():
    """Not from before the ring, and not from what was never sent."""
    ring = ReplayBuffer("sid", 10, 1000)
    assert [n for n in range(3) if ring.can_resume(n)] == [0]
    for payload in (b"a", b"b", b"c"):
        ring.append(payload)
    ring.acknowledge(1)
    assert [n for n in range(6) if ring.can_resume(n)] == [1, 2, 3]


def test_the_bounds():
    """So many events, or so many bytes."""
    ring = ReplayBuffer("s", 2, 1000)
    ring.append(b"a")
    assert not ring.full
    ring.append(b"b")
    assert ring.full
    ring = ReplayBuffer("s", 100, 40)
    ring.append(b"x" * 10)
    assert not ring.full
    ring.append(b"x" * 10)
    assert ring.full
    ring.acknowledge(1)
    assert not ring.full

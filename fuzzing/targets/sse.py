"""
A stream of events can be resumed at each of them, and what resumes it is read strictly.

For any text as an event's id:

* ``read_event_id`` gives a session's id and a number of at most 16 digits, or raises
  ValueError and nothing else; an id that the ring wrote is read back.

For any script of appends, acknowledgements and questions, ``ReplayBuffer`` does what a
list of all events and a number would do:

* it holds the events behind the last one that was acknowledged, in order, without gaps;
  its size is theirs, it is full exactly at its bounds, and it can resume exactly where
  nothing would be missing;
* each event is read by a browser's rules as its id and its payload, whatever is in it.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from fuzzing.script import Script
from twisted_engineio.transports.sse.replay import ReplayBuffer, escape, read_event_id

SID = "a.sid"
MAX_EVENTS, MAX_SIZE = 5, 400
LONG = 100
"""How often a payload is repeated that is to be long: the ring keeps those in parts."""
EVENT = re.compile(rb"id: ([^\r\n]*)\ndata: ([^\r\n]*)\n\n")


def check(data: bytes) -> None:
    """Use bytes as an id, and as a script for a ring."""
    _check_id(data.decode("latin-1"))
    _check_id(data.decode("utf-8", "replace"))
    _check_ring(Script(data))


def _check_id(text: str) -> None:
    written = re.fullmatch(r"(.+)\.([0-9]{1,16})", text, re.DOTALL)
    try:
        found = read_event_id(text)
    except ValueError:
        assert written is None
    else:
        assert written is not None
        assert found == (written[1], int(written[2]))


def _check_ring(script: Script) -> None:
    ring = ReplayBuffer(SID, MAX_EVENTS, MAX_SIZE)
    held: list[bytes] = []  # the events that were not acknowledged
    last = 0
    while script:
        what = script.byte()
        if what & 1:
            payload = script.some() * (LONG if what & 2 else 1)
            last += 1
            assert ring.append(escape(payload)) == last
            held.append(_event(ring, last, payload))
        else:
            number = script.number() if what & 2 else what >> 2
            ring.acknowledge(number)
            del held[: max(0, number - (last - len(held)))]
        first = last - len(held) + 1
        size = sum(map(len, held))
        assert (ring.first, ring.last, len(ring)) == (first, last, len(held))
        assert ring.size == size
        assert ring.full == (len(held) >= MAX_EVENTS or size >= MAX_SIZE)
        ends = [b"".join(ring[number]) for number in (first, last) if held]
        assert ends == [*held[:1], *held[-1:]]
        asked = what >> 1
        assert ring.can_resume(asked) == (first - 1 <= asked <= last)


def _event(ring: ReplayBuffer, number: int, payload: bytes) -> bytes:
    """Give an event, having read it as a browser does."""
    event = b"".join(ring[number])
    match = EVENT.fullmatch(event)
    assert match is not None
    assert read_event_id(match[1].decode()) == (SID, number)
    assert unquote_to_bytes(_only_ours(match[2])) == payload
    assert len(match[2]) <= 3 * len(payload)
    return event


def _only_ours(data: bytes) -> bytes:
    """Let through what is escaped as the protocol says, and no other escape."""
    assert not re.search(rb"%(?!25|0D|0A)", data)
    return data

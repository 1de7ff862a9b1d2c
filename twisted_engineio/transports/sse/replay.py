"""
Events that may have to be sent again: what a stream lost on its way is replayed.

Rules of this file:

1. Pure state. Nothing here knows a request, a session or a clock.
2. Events are numbered from 1, without gaps; the ring holds those that the client has
   not acknowledged.
3. A long payload is kept as it came: a broadcast's is one object for all sessions.

HTML standard, "Server-sent events": a browser says the id of the last event it saw when
it connects again.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

__all__ = ["Event", "ReplayBuffer", "escape", "read_event_id"]

Event: TypeAlias = tuple[bytes, ...]
"""What stands on the wire for it, in parts."""

_MAX_DIGITS: Final = 16
"""Digits of an event's number: the largest that JavaScript counts exactly has them."""
_LONG: Final = 4096
"""Bytes of a payload from which on to write it by itself costs less than a copy."""


def escape(payload: bytes) -> bytes:
    """Write a payload so that it stands on one line."""
    return payload.replace(b"%", b"%25").replace(b"\r", b"%0D").replace(b"\n", b"%0A")


def read_event_id(text: str) -> tuple[str, int]:
    """
    Read an event's id, as a client gives it back.

    Args:
        text: Whatever the client says: ``<sid>.<number>`` if it is honest.

    Returns:
        The session's id and the event's number.

    Raises:
        ValueError: If it is none.

    """
    sid, _, number = text.rpartition(".")
    if not sid or len(number) > _MAX_DIGITS or not number.isascii():
        raise ValueError("no event has such an id")
    if not number.isdecimal():  # int() takes signs, spaces and underscores
        raise ValueError("no event has such a number")
    return sid, int(number)


class ReplayBuffer:
    """
    A session's events that are not acknowledged, ready to be written again.

    Attributes:
        first: The number of the oldest event that it holds, or of the next to come.
        last: The number of the newest event; 0 before there is one.
        size: The bytes of all that it holds.

    """

    __slots__ = ("_events", "_max_events", "_max_size", "_sid", "first", "last", "size")

    def __init__(self, sid: str, max_events: int, max_size: int) -> None:
        """
        Make an empty ring.

        Args:
            sid: The session's id: it stands in every event's.
            max_events: How many events make it full.
            max_size: How many bytes make it full.

        """
        self._sid = sid.encode()
        self._max_events = max_events
        self._max_size = max_size
        self._events: deque[Event] = deque()
        self.first = 1
        self.last = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, number: int) -> Event:
        return self._events[number - self.first]

    @property
    def full(self) -> bool:
        """Whether its bounds are reached."""
        return len(self._events) >= self._max_events or self.size >= self._max_size

    def append(self, payload: bytes, more: bytes = b"") -> int:
        """
        Make an event of a payload.

        Args:
            payload: An escaped payload.
            more: What is written behind it.

        Returns:
            The event's number.

        """
        self.last += 1
        sid, number = self._sid, self.last
        event: Event
        if len(payload) < _LONG:
            event = (b"id: %b.%d\ndata: %b%b\n\n" % (sid, number, payload, more),)
        else:
            event = b"id: %b.%d\ndata: " % (sid, number), payload, more + b"\n\n"
        self._events.append(event)
        self.size += sum(map(len, event))
        return self.last

    def can_resume(self, after: int) -> bool:
        """Tell whether a client that has seen events up to ``after`` misses nothing."""
        return self.first - 1 <= after <= self.last

    def acknowledge(self, number: int) -> None:
        """Forget the events up to a number: the client has seen them."""
        while self._events and self.first <= number:
            self.size -= sum(map(len, self._events.popleft()))
            self.first += 1

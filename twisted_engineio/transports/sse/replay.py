"""
Replay buffer: events that are written again if a stream lost them.

Rules of this file:

1. Pure state: no request, session or clock.
2. Events are numbered from 1, without gaps; the buffer holds those that the client has
   not acknowledged.
3. A long payload is stored without a copy: a broadcast's is one object for all
   sessions.

HTML standard, "Server-sent events": when a browser reconnects, it sends the id of the
last event that it received.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

__all__ = ["Event", "ReplayBuffer", "escape", "read_event_id"]

Event: TypeAlias = tuple[bytes, ...]
"""The bytes of an event, in parts."""

_MAX_DIGITS: Final = 16
"""Maximum digits of an event's number, those of JavaScript's largest safe integer."""
_LONG: Final = 4096
"""Bytes of a payload from which on a separate write costs less than a copy."""


def escape(payload: bytes) -> bytes:
    """Escape a payload so that it contains no line break."""
    return payload.replace(b"%", b"%25").replace(b"\r", b"%0D").replace(b"\n", b"%0A")


def read_event_id(text: str) -> tuple[str, int]:
    """
    Parse an event's id, as a client returns it.

    Args:
        text: The client's text: ``<sid>.<number>`` if it is valid.

    Returns:
        The session's id and the event's number.

    Raises:
        ValueError: If it is malformed.

    """
    sid, _, number = text.rpartition(".")
    if not sid or len(number) > _MAX_DIGITS or not number.isascii():
        raise ValueError("malformed event id")
    if not number.isdecimal():  # int() accepts signs, spaces and underscores
        raise ValueError("malformed event number")
    return sid, int(number)


class ReplayBuffer:
    """
    A session's unacknowledged events, encoded for another write.

    Attributes:
        first: The number of the oldest event that it holds, or of the next one if it is
            empty.
        last: The number of the newest event; 0 before there is one.
        size: The bytes of all events that it holds.

    """

    __slots__ = ("_events", "_max_events", "_max_size", "_sid", "first", "last", "size")

    def __init__(self, sid: str, max_events: int, max_size: int) -> None:
        """
        Make an empty buffer.

        Args:
            sid: The session's id, which is part of every event's id.
            max_events: The number of events at which it is full.
            max_size: The number of bytes at which it is full.

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
        """Whether it holds the maximum number of events or bytes."""
        return len(self._events) >= self._max_events or self.size >= self._max_size

    def append(self, payload: bytes, more: bytes = b"") -> int:
        """
        Encode a payload as an event, and store it.

        Args:
            payload: An escaped payload.
            more: Bytes to append to it.

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
        """Return whether all events after ``after`` are available."""
        return self.first - 1 <= after <= self.last

    def acknowledge(self, number: int) -> None:
        """Remove the events up to a number: the client has received them."""
        while self._events and self.first <= number:
            self.size -= sum(map(len, self._events.popleft()))
            self.first += 1

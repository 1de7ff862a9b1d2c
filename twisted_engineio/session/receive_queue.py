"""
The queue of received items while a session's reading is paused, and the reasons for it.

Rules of this file:

1. It counts the bytes of its items, because a paused transport may read only a limited
   number of them.
2. Reading may be paused for several reasons at once: a busy application, a pause that
   the application requested, a rate limit. It resumes when no reason is left.
3. A reason may expire after a time: then its timer is stored with it, and is cancelled
   when the reason is removed.
4. One more timer limits how long an application may take no message, once the transport
   has stopped reading or the client has disconnected.

Driven by its session, which makes one when reading is paused and drops it when reading
is resumed.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..exceptions import CloseReason
from ..protocol.packet import Packet

__all__ = ["ClientPresence", "Incoming", "PauseReason", "ReceiveQueue"]


Incoming: TypeAlias = Packet | str | bytes | CloseReason
"""An item of the queue; a failure, too, is handled after the items before it."""


class PauseReason(enum.Enum):
    """The reason for which a session's reading is paused."""

    BUSY = "the application is handling a message"
    PAUSED = "the application called pause_reading"
    RATE = "the client exceeds a rate limit"


class ClientPresence(enum.Enum):
    """Whether the client is connected while its messages wait; it only moves down."""

    HERE = "connected"
    GONE = "disconnected, with messages to deliver"
    BOUNDED = "disconnected, and handler_timeout is running"
    OVERDUE = "disconnected, and handler_timeout has passed"


class ReceiveQueue(deque[Incoming]):
    """
    Received items, in order, and the reasons for which they wait.

    Attributes:
        client: Whether the client is connected; if not, the close reason is the last
            item.
        size: The bytes of the items: of each its data, and one for its type.
        handler: The unfinished Deferred of the application, while it is busy.

    """

    __slots__ = ("_clock", "_deadline", "_reasons", "client", "handler", "size")

    def __init__(self, clock: IReactorTime) -> None:
        """
        Make an empty queue without a reason to wait.

        Args:
            clock: The clock of its timers.

        """
        super().__init__()
        self._clock = clock
        self._reasons: dict[PauseReason, IDelayedCall | None] = {}
        self._deadline: IDelayedCall | None = None
        self.client = ClientPresence.HERE
        self.handler: Deferred[object] | None = None
        self.size = 0

    def append(self, item: Incoming) -> None:
        """Add an item at the end."""
        super().append(item)
        self.size += _size_of(item)

    def popleft(self) -> Incoming:
        """Remove and return the first item."""
        item = super().popleft()
        self.size -= _size_of(item)
        return item

    @property
    def end(self) -> CloseReason:
        """The reason for which the client has disconnected, from the last item."""
        last = self[-1]
        if isinstance(last, CloseReason):
            return last
        return CloseReason.TRANSPORT_CLOSE  # a close packet

    def pause(self, why: PauseReason) -> None:
        """
        Add a reason to wait, until ``resume`` removes it.

        Args:
            why: The reason; adding it twice has no further effect.

        """
        self.resume(why)
        self._reasons[why] = None

    def pause_for(
        self, why: PauseReason, seconds: float, then: Callable[[], None]
    ) -> None:
        """
        Add a reason to wait, and call a function after a time.

        Args:
            why: The reason.
            seconds: The delay, in seconds.
            then: Called after the delay; it must call ``resume``.

        """
        self.resume(why)
        self._reasons[why] = self._clock.callLater(seconds, then)

    def is_paused_by(self, why: PauseReason) -> bool:
        """Return whether a reason is present."""
        return why in self._reasons

    def resume(self, why: PauseReason) -> bool:
        """
        Remove a reason to wait.

        Args:
            why: The reason; if it is not present, nothing changes.

        Returns:
            Whether no reason is left.

        """
        timer = self._reasons.pop(why, None)
        if timer is not None and timer.active():
            timer.cancel()
        return not self._reasons

    def merge(self, newer: ReceiveQueue) -> None:
        """
        Put the items of a newer queue before these, and replace the reasons by its.

        Args:
            newer: A queue with few items; it is unusable afterwards.

        """
        self.extendleft(reversed(newer))
        self.size += newer.size
        self.cancel_deadline()
        self._reasons = newer._reasons
        self._deadline = newer._deadline
        self.handler = newer.handler

    # An application that takes no message.

    def set_deadline(self, seconds: float, then: Callable[[], None]) -> None:
        """
        Limit the time until the application takes a message, from now.

        Args:
            seconds: The limit, in seconds.
            then: Called when it has passed.

        """
        self.cancel_deadline()
        self._deadline = self._clock.callLater(seconds, then)

    def cancel_deadline(self) -> None:
        """Cancel the limit: the application has taken a message."""
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    # The end.

    def cancel(self) -> None:
        """Cancel all timers: the session is over."""
        self.cancel_deadline()
        for why in tuple(self._reasons):
            self.resume(why)


def _size_of(item: Incoming) -> int:
    if isinstance(item, CloseReason):
        return 0
    data = item.data if isinstance(item, Packet) else item
    # At least 1, as on the wire: else empty messages could be queued without limit.
    if isinstance(data, bytes) or data.isascii():
        return 1 + len(data)
    return 1 + len(data.encode("utf-8", "surrogatepass"))

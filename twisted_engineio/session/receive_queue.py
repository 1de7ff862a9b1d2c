"""
What came in while a session's reading waits, and what it waits for.

Rules of this file:

1. It counts the bytes that wait, for a transport reads on into no more than a few.
2. Several may hold the reading at once, each for a reason of its own: an application
   that is busy, one that has paused it, a limit on the rate. It goes on when none does.
3. A reason may let go by itself after a time: then its timer stands beside it, and is
   cancelled where the reason goes.
4. One more timer bounds how long an application may hold the reading without taking a
   message, once the transport has stopped or the client is gone.

Driven by its session, which makes one when something first holds the reading and drops
it when nothing does any more.
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

__all__ = ["ClientPresence", "Hold", "Incoming", "ReceiveQueue"]


Incoming: TypeAlias = Packet | str | bytes | CloseReason
"""What may wait to be read: a failure too, behind what came before it."""


class Hold(enum.Enum):
    """Why a session's reading waits."""

    BUSY = "the application is busy with a message"
    PAUSED = "the application has paused the reading"
    RATE = "the client sends faster than it may"


class ClientPresence(enum.Enum):
    """Whether the client is there, while what it said waits; it only moves down."""

    HERE = "here"
    GONE = "gone, with messages to be delivered"
    BOUNDED = "gone, and the application has so long to handle them"
    OVERDUE = "gone, and that time is over"


class ReceiveQueue(deque[Incoming]):
    """
    What came in, in order, and why it waits.

    Attributes:
        client: Whether the client is there; if not, the end is the last that waits.
        size: The bytes that wait: of each item its data, and one for its type.
        handler: What the application has not finished, while it is busy.

    """

    __slots__ = ("_clock", "_holds", "_patience", "client", "handler", "size")

    def __init__(self, clock: IReactorTime) -> None:
        """
        Make an empty one that nothing holds yet.

        Args:
            clock: What its timers run on.

        """
        super().__init__()
        self._clock = clock
        self._holds: dict[Hold, IDelayedCall | None] = {}
        self._patience: IDelayedCall | None = None
        self.client = ClientPresence.HERE
        self.handler: Deferred[object] | None = None
        self.size = 0

    def append(self, item: Incoming) -> None:
        """Put an item behind the others."""
        super().append(item)
        self.size += _size_of(item)

    def popleft(self) -> Incoming:
        """Take the first item."""
        item = super().popleft()
        self.size -= _size_of(item)
        return item

    @property
    def end(self) -> CloseReason:
        """Why the client is gone; what tells so is the last that waits."""
        last = self[-1]
        if isinstance(last, CloseReason):
            return last
        return CloseReason.TRANSPORT_CLOSE  # a close packet

    def hold(self, why: Hold) -> None:
        """
        Wait for this, until it lets go.

        Args:
            why: For what; once is enough.

        """
        self.let_go(why)
        self._holds[why] = None

    def hold_for(self, why: Hold, seconds: float, then: Callable[[], None]) -> None:
        """
        Wait for this, for a time.

        Args:
            why: For what.
            seconds: For how long.
            then: What to do afterwards; it is to let go.

        """
        self.let_go(why)
        self._holds[why] = self._clock.callLater(seconds, then)

    def holds(self, why: Hold) -> bool:
        """Tell whether the reading waits for this."""
        return why in self._holds

    def let_go(self, why: Hold) -> bool:
        """
        Wait for this no longer.

        Args:
            why: For what; if it is none of the reasons, nothing changes.

        Returns:
            Whether nothing is waited for any more.

        """
        timer = self._holds.pop(why, None)
        if timer is not None and timer.active():
            timer.cancel()
        return not self._holds

    def go_on_as(self, newer: ReceiveQueue) -> None:
        """
        Wait for what a newer one waits for, and hold what came to it before the rest.

        Args:
            newer: One with little in it; it is of no use afterwards.

        """
        self.extendleft(reversed(newer))
        self.size += newer.size
        self.give_up_never()
        self._holds = newer._holds
        self._patience = newer._patience
        self.handler = newer.handler

    # An application that takes nothing.

    def give_up_after(self, seconds: float, then: Callable[[], None]) -> None:
        """
        Wait for the application no longer than this, counted from now.

        Args:
            seconds: For how long.
            then: What to do afterwards.

        """
        self.give_up_never()
        self._patience = self._clock.callLater(seconds, then)

    def give_up_never(self) -> None:
        """Wait for the application as long as it takes: it has taken a message."""
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None

    # The end.

    def cancel(self) -> None:
        """Wait for nothing: the session is over."""
        self.give_up_never()
        for why in tuple(self._holds):
            self.let_go(why)


def _size_of(item: Incoming) -> int:
    if isinstance(item, CloseReason):
        return 0
    data = item.data if isinstance(item, Packet) else item
    # At least 1, as on the wire: what is empty could come without end.
    if isinstance(data, bytes) or data.isascii():
        return 1 + len(data)
    return 1 + len(data.encode("utf-8", "surrogatepass"))

"""
What came in while a session's reading waits, and what it waits for.

Rules of this file:

1. Several may hold the reading at once, each for a reason of its own: an application
   that is busy, one that has paused it, a limit on the rate. It goes on when none does.
2. A reason may let go by itself after a time: then its timer stands beside it, and is
   cancelled where the reason goes.

Driven by its session, which makes one when something first holds the reading and drops
it when nothing does any more.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .exceptions import CloseReason
from .packet import Packet

__all__ = ["Hold", "Inbox", "Incoming"]


Incoming: TypeAlias = Packet | str | bytes | CloseReason
"""What may wait to be read: a failure too, behind what came before it."""


class Hold(enum.Enum):
    """Why a session's reading waits."""

    BUSY = "the application is busy with a message"
    PAUSED = "the application has paused the reading"
    RATE = "the client sends faster than it may"


class Inbox(deque[Incoming]):
    """What came in, in order, and why it waits."""

    __slots__ = ("_clock", "_holds")

    def __init__(self, clock: IReactorTime) -> None:
        """
        Make an empty one that nothing holds yet.

        Args:
            clock: What its timers run on.

        """
        super().__init__()
        self._clock = clock
        self._holds: dict[Hold, IDelayedCall | None] = {}

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

    def go_on_as(self, newer: Inbox) -> None:
        """
        Wait for what a newer one waits for, and hold what came to it before the rest.

        Args:
            newer: One with little in it; it is of no use afterwards.

        """
        self.extendleft(reversed(newer))
        self._holds = newer._holds

    def cancel(self) -> None:
        """Wait for nothing: the session is over."""
        for why in tuple(self._holds):
            self.let_go(why)

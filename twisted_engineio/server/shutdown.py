"""
The end of a server: nobody comes in any more, and everybody is let out in time.

Rules of this file:

1. Few sessions are closed at once, many are spread over most of the time with jitter,
   so that their clients do not all connect anew, elsewhere, in one second.
2. Each is closed in good order: what is queued leaves, then a goodbye. A WebSocket is
   waited for until its client has closed it too, for until then bytes may be under way.
3. When the time is over the rest is cut off. An application that still says goodbye
   then has ``_GRACE`` seconds more, and that is the end.
4. The last words have a moment to leave before whoever waits hears of the end: a
   reactor that stops cuts connections off, whatever waits in them.
5. It owns two timers: for who is closed next, and for the end.

======= ======================== ================== ============ ======
event   SERVING                  DRAINING           CUT_OFF      OVER
======= ======================== ================== ============ ======
begin   close the first few,     nothing            nothing      nothing
        -> DRAINING
*next*  --                       close those due    --           --
settle  nothing                  all gone: -> OVER  likewise     nothing
cut off nothing                  abort all,         nothing      nothing
                                 -> CUT_OFF
*end*   --                       as "cut off"       -> OVER      tell who waits
======= ======================== ================== ============ ======

Driven by its server (``begin``, ``wait_for``, ``settle``, ``cut_off``) and by the
server's clock.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..exceptions import CloseReason
from ..session.session import Session

__all__ = ["Shutdown", "ShutdownStage"]

_SPREAD: Final = 0.75
"""The part of the time over which sessions are closed; the rest is for last words."""
_AT_ONCE: Final = 10
_A_SECOND: Final = 100
"""Sessions closed at once, and in each second if the time allows: their clients, who
connect anew, are little work for another server."""
_STEP: Final = 0.01
"""Seconds from one step to the next, on average."""
_GRACE: Final = 1.0
"""Seconds that an application has which says goodbye when the time is over."""
_SENDING: Final = 0.1
"""Seconds that the last words have."""


class ShutdownStage(enum.Enum):
    """How far the end has come."""

    SERVING = "serving"
    DRAINING = "draining"
    CUT_OFF = "cut off"
    OVER = "over"


_SERVING: Final = (
    ShutdownStage.SERVING
)  # a name of the module's own, for each session's end


class ShutdownTarget(Protocol):
    """What is drained: a server."""

    clock: IReactorTime
    sessions: Mapping[str, Session]

    @property
    def connected(self) -> int:
        """How many WebSockets are not closed yet."""


class Shutdown:
    """
    How a server ends.

    Attributes:
        stage: How far it has come.

    """

    def __init__(self, server: ShutdownTarget, random: Callable[[], float]) -> None:
        """
        Make one that has not begun.

        Args:
            server: Whose end it is.
            random: Gives a random number from 0 to 1.

        """
        self.stage = ShutdownStage.SERVING
        self._server = server
        self._random = random
        self._left: deque[Session] = deque()
        self._began = 0.0
        self._closed = 0
        self._rate = 0.0  # sessions to be closed each second
        self._next: IDelayedCall | None = None
        self._end: IDelayedCall | None = None
        # Applications that are still busy saying goodbye to a session.
        self._goodbyes: set[Deferred[object]] = set()
        self._waiters: list[Deferred[None]] = []

    def begin(self, timeout: float) -> None:
        """
        Begin to close the sessions; does nothing if it has begun.

        Args:
            timeout: Seconds that it may take.

        """
        if self.stage is not ShutdownStage.SERVING:
            return
        self.stage = ShutdownStage.DRAINING
        clock = self._server.clock
        self._left.extend(self._server.sessions.values())
        self._began = clock.seconds()
        self._rate = max(len(self._left) / max(timeout * _SPREAD, _STEP), _A_SECOND)
        self._end = clock.callLater(timeout, self.cut_off)
        self._step()
        self.settle()

    def over(self) -> Deferred[None]:
        """Wait until it is over; at once if it is."""
        if self.stage is ShutdownStage.OVER and self._end is None:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def wait_for(self, goodbye: Deferred[object]) -> None:
        """
        Do not end before an application has said goodbye.

        Args:
            goodbye: Fires when it has; it does not fail.

        """
        if not goodbye.called:
            self._goodbyes.add(goodbye)
            goodbye.addCallback(lambda _: self._goodbyes.discard(goodbye))
            goodbye.addCallback(lambda _: self.settle())

    def cut_off(self) -> None:
        """Wait no longer: end what is left, in a turn of its own."""
        if self.stage is not ShutdownStage.DRAINING:
            return
        self.stage = ShutdownStage.CUT_OFF
        self._cancel_timers()
        for session in list(self._server.sessions.values()):
            session.abort(CloseReason.SERVER_CLOSE)
        self._end = self._server.clock.callLater(_GRACE, self._finish)
        self.settle()

    def settle(self) -> None:
        """Be over if nothing is left."""
        if self.stage is not _SERVING and self.stage is not ShutdownStage.OVER:
            server = self._server
            gone = self.stage is ShutdownStage.CUT_OFF or not server.connected
            if gone and not server.sessions and not self._goodbyes:
                self._finish()

    def _step(self) -> None:
        """Close those whose time has come."""
        clock = self._server.clock
        due = _AT_ONCE + (clock.seconds() - self._began) * self._rate - self._closed
        while self._left and due >= 1:
            self._left.popleft().close(CloseReason.SERVER_CLOSE)
            self._closed += 1
            due -= 1
        if self._left:
            delay = max(_STEP, 1 / self._rate) * (0.5 + self._random())
            self._next = clock.callLater(delay, self._step)

    def _finish(self) -> None:
        self.stage = ShutdownStage.OVER
        self._cancel_timers()
        self._end = self._server.clock.callLater(_SENDING, self._tell)

    def _tell(self) -> None:
        self._end = None
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def _cancel_timers(self) -> None:
        self._left.clear()
        for timer in (self._next, self._end):
            if timer is not None and timer.active():
                timer.cancel()
        self._next = self._end = None

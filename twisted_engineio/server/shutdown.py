"""
The shutdown of a server: close every session within a given time.

Rules of this file:

1. Up to ``_INITIAL`` sessions are closed at once; more are spread over most of the
   time, with jitter, so that their clients do not all reconnect to another server in
   the same second.
2. Each session is closed in order: its queued messages, then a close packet. A
   WebSocket counts until its client has closed it too, because until then bytes may be
   in transit.
3. When the time is over, the remaining sessions are aborted. ``session_closed``
   handlers that are still running then get ``_GRACE`` seconds before the shutdown ends
   without them.
4. The close packets get ``_SENDING`` seconds to leave before ``over`` fires: when the
   reactor stops, it drops connections with unsent data.
5. It owns two timers: one for the next step, one for the end.

======= ======================== ================== ============ ===========
event   SERVING                  DRAINING           CUT_OFF      OVER
======= ======================== ================== ============ ===========
begin   close the first few,     nothing            nothing      nothing
        -> DRAINING
*next*  --                       close those due    --           --
settle  nothing                  if all are closed: likewise     nothing
                                 -> OVER
cut off nothing                  abort all,         nothing      nothing
                                 -> CUT_OFF
*end*   --                       as "cut off"       -> OVER      fire ``over``
======= ======================== ================== ============ ===========

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
"""Fraction of the time over which sessions are closed; the rest is for clients to
fetch their close packets."""
_INITIAL: Final = 10
_PER_SECOND: Final = 100
"""Sessions closed at once, and then per second if the time allows: reconnecting clients
at this rate are little work for another server."""
_STEP: Final = 0.01
"""Mean interval between two steps, in seconds."""
_GRACE: Final = 1.0
"""Seconds that running ``session_closed`` handlers have after the time is over."""
_SENDING: Final = 0.1
"""Seconds that the last close packets have to leave the process."""


class ShutdownStage(enum.Enum):
    """The progress of a shutdown."""

    SERVING = "serving"
    DRAINING = "draining"
    CUT_OFF = "cut off"
    OVER = "over"


# An alias: settle() runs at the end of every session, and an attribute look-up on the
# enum takes longer than the comparison.
_SERVING: Final = ShutdownStage.SERVING


class ShutdownTarget(Protocol):
    """The part of ``Server`` that a shutdown uses."""

    clock: IReactorTime
    sessions: Mapping[str, Session]

    @property
    def connected(self) -> int:
        """The number of WebSockets that are not closed yet."""


class Shutdown:
    """
    The shutdown of one server.

    Attributes:
        stage: The progress of the shutdown.

    """

    def __init__(self, server: ShutdownTarget, random: Callable[[], float]) -> None:
        """
        Create a shutdown that has not begun.

        Args:
            server: The server to shut down.
            random: Returns a random number from 0 to 1.

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
        # The Deferreds of session_closed handlers that are still running.
        self._pending_handlers: set[Deferred[object]] = set()
        self._waiters: list[Deferred[None]] = []

    def begin(self, timeout: float) -> None:
        """
        Begin to close the sessions; has no effect after the first call.

        Args:
            timeout: Seconds until the remaining sessions are aborted.

        """
        if self.stage is not ShutdownStage.SERVING:
            return
        self.stage = ShutdownStage.DRAINING
        clock = self._server.clock
        self._left.extend(self._server.sessions.values())
        self._began = clock.seconds()
        self._rate = max(len(self._left) / max(timeout * _SPREAD, _STEP), _PER_SECOND)
        self._end = clock.callLater(timeout, self.cut_off)
        self._step()
        self.settle()

    def over(self) -> Deferred[None]:
        """Return a Deferred that fires when the shutdown is complete."""
        if self.stage is ShutdownStage.OVER and self._end is None:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def wait_for(self, handler: Deferred[object]) -> None:
        """
        Delay the end of the shutdown until a ``session_closed`` handler has finished.

        Args:
            handler: The handler's Deferred; it must not fail.

        """
        if not handler.called:
            self._pending_handlers.add(handler)
            handler.addCallback(lambda _: self._pending_handlers.discard(handler))
            handler.addCallback(lambda _: self.settle())

    def cut_off(self) -> None:
        """Abort the remaining sessions, and schedule the end of the grace period."""
        if self.stage is not ShutdownStage.DRAINING:
            return
        self.stage = ShutdownStage.CUT_OFF
        self._cancel_timers()
        for session in list(self._server.sessions.values()):
            session.abort(CloseReason.SERVER_CLOSE)
        self._end = self._server.clock.callLater(_GRACE, self._finish)
        self.settle()

    def settle(self) -> None:
        """Finish the shutdown if no session, WebSocket or handler is left."""
        if self.stage is not _SERVING and self.stage is not ShutdownStage.OVER:
            server = self._server
            gone = self.stage is ShutdownStage.CUT_OFF or not server.connected
            if gone and not server.sessions and not self._pending_handlers:
                self._finish()

    def _step(self) -> None:
        """Close the sessions that are due, and schedule the next step."""
        clock = self._server.clock
        due = _INITIAL + (clock.seconds() - self._began) * self._rate - self._closed
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
        self._end = self._server.clock.callLater(_SENDING, self._notify_waiters)

    def _notify_waiters(self) -> None:
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

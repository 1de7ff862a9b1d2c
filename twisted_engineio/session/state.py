"""
What the halves of a session share: its state, and the server that it belongs to.

``session.py`` has the whole, ``sending.py`` and ``receiving.py`` the halves.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ..exceptions import CloseReason
from ..policy.limited_log import LimitedLog
from .receive_queue import ClientPresence, ReceiveQueue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..config import Config
    from ..protocol.handshake import Handshake
    from ..protocol.packet import Buffer
    from .heartbeat import Heartbeat
    from .interfaces import Handlers, Transport
    from .revision import Revision
    from .send_queue import SendQueue
    from .shared_timeout import SharedTimeout
    from .upgrade import Probe

__all__ = ["SessionBase", "SessionOwner", "State"]


class State(enum.Enum):
    """Where a session is in its life; it only ever moves down this list."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class SessionOwner(Protocol):
    """
    What a session asks of the server that it belongs to.

    Its sessions are ``Session``, which is made of ``SessionBase`` below.
    """

    clock: IReactorTime
    config: Config
    log: LimitedLog
    handlers: SharedTimeout

    @property
    def application(self) -> Handlers:
        """What its sessions call."""

    def outlives(self, handler: Deferred[object]) -> None:
        """Cancel a handler whose session is over, unless it finishes in time."""

    def jitter(self) -> float:
        """Choose the seconds by which a session's first ping comes early."""

    @property
    def sessions(self) -> Mapping[str, Any]:
        """Every session by its id; the application's to read."""

    def session(self, sid: str) -> Any:
        """Return the open session with an id, or None; the application's to call."""

    def broadcast(
        self,
        data: str | bytes | Buffer,
        *,
        compress: bool = True,
        except_: Any = (),
    ) -> None:
        """Send a message to every open session; the application's to call."""

    def stop(self, timeout: float | None = None) -> Deferred[None]:
        """Close every session; the application's to call."""

    def is_mistaken(self, session: Any, data: str | bytes) -> bool:
        """Look at a first message; return whether to keep it from the application."""

    def limit_reached(self, limit: str, about: Any) -> None:
        """Hear that a session went beyond one of the operator's limits."""

    def session_ended(self, session: Any, reason: CloseReason) -> None:
        """Forget a session; ``_finish`` calls it, once."""


class SessionBase:
    """A session's state, which its halves work on."""

    __slots__ = (
        "__weakref__",
        "_ended",
        "_fresh",
        "_heartbeat",
        "_inbox",
        "_outbox",
        "_reading",
        "_upgrades_due",
        "data",
        "handshake",
        "probe",
        "reason",
        "revision",
        "server",
        "sid",
        "state",
        "transport",
    )

    sid: str
    revision: Revision
    handshake: Handshake
    server: SessionOwner
    transport: Transport
    state: State
    probe: Probe | None
    reason: CloseReason | None
    data: Any
    _heartbeat: Heartbeat
    # Made when something must wait: most sessions have none most of the time.
    _outbox: SendQueue | None
    _inbox: ReceiveQueue | None
    _reading: (
        ReceiveQueue | None
    )  # an inbox that nothing holds any more, while it is read
    _ended: list[Deferred[CloseReason]] | None
    _fresh: bool  # nothing has come yet; no State, for nothing else depends on it
    _upgrades_due: float  # when the attempts to upgrade so far are used up

    def _finish(self, reason: CloseReason) -> None:
        """Close the session."""

    def is_over(self) -> bool:
        """Return whether the client is gone, even if its messages still wait."""
        if self.state is State.CLOSED:
            return True
        inbox, reading = self._inbox, self._reading  # none, as a rule
        if inbox is not None and inbox.client is not ClientPresence.HERE:
            return True
        return reading is not None and reading.client is not ClientPresence.HERE

    def _too_slow(self) -> None:
        """End a client that does not read what it is sent."""

    def _paused_too_long(self) -> None:
        """End a session whose application takes no message."""

    def _beaten(self) -> None:
        """Have a heart that has beaten."""

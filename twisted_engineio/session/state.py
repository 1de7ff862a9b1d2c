"""
The attributes that both halves of a session share, and its interface to the server.

``session.py`` has the session itself, ``sending.py`` and ``receiving.py`` its halves.
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
    """The state of a session's lifecycle; it only moves down this list."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class SessionOwner(Protocol):
    """
    The server, as its sessions see it.

    Its sessions are instances of ``Session``, which derives from ``SessionBase`` below.
    """

    clock: IReactorTime
    config: Config
    log: LimitedLog
    handlers: SharedTimeout

    @property
    def application(self) -> Handlers:
        """The application whose methods its sessions call."""

    def cancel_after_timeout(self, handler: Deferred[object]) -> None:
        """Cancel a handler of a closed session unless it finishes in time."""

    def jitter(self) -> float:
        """Return the seconds by which a session's first ping is sent early."""

    @property
    def sessions(self) -> Mapping[str, Any]:
        """Every session by its id; for the application."""

    def session(self, sid: str) -> Any:
        """Return the open session with an id, or None; for the application."""

    def broadcast(
        self,
        data: str | bytes | Buffer,
        *,
        compress: bool = True,
        except_: Any = (),
    ) -> None:
        """Send a message to every open session; for the application."""

    def stop(self, timeout: float | None = None) -> Deferred[None]:
        """Close every session; for the application."""

    def check_first_message(self, session: Any, data: str | bytes) -> bool:
        """Check for a Socket.IO client; return whether to drop its first message."""

    def limit_reached(self, limit: str, about: Any) -> None:
        """Report that a session exceeded one of the operator's limits."""

    def session_ended(self, session: Any, reason: CloseReason) -> None:
        """Remove a session; called once, by ``_finish``."""


class SessionBase:
    """A session's attributes, and the methods that its halves call on each other."""

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
    # Made when an item must wait: most sessions have none most of the time.
    _outbox: SendQueue | None
    _inbox: ReceiveQueue | None
    # The former _inbox, while its items are delivered.
    _reading: ReceiveQueue | None
    _ended: list[Deferred[CloseReason]] | None
    _fresh: bool  # no message received yet; not a State: only one check depends on it
    _upgrades_due: float  # when the upgrade attempts so far are no longer counted

    def _finish(self, reason: CloseReason) -> None:
        """Close the session."""

    def is_over(self) -> bool:
        """Return whether the client is disconnected, even if messages are queued."""
        if self.state is State.CLOSED:
            return True
        inbox, reading = self._inbox, self._reading  # usually both None
        if inbox is not None and inbox.client is not ClientPresence.HERE:
            return True
        return reading is not None and reading.client is not ClientPresence.HERE

    def _too_slow(self) -> None:
        """End the session: its client does not read what is sent."""

    def _paused_too_long(self) -> None:
        """End the session: its application takes no message."""

    def _heartbeat_received(self) -> None:
        """Called for each heartbeat of the client."""

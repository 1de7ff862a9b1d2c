"""
The upgrade of a session from one transport to another.

Rules of this file:

1. A probe decides only about its candidate. Any failure closes the candidate; the
   session continues on its current transport.
2. It owns one timer, the upgrade timeout, cancelled in ``_done`` and nowhere else. If
   it fires late because the server was stalled, it restarts: the client's packet may be
   unread in the socket.
3. The session replaces its transport itself: ``Session.swap``.

A probe is driven by its candidate (``receive``, ``receive_packet``, ``fail``), by its
clock, and by its session (``cancel``).

=================== ============================ ============================
event               AWAITING_PROBE               AWAITING_UPGRADE
=================== ============================ ============================
``2probe``          send ``3probe``,             close the candidate
                    -> AWAITING_UPGRADE
``5``               close the candidate          swap
any other packet    close the candidate          close the candidate
candidate lost      drop it                      drop it
upgrade timeout     close the candidate          close the candidate
session over        close the candidate          close the candidate
=================== ============================ ============================

Engine.IO protocol v4, "Upgrade".
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from ..exceptions import CloseReason
from ..protocol.packet import Packet, PacketType
from .heartbeat import was_stalled
from .interfaces import READ_AHEAD

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from ..config import Config
    from .interfaces import Transport

__all__ = ["Probe", "ProbeState", "Upgradable"]

PROBE_PING = Packet(PacketType.PING, "probe")
PROBE_PONG = Packet(PacketType.PONG, "probe")
UPGRADE = Packet(PacketType.UPGRADE)


class ProbeState(enum.Enum):
    """The progress of an upgrade."""

    AWAITING_PROBE = "awaiting probe"
    AWAITING_UPGRADE = "awaiting upgrade"
    DONE = "done"


class Upgradable(Protocol):
    """The session, as its probe sees it."""

    @property
    def busy(self) -> bool:
        """Whether its application keeps packets from being read."""

    def transport_ready(self) -> None:
        """Send the queue, and answer the client's pending request."""

    def swap(self, candidate: Transport) -> None:
        """Replace the session's transport by the candidate."""

    def probe_failed(self) -> None:
        """Continue on the current transport."""

    def limit_reached(self, limit: str) -> None:
        """Called when the client exceeded one of the operator's limits."""


class Probe:
    """
    The receiver of a candidate transport, until the upgrade is complete or has failed.

    Attributes:
        candidate: The transport.
        state: The progress of the upgrade.

    """

    __slots__ = ("_clock", "_session", "_timeout", "_timer", "candidate", "state")

    room = READ_AHEAD  # constant, as a candidate is never paused

    def __init__(
        self,
        session: Upgradable,
        candidate: Transport,
        clock: IReactorTime,
        config: Config,
    ) -> None:
        self.state = ProbeState.AWAITING_PROBE
        self._session = session
        self.candidate = candidate
        candidate.receiver = self
        self._clock = clock
        self._timeout = config.upgrade_timeout
        self._timer = clock.callLater(self._timeout, self._timed_out)

    @property
    def awaits_upgrade(self) -> bool:
        """Whether the client's pending request must be answered: it stops polling."""
        return self.state is ProbeState.AWAITING_UPGRADE

    def receive(self, data: str | bytes) -> None:
        """Close the candidate: a message must not be sent before the upgrade."""
        self._abandon()

    def receive_packet(self, packet: Packet) -> None:
        """Handle a packet of the upgrade, or close the candidate."""
        if self.state is ProbeState.AWAITING_PROBE and packet == PROBE_PING:
            self.state = ProbeState.AWAITING_UPGRADE
            self.candidate.send(PROBE_PONG)
            self._session.transport_ready()
        elif self.state is ProbeState.AWAITING_UPGRADE and packet == UPGRADE:
            self._done()
            self._session.swap(self.candidate)
        else:
            self._abandon()

    def transport_ready(self) -> None:
        """Do nothing: no data is queued for the candidate."""

    @property
    def busy(self) -> bool:
        """Whether the session's application keeps packets from being read."""
        return self._session.busy

    def control_frames(self, count: int) -> None:
        """Do nothing: ``upgrade_timeout`` limits a candidate."""

    def reading_stopped(self) -> None:
        """Do nothing: a candidate is never paused."""

    def limit_reached(self, limit: str) -> None:
        """Report the limit to the session."""
        self._session.limit_reached(limit)

    def fail(self, reason: CloseReason) -> None:
        """Drop the candidate: it is lost, or received invalid data."""
        self._abandon()

    def cancel(self) -> None:
        """Close the candidate: the session is over."""
        self._abandon()

    def _timed_out(self) -> None:
        if was_stalled(self._clock, self._timer.getTime(), self._timeout):
            self._timer = self._clock.callLater(self._timeout, self._timed_out)
        else:
            self._abandon()

    def _abandon(self) -> None:
        if self.state is not ProbeState.DONE:
            self._done()
            self._session.probe_failed()
            self.candidate.abandon(CloseReason.TRANSPORT_CLOSE)

    def _done(self) -> None:
        self.state = ProbeState.DONE
        if self._timer.active():
            self._timer.cancel()

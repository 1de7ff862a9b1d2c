"""
The upgrade of a session from one transport to another.

Rules of this file:

1. A probe decides about its candidate only. Whatever goes wrong ends the candidate; the
   session goes on where it was.
2. It owns one timer, the upgrade timer, cancelled in ``_done`` and nowhere else. If it
   fires late because the server slept, it begins anew: the client's step may be there.
3. The swap itself is the session's: ``Session.swap``.

A probe is driven by its candidate (``receive``, ``receive_packet``, ``fail``), by its
clock, and by its session (``cancel``).

=================== ============================ ============================
event               AWAITING_PROBE               AWAITING_UPGRADE
=================== ============================ ============================
``2probe``          answer ``3probe``,           end the candidate
                    -> AWAITING_UPGRADE
``5``               end the candidate            swap
anything else       end the candidate            end the candidate
candidate lost      forget it                    forget it
upgrade timer       end the candidate            end the candidate
session over        end the candidate            end the candidate
=================== ============================ ============================

Engine.IO protocol v4, "Upgrade".
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from ..exceptions import CloseReason
from ..protocol.packet import Packet, PacketType
from .heartbeat import overslept
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
    """How far an upgrade has come."""

    AWAITING_PROBE = "awaiting probe"
    AWAITING_UPGRADE = "awaiting upgrade"
    DONE = "done"


class Upgradable(Protocol):
    """What a probe asks of its session."""

    @property
    def busy(self) -> bool:
        """Whether its application holds the reading."""

    def transport_ready(self) -> None:
        """Let the client go, once what is queued has left."""

    def swap(self, candidate: Transport) -> None:
        """Move to the candidate."""

    def probe_failed(self) -> None:
        """Go on as before."""

    def limit_reached(self, limit: str) -> None:
        """Hear that the client went beyond one of the operator's limits."""


class Probe:
    """
    A candidate transport on trial; for its transport it is the receiver.

    Attributes:
        candidate: The transport.
        state: How far it has come.

    """

    __slots__ = ("_clock", "_patience", "_session", "_timer", "candidate", "state")

    room = READ_AHEAD  # a candidate is not paused

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
        self._patience = config.upgrade_timeout
        self._timer = clock.callLater(self._patience, self._too_long)

    @property
    def lets_go(self) -> bool:
        """Whether the client must be let go, for it leaves the transport it is on."""
        return self.state is ProbeState.AWAITING_UPGRADE

    def receive(self, data: str | bytes) -> None:
        """Take a message: too early, so the candidate ends."""
        self._give_up()

    def receive_packet(self, packet: Packet) -> None:
        """Take a step, or end the candidate."""
        if self.state is ProbeState.AWAITING_PROBE and packet == PROBE_PING:
            self.state = ProbeState.AWAITING_UPGRADE
            self.candidate.send(PROBE_PONG)
            self._session.transport_ready()
        elif self.state is ProbeState.AWAITING_UPGRADE and packet == UPGRADE:
            self._done()
            self._session.swap(self.candidate)
        else:
            self._give_up()

    def transport_ready(self) -> None:
        """Hear that the candidate is writable: nothing waits to go over it yet."""

    @property
    def busy(self) -> bool:
        """Whether the session's application holds the reading."""
        return self._session.busy

    def control_frames(self, count: int) -> None:
        """Count nothing: a candidate has ``upgrade_timeout``."""

    def reading_stopped(self) -> None:
        """Ignore it: a candidate is not paused."""

    def limit_reached(self, limit: str) -> None:
        """Pass it on."""
        self._session.limit_reached(limit)

    def fail(self, reason: CloseReason) -> None:
        """Forget the candidate: it is lost, or what it read made no sense."""
        self._give_up()

    def cancel(self) -> None:
        """End the candidate: the session is over."""
        self._give_up()

    def _too_long(self) -> None:
        if overslept(self._clock, self._timer.getTime(), self._patience):
            self._timer = self._clock.callLater(self._patience, self._too_long)
        else:
            self._give_up()

    def _give_up(self) -> None:
        if self.state is not ProbeState.DONE:
            self._done()
            self._session.probe_failed()
            self.candidate.abandon(CloseReason.TRANSPORT_CLOSE)

    def _done(self) -> None:
        self.state = ProbeState.DONE
        if self._timer.active():
            self._timer.cancel()

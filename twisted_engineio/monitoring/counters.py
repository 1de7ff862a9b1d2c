"""
Event counts of a server: the numbers behind its metrics and its status page.

Rules of this file:

1. Plain numbers, no locks: only the reactor thread counts. A counter that is safe for
   several threads costs more than handling a message does.
2. Values that can be computed when they are read are not stored, such as the sum of
   buffered bytes.
3. A table contains all its keys from the start if they are known, so that the first
   count is an increase from zero and not a new series.

Driven by the server that it observes; read by the metrics and the status page.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from ..exceptions import CloseReason, ErrorCode, PayloadTooLarge, Refused, Reject
from ..observer import Observer
from ..protocol.packet import Encoded, Outgoing, PacketType

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from ..protocol.handshake import Handshake
    from ..session.session import Session

__all__ = ["Counters", "RefusalRecord", "Seen", "Traffic"]

_REMEMBERED: Final = 15
"""Refusals that are kept: about as many as an operator reads. With a small number, the
memory of a flood of refused requests is freed at the rate at which they arrive."""


class Traffic:
    """
    Messages of one kind in one direction.

    Attributes:
        messages: The number of messages.
        bytes: Their total size in bytes, text as UTF-8, before compression and framing.

    """

    __slots__ = ("bytes", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0


class Seen:
    """
    The recorded state of one session; times in seconds.

    Attributes:
        opened: The time at which it was opened.
        transport: The transport that observers were last notified of.
        pinged: The time of the ping that is not answered yet, or ``None``.
        round_trip: The round-trip time of the last ping, or ``None``.

    """

    __slots__ = ("opened", "pinged", "round_trip", "transport")

    def __init__(self, opened: float, transport: str) -> None:
        self.opened = opened
        self.transport = transport
        self.pinged: float | None = None
        self.round_trip: float | None = None


class RefusalRecord(NamedTuple):
    """
    A refused request.

    Attributes:
        at: The time of the refusal, in seconds.
        error: The reason.
        request: The request.

    """

    at: float
    error: Refused | Reject
    request: Handshake


class Counters(Observer):
    """
    An observer that counts the events of a server.

    Attributes:
        seconds: Returns the current time in seconds.
        sessions: The recorded state of every open session.
        carried: Open sessions, by transport and revision.
        opened: Sessions opened, by transport and revision.
        closed: Sessions ended, by reason.
        refused: Requests refused, by error code and HTTP status.
        handshakes_refused: Handshakes among the refused requests.
        refusals: The most recent refusals.
        upgrades_tried: Upgrades begun, by old and new transport.
        upgrades: Upgrades completed, by old and new transport.
        payloads_refused: Bodies and messages above ``max_payload``.
        limits: Limits reached, by name.
        received_text: Text messages received.
        received_binary: Binary messages received.
        sent_text: Text messages sent by the application.
        sent_binary: Binary messages sent by the application.

    """

    whole_requests = False

    def __init__(self, *, clock: IReactorTime | None = None) -> None:
        """
        Create the counters, all zero.

        Args:
            clock: The clock to measure time with; the time of day if omitted.

        """
        self.seconds = time.time if clock is None else clock.seconds
        self.sessions: dict[Session, Seen] = {}
        self.carried = Counter[tuple[str, int]]()
        self.opened = Counter[tuple[str, int]]()
        self.closed = Counter(dict.fromkeys(CloseReason, 0))
        usual = [(each, Refused(each, "").status) for each in ErrorCode]
        self.refused = Counter(dict.fromkeys(usual, 0))
        self.handshakes_refused = 0
        self.refusals: deque[RefusalRecord] = deque(maxlen=_REMEMBERED)
        self.upgrades_tried = Counter[tuple[str, str]]()
        self.upgrades = Counter[tuple[str, str]]()
        self.payloads_refused = 0
        self.limits = Counter[str]()
        self.received_text, self.received_binary = Traffic(), Traffic()
        self.sent_text, self.sent_binary = Traffic(), Traffic()

    # Measurements, for subclasses that need more than the most recent value.

    def session_lasted(self, session: Session, seconds: float) -> None:
        """Record the lifetime of a session, in seconds."""

    def upgrade_took(self, session: Session, seconds: float) -> None:
        """Record the time from a session's opening to its upgrade, in seconds."""

    def ping_took(self, session: Session, seconds: float) -> None:
        """Record the round-trip time of a ping, in seconds."""

    # Called by the server.

    def session_opened(self, session: Session) -> None:
        """Count an opened session."""
        transport = session.transport.name
        self.sessions[session] = Seen(self.seconds(), transport)
        self.opened[transport, session.protocol] += 1
        self.carried[transport, session.protocol] += 1

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """Count an ended session."""
        seen = self.sessions.pop(session)
        self.carried[seen.transport, session.protocol] -= 1
        self.closed[reason] += 1
        self.session_lasted(session, self._since(seen.opened))

    def connection_refused(self, error: Refused | Reject, request: Handshake) -> None:
        """Count and record a refusal."""
        self.refused[error.code, error.status] += 1
        # A resuming event stream names its session by the event id, not by "sid".
        of_session = request.query.get("sid") or error.code is ErrorCode.UNKNOWN_SID
        if not of_session:
            self.handshakes_refused += 1
        self.refusals.append(RefusalRecord(self.seconds(), error, request))

    def payload_refused(self, error: PayloadTooLarge) -> None:
        """Count a refused payload."""
        self.payloads_refused += 1

    def limit_reached(self, limit: str, about: Session | Handshake) -> None:
        """Count a limit that was reached."""
        self.limits[limit] += 1

    def upgrading(self, session: Session, transport: str) -> None:
        """Count an upgrade that begins; observers are not notified of failures."""
        key = session.transport.name, transport
        self.upgrades_tried[key] += 1
        self.upgrades[key] += 0

    def upgraded(self, session: Session, transport: str) -> None:
        """Count a completed upgrade, and the session under its new transport."""
        seen = self.sessions[session]
        self.upgrades[seen.transport, transport] += 1
        self.carried[seen.transport, session.protocol] -= 1
        self.carried[transport, session.protocol] += 1
        seen.transport = transport
        self.upgrade_took(session, self._since(seen.opened))

    def packet_received(
        self, session: Session, kind: PacketType, data: str | bytes
    ) -> None:
        """Count a received message."""
        if kind is PacketType.MESSAGE:
            if isinstance(data, str):
                traffic = self.received_text
                traffic.bytes += len(data) if data.isascii() else len(data.encode())
            else:
                traffic = self.received_binary
                traffic.bytes += len(data)
            traffic.messages += 1

    def packet_sent(self, session: Session, item: Outgoing) -> None:
        """Count a sent message, or record the time of a ping."""
        if isinstance(item, Encoded):
            item = item.data
        if isinstance(item, str):
            traffic = self.sent_text
            traffic.bytes += len(item) if item.isascii() else len(item.encode())
            traffic.messages += 1
        elif isinstance(item, bytes):
            traffic = self.sent_binary
            traffic.bytes += len(item)
            traffic.messages += 1
        elif item.type is PacketType.PING:
            self.sessions[session].pinged = self.seconds()

    def heartbeat(self, session: Session) -> None:
        """Measure the round-trip time of a ping; in revision 3 the client pings."""
        seen = self.sessions[session]
        if seen.pinged is not None:
            seen.round_trip = self._since(seen.pinged)
            seen.pinged = None
            self.ping_took(session, seen.round_trip)

    def _since(self, moment: float) -> float:
        return max(0.0, self.seconds() - moment)  # the system clock may be set back

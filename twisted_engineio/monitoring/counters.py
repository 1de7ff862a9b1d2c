"""
What a server does, counted: the numbers behind its metrics and its status page.

Rules of this file:

1. Plain numbers, no locks: only the reactor's thread counts. A counter that several
   threads may use costs more than a message does.
2. What can be found out when somebody asks is not kept: the bytes that wait are summed
   up then.
3. A table knows all its keys from the beginning where they can be known, so that its
   first count is a change from nought and not a number out of nowhere.

A tally is driven by the server that it observes, and read by whoever shows it.
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
"""How many refusals are kept: as many as somebody reads, and whoever is refused a
thousand times a second has their memory freed as fast."""


class Traffic:
    """
    Messages of one kind, one way.

    Attributes:
        messages: How many.
        bytes: Their sizes together; of text as UTF-8, and as it is before a transport
            compresses or dresses it.

    """

    __slots__ = ("bytes", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0


class Seen:
    """
    What is known of one session beyond what it knows itself; times in seconds.

    Attributes:
        opened: When it opened.
        transport: What carries it, as far as its observers were told.
        pinged: When it was sent the ping that it has yet to answer, or ``None``.
        round_trip: How long its last ping took to be answered, or ``None``.

    """

    __slots__ = ("opened", "pinged", "round_trip", "transport")

    def __init__(self, opened: float, transport: str) -> None:
        self.opened = opened
        self.transport = transport
        self.pinged: float | None = None
        self.round_trip: float | None = None


class RefusalRecord(NamedTuple):
    """
    A request that was refused.

    Attributes:
        at: When, in seconds.
        error: Why.
        request: What was asked, and by whom.

    """

    at: float
    error: Refused | Reject
    request: Handshake


class Counters(Observer):
    """
    An observer that counts.

    Attributes:
        seconds: Tells the time, in seconds.
        sessions: Every open session, and what is known of it.
        carried: Open sessions by transport and revision.
        opened: Sessions that were opened, by transport and revision.
        closed: Sessions that ended, by reason.
        refused: Requests that were refused, by code and HTTP status.
        handshakes_refused: Those of them that would have opened a session.
        refusals: The last of them.
        upgrades_tried: Upgrades that began, by the transports left and tried.
        upgrades: Upgrades that were finished, likewise.
        payloads_refused: Bodies and messages over ``max_payload``.
        limits: Limits that were reached, by name.
        received_text: Text messages that came in.
        received_binary: Binary ones.
        sent_text: Text messages that the application sent.
        sent_binary: Binary ones.

    """

    whole_requests = False

    def __init__(self, *, clock: IReactorTime | None = None) -> None:
        """
        Begin to count.

        Args:
            clock: What to measure time with; the time of day if left out.

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

    # What it finds out, for who wants more than the last of each.

    def session_lasted(self, session: Session, seconds: float) -> None:
        """Learn how long a session was open, in seconds."""

    def upgrade_took(self, session: Session, seconds: float) -> None:
        """Learn how long after its opening a session moved, in seconds."""

    def ping_took(self, session: Session, seconds: float) -> None:
        """Learn how long after it was sent a ping was answered, in seconds."""

    # The server's side.

    def session_opened(self, session: Session) -> None:
        """Count a session."""
        transport = session.transport.name
        self.sessions[session] = Seen(self.seconds(), transport)
        self.opened[transport, session.protocol] += 1
        self.carried[transport, session.protocol] += 1

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """Count it no longer."""
        seen = self.sessions.pop(session)
        self.carried[seen.transport, session.protocol] -= 1
        self.closed[reason] += 1
        self.session_lasted(session, self._since(seen.opened))

    def connection_refused(self, error: Refused | Reject, request: Handshake) -> None:
        """Count a refusal, and remember it."""
        self.refused[error.code, error.status] += 1
        # A stream that goes on names its session by the event that it saw last.
        of_session = request.query.get("sid") or error.code is ErrorCode.UNKNOWN_SID
        if not of_session:
            self.handshakes_refused += 1
        self.refusals.append(RefusalRecord(self.seconds(), error, request))

    def payload_refused(self, error: PayloadTooLarge) -> None:
        """Count it."""
        self.payloads_refused += 1

    def limit_reached(self, limit: str, about: Session | Handshake) -> None:
        """Count it."""
        self.limits[limit] += 1

    def upgrading(self, session: Session, transport: str) -> None:
        """Count a try; that it failed is not told, that it was finished is."""
        key = session.transport.name, transport
        self.upgrades_tried[key] += 1
        self.upgrades[key] += 0

    def upgraded(self, session: Session, transport: str) -> None:
        """Count a session as another transport's."""
        seen = self.sessions[session]
        self.upgrades[seen.transport, transport] += 1
        self.carried[seen.transport, session.protocol] -= 1
        self.carried[transport, session.protocol] += 1
        seen.transport = transport
        self.upgrade_took(session, self._since(seen.opened))

    def packet_received(
        self, session: Session, kind: PacketType, data: str | bytes
    ) -> None:
        """Count a message."""
        if kind is PacketType.MESSAGE:
            if isinstance(data, str):
                traffic = self.received_text
                traffic.bytes += len(data) if data.isascii() else len(data.encode())
            else:
                traffic = self.received_binary
                traffic.bytes += len(data)
            traffic.messages += 1

    def packet_sent(self, session: Session, item: Outgoing) -> None:
        """Count a message, or look at the clock when a ping goes out."""
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
        """Measure how long a ping took; in revision 3 it is the client that asks."""
        seen = self.sessions[session]
        if seen.pinged is not None:
            seen.round_trip = self._since(seen.pinged)
            seen.pinged = None
            self.ping_took(session, seen.round_trip)

    def _since(self, moment: float) -> float:
        return max(0.0, self.seconds() - moment)  # a clock may be set back

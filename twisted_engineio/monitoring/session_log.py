"""
An observer that logs when each session opens, moves to another transport and ends.

A line costs as much as several messages, so a server logs none by itself; the command
line adds this observer with ``--log-sessions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger, LogLevel

from ..observer import Observer
from ..policy.limited_log import LimitedLog

if TYPE_CHECKING:
    from ..exceptions import CloseReason
    from ..session.session import Session

__all__ = ["SessionLog"]


class SessionLog(Observer):
    """
    Logs a line of level info when a session opens, is upgraded and closes.

    Use it as ``Server(Chat(), observers=[SessionLog()])``. Each line has fields, the
    keys of its event in ``twisted.logger``: ``sid`` (the first six characters of the
    id), ``address`` (``None`` on a UNIX socket), ``transport``, ``event``
    (``"opened"``, ``"upgraded"``, ``"closed"``); and where the session ends,
    ``duration`` (in seconds) and ``reason``.
    """

    log = Logger()

    def __init__(self, *, lines_per_second: int = 1000) -> None:
        """
        Make one that has seen no session.

        Args:
            lines_per_second: Lines of each kind that are written in a second, for
                clients cause them; what is beyond is counted, in one line.

        """
        self._lines = lines_per_second
        self._opened: dict[Session, float] = {}

    def session_opened(self, session: Session) -> None:
        """Log a session that opens."""
        self._opened[session] = session.server.clock.seconds()
        self._write(
            "session {sid}... opened on {transport} from {address}", session, "opened"
        )

    def upgraded(self, session: Session, transport: str) -> None:
        """Log a session that has moved to another transport."""
        self._write(
            "session {sid}... upgraded to {transport}, from {address}",
            session,
            "upgraded",
        )

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """Log a session that has ended."""
        now = session.server.clock.seconds()
        self._write(
            "session {sid}... closed on {transport} from {address} after"
            " {duration:.3f} s: {reason}",
            session,
            "closed",
            duration=round(now - self._opened.pop(session, now), 3),
            reason=reason.value,
        )

    def _write(self, line: str, session: Session, event: str, **more: Any) -> None:
        LimitedLog(self.log, session.server.log.limit).emit(
            LogLevel.info,
            line,
            lines=self._lines,
            more=f"{{count}} more sessions {event}",
            sid=session.sid[:6],
            address=session.handshake.client_address,
            transport=session.transport.name,
            event=event,
            **more,
        )

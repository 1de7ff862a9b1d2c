"""
An observer that logs when each session opens, is upgraded and closes.

A log line costs as much as several messages, so a server does not log sessions by
default; the command line adds this observer with ``--log-sessions``.
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
    Logs a line at level info when a session opens, is upgraded and closes.

    Use it as ``Server(Chat(), observers=[SessionLog()])``. Each line has these fields,
    as keys of its ``twisted.logger`` event: ``sid`` (the first six characters of the
    id), ``address`` (``None`` on a UNIX socket), ``transport``, and ``event``
    (``"opened"``, ``"upgraded"``, ``"closed"``). The line of a closed session also has
    ``duration`` (in seconds) and ``reason``.
    """

    log = Logger()

    def __init__(self, *, lines_per_second: int = 1000) -> None:
        """
        Create a session log.

        Args:
            lines_per_second: Maximum lines per second of each kind; further ones are
                counted in a single line, because clients cause them.

        """
        self._lines = lines_per_second
        self._opened: dict[Session, float] = {}

    def session_opened(self, session: Session) -> None:
        """Log an opened session."""
        self._opened[session] = session.server.clock.seconds()
        self._write(
            "session {sid}... opened on {transport} from {address}", session, "opened"
        )

    def upgraded(self, session: Session, transport: str) -> None:
        """Log an upgraded session."""
        self._write(
            "session {sid}... upgraded to {transport}, from {address}",
            session,
            "upgraded",
        )

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """Log a closed session."""
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

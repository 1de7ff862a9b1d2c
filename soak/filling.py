"""The application under ``floods``: an echo, which fills the sockets of attackers."""

from __future__ import annotations

from typing import Final

from twisted_engineio import Application, Session, SessionClosed

FILL: Final = "fill"
"""The key in the query of a handshake whose client wants to be filled."""
PIECE: Final = 48_000
"""Characters of one message to an attacker."""
PIECES: Final = 160
"""Messages that an attacker is sent at once: 7.7 MB."""


def fill(session: Session) -> None:
    """
    Send a session more than its socket takes, and more whenever it has drained.

    Args:
        session: One whose handshake has ``FILL`` in its query.

    """
    for number in range(PIECES):
        # Each is a string of its own, and what ``send`` returns is not heeded.
        session.send(f"{number}".ljust(PIECE))
    drained = session.drained().addCallback(lambda _: fill(session))
    drained.addErrback(lambda failure: failure.trap(SessionClosed))


class Filling(Application):
    """Echoes; a session that asks for it is sent more than its client reads."""

    def session_opened(self, session: Session) -> None:
        """Fill the sockets of attackers."""
        if FILL in session.handshake.query:
            fill(session)

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Send it back."""
        session.send(data)

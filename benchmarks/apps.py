"""The application that our own server runs: echo, and ``!`` to everybody."""

from __future__ import annotations

from twisted_engineio import Application, Session


class EchoOrBroadcast(Application):
    """What ``peers/`` do, in our words."""

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Send it back, or to everybody."""
        if isinstance(data, str) and data.startswith("!"):
            session.server.broadcast(data)
        else:
            session.send(data)

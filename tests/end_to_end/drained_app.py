"""An application for a twistd of its own: it sends as much as it is asked for."""

from __future__ import annotations

from twisted_engineio import Application, Session


class Sender(Application):
    """Sends a number of bytes, or the text back."""

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Send what is asked for."""
        if isinstance(data, str) and data.isdigit():
            for _ in range(int(data) // 100_000):
                session.send(bytes(100_000))
        else:
            session.send(data)

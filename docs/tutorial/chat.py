from itertools import count

from twisted_engineio import Application, Reject


class Chat(Application):
    def __init__(self):
        self.guests = count(1)

    def admit(self, handshake):
        if "bot" in handshake.headers.get("user-agent", ""):
            raise Reject(403, "People only")

    def session_opened(self, session):
        session.data = f"Guest {next(self.guests)}"
        session.send(f"Welcome, {session.data}")

    def message_received(self, session, data):
        if isinstance(data, str):
            session.server.broadcast(f"{session.data}: {data}")

    def session_closed(self, session, reason):
        session.server.broadcast(f"{session.data} left ({reason.value})")

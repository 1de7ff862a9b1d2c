from twisted_engineio import Application, Reject


class Chat(Application):
    def admit(self, handshake):
        if "bot" in handshake.headers.get("user-agent", ""):
            raise Reject(403, "People only")

    def session_opened(self, session):
        session.data = f"Guest {len(session.server.sessions)}"
        session.send(f"Welcome, {session.data}")

    def message_received(self, session, data):
        session.server.broadcast(f"{session.data}: {data}")

    def session_closed(self, session, reason):
        session.server.broadcast(f"{session.data} left ({reason.value})")

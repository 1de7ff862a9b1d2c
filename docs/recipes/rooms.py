"""Rooms: sets of sessions. A session leaves all its rooms when it ends."""

from collections import defaultdict

from twisted_engineio import Application, Encoded, State


class Rooms:
    def __init__(self):
        self.members = defaultdict(set)

    def join(self, session, room):
        self.members[room].add(session)

    def leave(self, session, room):
        self.members[room].discard(session)
        if not self.members[room]:
            del self.members[room]

    def leave_all(self, session):
        for room in [room for room, all in self.members.items() if session in all]:
            self.leave(session, room)

    def send(self, room, data, *, but=None):
        message = Encoded(data)  # encoded once per wire format, not per session
        for session in list(self.members.get(room, ())):
            if session is not but and session.state is State.OPEN:
                session.send(message)


class Chat(Application):
    def __init__(self):
        self.rooms = Rooms()

    def session_opened(self, session):
        session.data = session.handshake.query.get("room", "lobby")
        self.rooms.join(session, session.data)

    def message_received(self, session, data):
        self.rooms.send(session.data, data, but=session)

    def session_closed(self, session, reason):
        self.rooms.leave_all(session)

from twisted_engineio import Application


class Shout(Application):
    def message_received(self, session, data):
        session.send(data.upper())

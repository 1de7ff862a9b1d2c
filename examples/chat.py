"""A chat: run ``python examples/chat.py [PORT]``, and open its page in two tabs."""

import sys
from itertools import count
from pathlib import Path

from twisted.internet import reactor
from twisted.python.log import startLogging
from twisted.web.resource import Resource
from twisted.web.static import File

from twisted_engineio import Application, EngineIOResource, EngineIOService, Server


class Chat(Application):
    guests = count(1)

    def session_opened(self, session):
        session.data = f"Guest {next(self.guests)}"
        session.send(f"Welcome, {session.data}")

    def message_received(self, session, data):
        if isinstance(data, str):
            session.server.broadcast(f"{session.data}: {data}")

    def session_closed(self, session, reason):
        session.server.broadcast(f"{session.data} left ({reason.value})")


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
server = Server(Chat())
root = Resource()
root.putChild(b"", File(str(Path(__file__).with_name("chat.html"))))
root.putChild(b"engine.io", EngineIOResource(server))
EngineIOService(server, f"tcp:{port}", root).startService()
print(f"Chatting: open http://localhost:{port}/ in two tabs", flush=True)
startLogging(sys.stdout)
reactor.run()

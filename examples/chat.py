"""
Browser tabs talk to each other.

Run ``python examples/chat.py [PORT]`` and open the page it names, twice.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.static import File

from twisted_engineio import Application, EngineIOResource, EngineIOSite, Server


class Chat(Application):
    def session_opened(self, session):
        others = len(session.server.sessions) - 1
        session.send(f"Welcome! Others here: {others}.")

    def message_received(self, session, data):
        session.server.broadcast(data)

    def session_closed(self, session, reason):
        session.server.broadcast(f"Somebody left ({reason.value}).")


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
server = Server(Chat())
root = Resource()
root.putChild(b"", File(str(Path(__file__).with_name("chat.html"))))
root.putChild(b"engine.io", EngineIOResource(server))
reactor.listenTCP(port, EngineIOSite(root, server))
reactor.addSystemEventTrigger("before", "shutdown", server.stop)
print(f"Chatting: open http://localhost:{port}/ in two tabs", flush=True)
reactor.run()

"""
An echo server for text and binary messages.

Run ``python examples/echo.py [PORT]`` and open the URL that it prints.
"""

from __future__ import annotations

import sys
from importlib.resources import files

from twisted.internet import reactor
from twisted.python.log import startLogging
from twisted.web.resource import Resource
from twisted.web.static import File

from twisted_engineio import Application, EngineIOResource, EngineIOService, Server


class Echo(Application):
    def message_received(self, session, data):
        session.send(data)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
server = Server(Echo())
root = Resource()
root.putChild(
    b"", File(str(files("twisted_engineio") / "web" / "static" / "live.html"))
)
root.putChild(b"engine.io", EngineIOResource(server))
EngineIOService(server, f"tcp:{port}", root).startService()
print(f"Echoing: open http://localhost:{port}/", flush=True)
startLogging(sys.stdout)
reactor.run()

"""
Engine.IO in an existing twisted.web site.

Run ``python examples/mounted_in_site.py [PORT]``: ``/`` is a page, ``/count`` is the
number of open sessions, and Engine.IO is at ``/engine.io``.
"""

import sys

from twisted.internet import reactor
from twisted.python.log import startLogging
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

import twisted_engineio as eio


class Shout(eio.Application):
    def message_received(self, session, data):
        session.send(data.upper())


class Count(Resource):
    def render_GET(self, request):
        return b"%d" % len(server.sessions)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
server = eio.Server(Shout())
root = Resource()
root.putChild(b"", Data(b"<h1>A page of the site</h1>", "text/html"))
root.putChild(b"count", Count())
root.putChild(b"engine.io", eio.EngineIOResource(server))
site = eio.protect(Site(root), server)
eio.EngineIOService(server, f"tcp:{port}", site).startService()
print(f"The site: open http://localhost:{port}/", flush=True)
startLogging(sys.stdout)
reactor.run()

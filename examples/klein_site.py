"""
Engine.IO beside the routes of a Klein application.

Run ``python examples/klein_site.py [PORT]``. It needs ``pip install klein``.
"""

import sys

from klein import Klein
from twisted.internet import reactor
from twisted.python.log import startLogging
from twisted.web.server import Site

import twisted_engineio as eio


class Shout(eio.Application):
    def message_received(self, session, data):
        session.send(data.upper())


app, resource = Klein(), eio.EngineIOResource(server := eio.Server(Shout()))


@app.route("/")
def home(request):
    return "<h1>A page of Klein's</h1>"


@app.route("/engine.io/", branch=True)
def engineio(request):
    return resource  # created once: it holds the sessions


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
site = eio.protect(Site(app.resource()), server)
eio.EngineIOService(server, f"tcp:{port}", site).startService()
print(f"Klein's site: open http://localhost:{port}/", flush=True)
startLogging(sys.stdout)
reactor.run()

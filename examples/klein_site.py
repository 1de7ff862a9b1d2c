"""
Engine.IO beside the routes of a Klein application.

Run ``python examples/klein_site.py [PORT]``. It needs ``pip install klein``.
"""

import sys

from klein import Klein
from twisted.internet import reactor
from twisted.python.log import startLogging
from twisted.web.server import Site

from twisted_engineio import Application, EngineIOResource, Server, protect


class Shout(Application):
    def message_received(self, session, data):
        session.send(data.upper())


app, resource = Klein(), EngineIOResource(server := Server(Shout()))


@app.route("/")
def home(request):
    return "<h1>A page of Klein's</h1>"


@app.route("/engine.io/", branch=True)
def engineio(request):
    return resource  # created once: it holds the sessions


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
reactor.listenTCP(port, protect(Site(app.resource()), server))
reactor.addSystemEventTrigger("before", "shutdown", server.stop)
print(f"Klein's site: open http://localhost:{port}/", flush=True)
startLogging(sys.stdout)
reactor.run()

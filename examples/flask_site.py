"""
Engine.IO beside a Flask application, or any other WSGI application.

Run ``python examples/flask_site.py [PORT]``. It needs ``pip install flask``.
"""

import sys

from flask import Flask
from twisted.internet import reactor
from twisted.internet.threads import blockingCallFromThread
from twisted.python.log import startLogging
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.wsgi import WSGIResource

import twisted_engineio as eio

flask, server = Flask(__name__), eio.Server(eio.Application())


@flask.post("/say/<word>")
def say(word):
    blockingCallFromThread(reactor, server.broadcast, word)  # Flask runs in a thread
    return "said"


class Root(Resource):
    def getChild(self, name, request):
        request.postpath.insert(0, request.prepath.pop())  # Flask needs the whole path
        return WSGIResource(reactor, reactor.getThreadPool(), flask)


root, port = Root(), int(sys.argv[1]) if len(sys.argv) > 1 else 3000
root.putChild(b"engine.io", eio.EngineIOResource(server))
site = eio.protect(Site(root), server)
eio.EngineIOService(server, f"tcp:{port}", site).startService()
print(f"Flask's site: open http://localhost:{port}/", flush=True)
startLogging(sys.stdout)
reactor.run()

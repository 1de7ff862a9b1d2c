"""
A site for ``twistd web``, which creates the Site and takes its root from here.

Run ``PYTHONPATH=examples twistd -n web --listen tcp:3000 --class twistd_web.Root``.

That Site cannot be passed to ``protect``, because ``twistd web`` creates it. Use a
proxy with limits of its own, or ``site.tac``.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.static import Data

from twisted_engineio import Application, EngineIOResource, EngineIOService, Server


class Shout(Application):
    def message_received(self, session, data):
        session.send(data.upper())


class Root(Resource):
    def __init__(self):
        super().__init__()
        server = Server(Shout())
        EngineIOService(server).startService()  # twistd listens; this drains
        self.putChild(b"", Data(b"<h1>A page of twistd's</h1>", "text/html"))
        self.putChild(b"engine.io", EngineIOResource(server))

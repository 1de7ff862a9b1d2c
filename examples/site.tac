"""
A site for ``twistd``, with a Site of its own that has the limits it needs.

Run ``twistd -ny examples/site.tac``: it serves port 3000, or what ``LISTEN`` says, as
``LISTEN=ssl:8443:privateKey=localhost.pem`` or ``LISTEN=systemd:domain=INET:index=0``.
"""

import os

from twisted.application import service
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from twisted_engineio import (
    Application,
    EngineIOResource,
    EngineIOService,
    Server,
    protect,
)


class Shout(Application):
    def message_received(self, session, data):
        session.send(data.upper())


server = Server(Shout())
root = Resource()
root.putChild(b"", Data(b"<h1>A page of the site's</h1>", "text/html"))
root.putChild(b"engine.io", EngineIOResource(server))
application = service.Application("site")
listen = os.environ.get("LISTEN", "tcp:3000")
# Longer than a proxy keeps an idle connection: nginx and AWS do for 60 seconds.
site = protect(Site(root, timeout=75), server)
EngineIOService(server, listen, site).setServiceParent(application)

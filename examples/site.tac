"""
A site for ``twistd``, with the limits of the server.

Run ``twistd -ny examples/site.tac``. It listens on port 3000, or on the endpoint in the
environment variable ``LISTEN``, for example
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
# Longer than the idle timeout of the proxy: 60 seconds for nginx and AWS.
site = protect(Site(root, timeout=75), server)
EngineIOService(server, listen, site).setServiceParent(application)

"""Tell twistd of a service named engineio, and Twisted of an endpoint of that name."""

from twisted.application.service import ServiceMaker
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer

engineio = ServiceMaker(
    "Engine.IO",
    "twisted_engineio.tap",
    "Serve Engine.IO: HTTP long-polling that moves to WebSocket.",
    "engineio",
)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class EndpointParser:
    r"""Reads ``engineio:tcp\:3000``; the rest is imported when it is asked to."""

    prefix = "engineio"

    def parseStreamServer(self, reactor, *args, **options):
        """Make an endpoint; a mistake is a ValueError."""
        # Whoever reads any endpoint's description imports this file.
        from twisted_engineio.stream.endpoint import parse_endpoint

        return parse_endpoint(reactor, *args, **options)


endpoint = EndpointParser()

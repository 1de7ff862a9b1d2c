"""Register the twistd service and the endpoint parser named ``engineio``."""

from twisted.application.service import ServiceMaker
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer

engineio = ServiceMaker(
    "Engine.IO",
    "twisted_engineio.tap",
    "Serve Engine.IO: HTTP long-polling that upgrades to WebSocket.",
    "engineio",
)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class EndpointParser:
    r"""Parses ``engineio:tcp\:3000``; imports the package only when it is called."""

    prefix = "engineio"

    def parseStreamServer(self, reactor, *args, **options):
        """Return an endpoint; raise ValueError for an invalid description."""
        # Twisted imports this file whenever any endpoint description is parsed.
        from twisted_engineio.stream.endpoint import parse_endpoint

        return parse_endpoint(reactor, *args, **options)


endpoint = EndpointParser()

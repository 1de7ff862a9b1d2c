r"""
A server endpoint for Twisted protocols over Engine.IO: ``engineio:tcp\:3000``.

Any code that listens on a Twisted endpoint can use it: the protocols then run over
sessions. All options are checked before anything listens.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.web.resource import Resource
from zope.interface import implementer

from ..config import Config
from ..cookie import Cookie
from ..exceptions import ConfigError
from ..server.server import Server
from ..web.endpoint_string import problem_with
from ..web.http1.mount_points import PATH, put
from ..web.resource import EngineIOResource
from ..web.service import EngineIOService
from ..web.site import EngineIOSite
from .application import StreamApplication

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IProtocolFactory

__all__ = ["EngineIOServerEndpoint", "parse_endpoint"]

_EXAMPLE: Final = "engineio:tcp\\:3000:path=/engine.io:ping_interval=10"
_ZERO: Final = {"int | None": 0, "float | None": 0.0}
"""Values of the types of options whose default is ``None``."""
_DEFAULTS: Final = Config()
_FLAGS: Final = {"true": True, "yes": True, "false": False, "no": False}


@implementer(IStreamServerEndpoint)
class EngineIOServerEndpoint:
    """
    An endpoint that serves Engine.IO and runs a factory's protocols over its sessions.

    Attributes:
        config: The server's options.
        path: The server's path in the site.

    """

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamServerEndpoint,
        config: Config | None = None,
        path: str = "/engine.io",
    ) -> None:
        """
        Create an endpoint.

        Args:
            reactor: The reactor, used as the server's clock.
            endpoint: The endpoint that serves HTTP.
            config: The server's options; the defaults if omitted.
            path: The server's path in the site.

        Raises:
            ValueError: If ``path`` is not a valid path.

        """
        if not PATH.fullmatch(path):
            raise ValueError(f"path: {path!r} must be a path like /engine.io")
        self.config = config or Config()
        self.path = path
        self._reactor = reactor
        self._endpoint = endpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen for connections.

        Args:
            protocolFactory: Builds the protocol of each session.

        Returns:
            A Deferred that fires with the port, or fails as the inner endpoint fails.

        """
        application = StreamApplication(protocolFactory)
        server = Server(application, self.config, clock=self._reactor)
        root = Resource()
        put(root, self.path, EngineIOResource(server))
        site = EngineIOSite(root, server, bounded=True)
        site.noisy = False  # the caller's own factory logs that it starts
        listening: Deferred[Any] = self._endpoint.listen(site)
        return listening.addCallback(StreamPort, server, protocolFactory)


@implementer(IListeningPort)
class StreamPort:
    """
    A listening port and the sessions that were opened on it.

    Attributes:
        server: The server of the sessions.

    """

    def __init__(
        self, port: IListeningPort, server: Server, factory: IProtocolFactory
    ) -> None:
        """
        Create the port, and start the factory.

        Args:
            port: The port of the site.
            server: The server in the site.
            factory: The factory whose protocols run over its sessions.

        """
        self.server = server
        self._service = EngineIOService(server)  # drains it, at a shutdown as well
        self._service.startService()
        self._port = port
        self._factory = factory
        factory.doStart()

    def startListening(self) -> None:
        """Do nothing: the port is listening already."""

    def getHost(self) -> IAddress:
        """Return the address of the port."""
        return self._port.getHost()

    def stopListening(self) -> Deferred[Any]:
        """
        Close every session, then stop listening and stop the factory.

        In this order, because a polling client may need a new connection to fetch its
        last messages. New sessions are refused meanwhile.

        Returns:
            A Deferred that fires when all of this is done.

        """
        stopped = self._service.stopService()
        stopped.addCallback(lambda _: self._port.stopListening())
        return stopped.addCallback(lambda _: self._factory.doStop())


def parse_endpoint(reactor: Any, *args: str, **options: str) -> EngineIOServerEndpoint:
    """
    Create an endpoint from the arguments of an ``engineio:`` description.

    Args:
        reactor: The reactor.
        args: Exactly one: the description of the inner endpoint.
        options: ``path``, and the options of ``Config`` by name.

    Raises:
        ValueError: If an argument or option is invalid.

    """
    for name in options:
        if ":" in name:
            # serverFromString took an "=" of the inner description for one of ours.
            raise ValueError(f"engineio: escape the = after {name!r}, as in {_EXAMPLE}")
    if len(args) != 1:
        raise ValueError(
            f"engineio: needs one endpoint, its colons written as \\:, not {args!r};"
            f" example: {_EXAMPLE}"
        )
    path = options.pop("path", "/engine.io")
    config = Config(**{name: _read(name, options[name]) for name in options})
    try:
        inner = serverFromString(reactor, args[0])
    except Exception as error:
        # Any exception: parsers of plugins may raise anything.
        problem = problem_with(args[0], error)
        raise ValueError(f"engineio: {args[0]!r} is no endpoint: {problem}") from error
    return EngineIOServerEndpoint(reactor, inner, config, path)


def _read(name: str, text: str) -> Any:
    """
    Convert the text of an option to the type of its default.

    Raises:
        ConfigError: If the text does not represent a value of that type.

    """
    if name == "cookie":
        return Cookie(name=text)
    kinds = {each.name: str(each.type) for each in fields(Config)}
    if name not in kinds:
        return text  # Config reports the unknown name
    default: object = getattr(_DEFAULTS, name)
    if default is None:  # an optional limit
        default = _ZERO.get(kinds[name])
    if isinstance(default, bool):
        if text.lower() not in _FLAGS:
            raise ConfigError(name, f"must be one of {', '.join(_FLAGS)}, not {text!r}")
        return _FLAGS[text.lower()]
    if isinstance(default, tuple):
        return [each.strip() for each in text.split(",")]
    if isinstance(default, (int, float)):
        try:
            return type(default)(text)
        except ValueError:
            raise ConfigError(name, f"{text!r} is not a number") from None
    return text

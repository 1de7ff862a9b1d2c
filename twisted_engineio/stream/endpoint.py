r"""
Listen for Engine.IO by a description: ``engineio:tcp\:3000``.

Whatever listens on a Twisted endpoint can be given this one: its protocols run over
sessions. Every option is checked before anything listens.
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
"""A number of the kind of those that are ``None`` if left out."""
_DEFAULTS: Final = Config()
_FLAGS: Final = {"true": True, "yes": True, "false": False, "no": False}


@implementer(IStreamServerEndpoint)
class EngineIOServerEndpoint:
    """
    Where an Engine.IO server listens that runs a factory's protocols over its sessions.

    Attributes:
        config: The server's options.
        path: Where in the site the server stands.

    """

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamServerEndpoint,
        config: Config | None = None,
        path: str = "/engine.io",
    ) -> None:
        """
        Make an endpoint.

        Args:
            reactor: The server's clock.
            endpoint: Where its HTTP is served.
            config: Its options; the defaults if left out.
            path: Where in the site it stands.

        Raises:
            ValueError: If that is no path.

        """
        if not PATH.fullmatch(path):
            raise ValueError(f"path: {path!r} must be a path like /engine.io")
        self.config = config or Config()
        self.path = path
        self._reactor = reactor
        self._endpoint = endpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen.

        Args:
            protocolFactory: Makes the protocol of each session.

        Returns:
            A Deferred that fires with the port; it fails as the endpoint's own does.

        """
        application = StreamApplication(protocolFactory)
        server = Server(application, self.config, clock=self._reactor)
        root = Resource()
        put(root, self.path, EngineIOResource(server))
        site = EngineIOSite(root, server, bounded=True)
        site.noisy = False  # who started it is the one to say so
        listening: Deferred[Any] = self._endpoint.listen(site)
        return listening.addCallback(StreamPort, server, protocolFactory)


@implementer(IListeningPort)
class StreamPort:
    """
    A port that is listened on, and the sessions that came by it.

    Attributes:
        server: The server that has them.

    """

    def __init__(
        self, port: IListeningPort, server: Server, factory: IProtocolFactory
    ) -> None:
        """
        Begin: the factory is started.

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
        """Do nothing: it listens."""

    def getHost(self) -> IAddress:
        """Give the port's address."""
        return self._port.getHost()

    def stopListening(self) -> Deferred[Any]:
        """
        End every session, then listen no more and stop the factory.

        Not the other way round: a client that polls may need a new connection to fetch
        what was written last. New sessions are refused meanwhile.

        Returns:
            A Deferred that fires when all that is done.

        """
        stopped = self._service.stopService()
        stopped.addCallback(lambda _: self._port.stopListening())
        return stopped.addCallback(lambda _: self._factory.doStop())


def parse_endpoint(reactor: Any, *args: str, **options: str) -> EngineIOServerEndpoint:
    """
    Make an endpoint of what ``engineio:`` was given.

    Args:
        reactor: Twisted's.
        args: One: the description of the inner endpoint.
        options: ``path``, and options named as in ``Config``.

    Raises:
        ValueError: If anything is wrong with them.

    """
    for name in options:
        if ":" in name:
            # serverFromString has taken an "=" of the inner description for ours.
            raise ValueError(f"engineio: write \\= behind {name!r}: like {_EXAMPLE}")
    if len(args) != 1:
        raise ValueError(
            f"engineio: it takes one endpoint, its colons written \\:, not {args!r}:"
            f" like {_EXAMPLE}"
        )
    path = options.pop("path", "/engine.io")
    config = Config(**{name: _read(name, options[name]) for name in options})
    try:
        inner = serverFromString(reactor, args[0])
    except Exception as error:
        # Whatever an endpoint's parser raises: a plugin's may raise anything.
        problem = problem_with(args[0], error)
        raise ValueError(f"engineio: {args[0]!r} is no endpoint: {problem}") from error
    return EngineIOServerEndpoint(reactor, inner, config, path)


def _read(name: str, text: str) -> Any:
    """
    Read an option's value, by what kind its default is of.

    Raises:
        ConfigError: If it is of another kind.

    """
    if name == "cookie":
        return Cookie(name=text)
    kinds = {each.name: str(each.type) for each in fields(Config)}
    if name not in kinds:
        return text  # Config says what is wrong with the name
    default: object = getattr(_DEFAULTS, name)
    if default is None:  # a limit that is left out
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

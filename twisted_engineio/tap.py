"""
The command line: ``twistd engineio``.

Every option is checked before anything listens; a mistake is one line. This is the only
module that imports the reactor.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Final

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    InvalidLogLevelError,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError
from twisted.web.resource import IResource, Resource
from twisted.web.static import Data, File

from .application import Application, EchoApplication
from .config import Config
from .exceptions import ConfigError
from .resource import EngineIOResource
from .server import Server
from .site import EngineIOSite

__all__ = ["Options", "makeService"]

_DEFAULTS: Final = Config()
_PATIENCE: Final = 5.0
"""Seconds that a stop waits for clients to fetch their last words. systemd kills after
90, Docker after 10."""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("it must be a number") from None


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("it must be a whole number")
    return int(text)


class Options(UsageOptions):
    """What ``twistd engineio`` takes; see ``Config`` for what each value means."""

    synopsis = "[engineio options]"
    longdesc = (
        "Serve Engine.IO: HTTP long-polling that moves to WebSocket. Without --app, an"
        " echo application runs, with a live page at /."
    )

    optParameters: ClassVar[list[list[Any]]] = [
        ["port", None, "3000", "Where to listen: a port number or an endpoint string."],
        ["path", None, "/engine.io", "Where in the site the server stands."],
        ["app", None, None, "MODULE:NAME of an Application: class, object or factory."],
        *(
            [name.replace("_", "-"), None, getattr(_DEFAULTS, name), text, kind]
            for name, text, kind in (
                ("ping_interval", "Seconds from a pong to the next ping.", _number),
                ("ping_timeout", "Seconds a client has to answer a ping.", _number),
                ("upgrade_timeout", "Seconds a client has to upgrade.", _number),
                ("max_payload", "Bytes of one request or message.", _whole_number),
            )
        ),
        ["transports", None, "polling,websocket", "The transports that are on."],
        ["static", None, None, "A directory to serve at /."],
        ["log-level", None, "info", "debug, info, warn, error or critical."],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["no-upgrades", None, "Let polling sessions stay on polling."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self["cors"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Listen here too, and not on --port unless it is given; repeatable."""
        self["listen"].append(endpoint)

    def opt_cors(self, origin: str) -> None:
        """Let pages of this origin use the server; * for any; repeatable."""
        self["cors"].append(origin)

    def parseOptions(self, options: Any = None) -> None:
        """Remember whether --port was given: --listen replaces its default."""
        given = list(sys.argv[1:] if options is None else options)
        self._port_given = any(each.split("=")[0] == "--port" for each in given)
        super().parseOptions(options)

    def postOptions(self) -> None:
        """
        Check everything, and keep what was made of it.

        Raises:
            UsageError: If a value cannot work; nothing listens yet.

        """
        self["config"] = self._config()
        self["application"] = _load(self["app"]) if self["app"] else EchoApplication()
        self["endpoints"] = [_endpoint(each) for each in self._addresses()]
        if not self["path"].startswith("/") or not self["path"].strip("/"):
            raise UsageError(
                f"--path: {self['path']!r} must be a path like /engine.io, not the root"
            )
        if self["static"] is not None and not Path(self["static"]).is_dir():
            raise UsageError(f"--static: {self['static']!r} is not a directory")
        try:
            self["level"] = LogLevel.levelWithName(self["log-level"])
        except InvalidLogLevelError:
            names = ", ".join(each.name for each in LogLevel.iterconstants())
            raise UsageError(
                f"--log-level: {self['log-level']!r} is unknown; known are {names}"
            ) from None

    def _config(self) -> Config:
        try:
            return Config(
                ping_interval=self["ping-interval"],
                ping_timeout=self["ping-timeout"],
                upgrade_timeout=self["upgrade-timeout"],
                max_payload=self["max-payload"],
                transports=[each.strip() for each in self["transports"].split(",")],
                allow_upgrades=not self["no-upgrades"],
                cors=self["cors"],
            )
        except ConfigError as error:
            option = error.option.replace("_", "-")
            raise UsageError(f"--{option}: {error.problem}") from None

    def _addresses(self) -> list[str]:
        listen: list[str] = self["listen"]
        return [self["port"], *listen] if self._port_given or not listen else listen


def _endpoint(address: str) -> IStreamServerEndpoint:
    from twisted.internet import reactor

    description = address
    if address.isascii() and address.isdigit():
        if int(address) > 65535:
            raise UsageError(f"--port: {address} is above 65535")
        description = f"tcp:{address}"
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    except Exception as error:
        # Whatever an endpoint's parser raises: a plugin's may raise anything.
        raise UsageError(
            f"--port or --listen: {address!r} is no port number and no endpoint"
            f" like 'tcp:3000:interface=127.0.0.1' ({error})"
        ) from None
    return endpoint


def _load(name: str) -> Application:
    """
    Find the application that ``MODULE:NAME`` names, and make it if it is to be made.

    Raises:
        UsageError: If there is none there.

    """
    module_name, separator, attribute = name.partition(":")
    if not (module_name and separator and attribute):
        raise UsageError(f"--app: {name!r} must be MODULE:NAME")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as "python -m" has it, and twistd's script has not
    try:
        found: Any = import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
        if inspect.isclass(found) or not isinstance(found, Application):
            found = found()
    except Exception as error:
        raise UsageError(f"--app: {name}: {type(error).__name__}: {error}") from error
    if not isinstance(found, Application):
        raise UsageError(
            f"--app: {name} gives a {type(found).__name__}, not an Application"
        )
    return found


class ServerService(MultiService):
    """Everything that ``twistd engineio`` runs; stopping it closes the sessions."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server

    def stopService(self) -> Deferred[Any]:
        """Listen no more, close every session, then stop."""
        stopped: Deferred[Any] = super().stopService()
        stopped.addCallback(lambda _: self.server.stop(within=_PATIENCE))
        return stopped


def makeService(options: Options) -> IService:
    """
    Make the service that the options describe.

    Args:
        options: Parsed and checked.

    """
    from twisted.internet import reactor

    server = Server(options["application"], options["config"], clock=reactor)
    root = _root(options)
    _put(root, options["path"], EngineIOResource(server))
    site = EngineIOSite(root, server, options["path"])
    service = ServerService(server)
    for endpoint in options["endpoints"]:
        listener = StreamServerEndpointService(endpoint, site)
        # A port that is taken is the operator's to know at once, not at first use.
        listener._raiseSynchronously = True
        listener.setServiceParent(service)
    _set_log_level(options["level"])
    return service


def _root(options: Options) -> Resource:
    if options["static"] is not None:
        return File(options["static"])
    root = Resource()
    if options["app"] is None:
        root.putChild(b"", _live_page(options["path"]))
    return root


def _live_page(path: str) -> Data:
    page = files("twisted_engineio").joinpath("live.html").read_text("utf-8")
    page = page.replace('content="/engine.io/"', f'content="{path.rstrip("/")}/"')
    return Data(page.encode(), "text/html; charset=utf-8")


def _put(root: Resource, path: str, child: IResource) -> None:
    """Put a resource at a path of any depth."""
    *folders, last = path.strip("/").encode().split(b"/")
    for folder in folders:
        inner = Resource()
        root.putChild(folder, inner)
        root = inner
    root.putChild(last, child)


def _set_log_level(level: Any) -> None:
    """Let only events of this level and above reach the observers that there are."""
    predicate = LogLevelFilterPredicate(defaultLogLevel=level)
    _filter_observers(lambda each: FilteringLogObserver(each, [predicate]))


def _filter_observers(wrap: Callable[[ILogObserver], ILogObserver]) -> None:
    for observer in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(observer)
        globalLogPublisher.addObserver(wrap(observer))

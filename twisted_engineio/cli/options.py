"""
The command line: ``twistd engineio``.

Every option is checked before anything listens; a mistake is one line. This is the only
module that imports the reactor.
"""

from __future__ import annotations

import getopt
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.copyright import version as twisted_version
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorTime
from twisted.logger import InvalidLogLevelError, Logger, LogLevel
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError
from twisted.web.resource import Resource
from twisted.web.static import File

from .._version import __version__
from ..application import Application, EchoApplication
from ..config import OPTIONS, Config, Option
from ..config.option import NUMBERS, Kind
from ..cookie import Cookie
from ..exceptions import ConfigError
from ..monitoring.session_log import SessionLog
from ..observer import Observer
from ..server.load_application import load
from ..server.server import Server
from ..server.socketio_hint import SocketIOHint
from ..web.endpoint_string import check_description
from ..web.http1.mount_points import PATH, put
from ..web.listening import ListeningService
from ..web.resource import EngineIOResource
from ..web.site import EngineIOSite
from .arguments import ARGUMENTS
from .log_format import (
    check_access_log,
    check_log_format,
    json_observer,
)
from .monitoring import Monitoring
from .pages import Pages
from .service import ServerService
from .unused_options import idle_options
from .usage import flags, on_command_line, parameters, usage

__all__ = ["Options", "makeService"]


class Options(UsageOptions):
    """The options of ``twistd engineio``, as ``ARGUMENTS`` lists them."""

    log = Logger()

    synopsis = "[engineio options]"
    longdesc = (
        "Serve Engine.IO: HTTP long-polling that upgrades to WebSocket. Without --app,"
        " an echo application runs, with a live page at /. Times are in seconds, sizes"
        " in bytes."
    )

    optParameters: ClassVar[list[list[Any]]] = parameters(ARGUMENTS.values())
    optFlags: ClassVar[list[list[Any]]] = flags(ARGUMENTS.values())

    def __init__(self) -> None:
        super().__init__()
        for name, each in ARGUMENTS.items():
            if each.repeatable:
                self[name] = []
        self._given: set[str] = set()

    def getUsage(self, width: int | None = None) -> str:
        """Return the help: the options in groups, each with its unit and default."""
        return usage(self.longdesc, ARGUMENTS.values(), width)

    def opt_version(self) -> None:
        """Print the versions of twisted_engineio and Twisted, and exit."""
        sys.stdout.write(f"twisted_engineio {__version__}\nTwisted {twisted_version}\n")
        raise SystemExit(0)

    def opt_listen(self, endpoint: str) -> None:
        """Add an endpoint to listen on."""
        self["listen"].append(endpoint)

    def opt_cors(self, origin: str) -> None:
        """Add a foreign origin that may use the server."""
        self["cors"].append(origin)

    def opt_trusted_proxy(self, network: str) -> None:
        """Add a proxy to trust."""
        self["trusted-proxy"].append(network)

    def parseArgs(self, *words: str) -> None:
        """
        Refuse words that belong to no option.

        Raises:
            UsageError: If there is one.

        """
        if words:
            raise UsageError(f"{words[0]!r} belongs to no option; --help lists them")

    def parseOptions(self, options: Any = None) -> None:
        """
        Read the command line.

        Raises:
            SystemExit: If an option is wrong, with one line that names it; twistd by
                itself would print the whole help before that.

        """
        words = list(sys.argv[1:] if options is None else options)
        # As Twisted parses them: an abbreviated name counts as the whole one.
        with suppress(getopt.GetoptError):
            found, _ = getopt.getopt(words, self.shortOpt, self.longOpt)
            self._given = {name.lstrip("-").replace("_", "-") for name, _ in found}
        try:
            super().parseOptions(options)
        except UsageError as error:
            raise SystemExit(f"twistd engineio: {error}") from None

    def postOptions(self) -> None:
        """
        Check every value, and keep the objects that are made from them.

        Raises:
            UsageError: If a value cannot work; nothing listens yet.

        """
        self["config"] = self._config()
        self["application"] = self._application()
        from twisted.internet import reactor

        self["endpoints"] = [
            check_description(reactor, *each) for each in self._addresses()
        ]
        if not PATH.fullmatch(self["path"]):
            root = ", not the root" if not self["path"].strip("/") else ""
            raise UsageError(
                f"--path: {self['path']!r} must be a path like /engine.io{root}"
            )
        self["watching"] = self._watching()
        if self["static"] is not None and not Path(self["static"]).is_dir():
            raise UsageError(f"--static: {self['static']!r} is not a directory")
        try:
            self["level"] = LogLevel.levelWithName(self["log-level"])
        except InvalidLogLevelError:
            names = ", ".join(each.name for each in LogLevel.iterconstants())
            raise UsageError(
                f"--log-level: {self['log-level']!r} is unknown; known are {names}"
            ) from None
        check_log_format(self["log-format"], self.parent)
        check_access_log(self["access-log"])
        for line in idle_options(self, self._given):
            self.log.warn("{problem}", problem=line)

    def _config(self) -> Config:
        try:
            return Config(
                **{
                    name: self._read(each.argument, each)
                    for name, each in OPTIONS.items()
                    if each.argument is not None
                }
            )
        except ConfigError as error:
            # Of a cookie's name, the option is called "cookie.name".
            each = OPTIONS[error.option.partition(".")[0]]
            problem = error.problem
            if ", or None" in problem:  # the command line has no word for None
                problem = problem.replace(", or None", "")
                if each.default is None:
                    problem += f"; leave it out for {on_command_line(each.none)}"
            raise UsageError(f"--{each.argument}: {problem}") from None

    def _read(self, argument: str, option: Option) -> Any:
        given = self[argument]
        if option.kind in NUMBERS:
            return self._number(argument, option)
        if option.kind is Kind.FLAG:
            return bool(given) is not bool(option.inverse)
        if option.name == "transports":
            return [each.strip() for each in given.split(",")]
        if option.name == "cookie":
            return Cookie(name=given) if given else None
        return given

    def _application(self) -> Application:
        if not self["app"]:
            return EchoApplication()
        try:
            return load(self["app"])
        except ConfigError as error:
            raise UsageError(f"--{error.option}: {error.problem}") from error.__cause__

    def _watching(self) -> Monitoring:
        from twisted.internet import reactor

        if self["metrics-listen"] is not None:
            endpoint = check_description(
                reactor, "--metrics-listen", self["metrics-listen"]
            )
            self["metrics-listen"] = endpoint
        return Monitoring(self, IReactorTime(reactor))

    def _number(self, argument: str, option: Option) -> Any:
        text = self[argument]
        if text is None:
            return None
        whole = option.kind is Kind.AMOUNT
        try:
            # Python accepts digits of other scripts, and "1_000".
            if not text.isascii() or "_" in text:
                raise ValueError
            return int(text) if whole else float(text)
        except ValueError:
            what = "a whole number" if whole else "a number"
            raise UsageError(f"--{argument}: {text!r} is not {what}") from None

    def _addresses(self) -> list[tuple[str, str]]:
        """Return the endpoints to listen on, each with the option that names it."""
        listen = [("--listen", each) for each in self["listen"]]
        # --listen replaces the default of --port, but not a --port that was given.
        given = "port" in self._given or not listen
        return [("--port", self["port"]), *listen] if given else listen


def makeService(options: Options) -> IService:
    """
    Make the service that the options describe.

    Args:
        options: Parsed and checked.

    """
    from twisted.internet import reactor

    watching: Monitoring = options["watching"]
    server = Server(
        options["application"],
        options["config"],
        clock=reactor,
        observers=watching.observers + _session_logs(options),
    )
    root = _root(options)
    put(root, options["path"], EngineIOResource(server))
    for path, page in watching.pages.items():
        put(root, path, page)
    _put_hint(root, server, options)
    access_log = options["access-log"]
    site = EngineIOSite(root, server, bounded=True, logPath=access_log)
    for path, fed in watching.servers.items():
        site.engineio_mounts.add(fed, path)
    make_observer = None
    if options["log-format"] == "json" and options.parent is not None:
        make_observer = partial(json_observer, options.parent)
    service = ServerService(server, options["level"], reactor, make_observer)
    for description in options["endpoints"]:
        endpoint = serverFromString(reactor, description)
        ListeningService(description, endpoint, site).setServiceParent(service)
    if access_log is not None:
        service.on_rotate(site.reopen_log)
    _serve_apart(options, service)
    for each in watching.services:
        each.setServiceParent(service)
    return service


def _session_logs(options: Options) -> list[Observer]:
    return [SessionLog()] if options["log-sessions"] else []


def _serve_apart(options: Options, service: ServerService) -> None:
    """Serve the metrics on ``--metrics-listen``, if that is given."""
    from twisted.internet import reactor

    apart = options["watching"].apart
    if apart:
        root = Resource()
        for path, page in apart.items():
            put(root, path, page)
        # For the limits alone: the server is not mounted there.
        site = EngineIOSite(root, service.server, "/engine.io", bounded=True)
        # A flood on the public port must not lock the operator out of this one.
        site.engineio_mounts.connections.limit = None
        description = options["metrics-listen"]
        endpoint = serverFromString(reactor, description)
        ListeningService(description, endpoint, site).setServiceParent(service)


def _put_hint(root: Resource, server: Server, options: Options) -> None:
    """Answer Socket.IO's clients at their default path, if nothing else is there."""
    name = b"socket.io"
    served = isinstance(root, File) and root.child(name).exists()
    if name not in root.children and not served:
        root.putChild(name, SocketIOHint(options["path"], server.rare_log))


def _root(options: Options) -> Resource:
    echoes = type(options["application"]) is EchoApplication
    pages = Pages(options["path"], options["config"].transports, echoes=echoes)
    return pages.root(options["static"], options["live"])

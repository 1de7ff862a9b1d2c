"""
The command line: ``twistd engineio``.

Every option is checked before anything listens; a mistake is one line. This is the only
module that imports the reactor.
"""

from __future__ import annotations

import getopt
import sys
from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorTime
from twisted.logger import InvalidLogLevelError, Logger, LogLevel
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError
from twisted.web.resource import Resource
from twisted.web.static import File

from ..application import Application, EchoApplication
from ..config import Config
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
from .log_format import (
    check_access_log,
    check_log_format,
    json_observer,
)
from .monitoring import PARAMETERS, Monitoring
from .pages import Pages
from .service import ServerService
from .unused_options import idle_options

__all__ = ["Options", "makeService"]

_DEFAULTS: Final = Config()
_OPTIONS: Final = {"trusted_proxies": "trusted-proxy", "cookie.name": "cookie"}
"""Options that are not called as in ``Config``."""
_NUMBERS: Final = (
    ("ping_interval", "Seconds from a pong to the next ping."),
    ("ping_timeout", "Seconds a client has to answer a ping."),
    ("ping_jitter", "Seconds a session's first ping may come early, at random."),
    ("upgrade_timeout", "Seconds a client has to upgrade."),
    ("close_timeout", "Seconds a closing session or WebSocket has to end."),
    ("request_timeout", "Seconds a client has to send a whole request."),
    ("keep_alive_timeout", "Seconds an idle connection is kept between requests."),
    ("first_poll_timeout", "Seconds a client has to poll first."),
    ("drain_timeout", "Seconds a stop takes at most."),
    ("handler_timeout", "Seconds a handler has whose client is gone."),
    ("paused_timeout", "Seconds an application may take no message and hold more."),
    ("max_payload", "Bytes of one request or message."),
    ("max_fragments", "Frames of one WebSocket message."),
    ("max_packets", "Packets of one POST."),
    ("max_upgrade_attempts", "Upgrades a session may try in a ping interval."),
    ("max_buffered", "Bytes that may wait for a client until it is dropped."),
    ("high_water_mark", "Bytes that wait, above which send returns False."),
    ("low_water_mark", "Bytes that wait, at which a session is drained."),
    ("max_sessions", "Sessions at one time."),
    ("max_connections", "Connections at one time; twice max-sessions if left out."),
    ("max_sessions_per_address", "Sessions of one client address."),
    ("max_handshakes_per_second", "New sessions each second."),
    ("max_messages_per_second", "Packets a session may send each second."),
    ("max_bytes_per_second", "Bytes a session may send each second."),
    ("http_compression_threshold", "Bytes from which on an answer is compressed."),
    ("per_message_deflate_threshold", "Bytes likewise, of a WebSocket message."),
    ("cors_max_age", "Seconds a browser may remember a preflight's answer."),
    ("sse_max_bytes", "Bytes after which a stream of events ends, to be resumed."),
    ("sse_max_age", "Seconds after which it ends likewise."),
    ("sse_keepalive", "Seconds of silence until it carries a comment."),
    ("sse_ring_events", "Events that may be unacknowledged."),
    ("sse_ring_bytes", "Bytes of events likewise."),
    ("sse_ack_timeout", "Seconds a client has to acknowledge then."),
)
"""Every number of ``Config``, and what ``--help`` says of it."""
_WHOLE: Final = {each.name for each in fields(Config) if "int" in str(each.type)}


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _default(name: str) -> str | None:
    value = getattr(_DEFAULTS, name)
    return None if value is None else str(value)


class Options(UsageOptions):
    """What ``twistd engineio`` takes; see ``Config`` for what each value means."""

    log = Logger()

    synopsis = "[engineio options]"
    longdesc = (
        "Serve Engine.IO: HTTP long-polling that moves to WebSocket. Without --app, an"
        " echo application runs, with a live page at /. See --live for other ones."
    )

    optParameters: ClassVar[list[list[Any]]] = [
        ["port", None, "3000", "Where to listen: a port number or an endpoint string."],
        ["path", None, "/engine.io", "Where in the site the server stands."],
        ["app", None, None, "MODULE:NAME of an Application: class, object or factory."],
        *([_dashed(name), None, _default(name), text] for name, text in _NUMBERS),
        ["over-rate", None, "pause", "What to do with who sends more: pause or close."],
        ["transports", None, "polling,websocket", "The transports that are on."],
        ["cookie", None, None, "The name of a cookie to set with the session's id."],
        ["static", None, None, "A directory to serve at /."],
        ["live", None, None, "Where to put the live page, also with --app: /live."],
        *PARAMETERS,
        ["log-level", None, "info", "debug, info, warn, error or critical."],
        ["log-format", None, "text", "text, or json: one object for each line."],
        ["access-log", None, None, "A file that has a line for each request."],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["log-sessions", None, "Log when sessions open, are upgraded and close."],
        ["no-upgrades", None, "Let polling sessions stay on polling."],
        ["allow-eio3", None, "Serve clients of revision 3 (Socket.IO 2) too."],
        ["jsonp", None, "Serve JSONP to browsers without CORS: any page may load it."],
        ["no-http-compression", None, "Leave answers to polls as they are."],
        ["per-message-deflate", None, "Let WebSocket messages be compressed."],
        [
            "per-message-deflate-takeover",
            None,
            "Keep the memory of compression between messages.",
        ],
        ["cors-credentials", None, "Let the origins of --cors send cookies."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self["cors"] = []
        self["trusted-proxy"] = []
        self._given: set[str] = set()

    def opt_listen(self, endpoint: str) -> None:
        """Listen here too, and not on --port unless it is given; repeatable."""
        self["listen"].append(endpoint)

    def opt_cors(self, origin: str) -> None:
        """Let pages of this origin use the server; * for any; repeatable."""
        self["cors"].append(origin)

    def opt_trusted_proxy(self, network: str) -> None:
        """Believe what this address or network says of its clients; repeatable."""
        self["trusted-proxy"].append(network)

    def parseArgs(self, *words: str) -> None:
        """
        Take no word that belongs to no option.

        Raises:
            UsageError: If there is one.

        """
        if words:
            raise UsageError(f"{words[0]!r} belongs to no option; --help lists them")

    def parseOptions(self, options: Any = None) -> None:
        """
        Read the command line.

        Raises:
            SystemExit: If an option is wrong, with one line that says what and how;
                twistd itself would print the whole help before it.

        """
        words = list(sys.argv[1:] if options is None else options)
        # As Twisted reads them, which takes what is short of a name for the whole.
        with suppress(getopt.GetoptError):
            found, _ = getopt.getopt(words, self.shortOpt, self.longOpt)
            self._given = {name.lstrip("-").replace("_", "-") for name, _ in found}
        try:
            super().parseOptions(options)
        except UsageError as error:
            raise SystemExit(f"twistd engineio: {error}") from None

    def postOptions(self) -> None:
        """
        Check everything, and keep what was made of it.

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
                **{name: self._number(name) for name, _ in _NUMBERS},
                over_rate=self["over-rate"],
                transports=[each.strip() for each in self["transports"].split(",")],
                allow_upgrades=not self["no-upgrades"],
                allow_eio3=bool(self["allow-eio3"]),
                jsonp=bool(self["jsonp"]),
                http_compression=not self["no-http-compression"],
                per_message_deflate=bool(self["per-message-deflate"]),
                per_message_deflate_takeover=bool(self["per-message-deflate-takeover"]),
                cors_credentials=bool(self["cors-credentials"]),
                cookie=Cookie(name=self["cookie"]) if self["cookie"] else None,
                cors=self["cors"],
                trusted_proxies=self["trusted-proxy"],
            )
        except ConfigError as error:
            option = _OPTIONS.get(error.option, _dashed(error.option))
            problem = error.problem
            if ", or None" in problem:  # which nobody can type
                problem = problem.replace(", or None", "")
                if error.option == "max_connections":
                    problem += "; leave it out for twice --max-sessions"
                elif _default(error.option) is None:
                    problem += "; leave it out for no limit"
            raise UsageError(f"--{option}: {problem}") from None

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

    def _number(self, name: str) -> Any:
        option = _dashed(name)
        text = self[option]
        if text is None:
            return None
        kind, what = (int, "a whole number") if name in _WHOLE else (float, "a number")
        try:
            # Python takes digits of other scripts, and "1_000".
            if not text.isascii() or "_" in text:
                raise ValueError
            return kind(text)
        except ValueError:
            raise UsageError(f"--{option}: {text!r} is not {what}") from None

    def _addresses(self) -> list[tuple[str, str]]:
        """Tell where to listen, each with the option that says so."""
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
    """Serve what has an endpoint of its own."""
    from twisted.internet import reactor

    apart = options["watching"].apart
    if apart:
        root = Resource()
        for path, page in apart.items():
            put(root, path, page)
        # For the limits alone: the server does not stand there.
        site = EngineIOSite(root, service.server, "/engine.io", bounded=True)
        # A flood of the other port must not lock the operator out of this one.
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

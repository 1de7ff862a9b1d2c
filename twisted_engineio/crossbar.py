"""
For Crossbar's configuration: an Engine.IO server as a web service of type "resource".

Crossbar calls ``mount`` or ``root`` with the options under ``extra``. An invalid option
makes its start fail with a single line that says what is wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from twisted.web.resource import Resource
from twisted.web.static import File

from .application import Application, EchoApplication
from .config import Config
from .cookie import Cookie
from .exceptions import ConfigError
from .server.load_application import load
from .server.server import Server
from .wamp import WampApplication, connect
from .web.resource import EngineIOResource
from .web.service import EngineIOService

__all__ = ["mount", "root"]

_OURS: Final = ("app", "router", "realm", "authentication", "prefix")
"""Options of ``mount`` besides those of ``Config``."""
_ROOTS: Final = ("path", "static")
"""Options of ``root`` besides those of ``mount``."""
_PATH: Final = re.compile(r"/([A-Za-z0-9._~-]+)/?")


def mount(
    extra: Mapping[str, Any] | None = None, *, reactor: Any = None
) -> EngineIOResource:
    """
    Create a resource for one of Crossbar's paths.

    Args:
        extra: Options, named as in ``Config``, and ``app``: ``MODULE:NAME`` of an
            Application. With ``router``, the URL of a WAMP router, the application is a
            ``WampApplication``, which also takes ``realm``, ``authentication`` and
            ``prefix``. Without ``app`` and ``router``, the server echoes.
        reactor: The reactor; Twisted's global reactor if omitted.

    Raises:
        ConfigError: If an option is unknown or invalid.

    """
    options = _known(extra, _OURS)
    ours = {str(name): options.pop(name) for name in _OURS if name in options}
    application = _application(ours)
    server = Server(application, _config(options), clock=reactor)
    # Crossbar passes no reactor: use the clock of the server, the global reactor.
    reactor = server.clock
    # Crossbar does this for its own services. A factory inside a resource is otherwise
    # started by the port that it listens on, and this one has none.
    server.websockets.startFactory()
    service = EngineIOService(server)
    if isinstance(application, WampApplication) and "router" in ours:
        connect(
            application,
            ours["router"],
            ours.get("realm", "realm1"),
            authentication=ours.get("authentication"),
            reactor=reactor,
        ).setServiceParent(service)
    service.startService()  # without a parent: it stops with the reactor
    return EngineIOResource(server)


def root(extra: Mapping[str, Any] | None = None, *, reactor: Any = None) -> Resource:
    """
    Create a resource for Crossbar's path ``"/"``, with the server at a path below it.

    Crossbar refuses paths with a dot, such as ``engine.io``, the default path of
    clients. This resource serves it. Crossbar's other paths are not affected.

    Args:
        extra: As for ``mount``, and ``path``: the path of the server, ``/engine.io`` by
            default; and ``static``: a directory to serve at ``/``.
        reactor: As for ``mount``.

    Raises:
        ConfigError: If an option is unknown or invalid.

    """
    options = _known(extra, (*_OURS, *_ROOTS))
    path = options.pop("path", "/engine.io")
    found = _PATH.fullmatch(path) if isinstance(path, str) else None
    if found is None:
        raise ConfigError("path", f"must be one segment like /engine.io, not {path!r}")
    static = options.pop("static", None)
    if static is not None and not (isinstance(static, str) and Path(static).is_dir()):
        raise ConfigError("static", f"{static!r} is not a directory")
    top = Resource() if static is None else File(static)
    top.putChild(found[1].encode(), mount(options, reactor=reactor))
    return top


def _known(extra: Mapping[str, Any] | None, besides: tuple[str, ...]) -> dict[str, Any]:
    """Return a copy of the options; raise ``ConfigError`` for an unknown one."""
    if extra is not None and not isinstance(extra, Mapping):
        raise ConfigError("extra", f"must be an object, not {extra!r}")
    options = dict(extra or {})
    _refuse_unknown(options, [*besides, *(each.name for each in fields(Config))])
    return options


def _refuse_unknown(given: Mapping[str, Any], known: list[str], of: str = "") -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {known}"
            raise ConfigError(of + name, f"there is no such option; {hint}")


def _config(options: dict[str, Any]) -> Config:
    """Create a Config from JSON values: a cookie is a name, or an object of options."""
    cookie = options.get("cookie")
    if isinstance(cookie, str):
        options["cookie"] = Cookie(name=cookie)
    elif isinstance(cookie, Mapping):
        _refuse_unknown(cookie, [each.name for each in fields(Cookie)], "cookie.")
        options["cookie"] = Cookie(**cookie)
    return Config(**options)


def _application(ours: Mapping[str, Any]) -> Application:
    for name in ("app", "router", "realm"):
        if name in ours and not isinstance(ours[name], str):
            raise ConfigError(name, f"must be text, not {ours[name]!r}")
    if "router" not in ours:
        for name in ("realm", "authentication", "prefix"):
            if name in ours:
                raise ConfigError(name, "requires router, the URL of a WAMP router")
        return load(ours["app"]) if "app" in ours else EchoApplication()
    application = load(ours["app"]) if "app" in ours else WampApplication()
    if not isinstance(application, WampApplication):
        kind = type(application).__name__
        raise ConfigError(
            "router", f"app must be a WampApplication to use a router, not {kind}"
        )
    if "prefix" in ours:
        prefix = ours["prefix"]
        if prefix is not None and not isinstance(prefix, str):
            raise ConfigError("prefix", f"must be text or null, not {prefix!r}")
        application.prefix = prefix
    return application

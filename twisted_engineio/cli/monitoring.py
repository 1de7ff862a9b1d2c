"""
The options ``--metrics`` and ``--status`` of the command line.

``options.py`` passes the parsed options, and adds the resources to its site.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.usage import UsageError

from ..monitoring.access import AccessControl
from ..monitoring.counters import Counters
from ..monitoring.status import StatusPage, StatusService
from ..web.http1.mount_points import PATH

if TYPE_CHECKING:
    from twisted.application.service import IService
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.resource import IResource

    from ..observer import Observer
    from ..server.server import Server

__all__ = ["Monitoring"]


class Monitoring:
    """
    The resources and services that the options ask for.

    Attributes:
        observers: The observers to add to the server.
        pages: The resources for the server's site, by path.
        apart: The resources for ``--metrics-listen``, by path.
        servers: The Engine.IO servers in those resources, by path.
        services: The services to run with the server.

    """

    log = Logger()

    def __init__(self, options: Mapping[str, Any], clock: IReactorTime) -> None:
        """
        Check the options, and create what they ask for.

        Args:
            options: The parsed options of the command line.
            clock: The clock to schedule timers on.

        Raises:
            UsageError: If an option is invalid.

        """
        self.observers: list[Observer] = []
        self.pages: dict[str, IResource] = {}
        self.apart: dict[str, IResource] = {}
        self.servers: dict[str, Server] = {}
        self.services: list[IService] = []
        _check_paths(options)
        token = _read_token(options["token-file"])
        trusted = options["config"].trusted_proxies
        counters = Counters(clock=clock)
        if options["metrics"] is not None:
            counters = self._add_metrics(options, clock, token)
        if options["status"] is not None:
            access = AccessControl(token, trusted)
            service = StatusService(
                counters,
                access,
                clock=clock,
                trusted_proxies=trusted,
                request_timeout=options["config"].request_timeout,
            )
            self.pages[options["status"]] = StatusPage(service, access)
            self.servers[options["status"].rstrip("/") + "/engine.io"] = service.server
            self.services.append(service)
        if self.pages and trusted and token is None:
            self.log.warn(
                "{pages}: no client has access, because --trusted-proxy is set without"
                " a token; set one with --token-file",
                pages=" and ".join(self.pages),
            )
        if self.pages or self.apart:
            self.observers.append(counters)

    def _add_metrics(
        self, options: Mapping[str, Any], clock: IReactorTime, token: str | None
    ) -> Counters:
        if find_spec("prometheus_client") is None:
            raise UsageError(
                "--metrics: prometheus_client is missing; pip install prometheus-client"
            )
        from ..monitoring.metrics import Metrics, MetricsResource

        metrics = Metrics(clock=clock)
        apart = options["metrics-listen"] is not None
        # Without a token, access to a separate endpoint is decided by its address.
        access = None
        if token is not None or not apart:
            access = AccessControl(token, options["config"].trusted_proxies)
        pages = self.apart if apart else self.pages
        pages[options["metrics"]] = MetricsResource(metrics.registry, access)
        return metrics


def _check_paths(options: Mapping[str, Any]) -> None:
    """
    Check that no two options name the same path, or paths inside each other's.

    Raises:
        UsageError: If they do, or if a path is malformed.

    """
    if options["live"] == "/" and options["static"] is not None:
        raise UsageError("--live: '/' is used by --static; give a path like /live")
    if options["metrics-listen"] is not None and options["metrics"] is None:
        raise UsageError("--metrics-listen: needs --metrics, which sets the path")
    taken = {"--path": options["path"].strip("/") + "/"}
    for name in ("metrics", "status", "live"):
        path = options[name]
        if path is None or (name, path) == ("live", "/"):
            continue
        if not PATH.fullmatch(path):
            raise UsageError(f"--{name}: {path!r} must be a path like /{name}")
        mine = path.strip("/") + "/"
        for other, its in taken.items():
            if mine.startswith(its) or its.startswith(mine):
                raise UsageError(f"--{name}: {path!r} conflicts with {other}")
        taken[f"--{name}"] = mine


def _read_token(name: str | None) -> str | None:
    """
    Read the token from its file, if one is given.

    Raises:
        UsageError: If the file cannot be read, or contains no valid token.

    """
    if name is None:
        return None
    try:
        token = Path(name).read_text("latin-1").strip()
        AccessControl(token)
    except (OSError, ValueError) as error:
        raise UsageError(f"--token-file: {name!r}: {error}") from None
    return token

"""
The command line's ``--metrics`` and ``--status``: what an operator may look at.

``options.py`` gives it the options, and puts what is made here into its site.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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

__all__ = ["PARAMETERS", "Monitoring"]

PARAMETERS: Final[list[list[Any]]] = [
    ["metrics", None, None, "Where in the site Prometheus finds metrics: /metrics."],
    ["metrics-listen", None, None, "An endpoint for them, in place of the site's."],
    ["status", None, None, "Where in the site a live status page stands: /status."],
    [
        "token-file",
        None,
        None,
        "A file with the token that --metrics and --status ask for.",
    ],
]
"""The options, as ``twisted.python.usage`` takes them."""


class Monitoring:
    """
    What the options ask for, checked and made.

    Attributes:
        observers: What shall observe the server.
        pages: What stands in its site, by path.
        apart: What stands on ``--metrics-listen`` instead, by path.
        servers: The Engine.IO servers in those pages, by path.
        services: What runs as long as the server.

    """

    log = Logger()

    def __init__(self, options: Mapping[str, Any], clock: IReactorTime) -> None:
        """
        Check the options, and make what they ask for.

        Args:
            options: As the command line gives them.
            clock: What to measure time with.

        Raises:
            UsageError: If one cannot work.

        """
        self.observers: list[Observer] = []
        self.pages: dict[str, IResource] = {}
        self.apart: dict[str, IResource] = {}
        self.servers: dict[str, Server] = {}
        self.services: list[IService] = []
        _check_paths(options)
        token = _read_token(options["token-file"])
        trusted = options["config"].trusted_proxies
        tally = Counters(seconds=clock.seconds)
        if options["metrics"] is not None:
            tally = self._add_metrics(options, clock, token)
        if options["status"] is not None:
            guard = AccessControl(token, trusted)
            service = StatusService(
                tally,
                guard,
                clock=clock,
                trusted_proxies=trusted,
                request_timeout=options["config"].request_timeout,
            )
            self.pages[options["status"]] = StatusPage(service, guard)
            self.servers[options["status"].rstrip("/") + "/engine.io"] = service.server
            self.services.append(service)
        if self.pages and trusted and token is None:
            self.log.warn(
                "{pages}: nobody is let in, for with --trusted-proxy only a token tells"
                " an operator from the world; give one with --token-file",
                pages=" and ".join(self.pages),
            )
        if self.pages or self.apart:
            self.observers.append(tally)

    def _add_metrics(
        self, options: Mapping[str, Any], clock: IReactorTime, token: str | None
    ) -> Counters:
        if find_spec("prometheus_client") is None:
            raise UsageError(
                "--metrics: prometheus_client is missing; pip install prometheus-client"
            )
        from ..monitoring.metrics import Metrics, MetricsResource

        metrics = Metrics(seconds=clock.seconds)
        apart = options["metrics-listen"] is not None
        # Who reaches an endpoint of its own is decided by where that is.
        guard = None
        if token is not None or not apart:
            guard = AccessControl(token, options["config"].trusted_proxies)
        pages = self.apart if apart else self.pages
        pages[options["metrics"]] = MetricsResource(metrics.registry, guard)
        return metrics


def _check_paths(options: Mapping[str, Any]) -> None:
    """
    See that nothing stands in another's way.

    Raises:
        UsageError: If it does, or if a path is none.

    """
    if options["live"] == "/" and options["static"] is not None:
        raise UsageError("--live: '/' is where --static serves; give a path like /live")
    if options["metrics-listen"] is not None and options["metrics"] is None:
        raise UsageError("--metrics-listen: needs --metrics, to say where there")
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
                raise UsageError(f"--{name}: {path!r} stands in the way of {other}")
        taken[f"--{name}"] = mine


def _read_token(name: str | None) -> str | None:
    """
    Read the token, if there is one.

    Raises:
        UsageError: If the file cannot be read, or holds no token.

    """
    if name is None:
        return None
    try:
        token = Path(name).read_text("latin-1").strip()
        AccessControl(token)
    except (OSError, ValueError) as error:
        raise UsageError(f"--token-file: {name!r}: {error}") from None
    return token

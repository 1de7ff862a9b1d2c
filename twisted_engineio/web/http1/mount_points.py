"""
Which paths of a site are which servers', and what its connections share.

What a Site enforces for a resource of ours, it must know before there is a resource:
from the request's path. ``body_limit.py`` asks here, and the channels
(``request_timeout.py`` and its like) for how long a client may take and how much may
wait for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource

from ...exceptions import ConfigError
from ...session.shared_timeout import SharedTimeout
from ...transports.time_slices import TimeSlices
from .connection_limit import ConnectionLimit, limit_of

if TYPE_CHECKING:
    from ...server.server import Server
    from ...transports.websocket.factory import WebSocketFactory

__all__ = ["PATH", "MountPoints", "put"]

PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?")
"""Where in a site something may stand, as an operator writes it."""

_SLICE: Final = 0.004
"""Seconds of a turn of the reactor for all connections whose clients have sent requests
ahead: some twenty requests. A client on a LAN does not notice them."""


def put(root: Resource, path: str, child: IResource) -> None:
    """
    Put a resource at a path of any depth.

    Args:
        root: The root of the site.
        path: Where, from there; one that ``PATH`` matches.
        child: The resource.

    """
    *folders, last = path.strip("/").encode().split(b"/")
    for folder in folders:
        inner = root.children.get(folder)  # two may stand in one folder
        if inner is None:
            inner = Resource()
            root.putChild(folder, inner)
        root = inner
    root.putChild(last, child)


class MountPoints:
    """
    The Engine.IO servers of one site.

    Attributes:
        clock: What the site's connections measure time with; the first server's.
        log_limit: What its connections' lines in the log count against; likewise.
        request_timeout: Seconds for a whole request: the shortest of its servers'
            ``Config.request_timeout``.
        keep_alive_timeout: Seconds that a connection may stay idle between requests;
            the longest of its servers'.
        patience: Seconds after which a connection is looked at, at the latest.
        high_water_mark: Bytes of answers that may wait for a client before no further
            request of its connection is handled; the least of its servers'.
        slices: Shares the time for requests that clients have sent ahead.
        closing: Aborts the connections that are not closed ``close_timeout`` after they
            should be; the shortest of its servers'.
        connections: The connections of the site, where it is our own port; its first
            server's ``Config.max_connections`` is their limit.
        elsewhere: The server whose ``max_payload`` bounds what is discarded of bodies
            at all other paths; ``None`` if the site's other resources take bodies.
        silent: Cuts off who has connected and says nothing for ``request_timeout``.

    """

    def __init__(
        self,
        server: Server,
        path: str | bytes,
        elsewhere: Server | None = None,
        keep_alive_timeout: float | None = None,
    ) -> None:
        """
        Know one server.

        Args:
            server: The server.
            path: Where its resource stands, from the root of the site.
            elsewhere: Whose ``max_payload`` holds for the rest of the site.
            keep_alive_timeout: Seconds that a connection may stay idle between
                requests, instead of what its servers' ``Config`` says.

        """
        self.elsewhere = elsewhere
        self._idle = keep_alive_timeout
        self._servers: dict[bytes, Server] = {}
        self.clock: IReactorTime = server.clock
        self.log_limit = server.log.limit
        self.slices = TimeSlices(self.clock, _SLICE)
        self._websockets: list[WebSocketFactory] = []
        self.connections = ConnectionLimit(limit_of(server.config), self._websockets)
        self.add(server, path)

    def add(self, server: Server, path: str | bytes) -> None:
        """
        Know one more; again what is known already is nothing new.

        Args:
            server: The server.
            path: Where its resource stands, from the root of the site.

        Raises:
            ConfigError: If another server stands there.

        """
        name = path.encode() if isinstance(path, str) else path
        place = b"/" + name.strip(b"/")
        if self._servers.setdefault(place.rstrip(b"/"), server) is not server:
            raise ConfigError(
                "path", f"{path!r} is another server's; give each a path of its own"
            )
        servers = self._servers.values()
        self._websockets[:] = {each.websockets for each in servers}
        configs = [each.config for each in servers]
        self.request_timeout = min(each.request_timeout for each in configs)
        idle = max(each.keep_alive_timeout for each in configs)
        self.keep_alive_timeout = idle if self._idle is None else self._idle
        self.patience = min(self.request_timeout, self.keep_alive_timeout)
        self.high_water_mark = min(each.high_water_mark for each in configs)
        self.silent = SharedTimeout(self.clock, self.request_timeout)
        self.closing = SharedTimeout(
            self.clock, min(each.close_timeout for each in configs)
        )

    def server_at(self, path: bytes) -> Server | None:
        """
        Tell whose request it is.

        Args:
            path: The request's path, as it came.

        """
        if b"%" in path:
            path = unquote_to_bytes(path)
        return self._servers.get(path.rstrip(b"/"))

"""
The paths of a Site's Engine.IO servers, and the limits that its connections share.

A Site must enforce the limits before twisted.web has found a resource, by the request's
path alone. ``body_limit.py`` looks the path up here; the channels
(``request_timeout.py`` and others) take their timeouts and buffer sizes from here.
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
"""A path in a site, as an operator writes it."""

_SLICE: Final = 0.004
"""Seconds per reactor turn for the pipelined requests of all connections: about twenty
requests. The delay is not noticeable on a LAN."""


def put(root: Resource, path: str, child: IResource) -> None:
    """
    Put a resource at a path of any depth.

    Args:
        root: The root of the site.
        path: The path from the root; must match ``PATH``.
        child: The resource.

    """
    *folders, last = path.strip("/").encode().split(b"/")
    for folder in folders:
        inner = root.children.get(folder)  # two resources may share a folder
        if inner is None:
            inner = Resource()
            root.putChild(folder, inner)
        root = inner
    root.putChild(last, child)


class MountPoints:
    """
    The Engine.IO servers of one Site, by path.

    Attributes:
        clock: The clock of the Site's connections; the first server's.
        log_limit: The rate limit of the connections' log lines; the first server's.
        request_timeout: Seconds for a whole request; the shortest of the servers'
            ``Config.request_timeout``.
        keep_alive_timeout: Seconds that a connection may be idle between requests; the
            longest of the servers'.
        check_interval: Maximum seconds between two checks of a connection.
        high_water_mark: Bytes of unsent answers above which no further request of the
            connection is handled; the lowest of the servers'.
        slices: Distributes the time for pipelined requests.
        closing: Aborts connections that are not closed within ``close_timeout``; the
            shortest of the servers'.
        connections: The connection count of the Site, if it is an ``EngineIOSite``;
            limited by the first server's ``Config.max_connections``.
        elsewhere: The server whose ``max_payload`` limits bodies at all other paths;
            ``None`` if other resources of the Site accept bodies.
        first_byte_timeout: Disconnects clients that send nothing for
            ``request_timeout`` after they have connected.

    """

    def __init__(
        self,
        server: Server,
        path: str | bytes,
        elsewhere: Server | None = None,
        keep_alive_timeout: float | None = None,
    ) -> None:
        """
        Create the mapping with one server.

        Args:
            server: The server.
            path: The path of its resource, from the root of the site.
            elsewhere: The server whose ``max_payload`` applies to all other paths.
            keep_alive_timeout: Seconds that a connection may stay idle between
                requests, instead of what the ``Config`` of its servers says.

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
        Add a server; adding the same server again has no effect.

        Args:
            server: The server.
            path: The path of its resource, from the root of the site.

        Raises:
            ConfigError: If another server is already at that path.

        """
        name = path.encode() if isinstance(path, str) else path
        place = b"/" + name.strip(b"/")
        if self._servers.setdefault(place.rstrip(b"/"), server) is not server:
            raise ConfigError(
                "path", f"{path!r} is another server's; give each server its own path"
            )
        servers = self._servers.values()
        self._websockets[:] = {each.websockets for each in servers}
        configs = [each.config for each in servers]
        self.request_timeout = min(each.request_timeout for each in configs)
        idle = max(each.keep_alive_timeout for each in configs)
        self.keep_alive_timeout = idle if self._idle is None else self._idle
        self.check_interval = min(self.request_timeout, self.keep_alive_timeout)
        self.high_water_mark = min(each.high_water_mark for each in configs)
        self.first_byte_timeout = SharedTimeout(self.clock, self.request_timeout)
        self.closing = SharedTimeout(
            self.clock, min(each.close_timeout for each in configs)
        )

    def server_at(self, path: bytes) -> Server | None:
        """
        Return the server at a path, if there is one.

        Args:
            path: The request's path, undecoded.

        """
        if b"%" in path:
            path = unquote_to_bytes(path)
        return self._servers.get(path.rstrip(b"/"))

"""
A twisted.web Site with the limits that a Resource cannot enforce.

twisted.web calls a Resource when the whole body of a request has arrived, and sets no
limit on the time a client may take to send it. ``request_timeout.py`` limits that time,
``body_limit.py`` the size of the body, and ``mount_points.py`` knows the paths they
apply to. This file combines them into our own Site; ``site_limits.py`` adds them to an
existing one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPFactory, Request, _GenericHTTPChannelProtocol
from twisted.web.resource import Resource
from twisted.web.server import Site

from ..policy.forwarded import TrustedProxies
from .access_log import redact_log_of
from .body_limit import EngineIORequest
from .fast_http import FastHTTPProtocol
from .http1.channel import EngineIOChannel
from .http1.connection_limit import RefusedConnection
from .http1.mount_points import MountPoints
from .resource import EngineIOResource

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress
    from twisted.web.resource import IResource

    from ..server.server import Server

__all__ = ["EngineIOSite"]

_SID: Final = re.compile(rb"[?&]sid=([^&\s]*)")


class Connection(_GenericHTTPChannelProtocol):
    """An HTTP connection, of any version, that counts against ``max_connections``."""

    _channel: Any

    def __init__(self) -> None:
        channel = EngineIOChannel()
        super().__init__(channel)
        channel.owner = self

    def makeConnection(self, transport: Any) -> None:
        """Count the connection."""
        self.site.engineio_mounts.connections.begin(self)
        super().makeConnection(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Remove the connection from the count."""
        self.site.engineio_mounts.connections.end(self)
        super().connectionLost(reason)
        self._channel.owner = None  # break the reference cycle

    def stop(self) -> None:
        """Close the connection unless a request is in progress: the port stops."""
        if isinstance(self._channel, EngineIOChannel):
            self._channel.stop()  # HTTP/2 connections are closed by twisted.web


class EngineIOSite(Site):
    """
    A twisted.web Site that enforces the limits of the Engine.IO server in it.

    Attributes:
        server: The server that the site was created for.
        engineio_mounts: The paths of its Engine.IO servers; ``protect`` adds others.
        logs_upgrades: Whether the access log has a line for each WebSocket upgrade.

    """

    requestFactory = EngineIORequest

    def __init__(
        self,
        root: IResource,
        server: Server,
        path: str = "/engine.io",
        *,
        lean: bool = True,
        door: bool = True,
        bounded: bool = False,
        **options: Any,
    ) -> None:
        """
        Create a site.

        Args:
            root: The root resource; it must hold an ``EngineIOResource`` at ``path``.
            server: The server of that resource.
            path: The path of that resource, from the root.
            lean: Whether to drop request headers that no answer of ours depends on,
                from requests of a session. False if a resource wrapped around ours
                reads them.
            door: Whether to admit WebSockets on the fast path, before twisted.web
                parses their handshakes, where no other code takes part in the answer.
            bounded: Whether no other resource of the site accepts request bodies; then
                none is collected for them either.
            options: As for twisted.web's Site. An access log is written only if
                ``logPath`` is given; session ids are redacted in it.

        """
        config = server.config
        # Applies to HTTP/2: twisted.web counts a connection with a held poll as idle.
        idle = max(
            config.request_timeout,
            config.keep_alive_timeout,
            config.ping_interval + config.ping_timeout,
        )
        super().__init__(root, timeout=idle, reactor=server.clock, **options)
        self.logs_upgrades = self.logPath is not None
        own_log = options.get("logFormatter") is None
        # A custom formatter may read any attribute of twisted.web's request.
        self._unread = own_log or not self.logs_upgrades
        trusted = config.trusted_proxies if own_log else ()
        redact_log_of(self, TrustedProxies(trusted) if trusted else None)
        self.server = server
        self.engineio_mounts = MountPoints(server, path, server if bounded else None)
        self._lean = lean
        self._door = door
        self._path = b"/" + path.strip("/").encode()
        self._names = self._path.split(b"/")[1:]

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return the protocol that reads the first bytes of a connection."""
        if self.engineio_mounts.connections.is_full():
            self.server.refuse_connection(getattr(addr, "host", None))
            return RefusedConnection()
        return FastHTTPProtocol(self, addr) if self._door else self.channel(addr)

    def channel(self, addr: IAddress | None) -> Any:
        """
        Return twisted.web's own protocol for a connection.

        Args:
            addr: The client's address.

        """
        return super().buildProtocol(addr)

    def protocol(self) -> _GenericHTTPChannelProtocol:
        """Return the protocol of a connection."""
        return Connection()

    def stopFactory(self) -> None:
        """Close idle connections: the port has stopped listening."""
        super().stopFactory()
        self.engineio_mounts.connections.stop()

    def resource_at(self, path: bytes) -> EngineIOResource | None:
        """
        Return the Engine.IO resource at a path, if only it takes part in the answer.

        Args:
            path: The path of a request, undecoded.

        Returns:
            The resource; None if another resource, an observer or a subclass may
            affect the answer, so that twisted.web must handle the request.

        """
        if path.rstrip(b"/") != self._path or path[-2:] == b"//":
            return None
        server = self.server
        if not self._undressed or server.hooks.headers:
            return None
        if server.config.per_message_deflate:
            return None
        if self.requestFactory is not EngineIORequest:
            return None
        if type(self).getResourceFor is not Site.getResourceFor:
            return None
        node: object = self.resource
        for name in self._names:
            if not isinstance(node, Resource) or node.isLeaf:
                return None
            if type(node).getChildWithDefault is not Resource.getChildWithDefault:
                return None
            node = node.children.get(name)
        return node if type(node) is EngineIOResource else None

    @property
    def _undressed(self) -> bool:
        """Whether no code but our resource reads the headers of its requests."""
        watched = self.server.hooks.whole_requests
        return self._lean and not watched and self._unread

    def is_lean(self, request_line: bytes) -> bool:
        """
        Return whether unused headers may be dropped from a request.

        Args:
            request_line: The first line of the request.

        """
        if not self._undressed or self.server.config.jsonp:
            return False  # JSONP checks Referer and Sec-Fetch-Site
        sids = _SID.findall(request_line)
        # The last of repeated keys counts. An unknown id may be a handshake's.
        if not sids or sids[-1].decode("latin-1") not in self.server.sessions:
            return False
        _, _, uri = request_line.partition(b" ")
        return self.engineio_mounts.server_at(uri.partition(b"?")[0]) is self.server

    def _openLogFile(self, path: str | bytes) -> Any:
        """Open the access log for appending; unlike twisted.web's, it never rotates."""
        return HTTPFactory._openLogFile(self, path)

    def reopen_log(self) -> None:
        """Reopen the access log by its name, after it was renamed."""
        if self._logFile is None or self.logPath is None:
            return
        try:
            opened = self._openLogFile(self.logPath)
        except OSError as error:
            self.server.log.error(
                "cannot open the access log: {why}; still writing to the old file",
                why=str(error),
            )
            return
        self._logFile.close()
        self._logFile = opened

    def log(self, request: Request) -> None:
        """Write the access log's line about a request, if there is an access log."""
        if not self.logs_upgrades:
            return
        try:
            super().log(request)
        except OSError as error:  # such as a full disk: serve the request anyway
            self.server.log.error("cannot write the access log: {why}", why=str(error))

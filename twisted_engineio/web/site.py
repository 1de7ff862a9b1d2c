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
from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPFactory, Request, _GenericHTTPChannelProtocol
from twisted.web.resource import Resource
from twisted.web.server import Site

from ..exceptions import ConfigError
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

    from ..config import Config
    from ..server.server import Server

__all__ = ["EngineIOSite"]

_SID: Final = re.compile(rb"[?&]sid=([^&\s]*)")


def _paths_of(server: Server, root: object) -> list[bytes]:
    """Return the paths at which resources of a server stand in a tree."""
    paths = [*_walk(server, root)]
    if not paths:
        raise ConfigError(
            "root",
            "no EngineIOResource of this server is in its tree; put it there before"
            " the site is made, or give path= if a resource of yours returns it",
        )
    return paths


def _walk(
    server: Server, node: object, path: bytes = b"", above: tuple[object, ...] = ()
) -> Iterator[bytes]:
    if isinstance(node, EngineIOResource) and node.engineio is server:
        yield path
    # A resource may be its own child: root.putChild(b"", root) is an idiom.
    around = any(node is each for each in above)
    if isinstance(node, Resource) and not node.isLeaf and not around:
        for name, child in node.children.items():
            yield from _walk(server, child, path + b"/" + name, (*above, node))


def _http2_timeout(config: Config, idle: float | None) -> float | None:
    """Return the seconds after which twisted.web closes an idle HTTP/2 connection."""
    idle = config.keep_alive_timeout if idle is None else idle
    # To twisted.web, a connection on which a poll is held is idle.
    held = config.ping_interval + config.ping_timeout
    return None if idle == inf else max(idle, config.request_timeout, held)


def _require_limits(factory: object) -> None:
    """Raise ``TypeError`` if a request factory would drop the limits on requests."""
    if not isinstance(factory, type) or not issubclass(factory, EngineIORequest):
        name = getattr(factory, "__qualname__", None) or repr(factory)
        raise TypeError(
            f"EngineIOSite: requestFactory {name} would drop the limits on requests;"
            f" protect(Site(root, requestFactory={name}), server) keeps both"
        )


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
        path: str | None = None,
        *,
        lean: bool = True,
        door: bool = True,
        bounded: bool = False,
        **options: Any,
    ) -> None:
        """
        Create a site.

        Args:
            root: The root resource, with an ``EngineIOResource`` of the server in its
                tree already.
            server: The server of that resource.
            path: The path of that resource, from the root. By default it is found in
                the tree of ``putChild``. Required only where it is not in that tree:
                inside a wrapper, or where ``getChild`` returns it.
            lean: Whether to drop request headers that no answer of ours depends on,
                from requests of a session. False if a resource wrapped around ours
                reads them.
            door: Whether to admit WebSockets on the fast path, before twisted.web
                parses their handshakes, where no other code takes part in the answer.
            bounded: Whether no other resource of the site accepts request bodies; then
                none is collected for them either.
            options: As for twisted.web's Site. An access log is written only if
                ``logPath`` is given; session ids are redacted in it. ``timeout``, in
                seconds, is that of an idle connection, instead of the server's
                ``keep_alive_timeout``; None for no limit. ``reactor`` is the server's
                clock if omitted.

        Raises:
            ConfigError: If no ``EngineIOResource`` of the server is in the tree, and no
                path is given.
            TypeError: If ``requestFactory`` would drop the limits on requests.

        """
        config = server.config
        paths = [path.encode()] if path is not None else _paths_of(server, root)
        # timeout=None is never, to twisted.web; without it, keep_alive_timeout holds.
        idle = inf if options.get("timeout", 0) is None else options.get("timeout")
        options["timeout"] = _http2_timeout(config, idle)
        options.setdefault("reactor", server.clock)
        super().__init__(root, **options)
        _require_limits(self.requestFactory)
        self.logs_upgrades = self.logPath is not None
        own_log = options.get("logFormatter") is None
        # A custom formatter may read any attribute of twisted.web's request.
        self._unread = own_log or not self.logs_upgrades
        trusted = config.trusted_proxies if own_log else ()
        redact_log_of(self, TrustedProxies(trusted) if trusted else None)
        self.server = server
        first, *others = paths
        elsewhere = server if bounded else None
        self.engineio_mounts = MountPoints(server, first, elsewhere, idle)
        for each in others:
            self.engineio_mounts.add(server, each)
        self._lean = lean
        self._door = door
        steps = [[name for name in each.split(b"/") if name] for each in paths]
        self._steps = {b"".join(b"/" + name for name in each): each for each in steps}

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
        names = self._steps.get(path.rstrip(b"/"))
        if names is None or path[-2:] == b"//":
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
        for name in names:
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

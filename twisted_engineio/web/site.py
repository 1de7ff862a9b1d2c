"""
Our own port: a twisted.web Site with the limits that a Resource cannot enforce.

twisted.web calls a Resource when the whole body of a request is there, and lets a
client take for ever to send it as long as it sends something. ``request_timeout.py``
bounds a request's time, ``body_limit.py`` its body, and ``mount_points.py`` knows for
which paths; this file puts them into a Site of ours, and ``site_limits.py`` into
another.
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
    """A connection of HTTP, of whichever version, that is counted."""

    _channel: Any

    def __init__(self) -> None:
        channel = EngineIOChannel()
        super().__init__(channel)
        channel.owner = self

    def makeConnection(self, transport: Any) -> None:
        """Count it."""
        self.site.engineio_places.connections.begin(self)
        super().makeConnection(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count it no longer."""
        self.site.engineio_places.connections.end(self)
        super().connectionLost(reason)
        self._channel.owner = None  # each would keep the other in memory

    def stop(self) -> None:
        """Close it, unless it has something to do: the port stops."""
        if isinstance(self._channel, EngineIOChannel):
            self._channel.stop()  # HTTP/2 closes its connections by itself


class EngineIOSite(Site):
    """
    A twisted.web Site that guards the Engine.IO server in it.

    Attributes:
        server: The server that it was made for.
        engineio_places: Which of its paths are which servers'; ``protect`` adds
            others.
        logs_upgrades: Whether a WebSocket is a line of its access log, too.

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
        Make a site.

        Args:
            root: The root of the site, with an ``EngineIOResource`` of the server
                somewhere in it already.
            server: The server of that resource.
            path: The path of that resource. Leave it out: it is found in the tree of
                ``putChild``. It is needed only where it is not in that tree, as inside
                a wrapper, or where ``getChild`` returns it.
            lean: Whether requests of a session lose the headers that no answer of ours
                depends on. Say False if a resource around ours reads them.
            door: Whether WebSockets are let in before twisted.web reads them, where
                nothing but our resource has a part in them.
            bounded: Whether no other resource of the site takes bodies, so that none is
                collected for them either.
            options: As for twisted.web's Site. There is an access log only if
                ``logPath`` is given; session ids are redacted in it. ``timeout``, in
                seconds, is that of an idle connection, instead of the server's
                ``keep_alive_timeout``; None for none. ``reactor`` is the server's clock
                if left out.

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
        # A formatter that is not ours may read any part of twisted.web's request.
        self._unread = own_log or not self.logs_upgrades
        trusted = config.trusted_proxies if own_log else ()
        redact_log_of(self, TrustedProxies(trusted) if trusted else None)
        self.server = server
        first, *others = paths
        elsewhere = server if bounded else None
        self.engineio_places = MountPoints(server, first, elsewhere, idle)
        for each in others:
            self.engineio_places.add(server, each)
        self._lean = lean
        self._door = door
        steps = [[name for name in each.split(b"/") if name] for each in paths]
        self._steps = {b"".join(b"/" + name for name in each): each for each in steps}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make what reads a connection's first bytes."""
        if self.engineio_places.connections.is_full():
            self.server.refuse_connection(getattr(addr, "host", None))
            return RefusedConnection()
        return FastHTTPProtocol(self, addr) if self._door else self.channel(addr)

    def channel(self, addr: IAddress | None) -> Any:
        """
        Make twisted.web's own protocol for a connection.

        Args:
            addr: Where it came from.

        """
        return super().buildProtocol(addr)

    def protocol(self) -> _GenericHTTPChannelProtocol:
        """Make the protocol of a connection."""
        return Connection()

    def stopFactory(self) -> None:
        """Close the connections on which nothing happens: the port is closed."""
        super().stopFactory()
        self.engineio_places.connections.stop()

    def resource_at(self, path: bytes) -> EngineIOResource | None:
        """
        Find our resource, if nothing between it and the client has a say.

        Args:
            path: A request's path, as it came.

        Returns:
            The resource, or None: then only twisted.web knows who answers this.

        """
        names = self._steps.get(path.rstrip(b"/"))
        if names is None or path[-2:] == b"//":
            return None
        server = self.server
        if not self._undressed or server.hearing.headers:
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
        """Whether nobody but our resource looks at its requests."""
        watched = self.server.hearing.whole_requests
        return self._lean and not watched and self._unread

    def is_lean(self, request_line: bytes) -> bool:
        """
        Tell whether a request may lose the headers that nothing depends on.

        Args:
            request_line: The request's first line.

        """
        if not self._undressed or self.server.config.jsonp:
            return False  # where a script comes from stands in those headers
        sids = _SID.findall(request_line)
        # Of a repeated key the last counts; an unknown one is a handshake's at most.
        if not sids or sids[-1].decode("latin-1") not in self.server.sessions:
            return False
        _, _, uri = request_line.partition(b" ")
        return self.engineio_places.server_at(uri.partition(b"?")[0]) is self.server

    def _openLogFile(self, path: str | bytes) -> Any:
        """Open the access log to append to it; it does not rotate by itself."""
        return HTTPFactory._openLogFile(self, path)

    def reopen_log(self) -> None:
        """Open the access log again by its name, for it has been renamed."""
        if self._logFile is None or self.logPath is None:
            return
        try:
            opened = self._openLogFile(self.logPath)
        except OSError as error:
            self.server.log.error("cannot open the access log: {why}", why=str(error))
            return
        self._logFile.close()
        self._logFile = opened

    def log(self, request: Request) -> None:
        """Write a line about a request, if there is an access log."""
        if not self.logs_upgrades:
            return
        try:
            super().log(request)
        except OSError as error:  # a full disk: the request is served all the same
            self.server.log.error("cannot write the access log: {why}", why=str(error))

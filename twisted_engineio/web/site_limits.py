"""
Limits for a Site that isn't ours: what ``EngineIOSite`` enforces, put into another.

Only what is asked of our servers is limited. Everything else the Site goes on doing as
it did: its timeout, its request class, its log, and what its other resources take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from twisted.web.http import (
    _GenericHTTPChannelProtocol,
    _genericHTTPChannelProtocolFactory,
)
from twisted.web.server import Request, Site

from .access_log import redact_log_of
from .body_limit import Body, BoundedRequest
from .http1.mount_points import MountPoints
from .http1.pipelining import PacedChannel

if TYPE_CHECKING:
    from ..server.server import Server

__all__ = ["protect"]

_Site = TypeVar("_Site", bound=Site)


def protect(site: _Site, server: Server, path: str = "/engine.io") -> _Site:
    """
    Give a Site that isn't ours the limits that a resource in it cannot enforce.

    A body over ``max_payload`` is then refused before it is read, and a client has
    ``request_timeout`` seconds to send a request to the server (and, whatever it asks
    for, to send its headers). Other resources of the site take what they took, for as
    long as they did. With several servers in a site, call it for each; the shortest
    ``request_timeout`` counts for all. Calling it again changes nothing. Its access log
    holds no session's id as a whole, in whatever format: see ``redacted_log``.

    Call it before the site listens: connections that are there already stay as they
    are.

    Args:
        site: A ``twisted.web.server.Site``, of whatever subclass, that makes its
            connections in twisted.web's own way. Its request class may be any subclass
            of ``twisted.web.server.Request``.
        server: The server whose ``EngineIOResource`` stands in it.
        path: Where that stands, from the root of the site.

    Returns:
        The same site.

    Raises:
        TypeError: If the site cannot be protected.
        ConfigError: If another server was protected at the same path.

    """
    known = getattr(site, "engineio_mounts", None)
    if isinstance(known, MountPoints):
        known.add(server, path)
        return site
    _check(site)
    guarded: Any = site
    guarded.engineio_mounts = MountPoints(server, path)
    guarded.requestFactory = _guarded(site.requestFactory)
    guarded.protocol = _make_protocol
    redact_log_of(site)
    return site


def _check(site: object) -> None:
    """Refuse what would be protected in name only."""
    if not isinstance(site, Site):
        raise TypeError(
            f"protect: a twisted.web.server.Site is needed, not {_name(site)}; a"
            " resource is protected through the Site that it stands in"
        )
    factory: object = site.requestFactory
    if not isinstance(factory, type) or not issubclass(factory, Request):
        raise TypeError(
            f"protect: the site's requestFactory is {_name(factory)}; only"
            " a subclass of twisted.web.server.Request can be protected"
        )
    made_by = getattr(site.protocol, "__func__", site.protocol)
    if made_by is not _genericHTTPChannelProtocolFactory:
        raise TypeError(
            f"protect: the site's protocol is {_name(site.protocol)}; only connections"
            " that twisted.web makes itself can be protected"
        )


def _name(thing: object) -> str:
    return getattr(thing, "__qualname__", None) or f"a {type(thing).__qualname__}"


def _guarded(kind: type[Request]) -> type[Request]:
    """Put the limits before a request class."""
    bases = (BoundedRequest, kind)
    return type(kind.__name__, bases, {"__doc__": kind.__doc__})


def _make_protocol() -> _GenericHTTPChannelProtocol:
    return _GenericHTTPChannelProtocol(ProtectedChannel())


class ProtectedChannel(PacedChannel):
    """An HTTP/1.1 connection of a protected Site, whose own timeout goes on."""

    def is_excused(self) -> bool:
        """Tell whether the site's own timeout is enough just now."""
        if not self.requests:
            return self.paused or not self._buffer  # or idle
        request: BoundedRequest = self.requests[-1]
        return super().is_excused() or request.engineio_body is Body.FOREIGN

    def unread(self) -> None:
        """Leave a client that reads slowly to the site's own timeout."""

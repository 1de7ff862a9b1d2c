"""
``protect``: add the limits of ``EngineIOSite`` to an existing twisted.web Site.

Only requests for our servers are limited. For all others the Site's own timeout,
request class, log and body handling stay in force.
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
    Add the limits that a resource cannot enforce to an existing Site.

    A request body above ``max_payload`` is then refused before it is read, and a client
    has ``request_timeout`` seconds to send a request to the server (for other
    resources, to send the headers). Bodies and timeouts of the site's other resources
    are unchanged. In a site with several servers, call it for each: the shortest
    ``request_timeout`` applies to all. Calling it again has no effect. Session ids are
    redacted in the access log, whatever its format: see ``redacted_log``.

    Call it before the site listens: existing connections are not limited.

    Args:
        site: A ``twisted.web.server.Site`` or a subclass that does not replace
            twisted.web's connections. Its request class may be any subclass of
            ``twisted.web.server.Request``.
        server: The server whose ``EngineIOResource`` is in the site.
        path: The path of that resource, from the root of the site.

    Returns:
        The same site.

    Raises:
        TypeError: If the site cannot be protected.
        ConfigError: If another server is already protected at the same path.

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
    """Raise ``TypeError`` for an object on which the limits would have no effect."""
    if not isinstance(site, Site):
        raise TypeError(
            f"protect: a twisted.web.server.Site is needed, not {_name(site)}; a"
            " resource is protected through its Site"
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
    """Return a request class with the limits in front of another one."""
    bases = (BoundedRequest, kind)
    return type(kind.__name__, bases, {"__doc__": kind.__doc__})


def _make_protocol() -> _GenericHTTPChannelProtocol:
    return _GenericHTTPChannelProtocol(ProtectedChannel())


class ProtectedChannel(PacedChannel):
    """An HTTP/1.1 connection of a protected Site, which keeps its own timeout."""

    def is_excused(self) -> bool:
        """Return whether the Site's own timeout applies at the moment."""
        if not self.requests:
            return self.paused or not self._buffer  # waiting for a turn, or idle
        request: BoundedRequest = self.requests[-1]
        return super().is_excused() or request.engineio_body is Body.FOREIGN

    def unread(self) -> None:
        """Return None: the Site's own timeout handles clients that read slowly."""

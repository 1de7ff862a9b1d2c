"""
A service around a server: listen when it starts, drain the server when it stops.

Rules of this file:

1. Sessions end before ports close: a polling client may need a new connection to fetch
   the data that is left for it. New sessions are refused meanwhile.
2. A start that fails leaves no port open.
3. A service without a parent stops with the reactor; otherwise its parent stops it.

Driven by its parent service, as under ``twistd``, or by a program (``startService``)
and the reactor's shutdown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorCore
from twisted.web.resource import IResource, Resource

from ..exceptions import ConfigError, require
from ..server.server import Server
from .endpoint_string import problem_with
from .listening import CannotStart, ListeningService
from .resource import EngineIOResource
from .site import EngineIOSite

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
    from twisted.web.server import Site

__all__ = ["EngineIOService"]


class EngineIOService(MultiService):
    """
    A server as a Twisted service: it listens on start, and drains on stop.

    Add it to an application with ``setServiceParent``, as in a ``.tac`` file. In a
    program, call ``startService``: a service without a parent is stopped when the
    reactor shuts down. Services that are added to it start with it, and stop once the
    sessions have ended. A server that was stopped cannot start again.

    Attributes:
        server: The server.

    """

    def __init__(
        self,
        server: Server,
        endpoint: IStreamServerEndpoint | str | None = None,
        root: IResource | Site | None = None,
        *,
        reactor: Any = None,
    ) -> None:
        """
        Create a service that has not started.

        Args:
            server: The server to run.
            endpoint: An endpoint to listen on, or its description, as
                ``"tcp:3000:interface=127.0.0.1"``. With ``None`` the service does not
                listen: something else does, and the service drains the server only.
            root: The root of the site to serve there, with the server's
                ``EngineIOResource`` in it; or a whole ``Site``, as ``protect`` returns
                it. By default the server stands at ``/engine.io``, beside nothing else.
            reactor: The reactor for a description, and whose shutdown stops a service
                without a parent; by default the server's clock.

        Raises:
            TypeError: If ``server`` is no ``Server``.
            ConfigError: If the description is wrong; its option is ``endpoint``.

        """
        require(Server, server, type(self).__name__)
        super().__init__()
        self.server = server
        self._core: Any = server.clock if reactor is None else reactor
        if endpoint is not None:
            self._listen_on(endpoint, _site(server, root))

    def _listen_on(
        self, endpoint: IStreamServerEndpoint | str, site: IProtocolFactory
    ) -> None:
        description = str(endpoint)
        if isinstance(endpoint, str):
            try:
                endpoint = serverFromString(self._core, endpoint)
            except Exception as error:  # the plugin of an endpoint may raise anything
                problem = f"{description!r}: {problem_with(description, error)}"
                raise ConfigError("endpoint", problem) from error
        self.addService(ListeningService(description, endpoint, site))

    def privilegedStartService(self) -> None:
        """
        Listen.

        Raises:
            CannotStart: If an endpoint cannot listen; none listens then.

        """
        self._start(super().privilegedStartService)

    def startService(self) -> None:
        """
        Listen, unless ``privilegedStartService`` has done so.

        Raises:
            CannotStart: If an endpoint cannot listen; none listens then.

        """
        self._start(super().startService)
        if self.parent is None and IReactorCore.providedBy(self._core):
            self._core.addSystemEventTrigger("before", "shutdown", self._shut_down)

    def _start(self, start: Callable[[], None]) -> None:
        try:
            start()
        except CannotStart:
            for each in self:
                if isinstance(each, ListeningService):
                    each.release()
            raise

    def _shut_down(self) -> Deferred[Any] | None:
        return self.stopService() if self.running else None

    def stopService(self) -> Deferred[Any]:
        """
        Close every session, then stop listening.

        Returns:
            The Deferred of ``Server.stop``, which then waits for the ports to close.

        """
        stop: Callable[[], Deferred[Any]] = super().stopService
        # Called twice, as by a program and then by the reactor, it stops once.
        return self.server.stop().addCallback(
            lambda _: stop() if self.running else None
        )


def _site(server: Server, root: Any) -> IProtocolFactory:
    """Return what an endpoint is given, for what the service was given."""
    if IResource.providedBy(root):
        return EngineIOSite(root, server)
    if root is not None:
        site: IProtocolFactory = root  # it is a Site
        return site
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    return EngineIOSite(root, server, bounded=True)

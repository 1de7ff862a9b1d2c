"""
The connection to a WAMP router, which is re-established whenever it is lost.

It is a plain WAMP connection, not a component inside the router: Crossbar gives the
resources that it mounts no access to its router. So the bridge works wherever the
router is: in the same worker, behind Crossbar's proxy workers, or on another machine.

Twisted's ``ClientService`` connects and retries; Autobahn implements WAMP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autobahn.rawsocket.util import parse_url as parse_rs_url
from autobahn.twisted.rawsocket import WampRawSocketClientFactory
from autobahn.twisted.wamp import Session as WampSession
from autobahn.twisted.websocket import WampWebSocketClientFactory
from autobahn.wamp.auth import create_authenticator
from autobahn.wamp.protocol import ApplicationSession
from autobahn.wamp.serializer import CBORSerializer
from autobahn.wamp.types import CloseDetails, ComponentConfig, SessionDetails
from autobahn.websocket.util import parse_url as parse_ws_url
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    UNIXClientEndpoint,
    clientFromString,
    quoteStringArgument,
)
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.interfaces import IStreamClientEndpoint as Endpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..exceptions import ConfigError

if TYPE_CHECKING:
    from .bridge import WampApplication

__all__ = ["connect"]

log = Logger()


def connect(
    application: WampApplication,
    url: str,
    realm: str = "realm1",
    *,
    reactor: Any,
    authentication: Mapping[str, Mapping[str, Any]] | None = None,
    retry: Callable[[int], float] | None = None,
) -> ClientService:
    """
    Return a service that joins an application to a realm, and rejoins when needed.

    Args:
        application: The application whose sessions use the router.
        url: The router's address: ``rs://unix:/run/router.sock`` or
            ``rs://127.0.0.1:9000`` for WAMP over a raw socket, ``ws://`` for a
            WebSocket; ``rss://`` and ``wss://`` for TLS, which needs the extra ``tls``.
        realm: The realm to join.
        reactor: The reactor.
        authentication: Credentials by authentication method, as for Autobahn's
            ``Component``: ``{"ticket": {"authid": "bridge", "ticket": "secret"}}``.
        retry: Returns the delay in seconds before the next attempt, given the number of
            failures; by default 0.75 to 30 seconds, plus a random part of a second.

    Returns:
        A service; it connects when it is started.

    Raises:
        ConfigError: If the URL or the authentication is invalid; the option has the
            name that it has in Crossbar's ``extra``.

    """
    _check_authentication(authentication or {})

    def session() -> _RouterSession:
        config = ComponentConfig(realm=realm, extra=application)
        made = _RouterSession(config)
        for method, options in (authentication or {}).items():
            made.add_authenticator(create_authenticator(method, **options))
        return made

    endpoint = _endpoint(url, reactor)
    # CBOR, not JSON: a client's string that begins with U+0000 stays a string.
    factory: Any
    if url.startswith("rs"):
        factory = WampRawSocketClientFactory(session, CBORSerializer())
    else:
        factory = WampWebSocketClientFactory(
            session, url=url, serializers=[CBORSerializer()], reactor=reactor
        )
    return ClientService(
        _Telling(endpoint, url),
        factory,
        retryPolicy=retry or backoffPolicy(initialDelay=0.5, maxDelay=30.0),
        clock=reactor,
    )


def _check_authentication(authentication: Mapping[str, Mapping[str, Any]]) -> None:
    if not isinstance(authentication, Mapping):
        raise ConfigError("authentication", "must be an object: options by method")
    for method, options in authentication.items():
        try:
            create_authenticator(method, **options)
        except Exception as error:
            # Any exception: Autobahn documents none.
            raise ConfigError("authentication", f"{method}: {error}") from None


def _endpoint(url: str, reactor: Any) -> Endpoint:
    scheme = url.partition("://")[0]
    try:
        if scheme in ("rs", "rss"):
            secure, host, port = parse_rs_url(url)
        else:
            secure, host, port = parse_ws_url(url)[:3]
        if host == "unix":
            return UNIXClientEndpoint(reactor, port)
        if not secure:
            return HostnameEndpoint(reactor, host, port)
        found = clientFromString(reactor, f"tls:{quoteStringArgument(host)}:{port}")
    except Exception as error:
        raise ConfigError(
            "router",
            f"{url!r}: {error}; use a URL like rs://unix:/run/router.sock or"
            " ws://127.0.0.1:8080/ws",
        ) from None
    return Endpoint(found)


@implementer(Endpoint)
class _Telling:
    """An endpoint that logs why a connection attempt failed."""

    def __init__(self, endpoint: Endpoint, url: str) -> None:
        self._endpoint = endpoint
        self._url = url

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        connected: Deferred[IProtocol] = self._endpoint.connect(factory)
        return connected.addErrback(self._log_failure)

    def _log_failure(self, failure: Failure) -> Failure:
        log.warn(
            "cannot connect to the router at {url}: {error}; retrying",
            url=self._url,
            error=failure.getErrorMessage(),
        )
        return failure


class _RouterSession(WampSession):
    """A WAMP session that notifies the bridge when it has joined and left a realm."""

    def on_join(self, details: SessionDetails) -> None:
        log.info(
            "joined realm {realm} of the router as {authid}, role {authrole}",
            realm=details.realm,
            authid=details.authid,
            authrole=details.authrole,
        )
        self.config.extra.joined(self)

    def on_leave(self, details: CloseDetails) -> Any:
        # First, so that the bridge knows why pending requests are about to fail.
        self.config.extra.left()
        # Autobahn's class for these snake_case names never fails pending requests; its
        # base class does.
        return ApplicationSession.onLeave(self, details)

    def on_disconnect(self) -> None:
        self.config.extra.left()
        ApplicationSession.onDisconnect(self)

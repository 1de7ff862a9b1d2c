"""
The fields of one HTTP request: query, client, origin; each parsed at most once.

Nothing here decides or answers; ``resource.py`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.web.http_headers import Headers

from ..exceptions import ErrorCode, Refused
from ..policy.forwarded import ForwardedClient, TrustedProxies
from ..protocol.fields import read_headers
from ..protocol.handshake import Handshake, QueryFields, parse_query
from ..transports.sse.replay import read_event_id
from ..transports.websocket.opening_handshake import (
    OpeningHandshake,
    lists,
    read_handshake,
)
from .connection_takeover import can_take_over, take_over

if TYPE_CHECKING:
    from twisted.web.server import Request

    from ..transports.websocket.transport import WebSocketTransport

__all__ = ["RequestInfo", "host_and_port"]

_TWISTED_WEB: Final = frozenset((b"Server", b"Date", b"Content-Type"))
"""Headers that twisted.web sets on every answer; a 101 is not written by it."""


class RequestInfo:
    """
    The parsed view of one request.

    Attributes:
        request: twisted.web's request, to be answered.
        query: The decoded query; of a repeated key the last value.
        transport: The ``transport`` of the query, ``""`` if it has none.
        upgrade: Whether it requests a WebSocket, well-formed or not.
        opening: The checked opening handshake; None before ``check_websocket``.

    """

    __slots__ = (
        "_answer_headers",
        "_proxies",
        "_view",
        "opening",
        "query",
        "request",
        "transport",
        "upgrade",
    )

    def __init__(self, request: Request, proxies: TrustedProxies | None) -> None:
        """
        Parse a request.

        Args:
            request: twisted.web's request.
            proxies: The proxies whose headers about the client are trusted, if any.

        """
        self.request = request
        self._answer_headers: Headers | None = request.responseHeaders
        self._proxies = proxies
        self._view: Handshake | None = None
        # Not request.args: twisted.web merges the fields of a form into the query's.
        self.query = parse_query(request.uri.partition(b"?")[2])
        self.transport = self.query.get("transport", "")
        self.upgrade = _wants_websocket(request, self.transport)
        self.opening: OpeningHandshake | None = None

    # The answer.

    @property
    def answer_headers(self) -> Headers:
        """The headers of the answer."""
        if self._answer_headers is None:
            self._answer_headers = Headers()
        return self._answer_headers

    def extra_headers(self) -> dict[str, list[str]]:
        """Return the headers to add to a 101 besides those of RFC 6455."""
        if self._answer_headers is None:
            return {}
        return {
            name.decode("latin-1"): [each.decode("latin-1") for each in values]
            for name, values in self._answer_headers.getAllRawHeaders()
            if name not in _TWISTED_WEB
        }

    @property
    def connection(self) -> Any:
        """The transport of the request's connection."""
        return self.request.channel.transport

    def check_websocket(self, *, deflate: bool) -> None:
        """
        Check that the connection can become a WebSocket, and set ``opening``.

        Args:
            deflate: Whether compression may be negotiated.

        Raises:
            Refused: If it cannot.

        """
        if not can_take_over(self.request):
            raise Refused(ErrorCode.BAD_REQUEST, "a WebSocket needs HTTP/1.1")
        headers = self.request.requestHeaders
        self.opening = read_handshake(headers, deflate=deflate)

    def take_over(self, transport: WebSocketTransport) -> None:
        """
        Turn the connection into a WebSocket; the request must not be used afterwards.

        Args:
            transport: The WebSocket transport.

        """
        assert self.opening is not None  # set by check_websocket
        site: Any = self.request.site
        if getattr(site, "logs_upgrades", False):
            # twisted.web logs a request when it is finished, which this one never is.
            self.request.code = 101
            site.log(self.request)
        rest = take_over(self.request, transport)
        transport.begin(self.opening, rest)

    # The request.

    @property
    def method(self) -> bytes:
        """The method."""
        method: bytes = self.request.method
        return method

    @property
    def origin(self) -> str | None:
        """The Origin header."""
        raw: bytes | None = self.request.getHeader(b"origin")
        return None if raw is None else raw.decode("latin-1")

    @property
    def wants_script(self) -> bool:
        """Whether it requests JSONP: polling with an index, even a malformed one."""
        return "j" in self.query and self.transport == "polling"

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.request.uri.partition(b"?")[0].decode("latin-1")

    @property
    def listens(self) -> bool:
        """Whether it requests an event stream."""
        return self.transport == "sse" and self.request.method == b"GET"

    def of_session(self) -> tuple[str, int]:
        """
        Return the session id, and the number of the last event the client received.

        Raises:
            Refused: If the last event id is malformed or names another session.

        """
        sid = self.query.get("sid", "")
        event = self.last_event_id if self.listens else None
        if not event:
            return sid, 0
        try:
            seen_sid, number = read_event_id(event)
        except ValueError as error:
            raise Refused(ErrorCode.UNKNOWN_SID, str(error)) from None
        if sid not in ("", seen_sid):
            raise Refused(ErrorCode.UNKNOWN_SID, "the event id is another session's")
        return seen_sid, number

    @property
    def last_event_id(self) -> str | None:
        """
        The id of the last event that the client received; None if it names none.

        A browser that reconnects sends it in a header, with the URL of the first
        connection. A page that opens a new stream can put it only into the URL.
        """
        raw: bytes | None = self.request.getHeader(b"last-event-id")
        return raw.decode("latin-1") if raw else self.query.get("lastEventId")

    @property
    def host(self) -> str:
        """The host, and optionally port, that the client connected to."""
        if self._proxies is not None and (host := self._client.host):
            return host
        raw: bytes = self.request.getHeader(b"host") or b""
        return raw.decode("latin-1")

    @property
    def is_secure(self) -> bool:
        """Whether the client connected over TLS."""
        if self._proxies is None:
            secure: bool = self.request.isSecure()
            return secure  # avoids a view, which costs as much as all other checks
        return self.view.is_secure

    @property
    def view(self) -> Handshake:
        """An immutable ``Handshake`` with the request's data, to keep."""
        if self._view is None:
            headers = read_headers(self.request.requestHeaders.getAllRawHeaders())
            client = self._client_of(headers)
            self._view = Handshake(
                self.transport,
                QueryFields(self.request.uri.partition(b"?")[2], self.query),
                headers,
                client.address,
                self.request.isSecure()
                if client.is_secure is None
                else client.is_secure,
                self.request.method.decode("latin-1"),
                host_and_port(self.request.getHost()),
            )
        return self._view

    @property
    def _client(self) -> ForwardedClient:
        headers = self.request.requestHeaders.getAllRawHeaders()
        return self._client_of(read_headers(headers))

    def _client_of(self, headers: Mapping[str, str]) -> ForwardedClient:
        address = self.request.getClientAddress()
        known = isinstance(address, (IPv4Address, IPv6Address))
        peer = address.host if known else None
        if self._proxies is None:
            return ForwardedClient(peer)
        return self._proxies.client(peer, headers)


def host_and_port(address: Any) -> tuple[str, int] | None:
    """Return the host and port of an IP address; None for any other address."""
    known = isinstance(address, (IPv4Address, IPv6Address))
    return (address.host, address.port) if known else None


def _wants_websocket(request: Request, transport: str) -> bool:
    """
    Return whether a request asks for a WebSocket.

    RFC 9110, 7.8: an Upgrade header is ignored in HTTP/1.0, and unless Connection lists
    it. If the query names the transport as well, the request counts as a malformed
    WebSocket handshake instead.
    """
    headers = request.requestHeaders
    if request.method != b"GET" or not headers.hasHeader(b"upgrade"):
        return False
    if not lists(headers, b"upgrade", b"websocket"):
        return False
    if transport == "websocket":
        return True
    return can_take_over(request) and lists(headers, b"connection", b"upgrade")

"""
The fast path of an ``EngineIOSite``: open WebSockets without twisted.web's parser.

Rules of this file:

1. It accepts one kind of request: a WebSocket handshake for our server that is complete
   in the first read and formatted as real clients format it. twisted.web's parsing of
   it would cost more than everything after it.
2. It either opens the WebSocket or does nothing. Every other request, and every one
   that would be refused, is passed to twisted.web from its first byte. Only an
   asynchronous ``Application.admit`` is not called a second time for it.
3. It can be disabled, ``EngineIOSite(door=False)``: twisted.web then does the same,
   slower. ``tests/web/test_fast_http.py`` sends the same requests to both.
4. A client that sends nothing for ``request_timeout`` seconds is disconnected.

Driven by the TCP transport, until the connection is handed over to a WebSocket or to
twisted.web's channel.

RFC 6455, 4.2.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, ISSLTransport, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Server as PlainConnection
from twisted.python.failure import Failure

from ..exceptions import Refused
from ..policy.forwarded import TrustedProxies
from ..protocol.fields import HeaderFields, lower
from ..protocol.handshake import Handshake, QueryFields, parse_query
from ..session.heartbeat import was_stalled
from ..transports.websocket.opening_handshake import KEY, OpeningHandshake
from .access_log import Upgrade
from .connection_takeover import attach
from .request_info import RequestInfo, host_and_port

if TYPE_CHECKING:
    from ..server.server import Entry, Server
    from ..transports.websocket.transport import WebSocketTransport
    from .http1.mount_points import MountPoints
    from .resource import EngineIOResource

__all__ = ["TWISTED", "FastHTTPProtocol", "HandshakeInfo", "read_head"]

TWISTED: Final = ("TLS", "doRead", "protocol")
"""Private names of Twisted's TCP transport that are used here."""

_MAX_HEAD: Final = 8192
"""Bytes of a head that are parsed here; a browser's has about 600, plus cookies."""
_HEAD: Final = re.compile(
    rb"GET ([!-~]+) HTTP/1\.1"
    rb"(\r\n(?:[A-Za-z][A-Za-z0-9-]*: [!-~][ -~]*(?<! )\r\n){1,100})\r\n"
)
"""At most a hundred headers: twisted.web refuses more than 500, and ``admit`` must not
be called for such a request. No possessive quantifiers: with them, Python 3.11.2
matches lines that are no headers."""
_LINE: Final = re.compile(r"\n([^:]+): ([^\r]+)\r")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
_OTHER: Final = frozenset(
    (
        "content-length",
        "expect",
        "http2-settings",
        "sec-websocket-protocol",
        "transfer-encoding",
    )
)
"""Headers of a request that needs more than a plain WebSocket."""
_OFFERS: Final = (
    None,
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
)
"""Extension offers of real clients; the server may decline each of them."""


def read_head(
    data: bytes,
) -> tuple[bytes, HeaderFields, Mapping[str, str], bytes] | None:
    """
    Parse the head of a WebSocket handshake, if it is a plain one.

    Args:
        data: The first bytes of a connection.

    Returns:
        The URI; the headers, raw and parsed; and the bytes after the head. ``None`` if
        it is anything else.

    """
    if data[:5] != b"GET /":
        return None
    found = _HEAD.match(data, 0, _MAX_HEAD)
    if found is None:
        return None
    uri, block = found.groups()
    text = block.decode("ascii")
    lines = _LINE.findall(text)
    headers = {lower(name): value for name, value in lines}
    plain = (
        len(headers) == len(lines)  # no repeated header
        and headers.get("upgrade", "").lower() == "websocket"
        and headers.get("connection", "").lower() in ("upgrade", "keep-alive, upgrade")
        and headers.get("sec-websocket-version") == "13"
        and headers.get("sec-websocket-extensions") in _OFFERS
        and _OTHER.isdisjoint(headers)
        and KEY.fullmatch(headers.get("sec-websocket-key", ""))
        and _HOST.fullmatch(headers.get("host", ""))
    )
    if not plain:
        return None
    return uri, HeaderFields(text), headers, data[found.end() :]


class FastHTTPSite(Protocol):
    """The part of ``EngineIOSite`` that the fast path uses."""

    server: Server
    engineio_mounts: MountPoints
    logs_upgrades: bool

    def channel(self, addr: IAddress | None) -> Any:
        """Return twisted.web's own protocol for a connection."""

    def resource_at(self, path: bytes) -> EngineIOResource | None:
        """Return the Engine.IO resource at a path, if only it affects the answer."""

    def log(self, request: Any) -> None:
        """Write the access log's line about a request."""


class HandshakeInfo(RequestInfo):
    """The ``RequestInfo`` of a WebSocket handshake that was parsed on the fast path."""

    __slots__ = ("_fields", "_headers", "_raw_query", "_reader", "_rest", "uri")

    def __init__(
        self,
        reader: FastHTTPProtocol,
        uri: bytes,
        fields: HeaderFields,
        headers: Mapping[str, str],
        rest: bytes,
        proxies: TrustedProxies | None,
    ) -> None:
        """
        Create the view of a parsed handshake.

        Args:
            reader: The protocol that has read it.
            uri: The request's URI.
            fields: The headers, to keep.
            headers: The same headers, parsed.
            rest: The bytes that the client sent after the head.
            proxies: The proxies whose headers about the client are trusted, if any.

        """
        self._reader = reader
        self.uri = uri
        self._fields = fields
        self._headers = headers
        query = uri.partition(b"?")[2]
        self._raw_query = query
        self._rest = rest
        self._proxies = proxies
        self._view: Handshake | None = None
        self.query = parse_query(query)
        self.transport = self.query.get("transport", "")
        self.upgrade = True
        self.opening = OpeningHandshake(headers["sec-websocket-key"])
        self._answer_headers = None

    @property
    def connection(self) -> Any:
        """The transport of the request's connection."""
        return self._reader.transport

    @property
    def origin(self) -> str | None:
        """The Origin header."""
        return self._headers.get("origin")

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.uri.partition(b"?")[0].decode("latin-1")

    @property
    def host(self) -> str:
        """The host, and optionally port, that the client connected to."""
        if self._proxies is not None:
            peer, _, _ = self._reader.addresses()
            host = self._proxies.client(peer, self._headers).host
            if host:
                return host
        return self._headers["host"]

    @property
    def is_secure(self) -> bool:
        """Whether the client connected over TLS."""
        return self.view.is_secure

    @property
    def view(self) -> Handshake:
        """An immutable ``Handshake`` with the request's data, to keep."""
        if self._view is None:
            peer, is_secure, server_address = self._reader.addresses()
            if self._proxies is not None:
                client = self._proxies.client(peer, self._headers)
                peer = client.address
                if client.is_secure is not None:
                    is_secure = client.is_secure
            self._view = Handshake(
                self.transport,
                QueryFields(self._raw_query, self.query),
                self._fields,
                peer,
                is_secure,
                server_address=server_address,
            )
        return self._view

    def take_over(self, transport: WebSocketTransport) -> None:
        """
        Turn the connection into a WebSocket.

        Args:
            transport: The WebSocket transport.

        """
        connection = self._reader.transport
        site = self._reader.site
        if site.logs_upgrades:
            site.log(Upgrade(self.uri, self._headers, connection.getPeer()))
        # As twisted.web does. Linux copies TCP_NODELAY to a connection when it arrives,
        # not when it is accepted: connections already in the backlog keep Nagle's
        # 40 ms. So it is set on each connection and not once on the port.
        if type(connection) is PlainConnection or ITCPTransport.providedBy(connection):
            connection.setTcpNoDelay(True)
        self._reader.hand_over(transport)
        assert self.opening is not None
        transport.begin(self.opening, self._rest)


class FastHTTPProtocol(protocol.Protocol):
    """
    The first protocol of a connection, until the client has sent its first bytes.

    Attributes:
        site: The site that the client connected to.

    """

    transport: Any

    def __init__(self, site: FastHTTPSite, address: IAddress | None) -> None:
        """
        Create the protocol.

        Args:
            site: The site, which also makes twisted.web's channel.
            address: The client's address.

        """
        self.site = site
        self._address = address
        mounts = site.engineio_mounts
        self._first_byte_timeout = mounts.first_byte_timeout
        self._connections = mounts.connections
        self._due = 0.0

    def connectionMade(self) -> None:
        """Read bytes that have arrived already, or wait for the first ones."""
        transport = self.transport
        self._connections.begin(self)
        # Only if the transport calls us directly: a wrapper must see the bytes first.
        if self._is_plain() and transport.protocol is self:
            self.site.server.websockets.descriptors.take_all(transport)
            # A busy server accepts connections late: the request has usually arrived by
            # then, and reading now is cheaper than waiting for the reactor's event.
            try:
                transport.doRead()
            except BaseException:
                transport.connectionLost(Failure())  # as the reactor does
                raise
            if transport.protocol is not self:
                return
        # If doRead found the connection lost, the reactor will find it again.
        self._due = self._first_byte_timeout.begin(self._timed_out)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancel the timeout: the client disconnected before it sent anything."""
        self._first_byte_timeout.end(self._timed_out)
        self._connections.end(self)

    def stop(self) -> None:
        """Close the connection: the port stops, and no request has begun."""
        self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Open a WebSocket, or pass everything to twisted.web."""
        admitted: Deferred[Entry] | None = None
        found = read_head(data)
        if found is not None:
            uri, fields, headers, rest = found
            resource = self.site.resource_at(uri.partition(b"?")[0])
            if resource is not None:
                admit_websocket = HandshakeInfo(
                    self, uri, fields, headers, rest, resource.proxies
                )
                try:
                    admitted = resource.admit_websocket(admit_websocket)
                except Refused:
                    pass  # twisted.web's path refuses it again, with a full answer
                else:
                    if admitted is None:
                        return
        protocol = self._leave_to_twisted_web()
        if admitted is not None:
            protocol._channel.set_admission(admitted)
        protocol.dataReceived(data)

    def _is_plain(self) -> bool:
        """Return whether the transport is Twisted's own for TCP, without TLS."""
        transport = self.transport
        return type(transport) is PlainConnection and not transport.TLS

    def _leave_to_twisted_web(self) -> Any:
        protocol = self.site.channel(self._address)
        self.hand_over(protocol)
        return protocol

    # Called by HandshakeInfo.

    def addresses(self) -> tuple[str | None, bool, tuple[str, int] | None]:
        """
        Return the addresses of the connection.

        Returns:
            The client's IP address, or None on a UNIX socket; whether the connection is
            TLS; and the server's address and port.

        """
        transport = self.transport
        if self._is_plain():
            peer = getattr(self._address, "host", None)
            # What getHost calls, without creating an address object. For IPv6 getHost
            # is needed: it adds the scope.
            ours = transport.getHandle().getsockname()
            if len(ours) == 2:
                return peer, False, ours
            return peer, False, host_and_port(transport.getHost())
        return (
            # Not self._address: with the PROXY protocol, getPeer is the real client.
            getattr(transport.getPeer(), "host", None),
            ISSLTransport.providedBy(transport),
            host_and_port(transport.getHost()),
        )

    def hand_over(self, protocol: Any) -> None:
        """
        Hand the connection over to another protocol.

        Args:
            protocol: The protocol that owns the connection from now on.

        """
        self._first_byte_timeout.end(self._timed_out)
        self._connections.end(self)
        transport = self.transport
        attach(transport, protocol)
        protocol.makeConnection(transport)

    def _timed_out(self) -> None:
        clock = self.site.engineio_mounts.clock
        slept = was_stalled(clock, self._due, self._first_byte_timeout.delay)
        channel = self._leave_to_twisted_web()._channel
        if not slept:  # if the process slept, the first bytes may be in the socket
            channel.cut_off()

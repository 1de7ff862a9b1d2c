"""
The door of our own port: a WebSocket that asks plainly is let in at once.

Rules of this file:

1. It takes one kind of request: the handshake of a WebSocket for our server, whole in
   the first read, its headers written as clients write them. From twisted.web it would
   cost more to read than all that follows it.
2. It says yes or nothing. Whatever is anything else, or is to be refused, goes to
   twisted.web from its first byte on, as if there were no door; only an application
   that was asked whether to admit a client is not asked again.
3. It may be left out, ``EngineIOSite(door=False)``: twisted.web does the same with more
   time. ``tests/web/test_fast_http.py`` gives both the same requests, and compares.
4. Who sends nothing for ``request_timeout`` seconds is cut off.

Driven by the TCP transport, until it has given that away: to a WebSocket, or to
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
"""What is known here of a TCP transport besides its interface."""

_MAX_HEAD: Final = 8192
"""Bytes of a head that are looked at; a browser's has some 600, and cookies."""
_HEAD: Final = re.compile(
    rb"GET ([!-~]+) HTTP/1\.1"
    rb"(\r\n(?:[A-Za-z][A-Za-z0-9-]*: [!-~][ -~]*(?<! )\r\n){1,100})\r\n"
)
"""At most a hundred headers: more than 500 twisted.web would refuse, and the
application is not to be asked about those. No possessive quantifiers: Python 3.11.2
takes lines for headers with them that are none."""
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
"""Headers of a request that wants more than a WebSocket."""
_OFFERS: Final = (
    None,
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
)
"""What clients offer; all of it may be declined."""


def read_head(
    data: bytes,
) -> tuple[bytes, HeaderFields, Mapping[str, str], bytes] | None:
    """
    Read the head of a WebSocket's handshake, if it is a plain one.

    Args:
        data: The first bytes of a connection.

    Returns:
        Its URI; its headers, as they came and parsed; and what came behind it.
        ``None`` if it is anything else.

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
        len(headers) == len(lines)  # none is repeated
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
    """The Site of our own port."""

    server: Server
    engineio_places: MountPoints
    logs_upgrades: bool

    def channel(self, addr: IAddress | None) -> Any:
        """Make twisted.web's own protocol for a connection."""

    def resource_at(self, path: bytes) -> EngineIOResource | None:
        """Find our resource, if nothing between it and the client has a say."""

    def log(self, request: Any) -> None:
        """Write a line of the access log."""


class HandshakeInfo(RequestInfo):
    """A WebSocket's handshake, read at the door."""

    __slots__ = ("_door", "_fields", "_headers", "_raw_query", "_rest", "uri")

    def __init__(
        self,
        door: FastHTTPProtocol,
        uri: bytes,
        fields: HeaderFields,
        headers: Mapping[str, str],
        rest: bytes,
        proxies: TrustedProxies | None,
    ) -> None:
        """
        Make a question of what was read.

        Args:
            door: Where it was read.
            uri: What it asks for.
            fields: Its headers, to be kept.
            headers: The same, parsed.
            rest: What the client sent right behind it.
            proxies: Whose word about the client counts, if anybody's.

        """
        self._door = door
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
        """The transport of its connection."""
        return self._door.transport

    @property
    def origin(self) -> str | None:
        """Its Origin header."""
        return self._headers.get("origin")

    @property
    def path(self) -> str:
        """The path that it asks for, without the query."""
        return self.uri.partition(b"?")[0].decode("latin-1")

    @property
    def host(self) -> str:
        """The host, and perhaps port, that the client asked for."""
        if self._proxies is not None:
            peer, _, _ = self._door.ends()
            host = self._proxies.client(peer, self._headers).host
            if host:
                return host
        return self._headers["host"]

    @property
    def is_secure(self) -> bool:
        """Whether it came over TLS."""
        return self.view.is_secure

    @property
    def view(self) -> Handshake:
        """An immutable view of it, to keep."""
        if self._view is None:
            peer, is_secure, server_address = self._door.ends()
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
        Let its connection become a WebSocket.

        Args:
            transport: The WebSocket.

        """
        connection = self._door.transport
        site = self._door.site
        if site.logs_upgrades:
            site.log(Upgrade(self.uri, self._headers, connection.getPeer()))
        # As twisted.web does. Not once on the port: Linux hands an option on when a
        # connection comes, not when it is accepted, so who waits already goes without.
        if type(connection) is PlainConnection or ITCPTransport.providedBy(connection):
            connection.setTcpNoDelay(True)
        self._door.give_to(transport)
        assert self.opening is not None
        transport.begin(self.opening, self._rest)


class FastHTTPProtocol(protocol.Protocol):
    """
    A connection that has not said anything yet.

    Attributes:
        site: The port that it came to.

    """

    transport: Any

    def __init__(self, site: FastHTTPSite, address: IAddress | None) -> None:
        """
        Make a door.

        Args:
            site: The port; it makes twisted.web's channel, too.
            address: Where the connection came from.

        """
        self.site = site
        self._address = address
        places = site.engineio_places
        self._silent = places.silent
        self._connections = places.connections
        self._due = 0.0

    def connectionMade(self) -> None:
        """Read what has come already, or begin to wait for the first bytes."""
        transport = self.transport
        self._connections.begin(self)
        # If it is ours alone: somebody may have read of it before, and feed us.
        if self._is_plain() and transport.protocol is self:
            self.site.server.websockets.descriptors.take_all(transport)
            # A server that is busy accepts late: the request is there by then, and to
            # look costs less than to be told of it by the reactor.
            try:
                transport.doRead()
            except BaseException:
                transport.connectionLost(Failure())  # as the reactor; the port logs it
                raise
            if transport.protocol is not self:
                return
        # Or it is lost: what doRead says of that, the reactor finds out again.
        self._due = self._silent.begin(self._timed_out)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Wait no longer: the client left without a word."""
        self._silent.end(self._timed_out)
        self._connections.end(self)

    def stop(self) -> None:
        """Close the connection: the port stops, and nothing has come."""
        self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Let a WebSocket in, or leave all to twisted.web."""
        admitted: Deferred[Entry] | None = None
        found = read_head(data)
        if found is not None:
            uri, fields, headers, rest = found
            resource = self.site.resource_at(uri.partition(b"?")[0])
            if resource is not None:
                knock = HandshakeInfo(
                    self, uri, fields, headers, rest, resource.proxies
                )
                try:
                    admitted = resource.knock(knock)
                except Refused:
                    pass  # it will be refused again, in full
                else:
                    if admitted is None:
                        return
        protocol = self._leave_to_twisted_web()
        if admitted is not None:
            protocol._channel.go_on_with(admitted)
        protocol.dataReceived(data)

    def _is_plain(self) -> bool:
        """Tell whether the connection is Twisted's own for TCP, and nothing else."""
        transport = self.transport
        return type(transport) is PlainConnection and not transport.TLS

    def _leave_to_twisted_web(self) -> Any:
        protocol = self.site.channel(self._address)
        self.give_to(protocol)
        return protocol

    # For a question that was read here.

    def ends(self) -> tuple[str | None, bool, tuple[str, int] | None]:
        """
        Tell where the connection is from, and where it came to.

        Returns:
            The IP address at the other end, or None on a UNIX socket; whether it is
            TLS; and our own address and port.

        """
        transport = self.transport
        if self._is_plain():
            peer = getattr(self._address, "host", None)
            # What getHost asks for, without making an object of it. Of IPv6 it knows
            # more: the scope.
            ours = transport.getHandle().getsockname()
            if len(ours) == 2:
                return peer, False, ours
            return peer, False, host_and_port(transport.getHost())
        return (
            # Not as it connected: the PROXY protocol may know better.
            getattr(transport.getPeer(), "host", None),
            ISSLTransport.providedBy(transport),
            host_and_port(transport.getHost()),
        )

    def give_to(self, protocol: Any) -> None:
        """
        Give the connection away.

        Args:
            protocol: Whose it is from now on.

        """
        self._silent.end(self._timed_out)
        self._connections.end(self)
        transport = self.transport
        attach(transport, protocol)
        protocol.makeConnection(transport)

    def _timed_out(self) -> None:
        clock = self.site.engineio_places.clock
        slept = was_stalled(clock, self._due, self._silent.delay)
        channel = self._leave_to_twisted_web()._channel
        if not slept:  # else its first bytes may wait in the socket
            channel.cut_off()

"""
A request whose body is bounded as it comes; on our own port, answered at once.

Rules of this file:

1. A body over ``max_payload`` is refused by its Content-Length before it is read, or
   when it passes the limit. What the client still sends is thrown away, so that it
   gets to read the answer; past ``_SPARE`` times the limit the connection is cut.
2. A POST is known to its session from its headers on, so that one that is broken off,
   or a second one, ends the session.
3. Requests for other resources of the site are their Site's own affair, unless it says
   that none of them takes a body: then what is over ``max_payload`` is refused, too.
4. Over HTTP/2 there is no connection to time as a whole, so a request times itself, and
   is judged by what comes alone: its headers are not all there when its length is.
"""

from __future__ import annotations

import enum
from io import BytesIO
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from twisted.internet import tcp, unix
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, HTTPChannel
from twisted.web.server import Request

from .answer import finish
from .channel import EngineIOChannel
from .exceptions import PayloadTooLarge
from .handshake import parse_query
from .log_limit import LimitedLog, tame
from .transports.eventsource import EventSourceTransport
from .transports.polling import PollingTransport

if TYPE_CHECKING:
    from .places import Places
    from .server import Server

__all__ = ["Body", "BoundedRequest", "EngineIORequest", "HTTPTransport"]

HTTPTransport: TypeAlias = PollingTransport | EventSourceTransport
"""What takes POSTs."""

_SPARE: Final = 16
"""How many limits' worth of a refused body are read and thrown away. A connection that
is cut while its client sends loses the answer on the way; nginx reads on for 30 s."""


class Body(enum.Enum):
    """What becomes of a request's body."""

    UNKNOWN = "unknown"
    FOREIGN = "foreign"
    WELCOME = "welcome"
    REFUSED = "refused"


class BoundedRequest(Request):
    """
    A request whose body is checked as it comes, if it is for a server of ours.

    ``protect`` puts it before a request class that isn't ours: what it leaves to
    ``super`` may be that class's, and its own names must not be.

    Attributes:
        engineio_body: What becomes of its body.

    """

    channel: Any  # twisted.web gives a channel its site from outside
    site: Any

    def __init__(self, channel: Any, *args: Any, **options: Any) -> None:
        super().__init__(channel, *args, **options)
        self.site = channel.site
        self.engineio_body = Body.UNKNOWN
        self.__server: Server  # once the body is ours
        self.__room = inf  # bytes of body that may still come
        self.__deadline: IDelayedCall | None = None  # of a stream of HTTP/2

    def gotLength(self, length: int | None) -> None:
        """See the headers end: decide whether the body is welcome."""
        if self.engineio_body is not Body.UNKNOWN:
            return  # of HTTP/2: Twisted tells each Content-Length
        places: Places = self.site.engineio_places
        method, uri, _ = self.__first_line()
        path, _, query = uri.partition(b"?")
        ours = places.server_at(path)
        server = ours or places.elsewhere
        self.engineio_body = Body.FOREIGN if ours is None else Body.WELCOME
        if server is None:
            super().gotLength(length)
            return
        self.__server = server
        # In memory, for it is bounded; twisted.web would put it on the disk.
        self.content = BytesIO()
        self.__room = server.config.max_payload
        if ours is not None and method == b"POST":
            transport = self.__transport_of(query)
            if transport is not None:
                transport.begin(self)
        if not isinstance(self.channel, HTTPChannel):
            timeout = server.config.request_timeout
            self.__deadline = server.clock.callLater(timeout, self.__cut)
        elif length is not None and length > self.__room:
            self.__refuse(length)

    def __first_line(self) -> tuple[bytes, bytes, bytes]:
        channel = self.channel
        if isinstance(channel, HTTPChannel):
            return channel._command, channel._path, channel._version
        # An ordinary CONNECT has no path: RFC 9113, 8.5.
        return channel.command, channel.path or b"", b"HTTP/2"

    def __transport_of(self, raw: bytes) -> HTTPTransport | None:
        query = parse_query(raw)
        session = self.__server.sessions.get(query.get("sid", ""))
        if session is None:
            return None
        transport = session.carrier(query.get("transport", ""))
        if isinstance(transport, (PollingTransport, EventSourceTransport)):
            return transport
        return None

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, or throw it away."""
        self.__room -= len(data)
        if self.engineio_body is Body.REFUSED:
            if self.__room < -_SPARE * self.__server.config.max_payload:
                self.__cut()
        elif self.__room < 0:
            self.__refuse(self.__server.config.max_payload - int(self.__room))
        elif self.engineio_body is Body.FOREIGN:
            super().handleContentChunk(data)
        else:
            assert self.content is not None  # gotLength made it
            self.content.write(data)

    def __refuse(self, size: int) -> None:
        """Answer 413 now; the request ends when the rest of its body has come."""
        server = self.__server
        server.too_large(PayloadTooLarge(size, server.config.max_payload))
        self.method, self.uri, self.clientproto = self.__first_line()
        transport = self.__transport_of(self.uri.partition(b"?")[2])
        if transport is not None:
            transport.break_off(self)
        self.engineio_body = Body.REFUSED
        self.__room = 0
        self.content = BytesIO()
        # Else twisted.web would still ask the client to go on.
        self.requestHeaders.removeHeader(b"expect")
        self.setResponseCode(413)
        self.setHeader(b"Content-Length", b"0")
        self.setHeader(b"Cache-Control", b"no-store")
        self.write(b"")

    def __cut(self) -> None:
        """Hear no more of a client that takes too long, or sends too much."""
        channel = self.channel
        if isinstance(channel, HTTPChannel):
            transport: Any = channel.transport
            transport.abortConnection()
        else:
            # Of the connection it ends this stream alone, and tells nobody.
            channel.abortConnection()
            self.connectionLost(Failure(ConnectionLost("the request was cut off")))

    def connectionLost(self, reason: Failure) -> None:
        """Hear that the client has left."""
        self.__in_time()
        super().connectionLost(reason)

    def __in_time(self) -> None:
        if self.__deadline is not None and self.__deadline.active():
            self.__deadline.cancel()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See the body end."""
        self.__in_time()
        if self.engineio_body is Body.REFUSED:
            self.finish()
            return
        if self.engineio_body is Body.FOREIGN:
            # Without a path twisted.web would fail.
            super().requestReceived(command, path or b"/", version)
            return
        # As twisted.web does, without reading the body as a form, which it never is.
        assert self.content is not None  # gotLength made it
        self.content.seek(0, 0)
        self.args = {}
        self.method, self.uri, self.clientproto = command, path, version
        self.path = path.partition(b"?")[0]
        self.process()


class EngineIORequest(BoundedRequest):
    """A request on our own port."""

    # Twisted's: what it says of a request is limited in rate.
    _log: Any = property(
        lambda self: LimitedLog(Request._log, self.site.engineio_places.log_limit)
    )

    _encoder: Any  # of a resource that compresses what is in it

    def __repr__(self) -> str:
        """Describe it for a log, where its URI is to be tamed."""
        return tame(super().__repr__())

    def answer_whole(self, kind: bytes, body: bytes) -> bool:
        """
        Answer with status 200 in one write, straight to the socket if it is plain.

        Args:
            kind: The content type.
            body: The whole body.

        Returns:
            False if this request must be answered in twisted.web's own way.

        """
        channel = self.channel
        if type(channel) is not EngineIOChannel or self.engineio_body is Body.FOREIGN:
            return False
        if self._encoder is not None or self.cookies:
            return False  # somebody around us has a part in the answer
        lines = [
            b"%b 200 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
            b"Cache-Control: no-store"
            % (self.clientproto, RESPONSES[200], kind, len(body))
        ]
        for name, values in self.responseHeaders.getAllRawHeaders():
            lines.extend(b"%b: %b" % (name, value) for value in values)
        data = b"\r\n".join(lines) + b"\r\n\r\n" + body
        self.startedWriting = 1
        self.sentLength = len(body)  # for an access log
        _write_at_once(channel.transport, data)
        finish(self)
        return True


def _write_at_once(transport: Any, data: bytes) -> None:
    plain = type(transport) in (tcp.Server, unix.Server)
    if plain and not transport.dataBuffer and not transport._tempDataBuffer:
        try:
            sent = transport.getHandle().send(data)
        except OSError:
            sent = 0  # full, or broken: the transport finds out which
        data = data[sent:]
    if data:
        transport.write(data)

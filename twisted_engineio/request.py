"""
A request on our own port: its body bounded as it comes, its answer written at once.

Rules of this file:

1. A body over ``max_payload`` is refused by its Content-Length before it is read, or
   when it passes the limit. What the client still sends is thrown away, so that it
   gets to read the answer; past ``_SPARE`` times the limit the connection is cut.
2. A POST is known to its session from its headers on, so that one that is broken off,
   or a second one, ends the session.
3. Requests for other resources of the site are twisted.web's own affair.
"""

from __future__ import annotations

import enum
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from twisted.internet import tcp, unix
from twisted.web.http import RESPONSES, HTTPChannel
from twisted.web.server import Request

from .answer import finish
from .channel import EngineIOChannel
from .exceptions import PayloadTooLarge
from .handshake import parse_query
from .transports.eventsource import EventSourceTransport
from .transports.polling import PollingTransport

if TYPE_CHECKING:
    from .site import EngineIOSite

__all__ = ["EngineIORequest", "HTTPTransport"]

HTTPTransport: TypeAlias = PollingTransport | EventSourceTransport
"""What takes POSTs."""

_SPARE: Final = 16
"""How many limits' worth of a refused body are read and thrown away. A connection that
is cut while its client sends loses the answer on the way; nginx reads on for 30 s."""


class Body(enum.Enum):
    """What becomes of a request's body."""

    FOREIGN = "foreign"
    WELCOME = "welcome"
    REFUSED = "refused"


class EngineIORequest(Request):
    """A request whose body is checked as it comes."""

    channel: Any  # twisted.web gives a channel its site from outside
    site: EngineIOSite
    _encoder: Any  # of a resource that compresses what is in it

    def __init__(self, channel: Any, *args: Any, **options: Any) -> None:
        super().__init__(channel, *args, **options)
        self.site = channel.site
        self._body = Body.FOREIGN
        self._room = 0  # bytes of body that may still come

    # The body.

    def gotLength(self, length: int | None) -> None:
        """See the headers end: decide whether the body is welcome."""
        if not isinstance(self.channel, HTTPChannel):
            super().gotLength(length)  # a stream of HTTP/2, which has its own ways
            return
        uri: bytes = self.channel._path
        path, _, query = uri.partition(b"?")
        if not self.site.serves(path):
            super().gotLength(length)
            return
        # In memory, for it is bounded; twisted.web would put it on the disk.
        self.content = BytesIO()
        self._body = Body.WELCOME
        self._room = self.site.server.config.max_payload
        if self.channel._command == b"POST":
            transport = self._transport_of(query)
            if transport is not None:
                transport.begin(self)
        if length is not None and length > self._room:
            self._refuse(length)

    def _transport_of(self, raw: bytes) -> HTTPTransport | None:
        query = parse_query(raw)
        session = self.site.server.sessions.get(query.get("sid", ""))
        if session is None:
            return None
        transport = session.carrier(query.get("transport", ""))
        if isinstance(transport, (PollingTransport, EventSourceTransport)):
            return transport
        return None

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, or throw it away."""
        if self._body is Body.FOREIGN:
            super().handleContentChunk(data)
            return
        self._room -= len(data)
        limit = self.site.server.config.max_payload
        if self._body is Body.REFUSED:
            if self._room < -_SPARE * limit:
                self.channel.transport.abortConnection()
        elif self._room < 0:
            self._refuse(limit - self._room)
        else:
            super().handleContentChunk(data)

    def _refuse(self, size: int) -> None:
        """Answer 413 now; the request ends when the rest of its body has come."""
        server = self.site.server
        server.too_large(PayloadTooLarge(size, server.config.max_payload))
        transport = self._transport_of(self.channel._path.partition(b"?")[2])
        if transport is not None:
            transport.break_off(self)
        self._body = Body.REFUSED
        self._room = 0
        self.content = BytesIO()
        # Else twisted.web would still ask the client to go on.
        self.requestHeaders.removeHeader(b"expect")
        self.method, self.uri = self.channel._command, self.channel._path
        self.clientproto = self.channel._version
        self.setResponseCode(413)
        self.setHeader(b"Content-Length", b"0")
        self.setHeader(b"Cache-Control", b"no-store")
        self.write(b"")

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See the body end."""
        if self._body is Body.REFUSED:
            self.finish()
            return
        if self._body is Body.FOREIGN:
            super().requestReceived(command, path, version)
            return
        # As twisted.web does, without reading the body as a form, which it never is.
        assert self.content is not None  # gotLength made it
        self.content.seek(0, 0)
        self.args = {}
        self.method, self.uri, self.clientproto = command, path, version
        self.path = path.partition(b"?")[0]
        self.process()

    # The answer.

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
        if type(channel) is not EngineIOChannel or self._body is Body.FOREIGN:
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
        _write_at_once(channel.transport, data)
        finish(self)
        return True


def _write_at_once(transport: Any, data: bytes) -> None:
    plain = type(transport) in (tcp.Server, unix.Server)
    if plain and not transport.dataBuffer and not transport._tempDataBuffer:
        with suppress(OSError):  # full, or broken: the transport finds out which
            data = data[transport.getHandle().send(data) :]
    if data:
        transport.write(data)

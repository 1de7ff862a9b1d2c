"""
Our own port: what a Resource is called too late to enforce.

twisted.web calls a Resource when the whole body of a request is there, and lets a
client take for ever to send it as long as it sends something. So the limits on a
body's size and on a request's time stand here, in a Site of our own:

* a POST over ``max_payload`` gets 413 before its body is read, by its Content-Length;
  a chunked one when it passes the limit. What the client still sends is thrown away,
  as much again as the limit, and then the connection is cut.
* a request must be whole ``request_timeout`` seconds after its first line.
* a POST that its client breaks off ends its session.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.web.http import HTTPChannel, _GenericHTTPChannelProtocol
from twisted.web.http import Request as AnyRequest
from twisted.web.server import Request, Site

from .exceptions import PayloadTooLarge
from .handshake import parse_query
from .transports.polling import PollingTransport

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from .server import Server

__all__ = ["EngineIOSite"]


class EngineIOChannel(HTTPChannel):
    """A connection whose timeout is a deadline: a slow sender cannot put it off."""

    def resetTimeout(self) -> None:
        """Do nothing where twisted.web would begin to wait anew."""


class EngineIORequest(Request):
    """A request whose body is checked as it comes."""

    channel: Any  # twisted.web gives an HTTPChannel its site from outside

    def __init__(self, channel: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(channel, *args, **kwargs)
        self.site: EngineIOSite = channel.site
        self._polling: PollingTransport | None = None
        # The bytes of body that may still come; None where we are not responsible.
        self._room: int | None = None
        self._refused = False
        # The client began a request: from now on it has this long to finish it.
        channel.setTimeout(self.site.server.config.request_timeout)

    def gotLength(self, length: int | None) -> None:
        """See the headers end: decide whether the body is welcome."""
        uri: bytes = self.channel._path
        path, _, query = uri.partition(b"?")
        if not self.site.serves(path):
            super().gotLength(length)
            return
        # In memory, for it is bounded; twisted.web would put it on the disk.
        self.content = BytesIO()
        self._parsePOSTFormSubmission = False
        self._room = self.site.server.config.max_payload
        if self.channel._command == b"POST":
            self._begin_post(parse_query(query).get("sid", ""))
        if length is not None and length > self._room:
            self._refuse(length)

    def _begin_post(self, sid: str) -> None:
        session = self.site.server.sessions.get(sid)
        if session is not None and isinstance(session.transport, PollingTransport):
            self._polling = session.transport
            self._polling.begin(self)

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, or throw it away."""
        if self._room is None:
            super().handleContentChunk(data)
            return
        self._room -= len(data)
        limit = self.site.server.config.max_payload
        if self._refused:
            if self._room < -limit:
                self.channel.transport.abortConnection()
        elif self._room < 0:
            self._refuse(limit - self._room)
        else:
            super().handleContentChunk(data)

    def _refuse(self, size: int) -> None:
        """Answer 413 now; the request ends when the rest of its body has come."""
        server = self.site.server
        server.too_large(PayloadTooLarge(size, server.config.max_payload))
        if self._polling is not None:
            self._polling.break_off(self)
        self._refused = True
        self._room = 0
        self.content = BytesIO()
        # Else twisted.web would still ask the client to go on.
        self.requestHeaders.removeHeader(b"expect")
        self.method, self.uri = self.channel._command, self.channel._path
        self.clientproto = self.channel._version
        self.setResponseCode(413)
        self.setHeader(b"Content-Length", b"0")
        self.write(b"")

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See the body end."""
        if self._refused:
            self.finish()
        else:
            super().requestReceived(command, path, version)


class EngineIOSite(Site):
    """
    A twisted.web Site that guards the Engine.IO server in it.

    Attributes:
        server: The server that it guards.

    """

    requestFactory = EngineIORequest

    def __init__(
        self,
        root: IResource,
        server: Server,
        path: str = "/engine.io",
        **options: Any,
    ) -> None:
        """
        Make a site.

        Args:
            root: The root of the site; somewhere in it stands an ``EngineIOResource``.
            server: The server of that resource.
            path: Where it stands, from the root.
            options: As for twisted.web's Site. There is an access log only if
                ``logPath`` is given.

        """
        options.setdefault("timeout", server.config.request_timeout)
        options.setdefault("reactor", server.clock)
        super().__init__(root, **options)
        self.server = server
        self._path = b"/" + path.strip("/").encode()

    def protocol(self) -> _GenericHTTPChannelProtocol:
        """Make the protocol of a connection."""
        return _GenericHTTPChannelProtocol(EngineIOChannel())

    def serves(self, path: bytes) -> bool:
        """
        Tell whether a request is for the Engine.IO server.

        Args:
            path: The request's path, as it came.

        """
        if b"%" in path:
            path = unquote_to_bytes(path)
        return path.rstrip(b"/") == self._path.rstrip(b"/")

    def log(self, request: AnyRequest) -> None:
        """Log a request if a log was asked for; a poll a second is no news."""
        if self.logPath is not None:
            super().log(request)

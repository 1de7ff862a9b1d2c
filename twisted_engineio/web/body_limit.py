"""
Request bodies: collect them only if needed, and refuse those that are too large.

twisted.web calls a resource when the whole body has arrived, so a body for an unknown
session, or from a refused Origin, would be held in memory until then.

Rules of this file:

1. A request with a body is handled when its headers have ended. Our resource then
   either requests the body (``engineio_collect``) or answers; nothing is collected for
   an answer that does not depend on the body.
2. A body above ``max_payload`` is refused by its Content-Length, or when the bytes
   received exceed the limit.
3. A body that is not collected is discarded as it arrives, so that the client can read
   the answer. Above ``_SPARE`` times the limit the connection is aborted. The request
   ends, and the next one begins, when its whole body has arrived.
4. Bodies for other resources of the Site are left to the Site, unless it declares that
   none of them accepts a body: then none is collected for them.
5. An HTTP/2 stream has no channel of ours that limits its time, so the request has its
   own deadline. It counts received bytes only, because ``gotLength`` is called before
   its headers are complete. A POST is handled in the next reactor turn, or when the
   first part of its body arrives, because an HTTP/2 request cannot be answered
   earlier. Other methods are handled when their body arrives or ends.

=========== ==================== ================== =====================
body is     a part arrives       it ends            the request is answered
=========== ==================== ================== =====================
NONE        handle it, -> ASKED  handle it, -> GONE --
ASKED       collect              -> GONE            -> ANSWERED
WANTED      collect              deliver, -> GONE   -> ANSWERED
UNWANTED    discard              -> GONE            -> ANSWERED
ANSWERED    discard              finish, -> GONE    nothing
GONE        --                   --                 finish
=========== ==================== ================== =====================

Driven by twisted.web (``gotLength``, ``handleContentChunk``, ``requestReceived``,
``finish``, ``connectionLost``) and by our resource (``engineio_collect``).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from io import BytesIO
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from twisted.internet import tcp, unix
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, HTTPChannel
from twisted.web.server import Request

from ..exceptions import PayloadTooLarge
from ..policy.limited_log import LimitedLog, sanitize
from ..transports.http_response import finish
from ..transports.polling import PollingTransport
from ..transports.sse.transport import EventSourceTransport
from .http1.channel import EngineIOChannel
from .request_info import RequestInfo

if TYPE_CHECKING:
    from ..server.server import Server
    from .http1.mount_points import MountPoints

__all__ = ["Body", "BoundedRequest", "EngineIORequest", "HTTPTransport"]

HTTPTransport: TypeAlias = PollingTransport | EventSourceTransport
"""The transports that accept POSTs."""

_SPARE: Final = 16
"""Multiple of ``max_payload`` up to which an unneeded body is read and discarded. If
the connection is aborted while the client still sends, TCP discards the answer; nginx
reads on for 30 s."""


class Body(enum.Enum):
    """The state of a request's body."""

    UNKNOWN = "the headers have not ended"
    FOREIGN = "for another resource"
    NONE = "no part of a body has arrived"
    ASKED = "our resource has not decided whether to collect it"
    WANTED = "our resource collects it"
    UNWANTED = "no resource collects it"
    ANSWERED = "the request is answered, the body has not ended"
    GONE = "the body has ended"


_ANSWERED: Final = Body.ANSWERED  # aliases: faster than attributes of the enum
_ASKED: Final = Body.ASKED
_FOREIGN: Final = Body.FOREIGN
_GONE: Final = Body.GONE
_NONE: Final = Body.NONE
_UNWANTED: Final = Body.UNWANTED
_WANTED: Final = Body.WANTED
_COLLECTED: Final = (_ASKED, _WANTED)


class BoundedRequest(Request):
    """
    A request whose body is limited as it arrives, if it is for one of our servers.

    ``protect`` puts it in front of a foreign request class, so ``super()`` may call
    that class, and the private names here must not clash with its names: they are
    mangled.

    Attributes:
        engineio_body: The state of the body.
        engineio_server: The server that the request is for, if any.
        engineio_fault: Why the resource must refuse the request, so that observers are
            notified; None if its head is well-formed.

    """

    channel: Any  # twisted.web sets the channel's attribute site from outside
    site: Any
    engineio_server: Server | None = None
    engineio_fault: str | None = None
    # Class attributes until they are set: with more than thirty instance attributes
    # CPython gives each request a dictionary of its own, which costs 1.3 KB and makes
    # every attribute access slower.
    __deadline: IDelayedCall | None = None  # HTTP/2 only: the next step of the stream
    # The callback for the whole body, and the transport that the POST is for. Cleared
    # when the body has arrived: both refer to the request.
    __wanted: tuple[Callable[[], object], HTTPTransport] | None = None

    def __init__(self, channel: Any, *args: Any, **options: Any) -> None:
        super().__init__(channel, *args, **options)
        self.site = channel.site
        self.engineio_body = Body.UNKNOWN
        self.__server: Server  # set if the body is limited by us
        self.__room = inf  # bytes of the body that may still arrive
        self.__due: float  # HTTP/2 only: the time of the deadline

    def gotLength(self, length: int | None) -> None:
        """Handle the request if it has a body: its headers have ended."""
        if self.engineio_body is not Body.UNKNOWN:
            return  # HTTP/2: Twisted calls this once per Content-Length header
        mounts: MountPoints = self.site.engineio_mounts
        line = self.__first_line()
        ours = mounts.server_at(line[1].partition(b"?")[0])
        server = ours or mounts.elsewhere
        if server is None:
            self.engineio_body = _FOREIGN
            super().gotLength(length)
            return
        self.engineio_body = _NONE
        self.engineio_server = ours
        self.__server = server
        # In memory, which the limit bounds; twisted.web would use a temporary file.
        self.content = BytesIO()
        self.__room = server.config.max_payload
        if not isinstance(self.channel, HTTPChannel):
            self.__due = server.clock.seconds() + server.config.request_timeout
            if line[0] == b"POST":
                self.__deadline = server.clock.callLater(0, self.__open_stream)
            else:
                self.__await_end()
        elif length is None or length:
            if length is not None and length > self.__room:
                self.__refuse(length)
            else:
                self.__ask(line)

    def __first_line(self) -> tuple[bytes, bytes, bytes]:
        channel = self.channel
        if isinstance(channel, HTTPChannel):
            return channel._command, channel._path, channel._version
        # RFC 9113, 8.5: an ordinary CONNECT has no path.
        return channel.command, channel.path or b"", b"HTTP/2"

    def __open_stream(self) -> None:
        """Handle the request of an HTTP/2 stream before its body has arrived."""
        self.__in_time()
        self.__await_end()
        self.__ask(self.__first_line())

    def __await_end(self) -> None:
        clock = self.__server.clock
        left = max(self.__due - clock.seconds(), 0)
        self.__deadline = clock.callLater(left, self.__cut)

    def __ask(self, line: tuple[bytes, bytes, bytes]) -> None:
        """Handle the request before its body arrives."""
        # Only the body of a POST is ever delivered. The resource may request it later.
        may_want = self.engineio_server is not None and line[0] == b"POST"
        self.engineio_body = _ASKED if may_want else _UNWANTED
        self.__handle(*line)
        if self.engineio_body not in _COLLECTED:
            # Otherwise twisted.web would still answer 100 Continue.
            self.requestHeaders.removeHeader(b"expect")

    def engineio_collect(
        self, whole: Callable[[], object], transport: HTTPTransport
    ) -> bool:
        """
        Collect the body, because the answer depends on it.

        Args:
            whole: Called when the whole body is in ``content``.
            transport: The transport that the POST is for; notified if the body turns
                out to be too large.

        Returns:
            True if the body has not arrived yet; False if it is in ``content``.

        """
        if self.engineio_body is _ASKED or self.__is_early():
            self.engineio_body = _WANTED
            self.__wanted = whole, transport
            transport.begin(self)
            return True
        return False

    def __is_early(self) -> bool:
        """Return whether no part of a body marked as unwanted was discarded yet."""
        unwanted = self.engineio_body is _UNWANTED
        return unwanted and self.__room == self.__server.config.max_payload

    def handleContentChunk(self, data: bytes) -> None:
        """Collect or discard a part of the body."""
        self.__room -= len(data)
        if self.engineio_body is _NONE:
            self.__open_stream()
        if self.engineio_body is _FOREIGN:
            super().handleContentChunk(data)
        elif self.engineio_body not in _COLLECTED:
            if self.__room < -_SPARE * self.__server.config.max_payload:
                self.__cut()
        elif self.__room < 0 and self.engineio_body is _ASKED:
            self.__cut()  # another resource delays ours, which must answer first
        elif self.__room < 0:
            self.__refuse(self.__server.config.max_payload - int(self.__room))
        else:
            assert self.content is not None  # gotLength made it
            self.content.write(data)

    def __refuse(self, size: int) -> None:
        """Answer 413 now; the request ends when the rest of its body has arrived."""
        server = self.__server
        server.too_large(PayloadTooLarge(size, server.config.max_payload))
        self.method, self.uri, self.clientproto = self.__first_line()
        if self.__wanted is not None:
            _, transport = self.__wanted
            transport.discard_post(self)
            self.__wanted = None
        self.__room = 0
        # Otherwise twisted.web would still answer 100 Continue.
        self.requestHeaders.removeHeader(b"expect")
        server.cors.add_error_headers(RequestInfo(self, server.proxies))
        self.setResponseCode(413)
        self.setHeader(b"Content-Length", b"0")
        self.setHeader(b"Cache-Control", b"no-store")
        self.__answered()

    def __answered(self) -> None:
        """Write the answer; the request ends when the rest of its body has arrived."""
        self.engineio_body = _ANSWERED
        self.content = BytesIO()
        if not self.startedWriting:
            self.write(b"")

    def finish(self) -> None:
        """Finish the request, but not before its body has ended."""
        # Bytes of the body would be parsed as the next request.
        body = self.engineio_body
        if body is _GONE or body is _FOREIGN or self._disconnected:
            super().finish()
        elif body is not _ANSWERED:
            self.__answered()

    def __cut(self) -> None:
        """Abort the connection of a client that is too slow or sends too much."""
        channel = self.channel
        if isinstance(channel, HTTPChannel):
            transport: Any = channel.transport
            transport.abortConnection()
        else:
            # Aborts this HTTP/2 stream only. twisted.web does not notify the request.
            channel.abortConnection()
            self.connectionLost(Failure(ConnectionLost("the request was cut off")))

    def connectionLost(self, reason: Failure) -> None:
        """Cancel the deadline and the collection: the client has disconnected."""
        self.__in_time()
        self.__wanted = None
        super().connectionLost(reason)

    def __in_time(self) -> None:
        if self.__deadline is not None and self.__deadline.active():
            self.__deadline.cancel()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Handle the request, deliver its body or finish it: the body has ended."""
        if self.__deadline is not None:
            self.__in_time()
        body = self.engineio_body
        if body is _FOREIGN:
            # twisted.web fails for a request without a path.
            super().requestReceived(command, path or b"/", version)
            return
        self.engineio_body = _GONE
        assert self.content is not None  # gotLength made it
        self.content.seek(0, 0)
        if body is _NONE:
            self.__handle(command, path, version)
        elif body is _ANSWERED:
            self.finish()
        elif self.__wanted is not None:
            whole, _ = self.__wanted
            self.__wanted = None
            whole()

    def __handle(self, command: bytes, path: bytes, version: bytes) -> None:
        """Render the request with the resource that the site returns for it."""
        if self.engineio_server is None:
            super().requestReceived(command, path or b"/", version)
            return
        # As in twisted.web, except that the body is never parsed as a form.
        self.args = {}
        self.method, self.uri, self.clientproto = command, path, version
        self.path = path.partition(b"?")[0]
        self.process()


class EngineIORequest(BoundedRequest):
    """A request of an ``EngineIOSite``."""

    # twisted.web's logger, limited in rate: clients can cause its lines.
    _log: Any = property(
        lambda self: LimitedLog(Request._log, self.site.engineio_mounts.log_limit)
    )

    _encoder: Any  # set if a resource wraps ours in a compressing encoder

    def __repr__(self) -> str:
        """Return a description for a log, with control characters escaped."""
        # twisted.web's own raises for a URI with non-ASCII bytes; the log would then
        # contain two tracebacks in place of the line.
        said: tuple[Any, ...] = (self.method, self.uri, self.clientproto)
        line = " ".join(
            each.decode("latin-1") if isinstance(each, bytes) else each for each in said
        )
        return sanitize(f"<{type(self).__name__} at {id(self):#x} {line}>")

    def answer_whole(self, kind: bytes, body: bytes) -> bool:
        """
        Write a complete answer with status 200, directly to the socket if possible.

        Args:
            kind: The content type.
            body: The whole body.

        Returns:
            False if twisted.web must write the answer.

        """
        channel = self.channel
        if type(channel) is not EngineIOChannel or self.engineio_server is None:
            return False
        if self._encoder is not None or self.cookies:
            return False  # another resource takes part in the answer
        lines = [
            b"%b 200 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
            b"Cache-Control: no-store"
            % (self.clientproto, RESPONSES[200], kind, len(body))
        ]
        for name, values in self.responseHeaders.getAllRawHeaders():
            for value in values:
                lines.append(b"%b: %b" % (name, value))  # noqa: PERF401 - no generator
        data = b"\r\n".join(lines) + b"\r\n\r\n" + body
        self.startedWriting = 1
        if channel.site.logPath is not None:
            self.sentLength = len(body)
        _write_at_once(channel.transport, data)
        finish(self)
        return True


def _write_at_once(transport: Any, data: bytes) -> None:
    plain = type(transport) in (tcp.Server, unix.Server)
    if plain and not transport.dataBuffer and not transport._tempDataBuffer:
        try:
            sent = transport.getHandle().send(data)
        except OSError:
            sent = 0  # full or broken: the transport will find out which
        data = data[sent:]
    if data:
        transport.write(data)

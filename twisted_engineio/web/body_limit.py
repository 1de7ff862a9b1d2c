"""
A request whose body is collected once it is wanted; on our own port, answered at once.

twisted.web calls a resource when the whole body is there: a body for a session that
does not exist, or from an Origin that is refused, is held in memory until then.

Rules of this file:

1. A request with a body is handled when its headers have ended. A resource of ours then
   says that it wants the body (``engineio_collect``), or answers; nothing is collected
   for an answer that does not depend on it.
2. A body over ``max_payload`` is refused by its Content-Length, or when it passes the
   limit.
3. What is not collected is discarded as it comes, so that the client gets to read the
   answer; past ``_SPARE`` times the limit the connection is cut. The request ends, and
   the next one begins, when all of its body has come.
4. Requests for other resources of the site are their Site's own affair, unless it says
   that none of them takes a body: then none is collected for them.
5. Over HTTP/2 there is no connection to time as a whole, so a request times itself, and
   is judged by what comes alone: its headers are not all there when its length is. A
   POST is handled in the reactor's next turn, or when its body begins to come, for its
   stream takes no answer before; whatever else, when its body comes or ends.

=========== ==================== ================== =====================
body is     a piece comes        it ends            the request is answered
=========== ==================== ================== =====================
NONE        handle it, -> ASKED  handle it, -> GONE --
ASKED       collect              -> GONE            -> ANSWERED
WANTED      collect              deliver, -> GONE   -> ANSWERED
UNWANTED    discard              -> GONE            -> ANSWERED
ANSWERED    discard              finish, -> GONE    nothing
GONE        --                   --                 finish
=========== ==================== ================== =====================
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
"""What takes POSTs."""

_SPARE: Final = 16
"""How many limits' worth of a body that is not collected are read. A connection that is
cut while its client sends loses the answer on the way; nginx reads on for 30 s."""


class Body(enum.Enum):
    """What becomes of a request's body."""

    UNKNOWN = "its headers have not ended"
    FOREIGN = "another resource's"
    NONE = "there is none, or nothing of it yet"
    ASKED = "a resource may want it"
    WANTED = "a resource wants it"
    UNWANTED = "no resource wants it"
    ANSWERED = "it has come to nothing, and is not at its end"
    GONE = "it has ended"


_ANSWERED: Final = Body.ANSWERED  # to look it up takes longer than to compare it
_ASKED: Final = Body.ASKED
_FOREIGN: Final = Body.FOREIGN
_GONE: Final = Body.GONE
_NONE: Final = Body.NONE
_UNWANTED: Final = Body.UNWANTED
_WANTED: Final = Body.WANTED
_COLLECTED: Final = (_ASKED, _WANTED)


class BoundedRequest(Request):
    """
    A request whose body is checked as it comes, if it is for a server of ours.

    ``protect`` puts it before a request class that isn't ours: what it leaves to
    ``super`` may be that class's, and its own names must not be.

    Attributes:
        engineio_body: What becomes of its body.
        engineio_server: The server that it is for, if one.
        engineio_fault: Why its resource must refuse it, for observers; None if its head
            is good.

    """

    channel: Any  # twisted.web gives a channel its site from outside
    site: Any
    engineio_server: Server | None = None
    engineio_fault: str | None = None
    # On the class until they are set: with more than thirty attributes each request has
    # a dictionary of its own, 1.3 KB, and each look at one takes longer.
    __deadline: IDelayedCall | None = None  # of a stream of HTTP/2: its next step
    # What wants the body, until it is there, and whose POST it is: those know the
    # request in turn.
    __wanted: tuple[Callable[[], object], HTTPTransport] | None = None

    def __init__(self, channel: Any, *args: Any, **options: Any) -> None:
        super().__init__(channel, *args, **options)
        self.site = channel.site
        self.engineio_body = Body.UNKNOWN
        self.__server: Server  # once the body is ours to judge
        self.__room = inf  # bytes of body that may still come
        self.__due: float  # when a stream of HTTP/2 has had its time

    def gotLength(self, length: int | None) -> None:
        """Handle the request if it has a body: its headers have ended."""
        if self.engineio_body is not Body.UNKNOWN:
            return  # of HTTP/2: Twisted tells each Content-Length
        places: MountPoints = self.site.engineio_places
        line = self.__first_line()
        ours = places.server_at(line[1].partition(b"?")[0])
        server = ours or places.elsewhere
        if server is None:
            self.engineio_body = _FOREIGN
            super().gotLength(length)
            return
        self.engineio_body = _NONE
        self.engineio_server = ours
        self.__server = server
        # In memory, for it is bounded; twisted.web would put it on the disk.
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
        # An ordinary CONNECT has no path: RFC 9113, 8.5.
        return channel.command, channel.path or b"", b"HTTP/2"

    def __open_stream(self) -> None:
        """Handle a stream's request: its body comes, or is about to."""
        self.__in_time()
        self.__await_end()
        self.__ask(self.__first_line())

    def __await_end(self) -> None:
        clock = self.__server.clock
        left = max(self.__due - clock.seconds(), 0)
        self.__deadline = clock.callLater(left, self.__cut)

    def __ask(self, line: tuple[bytes, bytes, bytes]) -> None:
        """Handle the request before its body comes."""
        # None but POSTs are delivered; but a resource may be late to say so.
        may_want = self.engineio_server is not None and line[0] == b"POST"
        self.engineio_body = _ASKED if may_want else _UNWANTED
        self.__handle(*line)
        if self.engineio_body not in _COLLECTED:
            # Else twisted.web would still ask the client to go on.
            self.requestHeaders.removeHeader(b"expect")

    def engineio_collect(
        self, whole: Callable[[], object], transport: HTTPTransport
    ) -> bool:
        """
        Collect the body: what answers the request depends on it.

        Args:
            whole: Called when all of it is in ``content``.
            transport: Whose POST it is; called if the body turns out to be too large.

        Returns:
            Whether it is still to come; if not, it is in ``content``.

        """
        if self.engineio_body is _ASKED or self.__is_early():
            self.engineio_body = _WANTED
            self.__wanted = whole, transport
            transport.begin(self)
            return True
        return False

    def __is_early(self) -> bool:
        """Return whether nothing was discarded yet of a body that was not asked for."""
        unwanted = self.engineio_body is _UNWANTED
        return unwanted and self.__room == self.__server.config.max_payload

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, or discard it."""
        self.__room -= len(data)
        if self.engineio_body is _NONE:
            self.__open_stream()
        if self.engineio_body is _FOREIGN:
            super().handleContentChunk(data)
        elif self.engineio_body not in _COLLECTED:
            if self.__room < -_SPARE * self.__server.config.max_payload:
                self.__cut()
        elif self.__room < 0 and self.engineio_body is _ASKED:
            self.__cut()  # a resource around ours is to answer, which has not yet
        elif self.__room < 0:
            self.__refuse(self.__server.config.max_payload - int(self.__room))
        else:
            assert self.content is not None  # gotLength made it
            self.content.write(data)

    def __refuse(self, size: int) -> None:
        """Answer 413 now; the request ends when the rest of its body has come."""
        server = self.__server
        server.too_large(PayloadTooLarge(size, server.config.max_payload))
        self.method, self.uri, self.clientproto = self.__first_line()
        if self.__wanted is not None:
            _, transport = self.__wanted
            transport.discard_post(self)
            self.__wanted = None
        self.__room = 0
        # Else twisted.web would still ask the client to go on.
        self.requestHeaders.removeHeader(b"expect")
        server.cors.add_error_headers(RequestInfo(self, server.proxies))
        self.setResponseCode(413)
        self.setHeader(b"Content-Length", b"0")
        self.setHeader(b"Cache-Control", b"no-store")
        self.__answered()

    def __answered(self) -> None:
        """Write the answer; the request ends when the rest of its body has come."""
        self.engineio_body = _ANSWERED
        self.content = BytesIO()
        if not self.startedWriting:
            self.write(b"")

    def finish(self) -> None:
        """End the request, now or with its body: what comes would be the next one."""
        body = self.engineio_body
        if body is _GONE or body is _FOREIGN or self._disconnected:
            super().finish()
        elif body is not _ANSWERED:
            self.__answered()

    def __cut(self) -> None:
        """Abort a client that takes too long, or sends too much."""
        channel = self.channel
        if isinstance(channel, HTTPChannel):
            transport: Any = channel.transport
            transport.abortConnection()
        else:
            # Of the connection it ends this stream alone; the request is not told.
            channel.abortConnection()
            self.connectionLost(Failure(ConnectionLost("the request was cut off")))

    def connectionLost(self, reason: Failure) -> None:
        """Forget what waits for the body: the client has left."""
        self.__in_time()
        self.__wanted = None
        super().connectionLost(reason)

    def __in_time(self) -> None:
        if self.__deadline is not None and self.__deadline.active():
            self.__deadline.cancel()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Handle the request, deliver its body, or finish it: the body has ended."""
        if self.__deadline is not None:
            self.__in_time()
        body = self.engineio_body
        if body is _FOREIGN:
            # Without a path twisted.web would fail.
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
        """Render the request with the resource that the site finds for it."""
        if self.engineio_server is None:
            super().requestReceived(command, path or b"/", version)
            return
        # As twisted.web does, without reading the body as a form, which it never is.
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
        # Not twisted.web's, which raises where a URI has other than ASCII bytes: the
        # log would then hold two tracebacks in place of its line.
        said: tuple[Any, ...] = (self.method, self.uri, self.clientproto)
        line = " ".join(
            each.decode("latin-1") if isinstance(each, bytes) else each for each in said
        )
        return sanitize(f"<{type(self).__name__} at {id(self):#x} {line}>")

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
        if type(channel) is not EngineIOChannel or self.engineio_server is None:
            return False
        if self._encoder is not None or self.cookies:
            return False  # somebody around us has a part in the answer
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
            sent = 0  # full, or broken: the transport finds out which
        data = data[sent:]
    if data:
        transport.write(data)

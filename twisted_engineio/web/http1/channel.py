"""
A connection of our own port: twisted.web's, with a deadline, and lean for polling.

Rules of this file:

1. A request is timed as a whole, and an idle connection, by ``request_timeout.py``;
   twisted.web's own timeout, which every byte puts off, is switched off. What was sent
   ahead waits for its client and its turn: ``pipelining.py``.
2. A target may be in absolute-form, and a request must say for which host it is:
   ``request_target.py``.
3. A request of a session needs few of a browser's dozen headers. When nobody observes,
   the others are dropped before twisted.web reads them, each of which costs more than
   the message does. A handshake keeps them all, and so does whatever is not ours, or
   may be JSONP.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from .pipelining import PacedChannel
from .request_target import is_authority, is_host, read_absolute

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

    from ...server.server import Entry

__all__ = ["TWISTED", "EngineIOChannel"]

TWISTED: Final = ("_rawHeaders",)
"""What is known here of twisted.web's headers besides their interface."""

_MAX_HEAD: Final = 16_384
"""Bytes of a request's head that twisted.web accepts; a longer one is its to refuse."""
_IDLE: Final = (
    rb"accept|accept-language|cache-control|dnt|if-modified-since|pragma|priority"
    rb"|sec-ch-[a-z-]+|sec-fetch-[a-z]+|sec-gpc|te"
)
_LOGGED: Final = rb"|referer|user-agent"


def _lines(names: bytes) -> re.Pattern[bytes]:
    """Make a pattern of whole header lines."""
    return re.compile(
        rb"\r\n(?i:(?:%b):[^\r\n]*|connection: keep-alive"
        rb"|content-type: text/plain[^\r\n]*)(?=\r\n[^ \t])" % names
    )


_IDLE_LINES: Final = _lines(_IDLE + _LOGGED)
"""Headers that no answer to a session's request depends on. What a line goes on with in
the next one is left alone, for that line would else become part of another header."""
_UNLOGGED_LINES: Final = _lines(_IDLE)
"""Those of them that do not stand in an access log either."""


class EngineIOChannel(PacedChannel):
    """An HTTP/1.1 connection of an ``EngineIOSite``."""

    # The Site's own timeout, for its connections of HTTP/2, is none of this one's.
    timeOut = property(lambda self: None, lambda self, seconds: None)
    _admitted: Deferred[Entry] | None = None
    owner: Any = None  # the protocol that holds it, for HTTP/2 may take its place
    _host: IAddress | None = None

    def getHost(self) -> IAddress:
        """Return where the connection came to: each request asks, and it stays."""
        host = self._host
        if host is None:
            host = self._host = super().getHost()
        return host

    def request_begins(self, data: bytes) -> bytes:
        """Drop what its answer won't depend on."""
        end = data.find(b"\r\n\r\n")
        if 0 < end < _MAX_HEAD and self.site.is_lean(data[: data.find(b"\r")]):
            idle = _IDLE_LINES if self.site.logPath is None else _UNLOGGED_LINES
            return idle.sub(b"", data[: end + 4]) + data[end + 4 :]
        return data

    def allHeadersReceived(self) -> None:
        """Refuse a request that does not say what it asks for, and of which host."""
        headers = self.requests[-1].requestHeaders
        hosts = headers._rawHeaders.get(b"Host")  # its getter takes as long as the rest
        usual = hosts and len(hosts) == 1 and is_authority(hosts[0])
        status = 0
        if not usual and not is_host(hosts, self._version):
            status = self._leave_to_resource(self.requests[-1])
        if not status and self._path[:1] != b"/":
            status = self._normalize(headers)
        if not status:
            HTTPChannel.allHeadersReceived(self)
            return
        # RFC 9110, 15.5.6: 405 says what is allowed.
        self.refuse(status, b"Allow: GET, POST, OPTIONS\r\n" if status == 405 else b"")
        self.length = None  # else lineReceived, which called this, would handle it

    def _leave_to_resource(self, request: Any) -> int:
        """Let our resource refuse a Host that is none; return 400 for others."""
        path = self._path.partition(b"?")[0]
        if self.site.engineio_mounts.server_at(path) is None:
            return 400
        request.engineio_fault = "Host must be there once: a host, and perhaps a port"
        headers = request.requestHeaders
        given = headers.getRawHeaders(b"connection", ())
        headers.setRawHeaders(b"connection", [b"close", *given])
        return 0

    def _normalize(self, headers: Headers) -> int:
        """Rewrite a target as twisted.web reads it; return an error's status, or 0."""
        if self._command == b"CONNECT":
            return 405
        absolute = read_absolute(self._path, self._command)
        if absolute is not None:
            self._path, host = absolute
            headers.setRawHeaders(b"host", [host])
        elif self._path != b"*":
            return 400
        return 0

    # The door's side: see fast_http.py.

    def set_admission(self, admitted: Deferred[Entry]) -> None:
        """
        Know that the first request has been put to the application already.

        Args:
            admitted: What it says.

        """
        self._admitted = admitted

    def take_admission(self) -> Deferred[Entry] | None:
        """Give what the application says to the first request, once."""
        admitted = self._admitted
        if admitted is not None:
            self._admitted = None
        return admitted

    def taken_over(self) -> None:
        """Leave the connections that are counted: it is a WebSocket now."""
        self.site.engineio_mounts.connections.end(self.owner)
        self.owner = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Call off an admission that no request took: twisted.web refused it."""
        admitted = self.take_admission()
        if admitted is not None:
            admitted.addErrback(lambda _: None)  # there is nobody to tell
            admitted.cancel()
        super().connectionLost(reason)

"""
An HTTP/1.1 connection of ``EngineIOSite``: twisted.web's channel, with our limits.

Rules of this file:

1. A request has a deadline as a whole, and so has an idle connection:
   ``request_timeout.py``. twisted.web's own timeout, which every received byte extends,
   is disabled. Pipelined requests wait for the client and for their turn:
   ``pipelining.py``.
2. A request target may be in absolute-form, and a request must have exactly one valid
   Host: ``request_target.py``.
3. A session's request needs few of a browser's dozen headers. If nothing observes the
   requests, the others are dropped before twisted.web parses them; parsing each costs
   more than the message does. Handshakes keep all headers, and so do requests that are
   not ours or may be JSONP.

Driven by twisted.web and the transport; by the fast path (``set_admission``) and the
resource (``take_admission``).
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
"""Private names of twisted.web's ``Headers`` that are used here."""

_MAX_HEAD: Final = 16_384
"""Bytes of a request's head that twisted.web accepts; it refuses a longer one."""
_IDLE: Final = (
    rb"accept|accept-language|cache-control|dnt|if-modified-since|pragma|priority"
    rb"|sec-ch-[a-z-]+|sec-fetch-[a-z]+|sec-gpc|te"
)
_LOGGED: Final = rb"|referer|user-agent"


def _lines(names: bytes) -> re.Pattern[bytes]:
    """Return a pattern that matches whole header lines."""
    return re.compile(
        rb"\r\n(?i:(?:%b):[^\r\n]*|connection: keep-alive"
        rb"|content-type: text/plain[^\r\n]*)(?=\r\n[^ \t])" % names
    )


_IDLE_LINES: Final = _lines(_IDLE + _LOGGED)
"""Headers that no answer to a session's request depends on. A header that continues on
the next line (obs-fold) is kept: the rest would become part of another header."""
_UNLOGGED_LINES: Final = _lines(_IDLE)
"""Those of them that no access log contains."""


class EngineIOChannel(PacedChannel):
    """An HTTP/1.1 connection of an ``EngineIOSite``."""

    # The Site's timeOut applies to HTTP/2; this channel has its own deadlines.
    timeOut = property(lambda self: None, lambda self, seconds: None)
    _admitted: Deferred[Entry] | None = None
    owner: Any = None  # the protocol that holds it, which HTTP/2 may replace
    _host: IAddress | None = None

    def getHost(self) -> IAddress:
        """Return the server's address; cached, because every request asks for it."""
        host = self._host
        if host is None:
            host = self._host = super().getHost()
        return host

    def request_begins(self, data: bytes) -> bytes:
        """Drop the headers that the answer does not depend on."""
        end = data.find(b"\r\n\r\n")
        if 0 < end < _MAX_HEAD and self.site.is_lean(data[: data.find(b"\r")]):
            idle = _IDLE_LINES if self.site.logPath is None else _UNLOGGED_LINES
            return idle.sub(b"", data[: end + 4]) + data[end + 4 :]
        return data

    def allHeadersReceived(self) -> None:
        """Refuse a request with an invalid target or Host."""
        headers = self.requests[-1].requestHeaders
        hosts = headers._rawHeaders.get(b"Host")  # the getter doubles this check's cost
        usual = hosts and len(hosts) == 1 and is_authority(hosts[0])
        status = 0
        if not usual and not is_host(hosts, self._version):
            status = self._leave_to_resource(self.requests[-1])
        if not status and self._path[:1] != b"/":
            status = self._normalize(headers)
        if not status:
            HTTPChannel.allHeadersReceived(self)
            return
        # RFC 9110, 15.5.6: a 405 lists the allowed methods.
        self.refuse(status, b"Allow: GET, POST, OPTIONS\r\n" if status == 405 else b"")
        self.length = None  # or lineReceived, our caller, would handle the request

    def _leave_to_resource(self, request: Any) -> int:
        """Pass an invalid Host to our resource to refuse; return 400 for others."""
        path = self._path.partition(b"?")[0]
        if self.site.engineio_mounts.server_at(path) is None:
            return 400
        request.engineio_fault = "there must be one Host header: host and optional port"
        headers = request.requestHeaders
        given = headers.getRawHeaders(b"connection", ())
        headers.setRawHeaders(b"connection", [b"close", *given])
        return 0

    def _normalize(self, headers: Headers) -> int:
        """Rewrite a target to origin-form; return the status of an error, or 0."""
        if self._command == b"CONNECT":
            return 405
        absolute = read_absolute(self._path, self._command)
        if absolute is not None:
            self._path, host = absolute
            headers.setRawHeaders(b"host", [host])
        elif self._path != b"*":
            return 400
        return 0

    # Called by the fast path: see fast_http.py.

    def set_admission(self, admitted: Deferred[Entry]) -> None:
        """
        Set the admission that the fast path has started for the first request.

        Args:
            admitted: The result of ``Server.admit``.

        """
        self._admitted = admitted

    def take_admission(self) -> Deferred[Entry] | None:
        """Return the admission set by ``set_admission``, once."""
        admitted = self._admitted
        if admitted is not None:
            self._admitted = None
        return admitted

    def taken_over(self) -> None:
        """Remove the connection from the count: it is a WebSocket now."""
        self.site.engineio_mounts.connections.end(self.owner)
        self.owner = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancel an admission that no request took: twisted.web refused the request."""
        admitted = self.take_admission()
        if admitted is not None:
            admitted.addErrback(lambda _: None)  # no request is left to answer
            admitted.cancel()
        super().connectionLost(reason)

"""
A connection of our own port: twisted.web's, with a deadline, and lean for polling.

Rules of this file:

1. A client has ``request_timeout`` seconds for a whole request, from its first byte,
   however it trickles; and a connection may stay idle for as long. The channel owns one
   timer for both, and twisted.web's own, which every byte puts off, is switched off.
2. A request of a session needs few of a browser's dozen headers; when nobody observes,
   the others are counted and dropped. A handshake keeps them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.web.http import HTTPChannel, Request

if TYPE_CHECKING:
    from .site import EngineIOSite

__all__ = ["EngineIOChannel"]

_IDLE_HEADERS: Final = frozenset(
    name.encode()
    for lower in (
        "accept",
        "accept-language",
        "cache-control",
        "dnt",
        "if-modified-since",
        "pragma",
        "priority",
        "referer",
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-gpc",
        "te",
        "user-agent",
    )
    for name in (lower, lower.title())
)
"""Headers that no answer to a session's request depends on, as browsers write them."""


class EngineIOChannel(HTTPChannel):
    """An HTTP/1.1 connection that is timed as a whole."""

    site: EngineIOSite
    _timer: IDelayedCall | None = None
    _since = 0.0
    _judged: bytes | None = None  # the URI for which _lean was found out
    _lean = False

    def connectionMade(self) -> None:
        """Begin to wait for a request."""
        super().connectionMade()
        self._since = self.site.clock.seconds()
        self._wait(self.site.request_timeout)

    def dataReceived(self, data: bytes) -> None:
        """Note when a request begins."""
        if not self.requests and not self._buffer:
            self._since = self.site.clock.seconds()
        super().dataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        """Keep a header if it may be needed."""
        if line[: line.find(b":")] in _IDLE_HEADERS:
            if self._path is not self._judged:
                self._judged = self._path
                self._lean = self.site.is_lean(self._path)
            if self._lean and self._receivedHeaderCount < self.maxHeaders:
                self._receivedHeaderCount += 1
                return True
        kept: bool = super().headerReceived(line)
        return kept

    def requestDone(self, request: Request) -> None:
        """Begin to wait for the next request."""
        self._since = self.site.clock.seconds()
        super().requestDone(request)

    def setTimeout(self, period: float | None) -> None:
        """Wait no longer: the connection is gone, or somebody else's now."""
        # twisted.web has no timeout here, so it only ever says None.
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _wait(self, seconds: float) -> None:
        self._timer = self.site.clock.callLater(seconds, self._look)

    def _look(self) -> None:
        """See whether the client had its time."""
        limit = self.site.request_timeout
        spent = self.site.clock.seconds() - self._since
        if self._handlingRequest:
            self._wait(limit)
        elif spent < limit:
            self._wait(limit - spent)
        else:
            self._timer = None
            self.timeoutConnection()

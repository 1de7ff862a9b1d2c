"""
A connection of our own port: twisted.web's, with a deadline, and lean for polling.

Rules of this file:

1. A client has ``request_timeout`` seconds for a whole request, from its first byte,
   however it trickles; and a connection may stay idle for as long. The channel owns one
   timer for both, and twisted.web's own, which every byte puts off, is switched off.
2. A request of a session needs few of a browser's dozen headers. When nobody observes,
   the others are dropped before twisted.web reads them, each of which costs more than
   the message does. A handshake keeps them all, and so does whatever is not ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.web.http import HTTPChannel, Request

if TYPE_CHECKING:
    from .server import Entry
    from .site import EngineIOSite

__all__ = ["EngineIOChannel"]

_MAX_HEAD: Final = 16_384
"""Bytes of a request's head that twisted.web accepts; a longer one is its to refuse."""
_IDLE_LINES: Final = re.compile(
    rb"\r\n(?i:(?:accept|accept-language|cache-control|dnt|if-modified-since|pragma"
    rb"|priority|referer|sec-ch-[a-z-]+|sec-fetch-[a-z]+|sec-gpc|te|user-agent):"
    rb"[^\r\n]*|connection: keep-alive|content-type: text/plain[^\r\n]*)"
    rb"(?=\r\n[^ \t])"
)
"""Headers that no answer to a session's request depends on. What a line goes on with in
the next one is left alone, for that line would else become part of another header."""


class EngineIOChannel(HTTPChannel):
    """An HTTP/1.1 connection that is timed as a whole."""

    site: EngineIOSite
    _timer: IDelayedCall | None = None
    _since = 0.0
    _admitted: Deferred[Entry] | None = None

    def connectionMade(self) -> None:
        """Begin to wait for a request."""
        super().connectionMade()
        self._since = self.site.clock.seconds()
        self._wait(self.site.request_timeout)

    def dataReceived(self, data: bytes) -> None:
        """Note when a request begins, and drop what its answer won't depend on."""
        if not self.requests and not self._buffer:
            self._since = self.site.clock.seconds()
            end = data.find(b"\r\n\r\n")
            if 0 < end < _MAX_HEAD and self.site.is_lean(data[: data.find(b"\r")]):
                data = _IDLE_LINES.sub(b"", data[: end + 4]) + data[end + 4 :]
        super().dataReceived(data)

    def requestDone(self, request: Request) -> None:
        """Begin to wait for the next request."""
        self._since = self.site.clock.seconds()
        super().requestDone(request)

    # The door's side: see door.py.

    def go_on_with(self, admitted: Deferred[Entry]) -> None:
        """
        Know that the first request has been put to the application already.

        Args:
            admitted: What it says.

        """
        self._admitted = admitted

    def take_admission(self) -> Deferred[Entry] | None:
        """Give what the application says to the first request, once."""
        admitted, self._admitted = self._admitted, None
        return admitted

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
            self.cut_off()

    def cut_off(self) -> None:
        """Close the connection: the client had its time."""
        self.setTimeout(None)
        self.timeoutConnection()

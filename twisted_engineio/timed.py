"""
A connection whose requests are timed as a whole.

twisted.web's own timeout is put off by every byte. Here a client has
``request_timeout`` seconds for a whole request, from its first byte, however it
trickles. The channel owns one timer for that, and for a connection that stays idle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.web.http import HTTPChannel, Request

from .heartbeat import overslept
from .log_limit import LimitedLog

if TYPE_CHECKING:
    from .places import Places

__all__ = ["TimedChannel"]


class TimedChannel(HTTPChannel):
    """An HTTP/1.1 connection of a Site that has a ``Places``."""

    site: Any
    _timer: IDelayedCall | None = None
    _since = 0.0

    # Twisted's: what it says of a client that is too slow is limited in rate.
    _log: Any = property(
        lambda self: LimitedLog(HTTPChannel._log, self.site.engineio_places.log_limit)
    )

    def connectionMade(self) -> None:
        """Begin to wait for a request."""
        super().connectionMade()
        self._begin_to_wait()

    def dataReceived(self, data: bytes) -> None:
        """Note when a request begins."""
        if not (self.requests or self._buffer or self._handlingRequest):
            self._since = self.site.engineio_places.clock.seconds()
            data = self.request_begins(data)
        super().dataReceived(data)

    def request_begins(self, data: bytes) -> bytes:
        """
        See the first bytes of a request, and perhaps of others behind it.

        Args:
            data: What has come.

        Returns:
            What twisted.web is to read.

        """
        return data

    def requestDone(self, request: Request) -> None:
        """Begin to wait for the next request."""
        self._begin_to_wait()
        super().requestDone(request)

    def setTimeout(self, period: float | None) -> Any:
        """Hear of twisted.web's own timeout."""
        if period is None and self._timer is not None:
            # The connection is gone, or somebody else's now, or its request is whole.
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        return super().setTimeout(period)

    def is_excused(self) -> bool:
        """Tell whether the client may take its time just now."""
        # twisted.web goes on handling what was the last of its connection when that is
        # answered, however long the answer waits for a client that does not read.
        return self._handlingRequest and bool(self.requests)

    def _begin_to_wait(self) -> None:
        places: Places = self.site.engineio_places
        self._since = places.clock.seconds()
        if self._timer is None:
            self._wait(places.request_timeout)

    def _wait(self, seconds: float) -> None:
        self._timer = self.site.engineio_places.clock.callLater(seconds, self._look)

    def _look(self) -> None:
        """See whether the client had its time."""
        assert self._timer is not None  # it has just fired
        places: Places = self.site.engineio_places
        limit = places.request_timeout
        spent = places.clock.seconds() - self._since
        if self.is_excused():
            self._wait(limit)
        elif spent < limit:
            self._wait(limit - spent)
        elif overslept(places.clock, self._timer.getTime(), limit):
            self._wait(limit)  # the request may wait in the socket
        else:
            self.cut_off()

    def cut_off(self) -> None:
        """Close the connection: the client had its time."""
        self.setTimeout(None)
        self.timeoutConnection()

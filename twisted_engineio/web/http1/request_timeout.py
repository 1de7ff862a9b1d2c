"""
A connection whose requests are timed as a whole.

twisted.web's own timeout is put off by every byte. Here a client has
``request_timeout`` seconds for a whole request, from its first byte, however it
trickles, and ``keep_alive_timeout`` to begin the next one. A client that takes nothing
of an answer for ``request_timeout`` seconds is cut off. The channel owns one timer for
all of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.web.http import HTTPChannel

from ...policy.limited_log import LimitedLog
from ...session.heartbeat import was_stalled
from ...transports.write_buffer import Position, has_moved, position
from .close_timeout import ClosingChannel, ConnectionStage

if TYPE_CHECKING:
    from .mount_points import MountPoints

__all__ = ["TimedChannel"]

_FULL: Final = (b"", 0)
"""Of a transport that cannot be looked into, and says that much waits."""


class TimedChannel(ClosingChannel):
    """A connection that is closed when its client takes too long."""

    _timer: IDelayedCall | None = None
    _since = 0.0
    _served = False  # whether a request was answered: the connection is kept alive

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
        HTTPChannel.dataReceived(self, data)  # super() takes longer to find it

    def _is_idle(self) -> bool:
        """Return whether no request is there, nor a part of one."""
        return not (self.requests or self._buffer or self._handlingRequest)

    def request_begins(self, data: bytes) -> bytes:
        """
        See the first bytes of a request, and perhaps of others behind it.

        Args:
            data: What has come.

        Returns:
            What twisted.web is to read.

        """
        return data

    def setTimeout(self, period: float | None) -> Any:
        """Set twisted.web's own timeout; with ``None`` cancel the timer as well."""
        if period is None and self._timer is not None:
            # The connection is lost or handed over, or its request is whole.
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        return super().setTimeout(period)

    def is_excused(self) -> bool:
        """Return whether the server is what takes its time just now."""
        # twisted.web goes on handling what was the last of its connection when that is
        # answered, however long the answer waits for a client that does not read.
        return self.paused or (self._handlingRequest and bool(self.requests))

    def unread(self) -> Position | None:
        """Return where the client stands in what it has not taken; None if it has."""
        seen = position(self.transport)
        if seen is None and self._waitingForTransport:
            return _FULL
        return seen

    def _begin_to_wait(self) -> None:
        """Begin to wait for the first request, or for the next."""
        places: MountPoints = self.site.engineio_places
        self._since = places.clock.seconds()
        if self._timer is None and self.stage is ConnectionStage.OPEN:
            self._wait(places.patience)

    def _wait(self, seconds: float) -> None:
        places: MountPoints = self.site.engineio_places
        # A request that begins meanwhile has less time than an idle connection.
        delay = min(seconds, places.patience)
        self._timer = places.clock.callLater(delay, self._look)

    def _look(self) -> None:
        """Cut the client off if it has had its time."""
        assert self._timer is not None  # it has just fired
        places: MountPoints = self.site.engineio_places
        idle = self._served and self._is_idle()
        limit = places.keep_alive_timeout if idle else places.request_timeout
        spent = places.clock.seconds() - self._since
        unread = None if self._is_arriving() else self.unread()
        if unread is not None:
            self._look_at_reader(unread)
        elif self.is_excused():
            self._wait(limit)
        elif spent < limit:
            self._wait(limit - spent)
        elif was_stalled(places.clock, self._timer.getTime(), limit):
            self._wait(limit)  # the request may wait in the socket
        else:
            self.cut_off()

    def _look_at_reader(self, unread: Position) -> None:
        """Abort the connection if nothing was taken of its answers since last time."""
        before, self._seen = self._seen, unread
        if has_moved(before, unread):
            self._wait(self.site.engineio_places.request_timeout)
        else:
            self.setTimeout(None)
            self.transport.abortConnection()

    def _is_arriving(self) -> bool:
        """Return whether a part of a request is there, and the rest is awaited."""
        partial = bool(self.requests or self._buffer)
        return partial and not self._handlingRequest and not self.paused

    def cut_off(self) -> None:
        """Close the connection: the client had its time."""
        self.setTimeout(None)
        self.timeoutConnection()

"""
Deadlines for requests: a client has limited time for a whole request.

Every received byte extends twisted.web's own timeout. Here a client has
``request_timeout`` seconds for a whole request, from its first byte, and
``keep_alive_timeout`` seconds to begin the next one. A client that reads nothing of an
answer for ``request_timeout`` seconds is disconnected. The channel owns one timer for
all of this.

Driven by twisted.web, by the transport and by the clock of the Site's ``MountPoints``.
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
"""The position of a transport that cannot be inspected and has unsent data."""


class TimedChannel(ClosingChannel):
    """A connection that is closed when the client takes too long."""

    _timer: IDelayedCall | None = None
    _since = 0.0
    _served = False  # whether a request was answered, so that keep-alive applies

    # twisted.web logs a timeout; the rate of these lines is limited here.
    _log: Any = property(
        lambda self: LimitedLog(HTTPChannel._log, self.site.engineio_mounts.log_limit)
    )

    def connectionMade(self) -> None:
        """Start the deadline of the first request."""
        super().connectionMade()
        self._begin_to_wait()

    def dataReceived(self, data: bytes) -> None:
        """Record when a request begins, and pass the data on."""
        if not (self.requests or self._buffer or self._handlingRequest):
            self._since = self.site.engineio_mounts.clock.seconds()
            data = self.request_begins(data)
        HTTPChannel.dataReceived(self, data)  # super() costs more than the look-up

    def _is_idle(self) -> bool:
        """Return whether no request, nor a part of one, has been received."""
        return not (self.requests or self._buffer or self._handlingRequest)

    def request_begins(self, data: bytes) -> bytes:
        """
        Filter the first bytes of a request; called before twisted.web parses them.

        Args:
            data: The received bytes, possibly with pipelined requests.

        Returns:
            The bytes that twisted.web is to parse.

        """
        return data

    def setTimeout(self, period: float | None) -> Any:
        """Set twisted.web's own timeout; with ``None``, cancel our timer as well."""
        if period is None and self._timer is not None:
            # The connection is lost or handed over, or the request is complete.
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        return super().setTimeout(period)

    def is_excused(self) -> bool:
        """Return whether the delay is the server's: no deadline applies then."""
        # After the last request of a connection, twisted.web keeps _handlingRequest set
        # when it is answered, however long the client takes to read the answer. So
        # "requests" must be checked too.
        return self.paused or (self._handlingRequest and bool(self.requests))

    def unread(self) -> Position | None:
        """Return the write position of unsent data; None if everything was read."""
        seen = position(self.transport)
        if seen is None and self._waitingForTransport:
            return _FULL
        return seen

    def _begin_to_wait(self) -> None:
        """Start the deadline of the first request, or of the next."""
        mounts: MountPoints = self.site.engineio_mounts
        self._since = mounts.clock.seconds()
        if self._timer is None and self.stage is ConnectionStage.OPEN:
            self._wait(mounts.check_interval)

    def _wait(self, seconds: float) -> None:
        mounts: MountPoints = self.site.engineio_mounts
        # A request that begins meanwhile has less time than an idle connection has.
        delay = min(seconds, mounts.check_interval)
        self._timer = mounts.clock.callLater(delay, self._check_deadline)

    def _check_deadline(self) -> None:
        """Disconnect the client if its time is over."""
        assert self._timer is not None  # this is its callback
        mounts: MountPoints = self.site.engineio_mounts
        idle = self._served and self._is_idle()
        limit = mounts.keep_alive_timeout if idle else mounts.request_timeout
        spent = mounts.clock.seconds() - self._since
        unread = None if self._is_arriving() else self.unread()
        if unread is not None:
            self._check_reader(unread)
        elif self.is_excused():
            self._wait(limit)
        elif spent < limit:
            self._wait(limit - spent)
        elif was_stalled(mounts.clock, self._timer.getTime(), limit):
            self._wait(limit)  # the process slept: the request may be in the socket
        else:
            self.cut_off()

    def _check_reader(self, unread: Position) -> None:
        """Abort the connection if the client read nothing since the last check."""
        before, self._seen = self._seen, unread
        if has_moved(before, unread):
            self._wait(self.site.engineio_mounts.request_timeout)
        else:
            self.setTimeout(None)
            self.transport.abortConnection()

    def _is_arriving(self) -> bool:
        """Return whether a part of a request has arrived, and the rest has not."""
        partial = bool(self.requests or self._buffer)
        return partial and not self._handlingRequest and not self.paused

    def cut_off(self) -> None:
        """Close the connection: the client's time is over."""
        self.setTimeout(None)
        self.timeoutConnection()

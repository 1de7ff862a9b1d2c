"""
A connection that handles no more requests than its client reads answers.

twisted.web goes on through what it has read while its transport is paused: a client
that sends requests and reads nothing fills the server's memory with answers, and one
read of small requests holds the reactor for half a second.

Rules of this file:

1. No request is handled while more than ``high_water_mark`` bytes of earlier answers
   have not left. The transport says so (``pauseProducing``), and when all has left. One
   answer, of any size, is never cut.
2. Of requests that were sent ahead, ``_SHARE`` at most are handled in one turn of the
   reactor, and for one time slice; the connection waits for its turn then
   (``time_slices.py``). While others wait it is the first request of a read alone.
3. Likewise a chunked body, ``_PIECE`` bytes of it at a time: its chunks may be of one
   byte each.
4. While a connection waits, for either, no more is read from it.

Nothing of this costs a client anything that sends one request at a time.

Driven by twisted.web, by the transport (``pauseProducing``, ``resumeProducing``) and by
``MountPoints.slices``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

from ...transports.write_buffer import pause_above
from .close_timeout import ConnectionStage
from .request_timeout import TimedChannel

if TYPE_CHECKING:
    from .mount_points import MountPoints

__all__ = ["TWISTED", "PacedChannel"]

TWISTED: Final = (
    "_buffer",
    "_dataBuffer",
    "_handlingRequest",
    "_networkProducer",
    "_optimisticEagerReadSize",
    "_waitingForTransport",
    "paused",
)
"""What is known here of twisted.web's channel besides its interface."""

_SHARE: Final = 32
"""Requests of one connection that are handled in one turn, at most."""
_PIECE: Final = 2048
"""Bytes of a chunked body that are read at once: at most 340 chunks, in 2 ms."""


class PacedChannel(TimedChannel):
    """A connection that waits for its client, and for its turn."""

    _left = _SHARE  # requests that may still be handled in this turn
    _until = 0.0  # when its slice of this turn is over

    def connectionMade(self) -> None:
        """Set the size above which the transport pauses this channel."""
        super().connectionMade()
        mounts: MountPoints = self.site.engineio_mounts
        if mounts.high_water_mark != FileDescriptor.bufferSize:
            pause_above(self.transport, mounts.high_water_mark)

    def requestDone(self, request: Request) -> None:
        """Go on with the next request, or wait."""
        self._served = True
        self._begin_to_wait()
        if self._waitingForTransport:
            self.paused = True  # LineReceiver's loop ends after this request
        elif self._buffer or (self._dataBuffer and any(self._dataBuffer)):
            self.paused = self._is_share_used()
        elif self._left != _SHARE:
            self._left = _SHARE
        HTTPChannel.requestDone(self, request)  # super() takes longer than the rest
        if self.paused and self.stage is ConnectionStage.OPEN:
            self._pause()

    def _is_share_used(self) -> bool:
        """Count a request, or a piece; return whether the next has to wait."""
        slices = self.site.engineio_mounts.slices
        if self._left == _SHARE:  # of this read
            if slices.busy:
                return True
            self._until = slices.begin()
        self._left -= 1
        return self._left <= 0 or slices.is_over(self._until)

    def _pause(self) -> None:
        """Read no further, until the transport has sent all or the turn has come."""
        self.paused = True
        self._networkProducer.pauseProducing()
        if not self._waitingForTransport:
            self.site.engineio_mounts.slices.add(self._take_turn)

    def _take_turn(self) -> None:
        """Handle what has been read, as far as a share goes."""
        self.paused = False
        self._left = _SHARE - 1
        self._until = self.site.engineio_mounts.slices.begin()
        self._networkProducer.resumeProducing()
        if self._buffer:
            super().dataReceived(b"")

    def rawDataReceived(self, data: bytes) -> None:
        """Read the body of a request, or keep what was sent behind it."""
        if not self._handlingRequest and self.length is not None:
            HTTPChannel.rawDataReceived(self, data)  # and what comes as it says
            return
        rest = b"" if self._handlingRequest else data[_PIECE:]
        super().rawDataReceived(data[:_PIECE] if rest else data)
        if rest and self.stage is ConnectionStage.OPEN:
            self._buffer_rest(rest)
        elif self._handlingRequest and self._waitingForTransport:
            # twisted.web believes that it is paused already, and reads without end.
            self._pause_above(self._optimisticEagerReadSize)

    def _pause_above(self, size: int) -> None:
        if sum(map(len, self._dataBuffer)) > size:
            self._networkProducer.pauseProducing()

    def _buffer_rest(self, rest: bytes) -> None:
        """Keep the rest of a read for LineReceiver's loop, behind what it has."""
        if self._handlingRequest:
            super().rawDataReceived(rest)  # the request was whole: this is the next
            return
        self._buffer += rest
        if not self.paused and self._is_share_used():
            self._pause()

    def resumeProducing(self) -> None:
        """Go on: the transport has sent all."""
        super().resumeProducing()
        self._seen = None  # the client reads
        if self._is_idle():
            self._since = self.site.engineio_mounts.clock.seconds()
        if self.paused and self.stage is ConnectionStage.OPEN:
            self._pause()

    def loseConnection(self) -> None:
        """Handle nothing more."""
        self.site.engineio_mounts.slices.remove(self._take_turn)
        super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the queue."""
        if self.paused:
            self.site.engineio_mounts.slices.remove(self._take_turn)
        super().connectionLost(reason)

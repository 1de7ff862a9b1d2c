"""
Back-pressure for pipelined requests: handle them only as fast as the client reads.

twisted.web handles everything it has read, even while its transport is paused: a client
that sends requests and reads nothing fills the server's memory with answers, and one
read of small requests blocks the reactor for half a second.

Rules of this file:

1. No request is handled while more than ``high_water_mark`` bytes of earlier answers
   are unsent. The transport reports this (``pauseProducing``), and when all has been
   sent. A single answer, of any size, is never cut off.
2. At most ``_SHARE`` pipelined requests are handled in one reactor turn, within one
   time slice; then the connection waits for its turn (``time_slices.py``). While other
   connections wait, only the first request of a read is handled at once.
3. The same applies to a chunked body, ``_PIECE`` bytes at a time: its chunks may be of
   one byte each.
4. While a connection waits, for either reason, nothing more is read from it.

A client that sends one request at a time pays nothing for this.

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
"""Private names of twisted.web's channel that are used here."""

_SHARE: Final = 32
"""Maximum number of requests of one connection that are handled in one turn."""
_PIECE: Final = 2048
"""Bytes of a chunked body that are parsed at once: at most 340 chunks, in 2 ms."""


class PacedChannel(TimedChannel):
    """A connection that handles pipelined requests with back-pressure and in turns."""

    _left = _SHARE  # requests that may still be handled in this turn
    _until = 0.0  # the end of its time slice in this turn

    def connectionMade(self) -> None:
        """Set the size of unsent data above which the transport pauses this channel."""
        super().connectionMade()
        mounts: MountPoints = self.site.engineio_mounts
        if mounts.high_water_mark != FileDescriptor.bufferSize:
            pause_above(self.transport, mounts.high_water_mark)

    def requestDone(self, request: Request) -> None:
        """Handle the next request, or wait."""
        self._served = True
        self._begin_to_wait()
        if self._waitingForTransport:
            self.paused = True  # ends LineReceiver's loop after this request
        elif self._buffer or (self._dataBuffer and any(self._dataBuffer)):
            self.paused = self._is_share_used()
        elif self._left != _SHARE:
            self._left = _SHARE
        HTTPChannel.requestDone(self, request)  # super() costs more than all of this
        if self.paused and self.stage is ConnectionStage.OPEN:
            self._pause()

    def _is_share_used(self) -> bool:
        """Count a request, or a part of a body; return whether the next must wait."""
        slices = self.site.engineio_mounts.slices
        if self._left == _SHARE:  # the first of this read
            if slices.busy:
                return True
            self._until = slices.begin()
        self._left -= 1
        return self._left <= 0 or slices.is_over(self._until)

    def _pause(self) -> None:
        """Stop reading until the transport has sent everything or the turn comes."""
        self.paused = True
        self._networkProducer.pauseProducing()
        if not self._waitingForTransport:
            self.site.engineio_mounts.slices.add(self._take_turn)

    def _take_turn(self) -> None:
        """Handle what has been read, up to one share."""
        self.paused = False
        self._left = _SHARE - 1
        self._until = self.site.engineio_mounts.slices.begin()
        self._networkProducer.resumeProducing()
        if self._buffer:
            super().dataReceived(b"")

    def rawDataReceived(self, data: bytes) -> None:
        """Read the body of a request, or buffer what was sent after it."""
        if not self._handlingRequest and self.length is not None:
            HTTPChannel.rawDataReceived(self, data)  # Content-Length: nothing to split
            return
        rest = b"" if self._handlingRequest else data[_PIECE:]
        super().rawDataReceived(data[:_PIECE] if rest else data)
        if rest and self.stage is ConnectionStage.OPEN:
            self._buffer_rest(rest)
        elif self._handlingRequest and self._waitingForTransport:
            # twisted.web assumes that it is paused already, and reads without limit.
            self._pause_above(self._optimisticEagerReadSize)

    def _pause_above(self, size: int) -> None:
        if sum(map(len, self._dataBuffer)) > size:
            self._networkProducer.pauseProducing()

    def _buffer_rest(self, rest: bytes) -> None:
        """Keep the rest of a read for LineReceiver's loop, after what it has."""
        if self._handlingRequest:
            super().rawDataReceived(rest)  # the body is complete: rest is the next one
            return
        self._buffer += rest
        if not self.paused and self._is_share_used():
            self._pause()

    def resumeProducing(self) -> None:
        """Continue: the transport has sent everything."""
        super().resumeProducing()
        self._seen = None  # the client is reading
        if self._is_idle():
            self._since = self.site.engineio_mounts.clock.seconds()
        if self.paused and self.stage is ConnectionStage.OPEN:
            self._pause()

    def loseConnection(self) -> None:
        """Stop handling requests, and close the connection."""
        self.site.engineio_mounts.slices.remove(self._take_turn)
        super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the queue of waiting connections."""
        if self.paused:
            self.site.engineio_mounts.slices.remove(self._take_turn)
        super().connectionLost(reason)

"""
The unlimited response to a GET of an ``EventSource``.

Rules of this file:

1. It ends once: because its client disconnected, because it was ended, or because it
   has reached its maximum size or age and the client must reconnect. Nothing is written
   afterwards.
2. When the socket is full its owner is notified, and must not write until it has room.
3. Data that was written before its end has ``close_timeout`` to be sent.
4. It owns one timer, for comments that keep an idle connection open, for its maximum
   age, and for its end.

In this table, "notify" calls the owner.

====== =================== ===================== ===================== =======
event  OPEN                FULL                  ENDING                OVER
====== =================== ===================== ===================== =======
pause  notify, -> FULL     nothing               nothing               nothing
resume nothing             notify, -> OPEN       finish, notify,       nothing
                                                 -> OVER
end    finish, -> OVER     arm *late*, -> ENDING --                    --
drop   finish, -> OVER     abort, -> OVER        abort, -> OVER        --
lost   notify, -> OVER     notify, -> OVER       notify, -> OVER       nothing
*late* --                  --                    drop, notify          --
====== =================== ===================== ===================== =======

Driven by its transport (``start``, ``write``, ``write_last``, ``drop``), by twisted.web
as its producer (``pauseProducing``, ``resumeProducing``) and by the clock.

HTML standard, "Server-sent events".
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import Request
from zope.interface import implementer

from ..http_response import finish
from ..packed_headers import pack
from ..write_buffer import pause_above, unsent

if TYPE_CHECKING:
    from ...config import Config

__all__ = ["EventStream", "ResponseFlow", "StreamOwner"]

_HEADERS: Final = {
    b"Content-Type": b"text/event-stream",
    # A proxy that transforms a stream (compresses it, say) may buffer all of it.
    b"Cache-Control": b"no-store, no-transform",
    b"X-Accel-Buffering": b"no",  # the same for nginx
    b"X-Content-Type-Options": b"nosniff",
}
_PREAMBLE: Final = b"retry: 1000\n:ok\n\n"
_COMMENT: Final = b":\n\n"


class ResponseFlow(enum.Enum):
    """Whether a stream may be written to."""

    OPEN = "open"
    FULL = "full"
    ENDING = "ending"  # full, and its last event is written
    OVER = "over"


class StreamOwner(Protocol):
    """The owner of a stream, which is notified of its state."""

    def stream_full(self) -> None:
        """Called when the socket is full."""

    def stream_ready(self) -> None:
        """Called when the socket has room again."""

    def stream_sent(self, stream: EventStream) -> None:
        """Called when the socket has taken all data of an ended stream."""

    def stream_over(self, stream: EventStream) -> None:
        """Called when the stream is over, and unsent data may be lost."""


@implementer(IPushProducer)
class EventStream:
    """
    A response of ``text/event-stream``.

    Driven by its transport, by twisted.web and by its clock.

    Attributes:
        flow: Whether it may be written to.

    """

    __slots__ = (
        "_clock",
        "_config",
        "_owner",
        "_quiet",
        "_request",
        "_room",
        "_since",
        "_timer",
        "flow",
    )

    def __init__(
        self, request: Request, owner: StreamOwner, clock: IReactorTime, config: Config
    ) -> None:
        """
        Make a stream that is not started.

        Args:
            request: The GET; the stream owns it from now on.
            owner: The owner to notify.
            clock: The clock of its timer.
            config: Its maximum size and age, and the interval of comments.

        """
        self.flow = ResponseFlow.OPEN
        self._request = request
        self._owner = owner
        self._clock = clock
        self._config = config
        self._room = config.sse_max_bytes
        self._since = clock.seconds()
        self._quiet = self._since
        self._timer: IDelayedCall | None = None

    # Its transport's side.

    def start(self) -> None:
        """Send the response headers, without a content length."""
        request = self._request
        for name, value in _HEADERS.items():
            request.responseHeaders.setRawHeaders(name, [value])
        request.notifyFinish().addErrback(self._lost)
        pause_above(request.transport, self._config.low_water_mark)
        request.registerProducer(self, True)
        request.write(_PREAMBLE)
        pack(request)
        self._wait()

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the socket has not taken."""
        return unsent(self._request.transport)

    def write(self, *event: bytes) -> None:
        """
        Write an event; only while the stream is open.

        Args:
            event: The event in parts, with the empty line that ends it.

        """
        self._put(event)
        if self._room <= 0:
            self._rotate()

    def write_last(self, *event: bytes) -> bool:
        """
        Write an event, only while the stream is open, and end once the socket took it.

        Args:
            event: As for ``write``.

        Returns:
            Whether the socket has taken it; if not, ``stream_sent`` follows.

        """
        # With limit 0, twisted.web pauses us for any unsent byte, and resumes us when
        # all is sent. TLS collects data, and pauses us only in the next turn.
        is_limited = pause_above(self._request.transport, 0)
        self._put(event)
        if is_limited:
            self.flow = ResponseFlow.FULL
        self._end()
        return self.flow is ResponseFlow.OVER

    def _put(self, event: tuple[bytes, ...]) -> None:
        self._quiet = self._clock.seconds()
        for part in event:
            self._room -= len(part)
            self._request.write(part)

    def drop(self) -> None:
        """End the stream at once; if the socket was full, unsent data may be lost."""
        if self.flow is ResponseFlow.OPEN:
            self._finish()
            return
        # Else unsent data would be kept until TCP gives up.
        self._over()
        request = self._request
        request.unregisterProducer()
        transport: Any = request.transport
        if transport is not None:
            transport.abortConnection()
        else:  # an HTTP/2 stream: only it ends, and connectionLost is not called
            channel: Any = request.channel
            channel.abortConnection()
            request.connectionLost(Failure(ConnectionAborted()))

    # twisted.web's side.

    def pauseProducing(self) -> None:
        """Notify the owner that the socket is full."""
        if self.flow is ResponseFlow.OPEN:
            self.flow = ResponseFlow.FULL
            self._owner.stream_full()

    def resumeProducing(self) -> None:
        """Notify the owner that the socket has room again."""
        if self.flow is ResponseFlow.FULL:
            self.flow = ResponseFlow.OPEN
            self._owner.stream_ready()
        elif self.flow is ResponseFlow.ENDING and self._request.transport is not None:
            self._sent()
        elif self.flow is ResponseFlow.ENDING:
            # HTTP/2 is iterating over its streams here: removing one would break that.
            self._stop_timer()
            self._timer = self._clock.callLater(0.0, self._sent)

    def stopProducing(self) -> None:
        """Do nothing: ``notifyFinish`` reports a disconnect."""

    def _lost(self, reason: Failure) -> None:
        if self.flow is not ResponseFlow.OVER:
            self._over()
            self._owner.stream_over(self)

    # Time.

    def _wait(self) -> None:
        age = self._clock.seconds() - self._since
        rest = self._config.sse_max_age - age
        delay = min(self._config.sse_keepalive, rest)
        self._timer = self._clock.callLater(max(delay, 0.0), self._tick)

    def _tick(self) -> None:
        now, config = self._clock.seconds(), self._config
        if now - self._since >= config.sse_max_age:
            self._rotate()
            return
        if self.flow is ResponseFlow.OPEN and now - self._quiet >= config.sse_keepalive:
            self.write(_COMMENT)
        if self.flow in (ResponseFlow.OPEN, ResponseFlow.FULL):
            self._wait()

    def _rotate(self) -> None:
        """End the stream; the client reconnects and resumes after its last event."""
        self._end()
        self._owner.stream_over(self)

    def _close_timed_out(self) -> None:
        """Drop the stream: its socket has not taken the last data in time."""
        self.drop()
        self._owner.stream_over(self)

    # Its end.

    def _end(self) -> None:
        """End the response, once the socket has taken all data."""
        if self.flow is ResponseFlow.OPEN:
            self._finish()
        else:
            self._stop_timer()
            self.flow = ResponseFlow.ENDING
            late = self._config.close_timeout
            self._timer = self._clock.callLater(late, self._close_timed_out)

    def _sent(self) -> None:
        self._finish()
        self._owner.stream_sent(self)

    def _finish(self) -> None:
        self._over()
        self._request.unregisterProducer()
        pause_above(self._request.transport, self._config.low_water_mark)
        finish(self._request)

    def _over(self) -> None:
        self.flow = ResponseFlow.OVER
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

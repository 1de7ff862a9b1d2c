"""
One response that does not end: the GET of a client that listens for events.

Rules of this file:

1. It is over once: because its client left, because it was ended, or because it has
   carried enough and the client had better connect anew. Nothing is written afterwards.
2. When the socket is full it says so, and is written to no more until it has room.
3. What was written before its end has ``close_timeout`` to leave.
4. It owns one timer, for comments that keep a quiet connection alive, for its age, and
   for its end.

====== =================== ===================== ===================== =======
event  OPEN                FULL                  ENDING                OVER
====== =================== ===================== ===================== =======
pause  tell, -> FULL       nothing               nothing               nothing
resume nothing             tell, -> OPEN         finish, tell, -> OVER nothing
end    finish, -> OVER     arm *late*, -> ENDING --                    --
drop   finish, -> OVER     abort, -> OVER        abort, -> OVER        --
lost   tell, -> OVER       tell, -> OVER         tell, -> OVER         nothing
*late* --                  --                    drop, tell            --
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
    # A proxy that changes a stream (compresses it, say) must collect it first.
    b"Cache-Control": b"no-store, no-transform",
    b"X-Accel-Buffering": b"no",  # nginx's own word for it
    b"X-Content-Type-Options": b"nosniff",
}
_PREAMBLE: Final = b"retry: 1000\n:ok\n\n"
_COMMENT: Final = b":\n\n"


class ResponseFlow(enum.Enum):
    """Whether a stream may be written to."""

    OPEN = "open"
    FULL = "full"
    ENDING = "ending"  # full, and nothing more is to come
    OVER = "over"


class StreamOwner(Protocol):
    """Whom a stream tells what becomes of it."""

    def stream_full(self) -> None:
        """Hear that the stream takes no more for now."""

    def stream_ready(self) -> None:
        """Hear that the stream takes more again."""

    def stream_sent(self, stream: EventStream) -> None:
        """Hear that an ended stream's socket has taken the rest of it."""

    def stream_over(self, stream: EventStream) -> None:
        """Hear that the stream is over, and the rest of it may be lost."""


@implementer(IPushProducer)
class EventStream:
    """
    A response of ``text/event-stream``.

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
        Make a stream that has not begun.

        Args:
            request: The GET; it is this stream's from now on.
            owner: Whom it tells what becomes of it.
            clock: What it measures time with.
            config: How much it carries, how long it lives, when it speaks up.

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
        """Answer the request with headers, and no end."""
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
        """The bytes that were written and that the socket has not taken."""
        return unsent(self._request.transport)

    def write(self, *event: bytes) -> None:
        """
        Write an event; only while it is open.

        Args:
            event: The event in parts, with the empty line that ends it.

        """
        self._put(event)
        if self._room <= 0:
            self._rotate()

    def write_last(self, *event: bytes) -> bool:
        """
        Write an event, only while it is open, and end once the socket has taken it.

        Args:
            event: As for ``write``.

        Returns:
            Whether the socket has taken it: else its owner hears of it.

        """
        # So that it is full with whatever waits, and hears when that has left. TLS
        # collects what is written, and pauses us a turn later.
        told = pause_above(self._request.transport, 0)
        self._put(event)
        if told:
            self.flow = ResponseFlow.FULL
        self._end()
        return self.flow is ResponseFlow.OVER

    def _put(self, event: tuple[bytes, ...]) -> None:
        self._quiet = self._clock.seconds()
        for part in event:
            self._room -= len(part)
            self._request.write(part)

    def drop(self) -> None:
        """End it at once: what its socket was too full to take may be lost."""
        if self.flow is ResponseFlow.OPEN:
            self._finish()
            return
        # What waits in its socket would otherwise stay for as long as TCP tries.
        self._over()
        request = self._request
        request.unregisterProducer()
        transport: Any = request.transport
        if transport is not None:
            transport.abortConnection()
        else:  # a stream of HTTP/2, which ends alone, and tells nobody
            channel: Any = request.channel
            channel.abortConnection()
            request.connectionLost(Failure(ConnectionAborted()))

    # twisted.web's side.

    def pauseProducing(self) -> None:
        """Say that the socket is full."""
        if self.flow is ResponseFlow.OPEN:
            self.flow = ResponseFlow.FULL
            self._owner.stream_full()

    def resumeProducing(self) -> None:
        """Say that the socket has room again."""
        if self.flow is ResponseFlow.FULL:
            self.flow = ResponseFlow.OPEN
            self._owner.stream_ready()
        elif self.flow is ResponseFlow.ENDING and self._request.transport is not None:
            self._sent()
        elif self.flow is ResponseFlow.ENDING:
            # HTTP/2 is just looking through its streams: it must not lose one now.
            self._stop_timer()
            self._timer = self._clock.callLater(0.0, self._sent)

    def stopProducing(self) -> None:
        """Do nothing: ``notifyFinish`` says that the client left."""

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
        """End, for the client to connect again where this stream left off."""
        self._end()
        self._owner.stream_over(self)

    def _late(self) -> None:
        """Wait no longer for a socket."""
        self.drop()
        self._owner.stream_over(self)

    # Its end.

    def _end(self) -> None:
        """End the response behind what was written, once the socket has taken that."""
        if self.flow is ResponseFlow.OPEN:
            self._finish()
        else:
            self._stop_timer()
            self.flow = ResponseFlow.ENDING
            late = self._config.close_timeout
            self._timer = self._clock.callLater(late, self._late)

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

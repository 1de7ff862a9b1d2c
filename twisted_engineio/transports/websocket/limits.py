"""
What Autobahn's WebSocket lacks: bounds on the time and memory that a client may take.

Rules of this file:

1. A close has a deadline, whichever side began it and however far it has come: after
   ``close_timeout`` the connection is aborted. Autobahn and Twisted would wait without
   end for a client that reads nothing. The timer is the factory's, ``closes``.
2. A read is handled for one time slice. What is left of it is handled in later turns,
   in order, and nothing else is read meanwhile; all connections that have something
   left share one slice in each turn (``slices``), so a flood of frames, of whatever
   kind, delays others by a few milliseconds. If the connection closes, it is dropped.
3. Of the pings in one read the last is answered, before what is behind it: RFC 6455,
   5.5.3. Those that stand before a message count by themselves.
4. What has come of a message is kept in one piece, however it was cut.

Driven by the TCP transport (``dataReceived``), by Autobahn, by the factory's timers,
and by the session, which pauses and resumes the reading.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

from autobahn.twisted.websocket import WebSocketServerProtocol

from ...session.interfaces import NULL_RECEIVER, Receiver

if TYPE_CHECKING:
    from .factory import WebSocketFactory

__all__ = ["AUTOBAHN", "LimitedWebSocket"]

AUTOBAHN: Final = (
    "_closeConnection",
    "_dataReceived",
    "_fail_connection",
    "_max_message_size_exceeded",
    "_onOpen",
    "sendCloseFrame",
)
"""Methods of Autobahn's ``WebSocketServerProtocol`` that are overridden or called here
and in ``transport.py``, and are not part of its public interface."""

_STRIDE: Final = 256
"""Bytes of frames, if they are small, that are read between two looks at the clock."""


class ReadingPace(enum.Enum):
    """How far a connection is read."""

    FREE = "as it comes"
    AHEAD = "while its session has room"
    STOPPED = "not at all"


_FREE = ReadingPace.FREE  # a name of the module's own, for each connection


class LimitedWebSocket(WebSocketServerProtocol):
    """
    Autobahn's WebSocket with bounds.

    Attributes:
        receiver: Whom it feeds.
        writable: Whether it is open and the socket takes more.

    """

    receiver: Receiver
    writable: bool
    factory: WebSocketFactory
    transport: Any  # a TCP transport, or what wraps one
    # Autobahn's own, which it sets where no type checker looks.
    current_frame: Any
    current_frame_masker: Any
    _perMessageCompress: Any
    failedByMe: bool
    message_data: Any
    state: int
    _unread: bytearray | None = None  # received before it was open, or its turn came
    _pace = _FREE
    _ahead = 0  # bytes that were read while paused, of a message that is not whole
    _pinged: bytes | None = None  # a ping to answer after the read, if the socket may
    _close_due = 0.0  # when it is aborted, on the clock, since it has begun to close

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        """Read frames for a time slice, once it is open to both sides: rule 2."""
        if self._unread is not None:
            self._unread += data
            return
        slices = self.factory.slices
        position, end, until = 0, len(data), slices.begin()
        while position < end:
            position = self._feed(data, position)
            if self._is_full or slices.is_over(until):
                position = self._read_later(data, position)
        self._answer_ping()

    @property
    def _is_full(self) -> bool:
        """Whether a paused session has no room for what one read inflates to."""
        # Of what is not compressed it has: that is no more than was read.
        return (
            self._perMessageCompress is not None
            and self._pace is not _FREE
            and self.receiver.room <= 0
        )

    def _feed(self, data: bytes, position: int) -> int:
        """
        Feed Autobahn some frames, or the rest of one.

        Autobahn copies all that is behind a frame, twice: much at once would take
        it a time that grows with the square of that.

        Returns:
            The position behind what it was fed.

        """
        end = len(data)
        if self.state == self.STATE_CLOSED:
            return end  # it would keep for ever what it reads no more
        stop = end
        if self.state != self.STATE_CONNECTING:
            stop = min(position + max(_STRIDE, self._lacks()), end)
        self._dataReceived(data[position:stop])
        return stop

    def _lacks(self) -> int:
        """Count the bytes that the frame which Autobahn has begun lacks."""
        frame = self.current_frame
        if frame is None:
            return 0
        return int(frame.length - self.current_frame_masker.pointer())

    def _read_later(self, data: bytes, position: int) -> int:
        """Leave the rest of a read for a later turn; return its end."""
        end = len(data)
        if position < end and self.state != self.STATE_CLOSED:
            self._unread = bytearray(data[position:])
            self.transport.pauseProducing()
            if not self._is_full:  # else resume() adds it
                self.factory.slices.add(self._read_on)
        return end

    def _read_on(self) -> None:
        """Read on where the last time slice was over."""
        data, self._unread = bytes(self._unread or b""), None
        try:
            self.dataReceived(data)
        except BaseException:
            self._abort_now()  # as the reactor does; the time slices log it
            raise
        if not self._waiting and self._pace is not ReadingPace.STOPPED:
            self.transport.resumeProducing()

    def _read_rest(self) -> None:
        """Read what was received before the connection was lost, in no slices."""
        detached: Receiver = NULL_RECEIVER
        while self._unread and not self._is_full:
            if self.receiver is detached:
                return
            data, self._unread = bytes(self._unread), None
            self.factory.slices.remove(self._read_on)
            self.dataReceived(data)

    @property
    def reads_ahead(self) -> bool:
        """Whether the socket is read."""
        return self._pace is not ReadingPace.STOPPED

    def pause(self) -> None:
        """Read on while the session has room, then leave the rest in the socket."""
        # For this connection, and for as long as it is paused: a look at each read that
        # costs those that are not paused nothing.
        self.dataReceived = self._read_ahead  # type: ignore[method-assign]
        self._ahead = 0
        self._update_pace()

    def resume(self) -> None:
        """Read on, after what has been received."""
        if self._pace is not _FREE:
            self._pace = _FREE
            vars(self).pop("dataReceived", None)
            self._go_on()
        elif self._unread is None:
            self.transport.resumeProducing()

    def _go_on(self) -> None:
        """Read what waits for room or for its turn, and then the socket."""
        if self._unread is None:
            self.transport.resumeProducing()
        else:
            self.factory.slices.add(self._read_on)

    def _read_ahead(self, data: bytes) -> None:
        room, waiting = self.receiver.room, self._waiting
        type(self).dataReceived(self, data)
        if self._pace is ReadingPace.AHEAD:
            # What has not reached the session is of a message that is not whole yet.
            if self.receiver.room != room:
                self._ahead = 0
            else:
                self._ahead += len(data) + waiting - self._waiting
            self._update_pace()

    @property
    def _waiting(self) -> int:
        return 0 if self._unread is None else len(self._unread)

    def _update_pace(self) -> None:
        if self.receiver.room > self._ahead:
            if self._pace is ReadingPace.STOPPED:
                self._go_on()
            self._pace = ReadingPace.AHEAD
        else:
            self._stop_reading()
            self.receiver.reading_stopped()

    def _stop_reading(self) -> None:
        self._pace = ReadingPace.STOPPED
        self.transport.pauseProducing()

    def onPing(self, payload: bytes) -> None:
        """Keep a ping, to answer the last one of a read: RFC 6455, 5.5.3."""
        self._pinged = payload
        self.receiver.control_frames(1)

    def onPong(self, payload: bytes) -> None:
        """Count a pong, which has no other effect."""
        self.receiver.control_frames(1)

    def onFrameBegin(self) -> None:
        """Begin a frame; what is sent because of it comes behind the last pong."""
        if self._pinged is not None and self.current_frame.opcode < 9:
            self._answer_ping()
        super().onFrameBegin()

    def _answer_ping(self) -> None:
        """Answer the last ping, unless more is unread, or the socket is full."""
        if self._pinged is not None and self._unread is None and self.writable:
            pinged, self._pinged = self._pinged, None
            self.sendPong(pinged)

    # Messages that Autobahn assembles.

    def onMessageBegin(self, isBinary: bool) -> None:
        """Begin a message."""
        super().onMessageBegin(isBinary)
        self.message_data = bytearray()

    def onMessageFrameData(self, payload: bytes) -> None:
        """Keep a part of a frame; in Autobahn's lists each costs an object, or two."""
        if not self.failedByMe:
            self.message_data += payload

    def onMessageFrameEnd(self) -> None:
        """Do nothing: its bytes are in their place."""

    # Closing: each way begins with one of these two.

    def sendCloseFrame(
        self,
        code: int | None = None,
        reasonUtf8: bytes | None = None,
        isReply: bool = False,
    ) -> None:
        """Send a close frame, and limit the time until the connection is closed."""
        self._answer_ping()
        super().sendCloseFrame(code, reasonUtf8, isReply)
        if self.state == self.STATE_CLOSING:  # else there is nothing left to close
            self._limit_close()

    def _closeConnection(self, abort: bool = False) -> None:
        """Close the connection, or abort it; Twisted would wait for unsent bytes."""
        super()._closeConnection(abort)
        if not abort:
            self._limit_close()

    def _limit_close(self) -> None:
        if not self._close_due:  # no step puts off what the first has begun
            self._close_due = self.factory.closes.begin(self._abort_now)

    def _abort_now(self) -> None:
        """Abort the connection; unsent bytes are lost, and nothing more is read."""
        self.state = self.STATE_CLOSED
        self.unregisterProducer()
        self.transport.abortConnection()

"""
Limits that Autobahn's WebSocket lacks, on the time and memory that a client may use.

Rules of this file:

1. A close has a deadline, whichever side began it and whatever its progress: after
   ``close_timeout`` the connection is aborted. Autobahn and Twisted would wait for ever
   for a client that does not read. The timer is the factory's, ``closes``.
2. A read is handled for one time slice. The rest of its data is handled in later turns,
   in order, and nothing else is read meanwhile; all connections with unread data share
   one slice in each turn (``slices``), so a flood of frames of any kind delays other
   connections by a few milliseconds. If the connection closes, the rest is dropped.
3. Of the pings in one read only the last is answered, before later data is handled: RFC
   6455, 5.5.3. Pings before a message are a group of their own.
4. The received part of a message is stored in one buffer, however it was fragmented.

Driven by the TCP transport (``dataReceived``), by Autobahn, by the factory's timers,
and by the session, which pauses and resumes reading.
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
"""Bytes of small frames that are handled between two reads of the clock."""


class ReadingPace(enum.Enum):
    """Whether a connection is read."""

    FREE = "without a limit"
    AHEAD = "while its session has room"
    STOPPED = "not at all"


_FREE = ReadingPace.FREE  # a module global is looked up faster, per connection


class LimitedWebSocket(WebSocketServerProtocol):
    """
    Autobahn's WebSocket with limits.

    Driven by the TCP transport, Autobahn, the factory's timers and the session.

    Attributes:
        receiver: The recipient of received packets.
        writable: Whether it is open and the socket has room.

    """

    receiver: Receiver
    writable: bool
    factory: WebSocketFactory
    transport: Any  # a TCP transport, or a wrapper of one
    # Autobahn's attributes, which it does not declare.
    current_frame: Any
    current_frame_masker: Any
    _perMessageCompress: Any
    failedByMe: bool
    message_data: Any
    state: int
    _unread: bytearray | None = None  # received before it was open, or after its slice
    _pace = _FREE
    _ahead = 0  # bytes of an incomplete message, read while paused
    _pinged: bytes | None = None  # a ping to answer after the read, once writable
    _close_due = 0.0  # when it is aborted, on the clock; 0.0 unless it is closing

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        """Handle frames for a time slice, once the WebSocket is open: rule 2."""
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
        """Whether a paused session has no room for more decompressed data."""
        # Uncompressed data is no larger than what was read, so it needs no check.
        return (
            self._perMessageCompress is not None
            and self._pace is not _FREE
            and self.receiver.room <= 0
        )

    def _feed(self, data: bytes, position: int) -> int:
        """
        Pass some frames, or the rest of one, to Autobahn.

        Autobahn copies all data after a frame, twice: a large piece would take
        quadratic time.

        Returns:
            The position after the data that was passed.

        """
        end = len(data)
        if self.state == self.STATE_CLOSED:
            return end  # Autobahn would buffer this data and never read it
        stop = end
        if self.state != self.STATE_CONNECTING:
            stop = min(position + max(_STRIDE, self._missing_bytes()), end)
        self._dataReceived(data[position:stop])
        return stop

    def _missing_bytes(self) -> int:
        """Return the bytes that Autobahn's current frame lacks."""
        frame = self.current_frame
        if frame is None:
            return 0
        return int(frame.length - self.current_frame_masker.pointer())

    def _read_later(self, data: bytes, position: int) -> int:
        """Keep the rest of a read for a later turn; return the end of the data."""
        end = len(data)
        if position < end and self.state != self.STATE_CLOSED:
            self._unread = bytearray(data[position:])
            self.transport.pauseProducing()
            if not self._is_full:  # else resume() schedules it
                self.factory.slices.add(self._read_on)
        return end

    def _read_on(self) -> None:
        """Continue where the last time slice ended."""
        data, self._unread = bytes(self._unread or b""), None
        try:
            self.dataReceived(data)
        except BaseException:
            self._abort_now()  # as the reactor does; the exception is logged as well
            raise
        if not self._waiting and self._pace is not ReadingPace.STOPPED:
            self.transport.resumeProducing()

    def _read_rest(self) -> None:
        """Handle all data that was received before the connection closed, unsliced."""
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
        """Read while the session has room, then leave data in the socket."""
        # Replaced on the instance while it is paused, so that the check after each read
        # costs connections that are not paused nothing.
        self.dataReceived = self._read_ahead  # type: ignore[method-assign]
        self._ahead = 0
        self._update_pace()

    def resume(self) -> None:
        """Read on, after the data that is already received."""
        if self._pace is not _FREE:
            self._pace = _FREE
            vars(self).pop("dataReceived", None)
            self._continue_reading()
        elif self._unread is None:
            self.transport.resumeProducing()

    def _continue_reading(self) -> None:
        """Schedule the unread data, or read the socket."""
        if self._unread is None:
            self.transport.resumeProducing()
        else:
            self.factory.slices.add(self._read_on)

    def _read_ahead(self, data: bytes) -> None:
        room, waiting = self.receiver.room, self._waiting
        type(self).dataReceived(self, data)
        if self._pace is ReadingPace.AHEAD:
            # Data that has not reached the session belongs to an incomplete message.
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
                self._continue_reading()
            self._pace = ReadingPace.AHEAD
        else:
            self._stop_reading()
            self.receiver.reading_stopped()

    def _stop_reading(self) -> None:
        self._pace = ReadingPace.STOPPED
        self.transport.pauseProducing()

    def onPing(self, payload: bytes) -> None:
        """Store a ping: only the last one of a read is answered. RFC 6455, 5.5.3."""
        self._pinged = payload
        self.receiver.control_frames(1)

    def onPong(self, payload: bytes) -> None:
        """Count a pong; it has no other effect."""
        self.receiver.control_frames(1)

    def onFrameBegin(self) -> None:
        """Begin a frame; answer pings first if it is not a control frame."""
        if self._pinged is not None and self.current_frame.opcode < 9:
            self._answer_ping()
        super().onFrameBegin()

    def _answer_ping(self) -> None:
        """Answer the last ping, unless data is unread or the socket is full."""
        if self._pinged is not None and self._unread is None and self.writable:
            pinged, self._pinged = self._pinged, None
            self.sendPong(pinged)

    # Messages that Autobahn assembles.

    def onMessageBegin(self, isBinary: bool) -> None:
        """Begin a message."""
        super().onMessageBegin(isBinary)
        self.message_data = bytearray()

    def onMessageFrameData(self, payload: bytes) -> None:
        """Buffer a part of a frame; Autobahn's lists need an object or two per part."""
        if not self.failedByMe:
            self.message_data += payload

    def onMessageFrameEnd(self) -> None:
        """Do nothing: the frame's data is in the buffer."""

    # Closing always begins with one of these two methods.

    def sendCloseFrame(
        self,
        code: int | None = None,
        reasonUtf8: bytes | None = None,
        isReply: bool = False,
    ) -> None:
        """Send a close frame, and set the deadline of the close."""
        self._answer_ping()
        super().sendCloseFrame(code, reasonUtf8, isReply)
        if self.state == self.STATE_CLOSING:  # else the connection is closed already
            self._limit_close()

    def _closeConnection(self, abort: bool = False) -> None:
        """Close the connection, with a deadline for unsent data, or abort it."""
        super()._closeConnection(abort)
        if not abort:
            self._limit_close()

    def _limit_close(self) -> None:
        if not self._close_due:  # later steps of a close do not extend the deadline
            self._close_due = self.factory.closes.begin(self._abort_now)

    def _abort_now(self) -> None:
        """Abort the connection; unsent data is lost, and nothing more is read."""
        self.state = self.STATE_CLOSED
        self.unregisterProducer()
        self.transport.abortConnection()

"""
The end of an HTTP/1.1 connection: its last answer leaves, and then it is closed.

twisted.web closes a connection when what was written has left, however long its client
reads nothing; and it refuses a malformed request in the middle of what the client still
sends, which makes TCP throw the answer away (a reset).

Rules of this file:

1. ``loseConnection`` has a deadline: ``close_timeout`` after it, or after the client
   last took something of what was written, the connection is aborted. An answer that
   is read, however slowly, is not cut.
2. A request that is refused by its head gets a whole answer. The connection is closed
   for writing then, and what the client still sends is discarded, ``_DISCARDED`` bytes
   at most, until it closes its end or the deadline is over.
3. A connection that is to be closed serves no further request.

====== ========================== ========================= =====
event  OPEN                       CLOSING                   LOST
====== ========================== ========================= =====
close  deadline, -> CLOSING       nothing                   nothing
refuse answer, then as "close"    nothing                   --
data   (request_timeout.py)                 discarded                 --
*late* --                         abort, if nothing is read --
lost   -> LOST                    no deadline, -> LOST      --
====== ========================== ========================= =====

Driven by twisted.web (``loseConnection``, ``_respondToBadRequestAndDisconnect``), by
the transport, by ``MountPoints.closing`` and, when its port stops, by
``connection_limit.py``.

RFC 9112, 9.6.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import tcp
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from ...transports.write_buffer import Position, has_moved, position, unsent

if TYPE_CHECKING:
    from .mount_points import MountPoints

__all__ = ["TWISTED", "ClosingChannel", "ConnectionStage"]

TWISTED: Final = (
    "_networkProducer",
    "_receivedHeaderCount",
    "_respondToBadRequestAndDisconnect",
)
"""What is known here of twisted.web's channel besides its interface."""

_PHRASES: Final = {
    400: b"Bad Request",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
}
_DISCARDED: Final = 1_048_576
"""Bytes that are read after a refusal and thrown away. Far more than the head of a
request, and than what a client has under way when the answer reaches it."""


class ConnectionStage(enum.Enum):
    """How far a connection has come."""

    OPEN = "open"
    CLOSING = "closing"
    LOST = "lost"


class ClosingChannel(HTTPChannel):
    """
    An HTTP/1.1 connection of a Site that has a ``MountPoints``.

    Attributes:
        stage: How far it has come.

    """

    site: Any
    transport: Any
    stage = ConnectionStage.OPEN
    # twisted.web's own deadline, which holds after a timeout only.
    abortTimeout = None  # type: ignore[assignment]  # documented: None is for ever
    _seen: Position | None = None  # where its socket stood at the last look
    _discarded = 0

    def loseConnection(self) -> None:
        """Close the connection when all that was written has left."""
        self._begin_to_close()
        super().loseConnection()

    def _begin_to_close(self) -> None:
        if self.stage is ConnectionStage.OPEN:
            self.stage = ConnectionStage.CLOSING
            # In its place: a check would cost every read of every connection.
            self.dataReceived = self._discard  # type: ignore[method-assign]
            self.setTimeout(None)  # there is a deadline of its own
            self._seen = position(self.transport)
            mounts: MountPoints = self.site.engineio_mounts
            mounts.closing.begin(self._overdue)

    def _overdue(self) -> None:
        """Abort the connection, unless its client has read something meanwhile."""
        seen, self._seen = self._seen, position(self.transport)
        if self._seen is not None and has_moved(seen, self._seen):
            self.site.engineio_mounts.closing.begin(self._overdue)
        else:
            self.transport.abortConnection()

    def stop(self) -> None:
        """Close the connection, unless a request is in progress: the port stops."""
        if self.requests:
            return
        if unsent(self.transport):
            self.transport.abortConnection()
        else:
            self.loseConnection()

    def _discard(self, data: bytes) -> None:
        """Discard what a client sends after the connection is to be closed."""
        self._discarded += len(data)
        if self._discarded > _DISCARDED:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancel the deadline: the connection is closed."""
        if self.stage is ConnectionStage.CLOSING:
            self.site.engineio_mounts.closing.end(self._overdue)
            del self.dataReceived  # each would keep the other in memory
        self.stage = ConnectionStage.LOST
        super().connectionLost(reason)

    # Refusals.

    def refuse(self, status: int, headers: bytes = b"") -> None:
        """
        Answer a request that cannot be read any further, and close the connection.

        Args:
            status: The HTTP status; one of ``_PHRASES``.
            headers: Header lines besides the usual, each with its CRLF.

        """
        if self.stage is not ConnectionStage.OPEN:
            return
        # Of a request that is answered already only the rest is malformed.
        if not self.requests or not self.requests[-1].startedWriting:
            self.transport.write(
                b"HTTP/1.1 %d %b\r\nContent-Length: 0\r\nConnection: close\r\n%b\r\n"
                % (status, _PHRASES[status], headers)
            )
        self._buffer = b""  # else its rest would be read as further headers
        transport = self.transport
        if isinstance(transport, tcp.Connection) and not transport.TLS:
            self._begin_to_close()
            producer: Any = self._networkProducer
            producer.unregisterProducer()
            transport.loseWriteConnection()
            producer.resumeProducing()  # it may have been paused; what comes is dropped
        else:
            # TLS reads on by itself until the client has answered its closing alert.
            self.loseConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        too_long = self._receivedHeaderSize > self.totalHeadersSize
        if too_long or self._receivedHeaderCount > self.maxHeaders:
            self._refuse_size()
        else:
            self.refuse(400)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a request whose first line, or one of its headers, is too long."""
        self._refuse_size()

    def _refuse_size(self) -> None:
        # The request line is parsed before any header is read: RFC 9112, 3.
        self.refuse(431 if hasattr(self, "_command") else 414)

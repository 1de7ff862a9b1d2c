"""
The closing of an HTTP/1.1 connection: write the last answer, then close, in time.

twisted.web closes a connection when everything is written, however long the client does
not read. It also refuses a malformed request while the client is still sending, which
makes TCP reset the connection and discard the answer.

Rules of this file:

1. ``loseConnection`` has a deadline: the connection is aborted if the client takes
   nothing of the unsent data for ``close_timeout``. An answer that is being read,
   however slowly, is not cut off.
2. A request that is refused by its head gets a complete answer. Then the connection is
   closed for writing, and what the client still sends is discarded, up to
   ``_DISCARDED`` bytes, until the client closes its end or the deadline passes.
3. A connection that is closing handles no further request.

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
"""Private names of twisted.web's channel that are used here."""

_PHRASES: Final = {
    400: b"Bad Request",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
}
_DISCARDED: Final = 1_048_576
"""Bytes that are read and discarded after a refusal. Far more than the head of a
request, and than a client has in transit when the answer reaches it."""


class ConnectionStage(enum.Enum):
    """The state of a connection."""

    OPEN = "open"
    CLOSING = "closing"
    LOST = "lost"


class ClosingChannel(HTTPChannel):
    """
    An HTTP/1.1 connection of a Site that has a ``MountPoints``.

    Attributes:
        stage: The state of the connection.

    """

    site: Any
    transport: Any
    stage = ConnectionStage.OPEN
    # twisted.web's own deadline, which applies only after a timeout.
    abortTimeout = None  # type: ignore[assignment]  # documented: None is for ever
    _seen: Position | None = None  # the socket's write position at the last check
    _discarded = 0

    def loseConnection(self) -> None:
        """Close the connection when all written data has left."""
        self._begin_to_close()
        super().loseConnection()

    def _begin_to_close(self) -> None:
        if self.stage is ConnectionStage.OPEN:
            self.stage = ConnectionStage.CLOSING
            # Replaces the method: a check in it would cost every read a call.
            self.dataReceived = self._discard  # type: ignore[method-assign]
            self.setTimeout(None)  # the closing deadline replaces it
            self._seen = position(self.transport)
            mounts: MountPoints = self.site.engineio_mounts
            mounts.closing.begin(self._overdue)

    def _overdue(self) -> None:
        """Abort the connection unless the client has read something since."""
        seen, self._seen = self._seen, position(self.transport)
        if self._seen is not None and has_moved(seen, self._seen):
            self.site.engineio_mounts.closing.begin(self._overdue)
        else:
            self.transport.abortConnection()

    def stop(self) -> None:
        """Close the connection unless a request is in progress: the port stops."""
        if self.requests:
            return
        if unsent(self.transport):
            self.transport.abortConnection()
        else:
            self.loseConnection()

    def _discard(self, data: bytes) -> None:
        """Discard data that arrives while the connection is closing."""
        self._discarded += len(data)
        if self._discarded > _DISCARDED:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancel the deadline: the connection is closed."""
        if self.stage is ConnectionStage.CLOSING:
            self.site.engineio_mounts.closing.end(self._overdue)
            del self.dataReceived  # break the reference cycle
        self.stage = ConnectionStage.LOST
        super().connectionLost(reason)

    # Refusals.

    def refuse(self, status: int, headers: bytes = b"") -> None:
        """
        Answer a request whose head is malformed, and close the connection.

        Args:
            status: The HTTP status; one of ``_PHRASES``.
            headers: Additional header lines, each with its CRLF.

        """
        if self.stage is not ConnectionStage.OPEN:
            return
        # If the request was answered already, only the rest of its body is malformed.
        if not self.requests or not self.requests[-1].startedWriting:
            self.transport.write(
                b"HTTP/1.1 %d %b\r\nContent-Length: 0\r\nConnection: close\r\n%b\r\n"
                % (status, _PHRASES[status], headers)
            )
        self._buffer = b""  # or the rest would be parsed as further headers
        transport = self.transport
        if isinstance(transport, tcp.Connection) and not transport.TLS:
            self._begin_to_close()
            producer: Any = self._networkProducer
            producer.unregisterProducer()
            transport.loseWriteConnection()
            producer.resumeProducing()  # may be paused; received data is discarded
        else:
            # TLS keeps reading until the client has answered the close alert.
            self.loseConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        too_long = self._receivedHeaderSize > self.totalHeadersSize
        if too_long or self._receivedHeaderCount > self.maxHeaders:
            self._refuse_size()
        else:
            self.refuse(400)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a request whose first line, or one of whose headers, is too long."""
        self._refuse_size()

    def _refuse_size(self) -> None:
        # RFC 9112, 3: the request line is parsed before any header.
        self.refuse(431 if hasattr(self, "_command") else 414)

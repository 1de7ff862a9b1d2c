"""
A client's TCP connection: HTTP answers, streams of chunks, and WebSocket frames.

It reads slowly if it is told to, and it can be stopped from reading at all.
"""

from __future__ import annotations

import enum
import socket
import zlib
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol

SMALL_BUFFER = 1 << 17
"""Bytes of a slow reader's socket: twice loopback's largest segment. With less, TCP
sends on a timer of its own, and what is slow is not the reader."""


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer, decompressed."""

    status: int
    headers: dict[str, str]
    body: bytes


class Listener(Protocol):
    """Whom a connection tells what it reads."""

    def answered(self, connection: Connection, answer: Answer) -> None:
        """Hear a whole answer."""

    def streaming(self, connection: Connection) -> None:
        """Hear that an answer without a length has begun."""

    def chunk(self, connection: Connection, data: bytes) -> None:
        """Hear a piece of such an answer."""

    def upgraded(self, connection: Connection) -> None:
        """Hear that from now on there are frames."""

    def frame(self, connection: Connection, opcode: int, payload: bytes) -> None:
        """Hear a whole frame."""

    def gone(self, connection: Connection, why: str) -> None:
        """Hear that the connection is lost, or never was; unless we dropped it."""


class Reading(enum.Enum):
    """What comes next."""

    HEAD = "head"
    BODY = "body"
    CHUNKS = "chunks"
    FRAMES = "frames"
    NOTHING = "nothing"  # dropped, or frozen


class Connection(TwistedProtocol):
    """
    One connection, from the moment that it is dialled.

    Attributes:
        delay: Called after each read for the seconds until the next; or ``None``.

    """

    transport: Any

    def __init__(self, reactor: Any, listener: Listener, delay: Any = None) -> None:
        self._reactor = reactor
        self._listener = listener
        self._delay = delay
        self._connector: Any = None
        self._unsent = b""
        self._data = b""
        self._reading = Reading.HEAD
        self._head: tuple[int, dict[str, str]] = 0, {}
        self._made = False

    def dial(self, port: int, source: str) -> None:
        """Connect from an address of our own, so that ports don't run out."""
        self._connector = self._reactor.connectTCP(
            "127.0.0.1",
            port,
            _Once(self),
            timeout=60,
            bindAddress=(source, 0),
        )

    def connectionMade(self) -> None:
        """Send what waited for it."""
        self._made = True
        self.transport.setTcpNoDelay(True)
        if self._delay is not None:
            handle = self.transport.getHandle()
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self.transport.write(self._unsent)

    def write(self, data: bytes) -> None:
        """Send, now or once it is connected."""
        if self._made:
            self.transport.write(data)
        else:
            self._unsent += data

    def reset(self) -> None:
        """End it with a RST."""
        self._leave()
        if self._made:
            self.transport.abortConnection()

    def close(self) -> None:
        """End it with a FIN, as the kernel does for a process that was killed."""
        self._leave()
        if self._made:
            self.transport.loseConnection()

    def _leave(self) -> None:
        self._reading = Reading.NOTHING
        if not self._made:
            self._connector.disconnect()

    def freeze(self) -> None:
        """Read no more, and hear of nothing."""
        self._reading = Reading.NOTHING
        if self._made:
            self.transport.pauseProducing()

    # Twisted's side.

    def dataReceived(self, data: bytes) -> None:
        """Read as much as is whole."""
        self._data += data
        while self._reading is not Reading.NOTHING and _READERS[self._reading](self):
            pass
        if self._delay is not None and self._reading is not Reading.NOTHING:
            self.transport.pauseProducing()
            self._reactor.callLater(self._delay(), self._read_on)

    def _read_on(self) -> None:
        if self._reading is not Reading.NOTHING and self.transport.connected:
            self.transport.resumeProducing()

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """Tell, unless it was our doing."""
        self.failed(reason)

    def failed(self, reason: Any) -> None:
        """Tell that there is no connection."""
        if self._reading is not Reading.NOTHING:
            self._reading = Reading.NOTHING
            self._listener.gone(self, reason.getErrorMessage())

    # HTTP.

    def _read_head(self) -> bool:
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end:
            return False
        self._data = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        status = int(first.split(" ")[1])
        self._head = status, headers
        if status == 101:
            self._reading = Reading.FRAMES
            self._listener.upgraded(self)
        elif "content-length" in headers:
            self._reading = Reading.BODY
        else:
            self._reading = Reading.CHUNKS
            self._listener.streaming(self)
        return True

    def _read_body(self) -> bool:
        status, headers = self._head
        length = int(headers["content-length"])
        if len(self._data) < length:
            return False
        body, self._data = self._data[:length], self._data[length:]
        if "content-encoding" in headers:
            body = zlib.decompress(body, 47)  # gzip or zlib, whichever it is
        self._reading = Reading.HEAD
        self._listener.answered(self, Answer(status, headers, body))
        return True

    def _read_chunk(self) -> bool:
        size, end, rest = self._data.partition(b"\r\n")
        length = int(size, 16) if end else 0
        if not end or len(rest) < length + 2:
            return False
        self._data = rest[length + 2 :]
        if length:
            self._listener.chunk(self, rest[:length])
        else:
            self._reading = Reading.NOTHING
            self._listener.gone(self, "the stream has ended")
            self.transport.loseConnection()
        return True

    # RFC 6455, 5.2; a server's frames are not masked, and ours doesn't fragment.

    def _read_frame(self) -> bool:
        data = self._data
        if len(data) < 2:
            return False
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + length:
            return False
        self._data = data[start + length :]
        self._listener.frame(self, data[0] & 0x0F, data[start : start + length])
        return True


_READERS = {
    Reading.HEAD: Connection._read_head,
    Reading.BODY: Connection._read_body,
    Reading.CHUNKS: Connection._read_chunk,
    Reading.FRAMES: Connection._read_frame,
}


class _Once(ClientFactory):
    """Makes the one connection that it was made for."""

    noisy = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def buildProtocol(self, address: object) -> Connection:
        """Give it."""
        return self._connection

    def clientConnectionFailed(self, connector: object, reason: Any) -> None:
        """Say that it failed."""
        self._connection.failed(reason)

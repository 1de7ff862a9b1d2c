"""
The client side of HTTP and WebSocket: parse answers, read and write frames.

It supports only what a server of this project sends: answers with a Content-Length or
in chunks, and unfragmented frames. RFC 9112; RFC 6455, 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from .connection import MemoryTransport

__all__ = ["HUNG_UP", "Answer", "HttpLine", "frame", "read_frames"]

TEXT, BINARY, CLOSE = 0x1, 0x2, 0x8

_MASK: Final = b"\x01\x02\x03\x04"


@dataclass(frozen=True)
class Answer:
    """
    An HTTP answer.

    Attributes:
        status: The status; 0 if the server closed the connection instead.
        headers: The headers, names in lower case.
        body: The body, if it has a Content-Length.

    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


HUNG_UP: Final = Answer()

Answered: TypeAlias = Callable[[Answer], object]
Streamed: TypeAlias = Callable[[bytes], object]


class HttpLine:
    """
    A client's connection to a site; one request at a time.

    Attributes:
        transport: The connection.

    """

    transport: MemoryTransport

    def __init__(self) -> None:
        """Create a line that is not connected; the caller sets ``transport``."""
        self._buffer = b""
        self._answered: Answered | None = None
        self._streamed: Streamed | None = None
        self._is_chunked = False

    def ask(
        self,
        request: bytes,
        answered: Answered,
        streamed: Streamed | None = None,
    ) -> None:
        """
        Send a request.

        Args:
            request: The bytes of the request.
            answered: Called with the answer; for a stream or a 101, as soon as its
                head is complete.
            streamed: Called with the data that follows such a head, as it arrives, and
                with ``b""`` at its end.

        """
        self._answered, self._streamed = answered, streamed
        self.transport.send(request)

    def data_received(self, data: bytes) -> None:
        """Parse arriving data."""
        if self._answered is None and self._streamed is not None:
            self._stream(data)
            return
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        answer = _read_head(head)
        length = int(answer.headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._buffer = b""
        body, rest = rest[:length], rest[length:]
        self._is_chunked = answer.headers.get("transfer-encoding") == "chunked"
        if answer.status != 101 and not self._is_chunked:
            self._streamed = None
        self._answer(Answer(answer.status, answer.headers, body))
        if rest:
            self._stream(rest)

    def connection_closed(self) -> None:
        """Report that the server has closed the connection."""
        if self._answered is not None:
            self._answer(HUNG_UP)
        elif self._streamed is not None:
            self._streamed(b"")

    def _answer(self, answer: Answer) -> None:
        answered, self._answered = self._answered, None
        assert answered is not None  # the server answers each request once
        answered(answer)

    def _stream(self, data: bytes) -> None:
        streamed = self._streamed
        assert streamed is not None  # required for requests with such an answer
        if not self._is_chunked:
            streamed(data)
            return
        self._buffer += data
        while b"\r\n" in self._buffer:
            size, _, rest = self._buffer.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self._buffer = rest[length + 2 :]
            if not length:
                self._streamed = None  # the connection stays open after the last chunk
            streamed(rest[:length])


def _read_head(head: bytes) -> Answer:
    status_line, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    headers = {name.lower(): value for name, _, value in pairs}
    return Answer(int(status_line.split(" ")[1]), headers)


def frame(
    payload: str | bytes, opcode: int | None = None, *, first: int = 0x80
) -> bytes:
    """
    Return a client's frame, which is masked: RFC 6455, 5.3.

    Args:
        payload: Text or bytes; determines the opcode unless one is given.
        opcode: The opcode.
        first: The FIN and RSV bits.

    """
    if opcode is None:
        opcode = TEXT if isinstance(payload, str) else BINARY
    data = payload.encode() if isinstance(payload, str) else payload
    if len(data) < 126:
        length = bytes([0x80 | len(data)])
    elif len(data) < 65536:
        length = b"\xfe" + len(data).to_bytes(2, "big")
    else:
        length = b"\xff" + len(data).to_bytes(8, "big")
    stream = (_MASK * (len(data) // 4 + 1))[: len(data)]
    mixed = int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")
    masked = mixed.to_bytes(len(data), "big")
    return bytes([first | opcode]) + length + _MASK + masked


def read_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """
    Parse a server's frames, which are unfragmented and not masked: RFC 6455, 5.1.

    Args:
        data: The received bytes.

    Returns:
        The frames, each as its opcode and payload, and the bytes of an incomplete one.

    """
    frames = []
    while len(data) >= 2:
        opcode, length, start = data[0] & 0x0F, data[1], 2
        assert data[0] & 0x80, "a server sends whole messages"
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(data[2:start], "big")
        if len(data) < start + length:
            break
        frames.append((opcode, data[start : start + length]))
        data = data[start + length :]
    return frames, data

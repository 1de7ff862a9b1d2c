"""Clients that do nothing wrong, over blocking sockets: they must always be served."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from contextlib import suppress
from typing import Final, Self

from fuzzing.broken import PATH, UPGRADE, frame, request

__all__ = ["PollingClient", "WebSocketClient", "ask"]

PATIENCE: Final = 30.0
"""Seconds that an answer may take: far above what a busy machine needs."""

Address = tuple[str, int]


class Connection:
    """A connection that is read by the piece."""

    def __init__(self, address: Address) -> None:
        self._socket = socket.create_connection(address, PATIENCE)
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def read(self, size: int) -> bytes:
        """Read so many bytes."""
        while len(self._buffer) < size:
            self._fill()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def read_answer(self) -> tuple[bytes, bytes]:
        """Read an HTTP answer: its head and its body."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        _, found, rest = head.lower().partition(b"content-length: ")
        return head, self.read(int(rest.partition(b"\r\n")[0])) if found else b""

    def _fill(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the server has hung up")
        self._buffer += data

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def ask(
    address: Address, target: bytes, method: bytes = b"GET", body: bytes = b""
) -> bytes:
    """Make a request on a connection of its own, and give the body of the answer."""
    connection = Connection(address)
    try:
        connection.send(request(target, method, body))
        head, said = connection.read_answer()
    finally:
        connection.close()
    assert head.startswith(b"HTTP/1.1 200 "), (head, said)
    return said


class PollingClient:
    """A session by polling; ``sid`` is its id."""

    def __init__(self, address: Address) -> None:
        self._address = address
        opened = ask(address, PATH + b"polling")
        self.sid = json.loads(opened[1:])["sid"].encode()
        self._target = PATH + b"polling&sid=" + self.sid

    def echo(self, text: str) -> None:
        """Have a message come back."""
        message = b"4" + text.encode()
        assert ask(self._address, self._target, b"POST", message) == b"ok"
        while True:
            packets = ask(self._address, self._target).split(b"\x1e")
            if b"2" in packets:
                ask(self._address, self._target, b"POST", b"3")
            if message in packets:
                return

    def upgrade(self) -> WebSocketClient:
        """Move to a WebSocket."""
        return WebSocketClient(self._address, self.sid)

    def close(self) -> None:
        """Say goodbye."""
        assert ask(self._address, self._target, b"POST", b"1") == b"ok"

    def leave(self) -> None:
        """Say goodbye, if the session is still there."""
        with suppress(AssertionError):
            self.close()


class WebSocketClient:
    """A session on a WebSocket; a thread of its own answers pings."""

    def __init__(self, address: Address, sid: bytes | None = None) -> None:
        self._connection = Connection(address)
        more = b"" if sid is None else b"&sid=" + sid
        self._connection.send(
            request(PATH + b"websocket" + more, b"GET", b"", *UPGRADE)
        )
        head, _ = self._connection.read_answer()
        assert head.startswith(b"HTTP/1.1 101 "), head
        if sid is None:
            assert self._frame()[1][:1] == b"0"
        else:
            self._connection.send(frame(0x81, b"2probe"))
            assert self._frame() == (1, b"3probe")
            self._connection.send(frame(0x81, b"5"))
        self._messages: deque[bytes] = deque()
        self._came = threading.Condition()
        self._over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def echo(self, text: str) -> Self:
        """Have a message come back."""
        message = b"4" + text.encode()
        self._connection.send(frame(0x81, message))
        with self._came:
            self._came.wait_for(lambda: self._messages or self._over, PATIENCE)
            assert self._messages, "the WebSocket is gone, or says nothing"
            assert self._messages.popleft() == message
        return self

    def close(self) -> None:
        """Say goodbye, and wait for it to be said back."""
        with suppress(OSError):
            self._connection.send(frame(0x88, b"\x03\xe8"))
        self._reader.join(PATIENCE)
        self._connection.close()

    def _frame(self) -> tuple[int, bytes]:
        first, length = self._connection.read(2)
        if length == 126:
            length = int.from_bytes(self._connection.read(2), "big")
        return first & 15, self._connection.read(length)

    def _read(self) -> None:
        with suppress(OSError):
            while True:
                kind, data = self._frame()
                if data == b"2":
                    self._connection.send(frame(0x81, b"3"))
                elif kind == 1:
                    with self._came:
                        self._messages.append(data)
                        self._came.notify()
                elif kind == 8:
                    break
        with self._came:
            self._over = True
            self._came.notify()

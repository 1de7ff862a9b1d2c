"""
Clients: HTTP/1.1 written byte by byte, and Autobahn's WebSocket client.

An ``HttpPeer`` sends what no library would, and takes answers literally. That a server
hangs up is an observation (``HUNG_UP``), not an error. Each wait has a deadline.
"""

from __future__ import annotations

import json
import os
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

DEADLINE: Final = 60.0
"""Seconds after which a wait has failed: far above what a loaded machine needs."""

PATH: Final = "/engine.io/?EIO=4&transport="
POLLING: Final = PATH + "polling"
WEBSOCKET: Final = PATH + "websocket"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; status 0 if the server hung up instead."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def open_packet(self) -> dict[str, Any]:
        """What the open packet in the body says."""
        assert self.status == 200, self
        assert self.text[:1] == "0", self
        return dict(json.loads(self.text[1:].split("\x1e")[0]))

    @property
    def sid(self) -> str:
        """The session id in the body."""
        return str(self.open_packet["sid"])

    @property
    def error(self) -> tuple[int, int, str]:
        """The status, and the code and the message in the body."""
        said = json.loads(self.body)
        assert set(said) == {"code", "message"}, self
        return self.status, said["code"], said["message"]


HUNG_UP: Final = Answer()


def timely(waiting: Deferred[Any], deadline: float = DEADLINE) -> Deferred[Any]:
    """Give a wait its deadline."""
    return waiting.addTimeout(deadline, reactor)


def http_request(
    target: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Sequence[str] = (),
) -> bytes:
    """Write a request; with a body, its length is announced."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def upgrade_request(target: str = WEBSOCKET, headers: Sequence[str] = ()) -> bytes:
    """Write the request that asks for a WebSocket."""
    upgrade = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    return http_request(target, headers=[*upgrade, *headers])


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    masked: bool = True,
    reserved: int = 0,
    length: int | None = None,
) -> bytes:
    """Write a client's frame, or what breaks the rules; ``length`` may be a lie."""
    said = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    first = (0x80 if fin else 0) | (reserved << 4) | opcode
    if said < 126:
        head = struct.pack("!BB", first, bit | said)
    elif said < 65_536:
        head = struct.pack("!BBH", first, bit | 126, said)
    else:
        head = struct.pack("!BBQ", first, bit | 127, said)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    stream = (mask * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return head + mask + mixed.to_bytes(len(payload), "big")


class HttpPeer(Protocol):
    """
    One TCP connection: what is written to it goes out as it stands.

    After a 101 the server's WebSocket frames are read, as ``(opcode, payload)``.
    """

    transport: Any

    def __init__(self) -> None:
        self._buffer = b""
        self._read: Any = self._read_answer
        self._methods: deque[str] = deque()
        self._answers: DeferredQueue[Answer] = DeferredQueue()
        self._frames: DeferredQueue[tuple[int, bytes]] = DeferredQueue()
        self._lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Send at once what is sent."""
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Read as many answers, or frames, as there are."""
        self._buffer += data
        while self._buffer and self._read():
            pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell those who wait that nothing more will come."""
        if self._buffer.startswith(b"HTTP/") and self._read == self._read_answer:
            self._answers.put(_parse_head(self._buffer.partition(b"\r\n\r\n")[0]))
        for _ in range(8):  # for as many as may ask
            self._answers.put(HUNG_UP)
            self._frames.put((-1, b""))
        self._lost.callback(None)

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        return bool(self._lost.called)

    def lost(self) -> Deferred[None]:
        """Wait until the server has hung up."""
        waiting: Deferred[None] = Deferred()
        self._lost.addCallback(lambda _: waiting.callback(None))
        return timely(waiting)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    def send(
        self,
        target: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Sequence[str] = (),
    ) -> None:
        """Send a request."""
        self._methods.append(method)
        self.write(http_request(target, method, body, headers))

    def answer(self, deadline: float = DEADLINE) -> Deferred[Answer]:
        """Wait for the next answer."""
        return timely(self._answers.get(), deadline)

    def ask(self, *args: Any, **kwargs: Any) -> Deferred[Answer]:
        """Send a request, and wait for the next answer."""
        self.send(*args, **kwargs)
        return self.answer()

    def frame(self) -> Deferred[tuple[int, bytes]]:
        """Wait for the next frame; its opcode is -1 if the connection is gone."""
        return timely(self._frames.get())

    def leave(self) -> None:
        """Close the connection with a FIN, behind all that was written."""
        self.transport.loseConnection()

    def drop(self) -> None:
        """Close the connection with a RST, whatever is in flight."""
        self.transport.abortConnection()

    def _read_answer(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        answer = _parse_head(head)
        length = int(answer.headers.get("content-length", -1))
        to_head = bool(self._methods) and self._methods[0] == "HEAD"
        if answer.status < 200 or answer.status == 204 or to_head:
            length = 0
        if length < 0 or len(rest) < length:
            return False  # without a length, it ends when the connection does
        if answer.status >= 200 and self._methods:
            self._methods.popleft()
        self._answers.put(Answer(answer.status, answer.headers, rest[:length]))
        self._buffer = rest[length:]
        if answer.status == 101:
            self._read = self._read_frame
        return True

    def _read_frame(self) -> bool:
        if len(self._buffer) < 2:
            return False
        length, start = self._buffer[1], 2
        if length == 126:
            length, start = int.from_bytes(self._buffer[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(self._buffer[2:10], "big"), 10
        if len(self._buffer) < start + length:
            return False
        payload = self._buffer[start : start + length]
        self._frames.put((self._buffer[0] & 15, payload))
        self._buffer = self._buffer[start + length :]
        return True


def _parse_head(head: bytes) -> Answer:
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Answer(int(first.split(" ")[1]), headers)


class WebSocketPeer(WebSocketClientProtocol):
    """
    Autobahn's client, as something that can be waited for.

    Attributes:
        code: The status code with which it was closed.
        is_lost: Whether it is closed.

    """

    def __init__(self) -> None:
        super().__init__()
        self.code: int | None = None
        self.is_lost = False
        self._opened: Deferred[bool] = Deferred()
        self._messages: DeferredQueue[str | bytes | None] = DeferredQueue()
        self._lost: Deferred[None] = Deferred()

    def onOpen(self) -> None:
        """Say that it is open."""
        self._opened.callback(True)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Keep a message."""
        self._messages.put(payload if isBinary else payload.decode())

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Say that it is over, or was refused."""
        self.code = code
        self.is_lost = True
        if not self._opened.called:
            self._opened.callback(False)
        for _ in range(8):  # for as many as may ask
            self._messages.put(None)
        self._lost.callback(None)

    def opened(self) -> Deferred[bool]:
        """Wait until it is open, or refused: then ``False``."""
        return timely(self._opened)

    def message(self, deadline: float = DEADLINE) -> Deferred[str | bytes | None]:
        """Wait for the next message; ``None`` if it was closed."""
        return timely(self._messages.get(), deadline)

    def lost(self) -> Deferred[None]:
        """Wait until it is closed."""
        waiting: Deferred[None] = Deferred()
        self._lost.addCallback(lambda _: waiting.callback(None))
        return timely(waiting)

    def say(self, data: str | bytes) -> None:
        """Send a message; that the server has hung up shows when reading."""
        if self.state == self.STATE_OPEN:
            payload = data if isinstance(data, bytes) else data.encode()
            self.sendMessage(payload, isBinary=isinstance(data, bytes))

    def drop(self) -> None:
        """Close the connection with a RST, whatever is in flight."""
        self.transport.abortConnection()


def websocket_factory(
    url: str, headers: Mapping[str, str] | None = None
) -> WebSocketClientFactory:
    """Make what makes a ``WebSocketPeer``; it arms no timer of its own."""
    factory = WebSocketClientFactory(url, headers=dict(headers or {}), reactor=reactor)
    factory.protocol = WebSocketPeer
    factory.noisy = False
    factory.setProtocolOptions(
        openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0
    )
    return factory

"""
WebSocket by hand: frames that no library would send, and frames taken literally.

RFC 6455. What arrives is told in words: ``text 4hello``, ``binary 00ff``, ``close``
(with its code, if it has one), ``pong ...``, and ``end`` when the connection is over.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Sequence

from wire import Answer, Connection, Facts, Peer, request

KEY = base64.b64encode(b"sixteen bytes!!!").decode()
ACCEPT = base64.b64encode(
    hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
).decode()

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
) -> bytes:
    """One frame, masked with 1234 as a client must."""
    first = fin << 7 | reserved << 4 | opcode
    mask_bit, size = masked << 7, len(payload)
    if size < 126:
        head = struct.pack("!BB", first, mask_bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, mask_bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, size)
    if not masked:
        return head + payload
    mask = b"1234"
    hidden = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + mask + hidden


def text(data: str) -> bytes:
    """A text frame."""
    return frame(TEXT, data.encode())


class WebSocket:
    """A connection that has asked for an upgrade to WebSocket."""

    def __init__(self, connection: Connection, answer: Answer) -> None:
        self.connection = connection
        self.answer = answer
        self.sid = ""

    def facts(self) -> Facts:
        """What is compared of the handshake."""
        facts = self.answer.facts()
        if self.answer.status == 101:
            facts["upgrade"] = str(facts.pop("upgrade")).lower()
            facts["sec-websocket-accept"] = facts["sec-websocket-accept"] == ACCEPT
        return facts

    def send(self, data: bytes) -> None:
        """Write frames, or what looks like it."""
        self.connection.send(data)

    def say(self, *messages: str) -> None:
        """Write text frames, in one go."""
        self.send(b"".join(text(message) for message in messages))

    def read(self) -> str:
        """The next frame, in words."""
        try:
            return self._read()
        except ConnectionError:
            return "end"

    def _read(self) -> str:
        head = self.connection.file.read(2)
        if len(head) < 2:
            return "end"
        if head[0] & 0x70:
            return "no frame"
        size = head[1] & 127
        if size == 126:
            (size,) = struct.unpack("!H", self.connection.file.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.connection.file.read(8))
        payload = self.connection.file.read(size)
        if payload.startswith(b"0{"):
            self.sid = Answer(body=payload).sid
        if head[0] & 15 == CLOSE:
            # A server waits for the answer to its close frame.
            self.send(frame(CLOSE, payload[:2]))
        return _words(head[0] & 15, payload)

    def rest(self) -> list[str]:
        """All that comes until the server hangs up; then we do."""
        frames: list[str] = []
        while "end" not in frames:
            frames.append(self.read())
        self.connection.close()
        return frames

    def heard(self, *messages: str) -> list[str]:
        """Say these, and take all that comes up to an echo of our own."""
        self.say(*messages, "4the end")
        frames: list[str] = []
        while "text 4the end" not in frames:
            frames.append(self.read())
            if frames[-1] == "end":
                return frames
        return frames[:-1]


def _words(opcode: int, payload: bytes) -> str:
    if opcode == TEXT:
        text = payload.decode()
        return "text 0{...}" if text.startswith("0{") else f"text {text}"
    if opcode == BINARY:
        return f"binary {payload.hex()}"
    if opcode == CLOSE:
        code = str(struct.unpack("!H", payload[:2])[0]) if payload else ""
        if code == "1000":
            # RFC 6455, 7.4.1: a normal closure, as if nothing was said.
            code = ""
        return f"close {code} {payload[2:].decode()}".rstrip()
    names = {CONTINUATION: "continuation", PING: "ping", PONG: "pong"}
    return f"{names[opcode]} {payload.decode()}"


def upgrade(
    peer: Peer,
    sid: str | None = None,
    *,
    more: str = "",
    target: str | None = None,
    headers: Sequence[str] = UPGRADE,
    method: str = "GET",
    early: bytes = b"",
) -> WebSocket:
    """
    Ask for a WebSocket, and read the answer.

    Args:
        peer: The server.
        sid: The session to upgrade, if any.
        more: What follows in the query.
        target: The whole target, if it is not the usual one.
        headers: All headers but Host.
        method: What should be GET.
        early: What is sent right behind the request, before any answer.

    """
    sid_field = "" if sid is None else f"&sid={sid}"
    usual = f"{peer.path}?EIO={peer.revision}&transport=websocket{sid_field}{more}"
    connection = peer.connect()
    connection.send(request(target or usual, method, headers) + early)
    return WebSocket(connection, connection.answer())


def opened(peer: Peer, more: str = "") -> WebSocket:
    """A session on WebSocket, its open packet read."""
    websocket = upgrade(peer, more=more)
    assert websocket.answer.status == 101, websocket.answer
    assert websocket.read() == "text 0{...}"
    return websocket


def probed(peer: Peer, sid: str) -> WebSocket:
    """A candidate whose probe was answered."""
    candidate = upgrade(peer, sid)
    assert candidate.answer.status == 101, candidate.answer
    candidate.say("2probe")
    assert candidate.read() == "text 3probe"
    return candidate

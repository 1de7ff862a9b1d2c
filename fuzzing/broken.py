"""
Broken HTTP and broken frames, made of good ones by a seeded generator.

``Broken(chance).attack(sid)`` gives one connection's worth: what to send, in which
pieces, and how to leave. The same seed gives the same attacks, but for the session's id
and what a mutation made of it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import NamedTuple

__all__ = ["Attack", "Broken", "Leave"]

PATH = b"/engine.io/?EIO=4&transport="
UPGRADE = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
HEADERS = (
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 5001",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip",
    b"Expect: 100-continue",
    b"Connection: close",
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"Upgrade: websocket",
    b"Origin: http://evil.example",
    b"Origin: null",
    b"Host: a\x00b",
    b"Host:",
    b"X: " + b"y" * 17_000,
    b" folded",
    b"no colon",
    b": no name",
    b"Sec-WebSocket-Key: short",
    b"Sec-WebSocket-Version: 99",
    b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7",
    b"Last-Event-ID: .1",
    b"Accept-Encoding: gzip;q=9",
    b"Content-Type: application/octet-stream",
    b"Content-Type: application/x-www-form-urlencoded",
)
CHUNKS = (
    b"5\r\n4abcd\r\n0\r\n\r\n",
    b"5\r\n4abcd0\r\n\r\n",
    b"-5\r\n4abcd\r\n",
    b"ffffffffffffffffffff\r\n4",
    b"5;" + b"x" * 5000 + b"\r\n4abcd\r\n0\r\n\r\n",
    b"zz\r\n",
    b"\r\n\r\n",
    b"1388\r\n" + b"4" * 5000 + b"\r\n1\r\n4\r\n0\r\n\r\n",
    b"0\r\nTrailer: x\r\n\r\n",
)
METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"TRACE", b"PRI", b"\x16\x03")


class Leave(enum.Enum):
    """How a client leaves."""

    RESET = "a RST at once, whatever is in flight"
    FINISH = "a FIN behind all that was sent"
    HALF = "a FIN, and then it reads on"
    STAY = "not at all: it waits until it is thrown out"


class Attack(NamedTuple):
    """
    One connection.

    Attributes:
        pieces: What to send, a write each.
        leave: How to leave.

    """

    pieces: list[bytes]
    leave: Leave


def request(
    target: bytes, method: bytes = b"GET", body: bytes = b"", *headers: bytes
) -> bytes:
    """Write a good request."""
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: localhost", *headers]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def frame(first: int, payload: bytes) -> bytes:
    """Write a client's frame of up to 65,535 bytes, masked with zeros."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((first,)) + length + bytes(4) + payload


class Broken:
    """Makes attacks; ``chance`` is all that it depends on."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._changes: tuple[Callable[[bytes], bytes], ...] = (
            self._truncate,
            self._splice,
            self._repeat_a_header,
            self._add_a_header,
            self._flip,
            self._drop,
            self._put_in,
            self._lie_about_length,
            self._chunk,
            self._pipeline,
            self._change_method,
            self._bare_newlines,
            self._append_garbage,
        )

    def attack(self, sid: bytes) -> Attack:
        """
        Make one connection's worth.

        Args:
            sid: The id of a session that may be harmed.

        """
        chance = self._chance
        self._sid = sid
        data = self._good()
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            data = chance.choice(self._changes)(data)
        if chance.random() < 0.3:
            # To be cut off at any byte, that of a handshake too.
            data = data[: chance.randint(0, len(data))]
        cuts = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 3)))
        edges = [0, *cuts, len(data)]
        pieces = [data[a:b] for a, b in pairwise(edges) if a < b]
        return Attack(pieces, chance.choice(tuple(Leave)))

    def _good(self) -> bytes:
        """Write something that a good client sends."""
        polling = PATH + b"polling&sid=" + self._sid
        return self._chance.choice(
            (
                lambda: request(PATH + b"polling"),
                lambda: request(PATH + b"polling&j=0"),
                lambda: request(PATH + b"sse"),
                lambda: request(PATH.replace(b"4", b"3") + b"polling&b64=1"),
                lambda: request(polling),
                lambda: request(polling, b"POST", b"4hello\x1ebAQID\x1e3"),
                lambda: request(
                    polling, b"POST", b"4" * self._chance.choice((1, 5000))
                ),
                lambda: request(polling, b"POST", b"1"),
                lambda: request(PATH + b"sse&sid=" + self._sid),
                lambda: self._upgrade() + self._frames(),
                lambda: self._upgrade(b"&sid=" + self._sid) + self._probe(),
            )
        )()

    def _upgrade(self, more: bytes = b"") -> bytes:
        return request(PATH + b"websocket" + more, b"GET", b"", *UPGRADE)

    def _probe(self) -> bytes:
        probe = frame(0x81, b"2probe")
        return probe + frame(0x81, b"5") if self._chance.random() < 0.3 else probe

    def _frames(self) -> bytes:
        return b"".join(self._frame() for _ in range(self._chance.randint(0, 6)))

    def _frame(self) -> bytes:
        chance = self._chance
        first = chance.choice((0x81, 0x81, 0x82, 0x01, 0x00, 0x80, 0x88, 0x89, 0x8A))
        if chance.random() < 0.2:
            first = chance.randrange(256)
        size = chance.choice((0, 1, 2, 30, 125, 126, 127, 4999, 5000, 5001))
        payload = chance.choice((b"4", b"3", b"b", b"\xff", b"\x03\xe8")) + bytes(size)
        return frame(first, payload)

    # Changes.

    def _truncate(self, data: bytes) -> bytes:
        return data[: self._chance.randint(0, len(data))]

    def _splice(self, data: bytes) -> bytes:
        other = self._good()
        return self._truncate(data) + other[self._chance.randint(0, len(other)) :]

    def _repeat_a_header(self, data: bytes) -> bytes:
        lines = data.split(b"\r\n")
        at = self._chance.randrange(len(lines))
        lines[at:at] = [lines[at]] * self._chance.choice((1, 1, 2, 600))
        return b"\r\n".join(lines)

    def _add_a_header(self, data: bytes) -> bytes:
        line, end, rest = data.partition(b"\r\n")
        return line + end + self._chance.choice(HEADERS) + b"\r\n" + rest

    def _flip(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._chance.randint(1, 4) if data else 0):
            changed[self._chance.randrange(len(data))] = self._chance.randrange(256)
        return bytes(changed)

    def _drop(self, data: bytes) -> bytes:
        at = self._chance.randint(0, len(data))
        return data[:at] + data[at + self._chance.randint(1, 20) :]

    def _put_in(self, data: bytes) -> bytes:
        at = self._chance.randint(0, len(data))
        return data[:at] + self._garbage() + data[at:]

    def _lie_about_length(self, data: bytes) -> bytes:
        """Give a frame, or whatever has this byte, a length that is none of its own."""
        at = data.rfind(b"\x81") + 1
        lie = self._chance.choice((b"\xff", b"\xfe", b"\xff\x7f", b"\xff\x80", b"\x05"))
        return data[:at] + lie + data[at + len(lie) :] if at else data

    def _chunk(self, data: bytes) -> bytes:
        head, _, _ = data.partition(b"\r\n\r\n")
        lines = [each for each in head.split(b"\r\n") if b"Content-Length" not in each]
        chunks = self._chance.choice(CHUNKS) + self._chance.choice((b"", *CHUNKS))
        return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", chunks])

    def _pipeline(self, data: bytes) -> bytes:
        return data + b"".join(self._good() for _ in range(self._chance.randint(1, 9)))

    def _change_method(self, data: bytes) -> bytes:
        return self._chance.choice(METHODS) + b" " + data.partition(b" ")[2]

    def _bare_newlines(self, data: bytes) -> bytes:
        return data.replace(b"\r\n", self._chance.choice((b"\n", b"\r", b"\r\r\n")))

    def _append_garbage(self, data: bytes) -> bytes:
        return data + self._garbage() * self._chance.choice((1, 1, 1, 400))

    def _garbage(self) -> bytes:
        return self._chance.randbytes(self._chance.choice((1, 4, 40, 400)))

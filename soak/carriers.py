"""The four transports from a client's side, each as a client in the field does it."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote_plus

from benchmarks import wire
from soak.carrier import CLOSE, NOOP, PROBE, Carrier, Client
from soak.connection import Answer, Connection
from twisted_engineio.protocol.packet import Packet, PacketType

STALE = 30.0
"""Seconds after which an idle connection is not written to any more: the server closes
it after 60, and a POST that crosses the end of its connection is lost."""


class Posting(Carrier):
    """What polling and server-sent events have in common: the way up."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._poster: Connection | None = None
        self._idle_since = 0.0
        self._posted: list[Any] | None = None

    @property
    def writable(self) -> bool:
        return bool(self.client.sid) and self._posted is None

    def write(self, items: list[Any]) -> None:
        self._posted = items
        poster = self._poster
        if poster and self.client.reactor.seconds() - self._idle_since > STALE:
            poster.close()
            self._forget(poster)
            self._poster = None
        if self._poster is None:
            self._poster = self._dial()
        kind, body = self._encode(items)
        lines = (f"Content-Type: {kind}", f"Content-Length: {len(body)}")
        self._poster.write(self._request("POST", *lines) + body)

    def _encode(self, items: list[Any]) -> tuple[str, bytes]:
        plan, codec = self.client.plan, self.client.codec
        body, binary = codec.encode_payload(items, binary=not plan.base64)
        return "application/octet-stream" if binary else "text/plain", body

    def write_half(self) -> None:
        poster = self._poster if self.writable else None
        head = self._request("POST", "Content-Length: 1000")
        chance = self.client.chance
        whole = head + b"4half a message"
        (poster or self._dial()).write(whole[: chance.randrange(1, len(whole))])

    def _is_settled(self) -> bool:
        return self._posted is None

    def answered(self, connection: Connection, answer: Answer) -> None:
        """Hear that a POST was taken, or refused."""
        posted, self._posted = self._posted, None
        self._idle_since = self.client.reactor.seconds()
        if answer.status != 200 or answer.body != b"ok":
            self.client.lost(self, f"POST: {answer.status} {answer.body[:200]!r}")
        elif posted and posted[-1] == CLOSE:
            self.client.take(self, CLOSE)
        else:
            self.client.ready(self)
            self._look()

    def gone(self, connection: Connection, why: str) -> None:
        """Hear that a connection is lost; an idle one may be."""
        self._forget(connection)
        if connection is self._poster:
            self._poster = None
            if self._posted is not None:
                self.client.lost(self, f"POST: {why}")


class Polling(Posting):
    """A GET that waits."""

    name = "polling"
    transport = "polling"

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._getter: Connection | None = None
        self._asked = False

    def open(self, *, candidate: bool) -> None:
        """Ask for the open packet."""
        self._ask()

    def go_on(self) -> None:
        super().go_on()
        self._ask()

    def _ask(self) -> None:
        if self._asked:
            return
        self._asked = True
        if self._getter is None:
            self._getter = self._dial()
        self._getter.write(self._request("GET"))

    def _is_settled(self) -> bool:
        return super()._is_settled() and not self._asked

    def answered(self, connection: Connection, answer: Answer) -> None:
        """Hear what has come, and ask again."""
        if connection is not self._getter:
            super().answered(connection, answer)
            return
        self._asked = False
        if answer.status != 200:
            self.client.lost(self, f"GET: {answer.status} {answer.body[:200]!r}")
            return
        for item in self._decode(answer):
            self.client.take(self, item)
        if self._then is None and not self.dead:
            self._ask()
        self._look()

    def _decode(self, answer: Answer) -> list[Any]:
        binary = answer.headers["content-type"] == "application/octet-stream"
        return list(self.client.codec.decode_payload(answer.body, binary=binary))

    def gone(self, connection: Connection, why: str) -> None:
        if connection is self._getter:
            self._getter = None
            if self._asked:
                self._forget(connection)
                self.client.lost(self, f"GET: {why}")
                return
        super().gone(connection, why)


class Jsonp(Polling):
    """Polling as scripts and forms."""

    name = "jsonp"

    def _query(self) -> str:
        return super()._query() + "&j=7"

    def _encode(self, items: list[Any]) -> tuple[str, bytes]:
        body, _ = self.client.codec.encode_payload(items, binary=False)
        text = body.decode().replace(r"\n", r"\\n").replace("\n", r"\n")
        form = "d=" + quote_plus(text)
        return "application/x-www-form-urlencoded", form.encode()

    def _decode(self, answer: Answer) -> list[Any]:
        script = answer.body.decode()
        before, after = "___eio[7](", ");"
        if not (script.startswith(before) and script.endswith(after)):
            raise ValueError(f"no script: {script[:80]!r}")
        payload = json.loads(script[len(before) : -len(after)]).encode()
        return list(self.client.codec.decode_payload(payload, binary=False))


class EventSource(Posting):
    """A stream of events, connected again when it breaks."""

    name = "sse"
    transport = "sse"

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._stream: Connection | None = None
        self._buffer = b""
        self._seen = ""
        self._free = False  # whether the last event said that there is no more
        self._flows = False  # whether anything has come since it was connected
        self._candidate = False

    def open(self, *, candidate: bool) -> None:
        self._candidate = candidate
        self._listen()

    def _listen(self) -> None:
        if self._stream is not None or self.dead:
            return
        self._buffer = b""
        self._flows = False
        lines = (f"Last-Event-ID: {self._seen}",) if self._seen else ()
        self._stream = self._dial()
        self._stream.write(self._request("GET", *lines))

    def go_on(self) -> None:
        super().go_on()
        self._free = False
        self._listen()

    @property
    def steady(self) -> bool:
        return self._stream is not None and self._flows

    def stumble(self) -> None:
        """Lose the stream, and come back a little later."""
        # Not before it has brought something: on a busy machine it never would.
        if self._stream is not None and self._flows and not self._candidate:
            self._stream.reset()
            self._lost_stream(self._stream)

    def _lost_stream(self, stream: Connection) -> None:
        self._stream = None
        self._forget(stream)
        if not self._free:
            delay = self.client.chance.uniform(0.1, 1.2)
            self.client.reactor.callLater(delay, self._listen)

    def streaming(self, connection: Connection) -> None:
        """Ask for the session, if it isn't ours yet."""
        if self._candidate:
            self.write([PROBE])

    def chunk(self, connection: Connection, data: bytes) -> None:
        *blocks, self._buffer = (self._buffer + data).split(b"\n\n")
        for block in blocks:
            self._read_event(block)

    def _read_event(self, block: bytes) -> None:
        fields = dict(
            line.split(b": ", 1) for line in block.split(b"\n") if line[:1] != b":"
        )
        self._seen = fields[b"id"].decode() if b"id" in fields else self._seen
        self._flows = True
        if b"data" not in fields:
            return
        data = fields[b"data"]
        for written, plain in ((b"%0D", b"\r"), (b"%0A", b"\n"), (b"%25", b"%")):
            data = data.replace(written, plain)
        for item in list(self.client.codec.decode_payload(data, binary=False)):
            self._free = item == NOOP
            self.client.take(self, item)
        self._look()

    def take_over(self) -> None:
        """Be the session's from now on."""
        self._candidate = False

    def _is_settled(self) -> bool:
        return super()._is_settled() and self._free

    def answered(self, connection: Connection, answer: Answer) -> None:
        if connection is self._stream:
            self.client.lost(self, f"stream: {answer.status} {answer.body[:200]!r}")
        else:
            super().answered(connection, answer)

    def gone(self, connection: Connection, why: str) -> None:
        if connection is not self._stream:
            super().gone(connection, why)
        elif self._candidate:
            self._stream = None
            self._forget(connection)
            self.client.lost(self, f"stream: {why}")
        else:
            self._lost_stream(connection)


class WebSocket(Carrier):
    """Frames."""

    name = "websocket"
    transport = "websocket"

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._open = False
        self._candidate = False

    @property
    def writable(self) -> bool:
        return self._open

    def open(self, *, candidate: bool) -> None:
        self._candidate = candidate
        key = base64.b64encode(self.client.chance.randbytes(16)).decode()
        self._dial().write(
            self._request(
                "GET",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                f"Sec-WebSocket-Key: {key}",
            )
        )

    def upgraded(self, connection: Connection) -> None:
        self._open = True
        if self._candidate:
            self.write([PROBE])

    def write(self, items: list[Any]) -> None:
        self._connections[0].write(b"".join(map(self._framed, items)))

    def _framed(self, item: str | bytes | Packet) -> bytes:
        codec = self.client.codec
        if item == CLOSE:
            return wire.client_frame(wire.CLOSE, (1000).to_bytes(2, "big"))
        if isinstance(item, bytes):
            return wire.client_frame(wire.BINARY, codec.BINARY_PREFIX + item)
        return wire.client_frame(wire.TEXT, codec.encode_packet(item).encode())

    def write_half(self) -> None:
        frame = wire.client_frame(wire.TEXT, b"4half a message")
        cut = self.client.chance.randrange(1, len(frame))
        self._connections[0].write(frame[:cut])

    def frame(self, connection: Connection, opcode: int, payload: bytes) -> None:
        codec = self.client.codec
        if opcode == wire.CLOSE:
            self._open = False
            connection.write(wire.client_frame(wire.CLOSE, payload[:2]))
            self.client.take(self, CLOSE)
        elif opcode == wire.BINARY:
            self.client.take(self, payload[len(codec.BINARY_PREFIX) :])
        else:
            packet = codec.decode_packet(payload.decode())
            message = packet.type is PacketType.MESSAGE
            self.client.take(self, packet.data if message else packet)

    def answered(self, connection: Connection, answer: Answer) -> None:
        """Hear that there will be no WebSocket."""
        self.client.lost(self, f"refused: {answer.status} {answer.body[:200]!r}")

    def gone(self, connection: Connection, why: str) -> None:
        self._forget(connection)
        self._open = False
        self.client.lost(self, why)


CARRIERS: dict[str, type[Carrier]] = {
    each.name: each for each in (Polling, Jsonp, EventSource, WebSocket)
}

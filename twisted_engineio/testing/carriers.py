"""
The client side of the three transports, each behaving as in npm's engine.io-client.

Rules of this file:

1. A carrier encodes and decodes what is sent; its client interprets the packets.
2. It is opened once, with the session id if it is an upgrade candidate.
3. ``pause`` calls back when nothing is in transit: then the client may upgrade.

Driven by its client (``open``, ``send``, ``pause``, ``resume``, ``drop``) and by the
data that arrives.

Engine.IO protocol v4, "HTTP long-polling", "WebSocket"; ``docs/sse.rst``.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from ..protocol import codec_v4
from ..protocol.packet import Packet, PacketType
from .lines import BINARY, CLOSE, TEXT, Answer, HttpLine, frame, read_frames

__all__ = ["CARRIERS", "Carrier", "Item", "PostingCarrier", "Traveller"]

_CLOSE: Final = Packet(PacketType.CLOSE)
_NOOP: Final = Packet(PacketType.NOOP)
_WEBSOCKET: Final = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


Item: TypeAlias = str | bytes | Packet


class Talk(enum.Enum):
    """Whether a WebSocket may be written to."""

    GOING_ON = "open"
    OVER = "closed"


class Traveller(Protocol):
    """The part of ``MemoryClient`` that a carrier uses."""

    def line(self) -> HttpLine:
        """Return a new connection to the site."""

    def request(
        self,
        method: str,
        transport: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> bytes:
        """Return the bytes of a request."""

    def opened(self, carrier: Carrier) -> None:
        """Called when a carrier is connected."""

    def refused(self, carrier: Carrier, answer: Answer) -> None:
        """Called when the server refuses a carrier."""

    def take(self, carrier: Carrier, item: Item) -> None:
        """Called with each packet or message that arrives."""

    def writable(self) -> None:
        """Called when a carrier can send again."""

    def lost(self, carrier: Carrier, code: int | None = None, why: str = "") -> None:
        """Called when a carrier has lost its connection."""


class Carrier(ABC):
    """
    The client side of one transport.

    Attributes:
        name: The name of the transport.

    """

    name: str

    def __init__(self, client: Traveller) -> None:
        """
        Create a carrier that is not connected.

        Args:
            client: The client that uses it.

        """
        self._client = client
        self._line = client.line()

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether ``send`` may be called now."""

    @abstractmethod
    def open(self) -> None:
        """Send the first request."""

    @abstractmethod
    def send(self, items: list[Item]) -> None:
        """
        Send packets and messages; only allowed while ``writable``.

        Args:
            items: The packets and messages, at least one.

        """

    def drop(self) -> None:
        """Close the connection."""
        self._line.transport.hang_up()


class PostingCarrier(Carrier):
    """A carrier that sends by POST, one at a time, on a second connection."""

    def __init__(self, client: Traveller) -> None:
        super().__init__(client)
        self._poster = client.line()
        self._posts = 0  # in transit: one at most
        self._paused: Callable[[], None] | None = None

    def pause(self, paused: Callable[[], None]) -> None:
        """
        Stop receiving: the client is about to upgrade.

        Args:
            paused: Called when nothing is in transit.

        """
        self._paused = paused
        self._settle()

    def resume(self) -> None:
        """Continue receiving: the upgrade has failed."""
        self._paused = None

    def _settle(self) -> None:
        """Call ``paused`` if nothing is in transit."""
        if self._paused is not None and self._rests and not self._posts:
            self._paused()

    @property
    @abstractmethod
    def _rests(self) -> bool:
        """Whether no data is in transit to the client."""

    def _read(self, payload: bytes) -> None:
        for item in codec_v4.decode_payload(payload, binary=False):
            self._client.take(self, item)

    @property
    def writable(self) -> bool:
        """Whether no POST is in transit."""
        return not self._posts

    def send(self, items: list[Item]) -> None:
        """Send a POST."""
        self._posts += 1
        body, _ = codec_v4.encode_payload(items, binary=False)
        kind = {"Content-Type": "text/plain;charset=UTF-8"}
        request = self._client.request("POST", self.name, kind, body)
        self._poster.ask(request, self._posted)

    def _posted(self, answer: Answer) -> None:
        self._posts -= 1
        if answer.status != 200:
            self._client.lost(self)
            return
        self._client.writable()
        self._settle()

    def drop(self) -> None:
        """Close both connections."""
        super().drop()
        self._poster.transport.hang_up()


class PollingCarrier(PostingCarrier):
    """Long-polling: a waiting GET, and POSTs."""

    name = "polling"

    def __init__(self, client: Traveller) -> None:
        super().__init__(client)
        self._polls = 0  # in transit: one at most

    def open(self) -> None:
        """Send the first GET."""
        self._line.ask(self._client.request("GET", self.name), self._answered)

    def _answered(self, answer: Answer) -> None:
        if answer.status != 200:
            self._client.refused(self, answer)
            return
        self._read(answer.body)
        self._client.opened(self)
        self._poll()

    def _poll(self) -> None:
        self._polls += 1
        self._line.ask(self._client.request("GET", self.name), self._polled)

    def _polled(self, answer: Answer) -> None:
        self._polls -= 1
        if answer.status != 200:
            self._client.lost(self)
            return
        self._read(answer.body)
        if self._paused is None:
            self._poll()
        self._settle()

    def resume(self) -> None:
        """Poll again."""
        super().resume()
        if not self._polls:
            self._poll()

    @property
    def _rests(self) -> bool:
        return not self._polls


class StreamCarrier(PostingCarrier):
    """Server-sent events: a GET that does not end, and POSTs."""

    name = "sse"

    def __init__(self, client: Traveller) -> None:
        super().__init__(client)
        self._text = b""
        self._seen = ""  # the id of the last event
        self._last: Item = ""

    def open(self) -> None:
        """Send the GET."""
        request = self._client.request("GET", self.name)
        self._line.ask(request, self._answered, self._streamed)

    def _answered(self, answer: Answer) -> None:
        if answer.status != 200:
            self._client.refused(self, answer)
        else:
            self._client.opened(self)

    def _streamed(self, data: bytes) -> None:
        if not data:
            self._connect_again()
            return
        self._text += data
        *blocks, self._text = self._text.split(b"\n\n")
        for block in blocks:
            self._event(block.split(b"\n"))

    def _event(self, lines: list[bytes]) -> None:
        for line in lines:
            name, _, value = line.partition(b": ")
            if name == b"id":
                self._seen = value.decode()
            elif name == b"data":
                self._read(_unescape(value))

    def _connect_again(self) -> None:
        """Resume an interrupted stream as a browser does, but without its delay."""
        self._text = b""
        seen = {"Last-Event-ID": self._seen} if self._seen else {}
        request = self._client.request("GET", self.name, seen)
        self._line.transport.hang_up()
        self._line = self._client.line()
        self._line.ask(request, self._resumed, self._streamed)

    def _resumed(self, answer: Answer) -> None:
        if answer.status != 200:
            self._client.lost(self)

    @property
    def _rests(self) -> bool:
        # The server's last event before an upgrade is a noop.
        return self._last == _NOOP

    def _read(self, payload: bytes) -> None:
        super()._read(payload)
        *_, self._last = codec_v4.decode_payload(payload, binary=False)
        self._settle()


def _unescape(data: bytes) -> bytes:
    for written, plain in ((b"%0D", b"\r"), (b"%0A", b"\n"), (b"%25", b"%")):
        data = data.replace(written, plain)
    return data


class WebSocketCarrier(Carrier):
    """A WebSocket: frames in both directions."""

    name = "websocket"

    def __init__(self, client: Traveller) -> None:
        super().__init__(client)
        self._data = b""
        self._talk = Talk.GOING_ON

    @property
    def writable(self) -> bool:
        """Whether no close frame has been sent."""
        return self._talk is Talk.GOING_ON

    def open(self) -> None:
        """Send the opening handshake."""
        request = self._client.request("GET", self.name, _WEBSOCKET)
        self._line.ask(request, self._answered, self._streamed)

    def _answered(self, answer: Answer) -> None:
        if answer.status != 101:
            self._client.refused(self, answer)
        else:
            self._client.opened(self)

    def send(self, items: list[Item]) -> None:
        """Send one frame for each packet or message."""
        for item in items:
            if isinstance(item, bytes):
                self._write(frame(item))
            elif item == _CLOSE:
                # As in a browser, the close packet becomes a WebSocket close frame.
                self._talk = Talk.OVER
                self._write(frame((1000).to_bytes(2, "big"), CLOSE))
            else:
                self._write(frame(codec_v4.encode_packet(item)))

    def _write(self, data: bytes) -> None:
        self._line.transport.send(data)

    def _streamed(self, data: bytes) -> None:
        if not data:
            self._client.lost(self)
            return
        frames, self._data = read_frames(self._data + data)
        for opcode, payload in frames:
            if opcode == TEXT:
                self._client.take(self, codec_v4.decode_packet(payload.decode()))
            elif opcode == BINARY:
                self._client.take(self, payload)
            else:  # a close frame: the server never sends ping frames
                self._closed(int.from_bytes(payload[:2], "big"), payload[2:])

    def _closed(self, code: int, why: bytes) -> None:
        if self.writable:
            self.send([_CLOSE])
        self._client.lost(self, code, why.decode())


CARRIERS: Final[Mapping[str, type[Carrier]]] = {
    each.name: each for each in (PollingCarrier, StreamCarrier, WebSocketCarrier)
}

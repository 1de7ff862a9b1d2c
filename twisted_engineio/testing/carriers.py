"""
A client's ends of the three transports: each speaks as npm's client does.

Rules of this file:

1. A carrier reads and writes what stands on the wire; what it means is its client's
   affair.
2. It is opened once, with the session's id if it is to take over from another.
3. ``pause`` calls back when nothing is in flight any more: then the client may move.

Driven by its client (``open``, ``send``, ``pause``, ``resume``, ``drop``) and by what
comes.

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

    GOING_ON = "going on"
    OVER = "over"


class Traveller(Protocol):
    """What a carrier asks of its client."""

    def line(self) -> HttpLine:
        """Connect once more."""

    def request(
        self,
        method: str,
        transport: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> bytes:
        """Write a request."""

    def opened(self, carrier: Carrier) -> None:
        """Hear that a carrier can be used."""

    def refused(self, carrier: Carrier, answer: Answer) -> None:
        """Hear that the server will not have it."""

    def take(self, carrier: Carrier, item: Item) -> None:
        """Take a packet or message that came."""

    def writable(self) -> None:
        """Hear that the carrier takes more."""

    def lost(self, carrier: Carrier, code: int | None = None, why: str = "") -> None:
        """Hear that a carrier is of no use any more."""


class Carrier(ABC):
    """
    One end of a transport.

    Attributes:
        name: The transport's name.

    """

    name: str

    def __init__(self, client: Traveller) -> None:
        """
        Make a carrier that is not connected.

        Args:
            client: Whose it is.

        """
        self._client = client
        self._line = client.line()

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether ``send`` may be called now."""

    @abstractmethod
    def open(self) -> None:
        """Ask the server."""

    @abstractmethod
    def send(self, items: list[Item]) -> None:
        """
        Write packets and messages; only while ``writable``.

        Args:
            items: At least one.

        """

    def drop(self) -> None:
        """Hang up."""
        self._line.transport.hang_up()


class PostingCarrier(Carrier):
    """What sends by POST, one at a time, on a connection of its own."""

    def __init__(self, client: Traveller) -> None:
        super().__init__(client)
        self._poster = client.line()
        self._posts = 0  # in flight: one at most
        self._paused: Callable[[], None] | None = None

    def pause(self, paused: Callable[[], None]) -> None:
        """
        Come to rest: the client is to move.

        Args:
            paused: Called when nothing is in flight.

        """
        self._paused = paused
        self._settle()

    def resume(self) -> None:
        """Go on: the client does not move."""
        self._paused = None

    def _settle(self) -> None:
        """Say that it has come to rest, if it has."""
        if self._paused is not None and self._rests and not self._posts:
            self._paused()

    @property
    @abstractmethod
    def _rests(self) -> bool:
        """Whether nothing is in flight to the client."""

    def _read(self, payload: bytes) -> None:
        for item in codec_v4.decode_payload(payload, binary=False):
            self._client.take(self, item)

    @property
    def writable(self) -> bool:
        """Whether no POST is in flight."""
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
        """Hang up both connections."""
        super().drop()
        self._poster.transport.hang_up()


class PollingCarrier(PostingCarrier):
    """A GET that waits, and POSTs."""

    name = "polling"

    def __init__(self, client: Traveller) -> None:
        super().__init__(client)
        self._polls = 0  # in flight: one at most

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
    """A GET that does not end, and POSTs."""

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
        """Go on where a stream ended, as a browser does, but without its second."""
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
        # The server's last word before a move is a noop.
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
    """Frames, both ways."""

    name = "websocket"

    def __init__(self, client: Traveller) -> None:
        super().__init__(client)
        self._data = b""
        self._talk = Talk.GOING_ON

    @property
    def writable(self) -> bool:
        """Whether it has not said goodbye."""
        return self._talk is Talk.GOING_ON

    def open(self) -> None:
        """Ask for a WebSocket."""
        request = self._client.request("GET", self.name, _WEBSOCKET)
        self._line.ask(request, self._answered, self._streamed)

    def _answered(self, answer: Answer) -> None:
        if answer.status != 101:
            self._client.refused(self, answer)
        else:
            self._client.opened(self)

    def send(self, items: list[Item]) -> None:
        """Write a frame for each."""
        for item in items:
            if isinstance(item, bytes):
                self._write(frame(item))
            elif item == _CLOSE:
                # As in a browser, where the transport's goodbye is WebSocket's own.
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
            else:  # a close frame: no server of ours pings by frame
                self._closed(int.from_bytes(payload[:2], "big"), payload[2:])

    def _closed(self, code: int, why: bytes) -> None:
        if self.writable:
            self.send([_CLOSE])
        self._client.lost(self, code, why.decode())


CARRIERS: Final[Mapping[str, type[Carrier]]] = {
    each.name: each for each in (PollingCarrier, StreamCarrier, WebSocketCarrier)
}

"""
A client of HTTP/2, over TLS: what h2 makes of it, sent and taken literally.

It acknowledges what it reads at once, unless it is told not to. Each wait has a
deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from stages import until
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol
from zope.interface import implementer

__all__ = ["Exchange", "Http2Peer"]


@dataclass
class Exchange:
    """
    One request and what has come of its answer.

    Attributes:
        reset: The error code if the server reset the stream.

    """

    number: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@implementer(IHandshakeListener)
class Http2Peer(Protocol):
    """
    A connection.

    Attributes:
        negotiated: What ALPN chose.
        terminated: Whether the server said goodbye to the whole connection.
        is_lost: Whether it is gone.

    """

    transport: Any

    def __init__(self, *, reads: bool = True) -> None:
        self.negotiated: bytes | None = None
        self.terminated = False
        self.is_lost = False
        self._reads = reads
        config = H2Configuration(client_side=True, header_encoding="utf-8")
        self._conn = H2Connection(config)
        self._exchanges: dict[int, Exchange] = {}

    def handshakeCompleted(self) -> None:
        """Begin, if HTTP/2 was chosen."""
        self.negotiated = self.transport.negotiatedProtocol
        if self.negotiated == b"h2":
            self._conn.initiate_connection()
            self._flush()

    def dataReceived(self, data: bytes) -> None:
        """Sort what came."""
        for event in self._conn.receive_data(data):
            self._take(event)
        self._flush()

    def connectionLost(self, *_: object) -> None:
        """Note that nothing more will come."""
        self.is_lost = True

    def drop(self) -> None:
        """Go away, without a word."""
        self.transport.abortConnection()

    def begin(self, target: str, method: str = "GET", **headers: str) -> Exchange:
        """Send a request's headers, without an end."""
        named = [
            (":method", method),
            (":path", target),
            (":scheme", "https"),
            (":authority", "localhost"),
            *((name.replace("_", "-"), value) for name, value in headers.items()),
        ]
        return self.begin_with(named)

    def begin_with(self, headers: list[tuple[str, str]]) -> Exchange:
        """Send any headers at all."""
        exchange = Exchange(self._conn.get_next_available_stream_id())
        self._exchanges[exchange.number] = exchange
        self._conn.send_headers(exchange.number, headers)
        self._flush()
        return exchange

    def write(self, exchange: Exchange, data: bytes) -> None:
        """Send a piece of a body, as far as the server lets us."""
        size = self._conn.max_outbound_frame_size
        for start in range(0, len(data), size):
            self._conn.send_data(exchange.number, data[start : start + size])
        self._flush()

    def end(self, exchange: Exchange) -> None:
        """End a request."""
        self._conn.end_stream(exchange.number)
        self._flush()

    def reset(self, exchange: Exchange) -> None:
        """Break an exchange off."""
        self._conn.reset_stream(exchange.number)
        self._flush()

    def room(self, exchange: Exchange) -> int:
        """Tell how many bytes of a body the server lets us send now."""
        return int(self._conn.local_flow_control_window(exchange.number))

    def send(
        self, target: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> Exchange:
        """Send a whole request."""
        exchange = self.begin(target, method, **headers)
        self.write(exchange, body)
        self.end(exchange)
        return exchange

    async def ask(self, *args: Any, **headers: Any) -> Exchange:
        """Send a whole request, and wait for the whole answer."""
        exchange = self.send(*args, **headers)
        await until(lambda: exchange.ended)
        return exchange

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.terminated = True
            return
        exchange = self._exchanges.get(getattr(event, "stream_id", 0))
        if exchange is None:
            return
        if isinstance(event, ResponseReceived):
            exchange.headers = dict(event.headers)
            exchange.status = int(exchange.headers[":status"])
        elif isinstance(event, DataReceived):
            exchange.body += event.data
            if self._reads:
                size = event.flow_controlled_length
                self._conn.acknowledge_received_data(size, exchange.number)
        elif isinstance(event, StreamEnded):
            exchange.ended = True
        elif isinstance(event, StreamReset):
            exchange.reset = int(event.error_code)

    def _flush(self) -> None:
        self.transport.write(self._conn.data_to_send())

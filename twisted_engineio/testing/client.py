"""
A client in memory: send messages, inspect what was received, disconnect in any way.

Rules of this file:

1. It implements revision 4 as npm's ``engine.io-client`` does; nothing is sent during
   an upgrade.
2. When a method returns, the server has processed its effects, unless the application
   itself waits for something.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlencode

from ..protocol.packet import Buffer, Packet, PacketType, as_data
from .carriers import CARRIERS, Carrier, Item, PostingCarrier
from .lines import Answer, HttpLine

if TYPE_CHECKING:
    from ..session.session import Session
    from .connection import MemoryTransport

__all__ = ["HandshakeRefused", "MemoryClient"]

_CLOSE: Final = Packet(PacketType.CLOSE)
_PONG: Final = Packet(PacketType.PONG)
_PROBE_PING: Final = Packet(PacketType.PING, "probe")
_PROBE_PONG: Final = Packet(PacketType.PONG, "probe")
_UPGRADE: Final = Packet(PacketType.UPGRADE)


class HandshakeRefused(Exception):
    """
    The server refused a client.

    Attributes:
        status: The HTTP status; 0 if the server closed the connection.
        message: The error message in the answer.
        headers: The headers of the answer, names in lower case.
        close_code: The close code of a WebSocket that was refused after it had been
            opened, or ``None``.

    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str],
        close_code: int | None = None,
    ) -> None:
        super().__init__(f"{close_code or status} {message}")
        self.status = status
        self.message = message
        self.headers = headers
        self.close_code = close_code


class ClientState(enum.Enum):
    """The state of a client."""

    CONNECTING = "connecting"
    OPENING = "opening"  # connected, no open packet received yet
    OPEN = "open"
    MOVING = "moving"
    CLOSING = "closing"
    CLOSED = "closed"


class ClientHost(Protocol):
    """The part of ``MemoryServer`` that a client uses."""

    def settle(self) -> None:
        """Deliver all data in transit."""

    def session_of(self, sid: str) -> Session:
        """Return the session with an id, even if it has ended."""

    def wire(
        self,
        address: str,
        data_received: Callable[[bytes], object],
        connection_closed: Callable[[], object],
        *,
        secure: bool = False,
    ) -> MemoryTransport:
        """Open a connection to the site."""


class MemoryClient:
    """
    A client of a ``MemoryServer``, created by ``server.connect()``.

    Attributes:
        sid: The session id; ``""`` before the session is open.
        session: The session on the server, even after it has ended; ``None`` before it
            is open.
        state: The state of the client.
        refusal: The server's refusal, or ``None``.
        close_code: The code with which the server closed the WebSocket, or ``None``.
        answers_pings: Whether the client answers the server's pings.

    """

    def __init__(
        self,
        server: ClientHost,
        transport: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        address: str,
        *,
        secure: bool,
        answers_pings: bool,
    ) -> None:
        """Create a client; ``MemoryServer.connect`` also connects it."""
        self.sid = ""
        self.session: Session | None = None
        self.state = ClientState.CONNECTING
        self.refusal: HandshakeRefused | None = None
        self.close_code: int | None = None
        self.answers_pings = answers_pings
        self._server = server
        self._query = query
        self._headers = headers
        self._address = address
        self._secure = secure
        self._received: list[str | bytes] = []
        self._queue: list[Item] = []
        self._max_payload = 0
        self._upgrades: list[str] = []
        self._lines: list[HttpLine] = []
        self._candidate: Carrier | None = None
        self._carrier = CARRIERS[transport](self)

    def __repr__(self) -> str:
        sid, state = self.sid[:6], self.state.value
        return f"<MemoryClient {sid}... {state} on {self.transport}>"

    # Called by the test.

    @property
    def received(self) -> list[str | bytes]:
        """
        Every message received so far.

        Reading it delivers the data in transit. The list is the client's own: clear it
        to see only later messages.
        """
        self._server.settle()
        return self._received

    @property
    def transport(self) -> str:
        """The name of the client's transport."""
        return self._carrier.name

    @property
    def is_open(self) -> bool:
        """Whether the client considers itself connected."""
        self._server.settle()
        return self.state in (ClientState.OPEN, ClientState.MOVING)

    def send(self, data: str | bytes | Buffer) -> None:
        """
        Send a message.

        Args:
            data: Text or bytes.

        Raises:
            ConnectionError: If the client is not open.
            TypeError: If ``data`` is no message.

        """
        message = as_data(data)
        if not self.is_open:
            raise ConnectionError(f"{self!r} is not open")
        self._enqueue(message)
        self._server.settle()

    def upgrade(self, to: str = "websocket") -> None:
        """
        Upgrade to another transport, as a client does in the background.

        Args:
            to: ``"websocket"`` or ``"sse"``.

        Raises:
            ConnectionError: If the client is not open or is upgrading already, or the
                server does not allow the upgrade.

        """
        if not self.is_open or self._candidate is not None:
            raise ConnectionError(f"{self!r} is not open, or moves already")
        if to not in self._upgrades:
            raise ConnectionError(f"no upgrade to {to!r}: it may be {self._upgrades}")
        self._candidate = candidate = CARRIERS[to](self)
        candidate.open()
        self._server.settle()
        if candidate not in (self._candidate, self._carrier):
            raise ConnectionError("the server has closed the new transport")

    def close(self) -> None:
        """Send the queued messages and a close packet, and disconnect."""
        if self.is_open:
            if self._candidate is not None:
                self.lost(self._candidate)
            self.state = ClientState.CLOSING
            self._enqueue(_CLOSE)
            self._server.settle()

    def vanish(self) -> None:
        """Lose all connections without a FIN, as when a cable is cut."""
        for line in self._lines:
            line.transport.vanish()
        self.state = ClientState.CLOSED

    def stop_reading(self) -> None:
        """Stop reading, as a slow client does: arriving data stays in the socket."""
        for line in self._lines:
            line.transport.hold()

    def read_on(self) -> None:
        """Resume reading."""
        for line in self._lines:
            line.transport.release()
        self._server.settle()

    # Called by the server.

    def connect(self) -> None:
        """Send the first request; called by ``MemoryServer.connect``."""
        self._carrier.open()

    def cut(self) -> None:
        """Close all connections that a closed client still has."""
        for line in self._lines:
            line.transport.hang_up()

    # Called by the carriers.

    def line(self) -> HttpLine:
        """Open another connection to the site."""
        line = HttpLine()
        line.transport = self._server.wire(
            self._address,
            line.data_received,
            line.connection_closed,
            secure=self._secure,
        )
        self._lines.append(line)
        return line

    def request(
        self,
        method: str,
        transport: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> bytes:
        """
        Return the bytes of a request.

        Args:
            method: The method.
            transport: The transport that it is for.
            headers: Headers in addition to the client's.
            body: The body.

        """
        query = {"EIO": "4", "transport": transport, **self._query}
        if self.sid:
            query["sid"] = self.sid
        lines = [f"{method} /engine.io/?{urlencode(query)} HTTP/1.1"]
        given = {"Host": "example.com", **self._headers, **(headers or {})}
        lines += [f"{name}: {value}" for name, value in given.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")

    def opened(self, carrier: Carrier) -> None:
        """Probe a candidate that is connected."""
        if carrier is self._candidate:
            carrier.send([_PROBE_PING])
        elif self.state is ClientState.CONNECTING:
            self.state = ClientState.OPENING

    def refused(self, carrier: Carrier, answer: Answer) -> None:
        """Record a refusal, and close the carrier."""
        if carrier is self._carrier:
            self.refusal = HandshakeRefused(
                answer.status, _message(answer), answer.headers
            )
        self.lost(carrier)

    def take(self, carrier: Carrier, item: Item) -> None:
        """Process a packet or message that arrived."""
        if carrier is self._candidate:
            assert item == _PROBE_PONG
            assert isinstance(self._carrier, PostingCarrier)
            self.state = ClientState.MOVING
            self._carrier.pause(self._move)
        elif isinstance(item, (str, bytes)):
            self._received.append(item)
        else:
            self._act_on(item)

    def _act_on(self, packet: Packet) -> None:
        if packet.type is PacketType.MESSAGE:
            self._received.append(packet.data)
        elif packet.type is PacketType.OPEN:
            fields = json.loads(packet.data)
            self.sid, self._max_payload = fields["sid"], fields["maxPayload"]
            self._upgrades = fields["upgrades"]
            self.session = self._server.session_of(self.sid)
            self.state = ClientState.OPEN
        elif packet.type is PacketType.PING and self.answers_pings:
            self._enqueue(_PONG)
        elif packet.type is PacketType.CLOSE:
            self.lost(self._carrier)

    def writable(self) -> None:
        """Send the queued packets and messages."""
        if self._queue and self.state is not ClientState.MOVING:
            self._carrier.send(self._next_payload())
        elif self.state is ClientState.CLOSING:
            self.lost(self._carrier)

    def lost(self, carrier: Carrier, code: int | None = None, why: str = "") -> None:
        """Close a carrier that was lost; close the client if it was its transport."""
        carrier.drop()
        if carrier is self._candidate:
            self._candidate = None
            if self.state is ClientState.MOVING:
                assert isinstance(self._carrier, PostingCarrier)
                self.state = ClientState.OPEN
                self._carrier.resume()
        elif carrier is self._carrier and self.state is not ClientState.CLOSED:
            if not self.sid and self.refusal is None:
                self.refusal = HandshakeRefused(101, why, {}, code)
            self.state = ClientState.CLOSED
            self.close_code = code
            candidate, self._candidate = self._candidate, None
            if candidate is not None:
                candidate.drop()

    def _enqueue(self, item: Item) -> None:
        self._queue.append(item)
        if self._carrier.writable:
            self.writable()

    def _next_payload(self) -> list[Item]:
        """Remove and return the items that fit into one payload, at least one."""
        size, count = 0, 0
        for item in self._queue:
            data = item.data if isinstance(item, Packet) else item
            # Its size as base64, the longest encoding.
            size += len(data) * 4 // 3 + 4
            if count and size > self._max_payload:
                break
            count += 1
        items, self._queue = self._queue[:count], self._queue[count:]
        return items

    def _move(self) -> None:
        """Complete the upgrade to the candidate."""
        candidate, self._candidate = self._candidate, None
        assert candidate is not None  # it has answered the probe
        left, self._carrier = self._carrier, candidate
        left.drop()
        names = [*self._upgrades, candidate.name]
        self._upgrades = names[names.index(candidate.name) + 1 : -1]
        candidate.send([_UPGRADE])
        self.state = ClientState.OPEN
        if candidate.writable:
            self.writable()


def _message(answer: Answer) -> str:
    """Return the error message of a refusal: JSON, except for a WebSocket."""
    text = answer.body.decode()
    if answer.headers.get("content-type", "").startswith("application/json"):
        text = json.loads(text)["message"]
    return text

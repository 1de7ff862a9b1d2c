"""
A client in memory: what it sends, what it has received, and how it leaves.

Rules of this file:

1. It speaks revision 4 as npm's ``engine.io-client`` does, one step after another:
   nothing is sent while it moves from one transport to another.
2. Whatever a test asks of it, the server has dealt with when the call returns, unless
   the application itself waits for something.
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
    The server did not let a client in.

    Attributes:
        status: The HTTP status; 0 if the server hung up.
        message: What the client was told.
        headers: The answer's headers, names in lower case.
        close_code: The code of a WebSocket that was opened to be closed, or ``None``.

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
    """Where a client is in its life."""

    CONNECTING = "connecting"
    OPENING = "opening"  # let in, and not greeted yet
    OPEN = "open"
    MOVING = "moving"
    CLOSING = "closing"
    CLOSED = "closed"


class ClientHost(Protocol):
    """What a client needs of its ``MemoryServer``."""

    def settle(self) -> None:
        """Let everything arrive that is on its way."""

    def session_of(self, sid: str) -> Session:
        """Find a session, also one that is over."""

    def wire(
        self,
        address: str,
        heard: Callable[[bytes], object],
        ended: Callable[[], object],
        *,
        secure: bool = False,
    ) -> MemoryTransport:
        """Connect to the site."""


class MemoryClient:
    """
    One client of a ``MemoryServer``, which makes it: ``server.connect()``.

    Attributes:
        sid: Its session's id; ``""`` before it has one.
        session: Its session on the server, also when that is over; ``None`` before.
        state: Where it is in its life.
        refusal: Why the server did not let it in, if it did not.
        close_code: The code with which the server closed its WebSocket, if it did.
        answers_pings: Whether it answers the server's pings.

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
        """Make a client that has not connected; ``MemoryServer.connect`` does both."""
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

    # The test's side.

    @property
    def received(self) -> list[str | bytes]:
        """
        Every message that has come so far.

        Looking lets what is on its way arrive. The list is the client's own: clear it
        to see only what comes next.
        """
        self._server.settle()
        return self._received

    @property
    def transport(self) -> str:
        """The name of the transport that it is on."""
        return self._carrier.name

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as it knows."""
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
        self._say(message)
        self._server.settle()

    def upgrade(self, to: str = "websocket") -> None:
        """
        Move to another transport, as a client does in the background.

        Args:
            to: ``"websocket"`` or ``"sse"``.

        Raises:
            ConnectionError: If the client is not open, moves already, or is not let.

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
        """Say goodbye, behind all that was sent, and leave."""
        if self.is_open:
            if self._candidate is not None:
                self.lost(self._candidate)
            self.state = ClientState.CLOSING
            self._say(_CLOSE)
            self._server.settle()

    def vanish(self) -> None:
        """Be gone without a word, as when a cable is cut: no FIN, no answer."""
        for line in self._lines:
            line.transport.vanish()
        self.state = ClientState.CLOSED

    def stop_reading(self) -> None:
        """Leave what comes in the socket, as a client that is too slow does."""
        for line in self._lines:
            line.transport.hold()

    def read_on(self) -> None:
        """Read what is in the socket."""
        for line in self._lines:
            line.transport.release()
        self._server.settle()

    # The server's side.

    def connect(self) -> None:
        """Begin; ``MemoryServer.connect`` calls it."""
        self._carrier.open()

    def cut(self) -> None:
        """Hang up whatever is still connected of a client that is gone."""
        for line in self._lines:
            line.transport.hang_up()

    # The carriers' side.

    def line(self) -> HttpLine:
        """Connect to the site once more."""
        line = HttpLine()
        line.transport = self._server.wire(
            self._address, line.heard, line.ended, secure=self._secure
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
        Write a request.

        Args:
            method: Its method.
            transport: The transport that it is for.
            headers: Headers besides the client's.
            body: Its body.

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
        """Try a candidate that can be used."""
        if carrier is self._candidate:
            carrier.send([_PROBE_PING])
        elif self.state is ClientState.CONNECTING:
            self.state = ClientState.OPENING

    def refused(self, carrier: Carrier, answer: Answer) -> None:
        """Give up: the server will not have the client, or its candidate."""
        if carrier is self._carrier:
            self.refusal = HandshakeRefused(
                answer.status, _message(answer), answer.headers
            )
        self.lost(carrier)

    def take(self, carrier: Carrier, item: Item) -> None:
        """Act on what came."""
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
            said = json.loads(packet.data)
            self.sid, self._max_payload = said["sid"], said["maxPayload"]
            self._upgrades = said["upgrades"]
            self.session = self._server.session_of(self.sid)
            self.state = ClientState.OPEN
        elif packet.type is PacketType.PING and self.answers_pings:
            self._say(_PONG)
        elif packet.type is PacketType.CLOSE:
            self.lost(self._carrier)

    def writable(self) -> None:
        """Send what is queued."""
        if self._queue and self.state is not ClientState.MOVING:
            self._carrier.send(self._next_payload())
        elif self.state is ClientState.CLOSING:
            self.lost(self._carrier)

    def lost(self, carrier: Carrier, code: int | None = None, why: str = "") -> None:
        """Leave a carrier that is of no use any more, and with the last the session."""
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

    def _say(self, item: Item) -> None:
        self._queue.append(item)
        if self._carrier.writable:
            self.writable()

    def _next_payload(self) -> list[Item]:
        """Take from the queue what one payload may hold, one at least."""
        size, count = 0, 0
        for item in self._queue:
            data = item.data if isinstance(item, Packet) else item
            # As base64, which is the longest that it can be.
            size += len(data) * 4 // 3 + 4
            if count and size > self._max_payload:
                break
            count += 1
        items, self._queue = self._queue[:count], self._queue[count:]
        return items

    def _move(self) -> None:
        """Be on the candidate from now on."""
        candidate, self._candidate = self._candidate, None
        assert candidate is not None  # it was it that answered
        left, self._carrier = self._carrier, candidate
        left.drop()
        names = [*self._upgrades, candidate.name]
        self._upgrades = names[names.index(candidate.name) + 1 : -1]
        candidate.send([_UPGRADE])
        self.state = ClientState.OPEN
        if candidate.writable:
            self.writable()


def _message(answer: Answer) -> str:
    """Read what a refused client is told: JSON, but for a WebSocket."""
    text = answer.body.decode()
    if answer.headers.get("content-type", "").startswith("application/json"):
        text = json.loads(text)["message"]
    return text

"""
Stand-ins for the world around the house: applications, transports, browsers.

Nothing here opens a socket or looks at a clock of its own; time is ``task.Clock``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twisted_engineio import (
    Application,
    CloseReason,
    Handshake,
    Observer,
    Server,
    Session,
)
from twisted_engineio.protocol.packet import Outgoing, Packet, PacketType
from twisted_engineio.server.server import Entry, make_sid
from twisted_engineio.session.interfaces import NULL_RECEIVER, Admission
from twisted_engineio.session.revision import REVISION_4
from twisted_engineio.session.send_queue import SendQueue
from twisted_engineio.testing import lines

CLOSE = Packet(PacketType.CLOSE)
GOODBYE = Packet(PacketType.CLOSE, "1000")
PING = Packet(PacketType.PING)
PONG = Packet(PacketType.PONG)
NOOP = Packet(PacketType.NOOP)
UPGRADE = Packet(PacketType.UPGRADE)
PROBE_PING = Packet(PacketType.PING, "probe")
PROBE_PONG = Packet(PacketType.PONG, "probe")

TEXT, BINARY, CLOSE_FRAME, PING_FRAME, PONG_FRAME = 0x1, 0x2, 0x8, 0x9, 0xA

frame = lines.frame


def handshake(transport: str = "polling", **query: str) -> Handshake:
    """Make a handshake as a client of today would."""
    return Handshake(transport, {"EIO": "4", "transport": transport, **query}, {})


def join(server: Server, transport: Any, **query: str) -> Session:
    """Open a session on a transport, without asking whether it may."""
    shake = handshake(transport.name, **query)
    return server.open(
        Entry(shake, REVISION_4, make_sid(shake), Admission()), transport
    )


class Listener(Application):
    """
    An application that writes down what it is told.

    Each ``on_...`` is called with what its hook was called with, and its answer given
    back: that is how a test makes it raise, wait, or send.
    """

    def __init__(self) -> None:
        self.admitted: list[Handshake] = []
        self.opened: list[Any] = []
        self.received: list[str | bytes] = []
        self.closed: list[tuple[Any, CloseReason]] = []
        self.on_admit: Callable[..., object] = _nothing
        self.on_opened: Callable[..., object] = _nothing
        self.on_message: Callable[..., object] = _nothing
        self.on_closed: Callable[..., object] = _nothing

    def admit(self, handshake: Handshake) -> object:
        self.admitted.append(handshake)
        return self.on_admit(handshake)

    def session_opened(self, session: Any) -> object:
        self.opened.append(session)
        return self.on_opened(session)

    def message_received(self, session: Any, data: str | bytes) -> object:
        self.received.append(data)
        return self.on_message(session, data)

    def session_closed(self, session: Any, reason: CloseReason) -> object:
        self.closed.append((session, reason))
        return self.on_closed(session, reason)

    @property
    def reasons(self) -> list[CloseReason]:
        """Why each session that ended did."""
        return [reason for _, reason in self.closed]


def _nothing(*args: object) -> None:
    """Answer as a hook that does nothing."""


class Onlooker(Observer):
    """
    An observer that writes down every event: its name, then what it is about.

    Attributes:
        events: All of them but headers.
        answers: What ``headers`` was told.

    """

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.answers: list[tuple[Any, Handshake, Any]] = []

    @property
    def calm(self) -> list[tuple[Any, ...]]:
        """The events but those that come with every write."""
        return [each for each in self.events if each[0] not in ("flushing", "flushed")]

    def headers(self, headers: Any, request: Handshake, session: Any) -> None:
        self.answers.append((headers, request, session))

    def flushing(self, session: Any) -> None:
        self.events.append(("flushing",))

    def flushed(self, session: Any) -> None:
        self.events.append(("flushed",))

    def session_opened(self, session: Any) -> None:
        self.events.append(("session_opened",))

    def session_closed(self, session: Any, reason: CloseReason) -> None:
        self.events.append(("session_closed", reason))

    def connection_refused(self, error: Any, request: Handshake) -> None:
        self.events.append(("connection_refused", error))

    def payload_refused(self, error: Any) -> None:
        self.events.append(("payload_refused", error.size, error.limit))

    def limit_reached(self, limit: str, about: Any) -> None:
        self.events.append(("limit_reached", limit, about))

    def upgrading(self, session: Any, transport: str) -> None:
        self.events.append(("upgrading", transport))

    def upgraded(self, session: Any, transport: str) -> None:
        self.events.append(("upgraded", transport))

    def packet_received(self, session: Any, kind: PacketType, data: Any) -> None:
        self.events.append(("packet_received", kind, data))

    def packet_sent(self, session: Any, item: Outgoing) -> None:
        self.events.append(("packet_sent", item))

    def heartbeat(self, session: Any) -> None:
        self.events.append(("heartbeat",))


class RecordingTransport:
    """
    A transport that writes down what it is asked.

    Attributes:
        written: What was sent and flushed, in order.
        calls: The names of the other calls; for ``abandon`` the reason instead.
        room: How many items it takes before it is full; ``None`` for all.
        buffered: What it says that it holds, in bytes.
        close_pending: Whether it says that its goodbye is on its way.
        corked: Whether it says that it holds back what is sent.
        reads_ahead: Whether it says that it reads on while it is paused.

    """

    def __init__(self, name: str = "polling", *, writable: bool = True) -> None:
        self.name = name
        self.may_move = True
        self.writable = writable
        self.receiver: Any = NULL_RECEIVER
        self.written: list[Outgoing] = []
        self.calls: list[str | CloseReason] = []
        self.room: int | None = None
        self.buffered = 0
        self.close_pending = False
        self.corked = False
        self.reads_ahead = False

    def send(self, item: Outgoing) -> None:
        assert self.writable, "sent to a transport that was not writable"
        self.written.append(item)
        if self.room is not None:
            self.room -= 1
            self.writable = self.room > 0

    def flush(self, outbox: SendQueue) -> None:
        assert self.writable, "flushed a transport that was not writable"
        while outbox and self.writable:
            self.send(outbox.popleft())

    def cork(self) -> bool:
        return False

    def uncork(self) -> None:
        raise AssertionError("there was nothing to uncork")

    def ready(self, room: int | None = None) -> None:
        """Become writable, for so many items, and say so."""
        self.room = room
        self.writable = True
        self.receiver.transport_ready()

    def take_over(self, *, pinged: bool) -> None:
        self.pinged = pinged

    def prepare_upgrade(self) -> None:
        assert self.writable, "let go of a transport that was not writable"
        self.send(NOOP)

    def cancel_upgrade(self) -> None:
        self.calls.append("take back")

    def retire(self) -> None:
        self.calls.append("retire")
        self.receiver = NULL_RECEIVER
        self.writable = False

    def abandon(self, reason: CloseReason) -> None:
        self.calls.append(reason)
        self.receiver = NULL_RECEIVER
        self.writable = False

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")


@dataclass
class Answer:
    """One HTTP answer, as a client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.body)

    def open(self) -> dict[str, Any]:
        """Read the body as a polling payload that begins with an open packet."""
        first = self.body.decode().split("\x1e")[0]
        assert first[0] == "0"
        opened: dict[str, Any] = json.loads(first[1:])
        return opened


def read_answers(data: bytes) -> tuple[list[Answer], bytes]:
    """Read HTTP answers, and give them with what follows the last whole one."""
    answers: list[Answer] = []
    while b"\r\n\r\n" in data and (not answers or answers[-1].status != 101):
        head, _, rest = data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            break
        status = int(status_line.split()[1])
        answers.append(Answer(status, headers, rest[:length]))
        data = rest[length:]
    return answers, data


class Wire(StringTransport):
    """
    A TCP connection's end in memory, forgiving where TCP's transport is.

    Attributes:
        full: Whether the socket takes nothing for now; see ``fill`` and ``empty``.
        fills_at: What fills it whenever it is written.

    """

    protocol: Any

    def __init__(self, address: object) -> None:
        super().__init__(peerAddress=address, lenient=True)
        self.full = False
        self.fills_at: bytes | None = None

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Keep what is written, and be full if that fills it."""
        parts = list(data)
        super().writeSequence(parts)
        if self.fills_at is not None and self.fills_at in b"".join(parts):
            self.fill()

    def fill(self) -> None:
        """Be full."""
        self.full = True
        self.producer.pauseProducing()

    def empty(self) -> None:
        """Take more."""
        self.full = False
        self.producer.resumeProducing()

    def unregisterProducer(self) -> None:
        if self.producer is not None:
            super().unregisterProducer()


@dataclass(eq=False)
class Browser:
    """
    A client's connection to a Site, over a transport in memory.

    Attributes:
        wire: The server's end of it.

    """

    site: Any
    address: object = field(
        default_factory=lambda: IPv4Address("TCP", "203.0.113.5", 4711)
    )

    def __post_init__(self) -> None:
        self.wire = Wire(self.address)
        self.wire.protocol = self.site.buildProtocol(self.address)
        self.wire.protocol.makeConnection(self.wire)

    def send(self, data: bytes) -> Browser:
        """Send bytes, whatever they are."""
        self.wire.protocol.dataReceived(data)
        return self

    def request(
        self, method: str, query: str, body: bytes | None = None, **headers: str
    ) -> Browser:
        """Send a request to the server's path; underscores in names are dashes."""
        lines = [f"{method} /engine.io/?{query} HTTP/1.1", "Host: example.com"]
        lines += [f"{name.replace('_', '-')}: {headers[name]}" for name in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        return self.send(head + (body or b""))

    def get(self, query: str, **headers: str) -> Browser:
        """Send a GET."""
        return self.request("GET", query, **headers)

    def post(self, query: str, body: bytes, **headers: str) -> Browser:
        """Send a POST."""
        return self.request("POST", query, body, **headers)

    def upgrade(self, query: str, **headers: str) -> Browser:
        """Ask for a WebSocket, and let the turns pass in which it opens."""
        self.get(
            query,
            Upgrade="websocket",
            Connection="Upgrade",
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
            Sec_WebSocket_Version="13",
            **headers,
        )
        return self.turns()

    def turns(self) -> Browser:
        """Let the moment pass in which a WebSocket opens."""
        self.site.reactor.advance(0.001)
        return self

    def lose(self) -> None:
        """Go away."""
        if self.wire.connected:
            self.wire.connected = False
            self.wire.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def answers(self) -> list[Answer]:
        """The HTTP answers that came so far."""
        return read_answers(self.wire.value())[0]

    @property
    def answer(self) -> Answer:
        """The one HTTP answer that came."""
        (only,) = self.answers
        return only

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """The WebSocket frames that came: opcode and payload."""
        return list(read_frames(read_answers(self.wire.value())[1]))

    @property
    def texts(self) -> list[str]:
        """The text frames that came."""
        return [data.decode() for opcode, data in self.frames if opcode == TEXT]


def read_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Read a server's frames, the last of them whole too."""
    frames, rest = lines.read_frames(data)
    assert rest == b""
    return frames

"""
The fast lane does what Autobahn does, for any bytes, cut anywhere.

Two servers, one with the lane and one with ``WebSocketTransport``, are fed the same
pieces, and between them the application sends and time passes. Then:

* the messages, the close reasons, all bytes that went out, what happened to the
  connection, and the timers that run are the same;
* what waits for the rest of a frame is at most what came, whatever a head says;
* reading runs lines in proportion to the bytes.

There is one difference, and it is settled before the two are compared: Autobahn refuses
text that cannot be UTF-8 in the middle of a frame, the lane at the frame's end.
"""

from __future__ import annotations

import copy
from collections import deque
from typing import Any

from autobahn.websocket.protocol import TrafficStats
from autobahn.websocket.utf8validator import Utf8Validator
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from fuzzing import quiet  # noqa: F401  Autobahn's logging is what takes longest
from fuzzing.script import Script
from fuzzing.wire import Wire
from fuzzing.work import bounded
from twisted_engineio import Application, Config, Handshake, Server
from twisted_engineio.server.server import Entry
from twisted_engineio.session.interfaces import Admission
from twisted_engineio.session.revision import REVISION_3, REVISION_4
from twisted_engineio.transports.websocket.frames import FastWebSocketTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

SMALL, LARGE = 200, 70_000
MAX_FRAGMENTS = 4
MAX_BITES = 40
"""Pieces that a piece is cut into at most: more take longer, and show nothing new."""
MANY = 2000
ASCII = bytes(byte & 0x7F for byte in range(256))
"""Of a payload of more bytes, the bytes that it may hold: no frame begins with one of
them that leads to thousands of others, which show nothing that ten do not."""
MASKS = (b"\0\0\0\0", b"\1\2\3\4")

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)
HANDSHAKE = Handshake("websocket", {"EIO": "4"}, {})


class Side(Application):
    """One of the two servers, with one WebSocket at a time."""

    def __init__(self, kind: type[WebSocketTransport], max_payload: int) -> None:
        self.clock = Clock()
        config = Config(max_payload=max_payload, max_fragments=MAX_FRAGMENTS)
        self.server = Server(self, config, clock=self.clock)
        self.server.websockets.use(kind)
        self._pristine: Any = None
        self._pristine = self._opened()

    def _opened(self) -> Any:
        """Open a WebSocket as ``take_over`` does; it waits for a session."""
        factory = self.server.websockets
        transport = factory.protocol(lambda _: None, {}, REVISION_4.codec)
        transport.factory = factory
        transport.makeConnection(Wire())
        transport.dataReceived(REQUEST)
        assert transport.writable
        return transport

    def begin(self, *, revision_3: bool, base64: bool, echo: bool) -> None:
        """Begin a session on a WebSocket that is as if just opened."""
        self.echo = echo
        self.seen: list[object] = []
        self.fed = 0
        self.wire = Wire()
        # To open one takes far longer than all that is tested here.
        self.transport = transport = copy.copy(self._pristine)
        transport.transport = self.wire
        transport.trafficStats = TrafficStats()
        transport.utf8validator = Utf8Validator()
        transport.send_queue = deque()
        transport.is_open, transport.is_closed = Deferred(), Deferred()
        revision = REVISION_3 if revision_3 else REVISION_4
        transport.codec, transport.base64 = revision.codec, base64
        if isinstance(transport, FastWebSocketTransport):
            transport._bare = not (base64 or revision.codec.BINARY_PREFIX)
        self.wire.registerProducer(transport, True)
        entry = Entry(HANDSHAKE, revision, "an id", Admission())
        self.session = self.server.open(entry, transport)

    def message_received(self, session: Any, data: str | bytes) -> None:
        """Keep a message, and perhaps send it back."""
        self.seen.append(data)
        if self.echo:
            session.send(data)

    def session_closed(self, session: Any, reason: object) -> None:
        """Keep why the session ended."""
        self.seen.append(reason)

    def feed(self, data: bytes) -> None:
        """Let bytes come."""
        self.fed += len(data)
        if not self.wire.disconnecting and not self.wire.disconnected:
            self.transport.dataReceived(data)

    def say(self, data: str | bytes, aloud: bool) -> None:
        """Let the application send, to this session or to all."""
        if aloud:
            self.server.broadcast(data)
            self.clock.advance(0)
        elif self.server.sessions:
            self.session.send(data)

    def outcome(self) -> tuple[object, ...]:
        """Tell all that can be seen."""
        return (
            list(self.seen),
            self.wire.value(),
            # What is behind a broken rule may break another one, which ends it at once:
            # how much of that is read depends on how the read was cut.
            self.wire.disconnecting and not self.transport.failedByMe,
            self.wire.disconnected,
            self.wire.producerState,
            self.session.state,
            sorted(each.getTime() for each in self.clock.getDelayedCalls()),
        )

    def end(self) -> None:
        """Leave nothing behind."""
        self.transport.connectionLost(Failure(ConnectionDone()))
        for session in list(self.server.sessions.values()):
            session.abort()
        self.clock.advance(0)
        assert not self.clock.getDelayedCalls()
        assert not self.server.sessions


SIDES = {
    limit: (Side(FastWebSocketTransport, limit), Side(WebSocketTransport, limit))
    for limit in (SMALL, LARGE)
}


def check(data: bytes) -> None:
    """Feed both sides what a script says."""
    script = Script(data)
    options, size = script.byte(), script.byte()
    lane, stock = sides = SIDES[LARGE if options & 8 else SMALL]
    for side in sides:
        side.begin(
            revision_3=bool(options & 1),
            base64=bool(options & 2),
            echo=bool(options & 4),
        )
    bites = size + 1 if options & 16 else None

    def run() -> int:
        pending = b""
        while script:
            pending = _step(script, pending, sides, bites)
        _feed(sides, pending, bites)
        _settle(sides)
        return lane.fed

    # The shortest frame of all has six bytes: an empty ping.
    bounded(run, data, 40_000 + 1500 * len(data), lambda fed: 100 * fed)
    seen, expected = lane.outcome(), stock.outcome()
    for side in sides:
        side.end()
    assert seen == expected, (seen, expected)


def _step(
    script: Script, pending: bytes, sides: tuple[Side, Side], bites: int | None
) -> bytes:
    """Do what the script says next; give the bytes that are still to be fed."""
    what = script.byte()
    kind, more = what & 7, what >> 3
    if kind == 0:
        return pending + script.some()
    if kind < 4:
        return pending + frame(script.byte(), script.some(), kind, more)
    if kind == 4:
        first, some, times = script.byte(), script.some(), script.number()
        most = sides[0].server.config.max_payload + 99
        return pending + frame(first, repeated(some, times, most), 1, more)
    _feed(sides, pending, bites)
    if kind == 5:
        return b""
    if kind == 6:
        data = script.some()
        said = data if more & 1 else data.decode("latin-1")
        if _is_whole(sides):
            for side in sides:
                side.say(said, bool(more & 2))
    elif _is_whole(sides):
        for side in sides:
            side.clock.advance(more)
    return b""


def repeated(some: bytes, times: int, most: int) -> bytes:
    """Repeat bytes up to a size; a large payload holds only what ``ASCII`` says."""
    payload = some * min(times, most // max(1, len(some)))
    return payload if len(payload) <= MANY else payload.translate(ASCII)


def frame(first: int, payload: bytes, kind: int, more: int) -> bytes:
    """
    Write a client's frame.

    Args:
        first: Its first byte.
        payload: Its payload.
        kind: 1 for a mask of zeros, 2 for another, 3 for one whose head is odd.
        more: How a head is odd: not masked, or its length longer than it need be.

    """
    length = len(payload)
    form = 0 if length < 126 else 1 if length < 65536 else 2
    bit, mask = 0x80, MASKS[kind == 2]
    if kind == 3:
        form = more & 3
        if more & 4:
            bit, mask = 0, b""
    if form == 0:
        head = bytes((first, bit | min(length, 125)))
    elif form == 1:
        head = bytes((first, bit | 126)) + (length & 0xFFFF).to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + length.to_bytes(8, "big")
    if kind == 2:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + mask + payload


def _feed(sides: tuple[Side, Side], data: bytes, bites: int | None) -> None:
    """Feed both sides, in one piece or in many."""
    step = bites or len(data) or 1
    if len(data) > MAX_BITES * step:
        step = len(data) // MAX_BITES
    for at in range(0, len(data), step):
        for side in sides:
            side.feed(data[at : at + step])
    begun = sides[0].transport._begun
    assert begun is None or len(begun) <= sides[0].fed


def _is_whole(sides: tuple[Side, Side]) -> bool:
    return sides[0].transport._begun is None


def _settle(sides: tuple[Side, Side]) -> None:
    """Let a frame that has begun come to its end."""
    while not _is_whole(sides):
        lacking = sides[0].transport._lacking
        assert 0 < lacking <= LARGE
        _feed(sides, bytes(lacking), None)

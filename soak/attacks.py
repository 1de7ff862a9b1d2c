"""
Clients that attack: what each sends, whether it reads, and how it ends.

An attack is data: the request that opens it, what it sends again and again, at how many
bytes per second, and what it sends at the end. One protocol carries out all of them.
The soak keeps a few of each among its honest clients; ``floods`` measures what each
costs an honest client.

======= ==================================================================
state   what is going on
======= ==================================================================
OPENING the request is sent; the answer to it has not come
ACTIVE  the chunk is sent, again and again, as fast as the rate allows
LAST    the last bytes are sent; the server is to end the connection
======= ==================================================================

``python -m soak.attacks PORT NAME CLIENTS RATE SECONDS`` runs one attack alone, and
prints what became of it as JSON.
"""

from __future__ import annotations

import base64
import enum
import json
import os
import re
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.python.failure import Failure

from benchmarks import wire
from soak.filling import FILL

TICK: Final = 0.05
"""Seconds between two pieces of what is sent at a rate."""
SMALL_BUFFER: Final = 4096
"""Bytes of a socket whose client does not read; the kernel doubles them."""
AGAIN: Final = 0.5
"""Seconds until a connection that the server ended is opened again."""
PATIENCE: Final = 4.0
"""Seconds after which an attacker with last bytes sends them."""
_SID: Final = re.compile(rb'"sid":"([^"]+)"')
_EMPTY_PING: Final = b"\x89\x80abcd"
_FULL_PING: Final = wire.client_frame(0x9, b"p" * 125)
_FIRST: Final = b"\x01\x81abcd" + bytes([ord("4") ^ ord("a")])
_CONTINUATION: Final = b"\x00\x80abcd"
_CLOSE: Final = b"\x88\x82abcd" + bytes([0x03 ^ ord("a"), 0xE8 ^ ord("b")])
_RESERVED: Final = b"\xf1\x80abcd"
_RESET: Final = struct.pack("ii", 1, 0)


def _get(port: int, target: str, headers: str = "") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n".encode()


def _websocket(port: int, query: str = "") -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return _get(
        port,
        f"{wire.PATH}?EIO=4&transport=websocket{query}",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n",
    )


def _poll(port: int, query: str = "") -> bytes:
    return _get(port, f"{wire.PATH}?EIO=4&transport=polling{query}")


@dataclass(frozen=True)
class Attack:
    """
    One way to do harm.

    Args:
        name: What the tables call it.
        opening: Makes the first request, from the port; or None.
        chunk: Makes what is sent again and again, from the port and the session's id,
            if the answer to the first request has one.
        reads: Whether the client reads once its connection is open.
        last: What it sends after some seconds; then the server must end the connection.
        first: What it sends once when the connection is open.

    """

    name: str
    opening: Callable[[int], bytes] | None
    chunk: Callable[[int, str], bytes]
    reads: bool = True
    last: bytes = b""
    first: bytes = b""


def _nothing(port: int, sid: str) -> bytes:
    return b""


def _candidate(port: int, sid: str) -> bytes:
    return _websocket(port, f"&sid={sid}")


ATTACKS: Final = {
    attack.name: attack
    for attack in (
        Attack("pings", _websocket, lambda port, sid: _EMPTY_PING * 64),
        Attack("pings-125", _websocket, lambda port, sid: _FULL_PING * 64),
        Attack("pings-unread", _websocket, lambda port, sid: _FULL_PING * 64, False),
        Attack(
            "fragments",
            _websocket,
            lambda port, sid: _CONTINUATION * 64,
            first=_FIRST,
        ),
        Attack("pongs", _websocket, lambda port, sid: b"\x8a\x80abcd" * 64),
        Attack("pages", None, lambda port, sid: _get(port, "/") * 16),
        Attack("pages-unread", None, lambda port, sid: _get(port, "/") * 16, False),
        Attack("handshakes", None, lambda port, sid: _poll(port) * 16),
        Attack(
            "polls-unread",
            lambda port: _poll(port, f"&{FILL}=1"),
            lambda port, sid: _poll(port, f"&sid={sid}") * 16,
            False,
        ),
        Attack(
            "posts",
            _poll,
            lambda port, sid: wire.post_request(port, sid, b"6") * 16,
        ),
        Attack(
            "refused",
            None,
            lambda port, sid: _get(
                port,
                f"{wire.PATH}?EIO=4&transport=polling",
                f"Origin: https://{'e' * 8000}.example\r\n",
            ),
        ),
        Attack(
            "bodies",
            None,
            lambda port, sid: (
                (
                    f"POST {wire.PATH}?EIO=4&transport=polling&sid=unknown HTTP/1.1\r\n"
                    f"Host: 127.0.0.1:{port}\r\nContent-Length: 900000\r\n\r\n"
                ).encode()
                + b"4" * 900_000
            ),
        ),
        Attack(
            "chunks",
            lambda port: (
                f"POST {wire.PATH}?EIO=4&transport=polling&sid=unknown HTTP/1.1\r\n"
                f"Host: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
            ).encode(),
            lambda port, sid: b"1\r\nx\r\n" * 128,
        ),
        Attack("upgrades", _poll, _candidate),
        Attack(
            "full-close",
            lambda port: _websocket(port, f"&{FILL}=1"),
            _nothing,
            False,
            _CLOSE,
        ),
        Attack(
            "full-error",
            lambda port: _websocket(port, f"&{FILL}=1"),
            _nothing,
            False,
            _RESERVED,
        ),
        Attack("full", lambda port: _websocket(port, f"&{FILL}=1"), _nothing, False),
    )
}


class State(enum.Enum):
    """What a connection is doing; see the table above."""

    OPENING = "opening"
    ACTIVE = "active"
    LAST = "last"


@dataclass
class Outcome:
    """What became of an attack's connections: counts, and bytes that were sent."""

    opened: int = 0
    ended: int = 0
    sent: int = 0


class Attacker(Protocol):
    """One connection of an attack."""

    transport: Any
    factory: Attackers

    def connectionMade(self) -> None:
        """Send the first request."""
        factory, attack = self.factory, self.factory.attack
        self._state = State.OPENING
        self._answer = b""
        self._rest = b""
        self._chunk = b""
        self._credit = 0.0
        factory.alive.add(self)
        factory.outcome.opened += 1
        if not attack.reads:
            handle = self.transport.getHandle()
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self._until = factory.reactor.seconds() + PATIENCE
        self.transport.registerProducer(self, True)
        self._full = False
        if attack.opening is None:
            self._begin("")
        else:
            self._opening = attack.opening(factory.port)
            # A chunked body is not answered before it ends, or is refused.
            self.transport.write(self._opening)
            if b"chunked" in self._opening:
                self._begin("")

    def dataReceived(self, data: bytes) -> None:
        """Look for the answer to the first request; throw everything else away."""
        if self._state is not State.OPENING:
            return
        self._answer += data
        found = _SID.search(self._answer)
        if found is not None:
            self._begin(found[1].decode())

    def _begin(self, sid: str) -> None:
        attack = self.factory.attack
        self._state = State.ACTIVE
        self._chunk = attack.chunk(self.factory.port, sid)
        self._rest = attack.first
        if not attack.reads:
            self.transport.pauseProducing()

    def step(self, rate: float) -> None:
        """Send what is due by now, at so many bytes per second."""
        if self._state is not State.ACTIVE:
            return
        attack = self.factory.attack
        if attack.last and self.factory.reactor.seconds() > self._until:
            self.say_last()
            return
        if self._full or not self._chunk:
            return
        self._credit = min(self._credit + rate * TICK, rate)
        while self._credit >= 1 and not self._full:
            if not self._rest:
                self._rest = self._chunk
            piece = self._rest[: max(1, int(self._credit))]
            self._rest = self._rest[len(piece) :]
            self._credit -= len(piece)
            self.factory.outcome.sent += len(piece)
            self.transport.write(piece)

    def say_last(self) -> None:
        """Send the last bytes, if this attack has any and they are not sent yet."""
        if self._state is State.ACTIVE and self.factory.attack.last:
            self._state = State.LAST
            self.transport.write(self.factory.attack.last)

    def pauseProducing(self) -> None:
        """Send nothing: the server does not read."""
        self._full = True

    def resumeProducing(self) -> None:
        """Go on sending."""
        self._full = False

    def stopProducing(self) -> None:
        """Do nothing: ``connectionLost`` follows."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count it, and come again."""
        self.factory.lost(self)

    def reset(self) -> None:
        """Reset the connection."""
        linger = _RESET
        self.transport.getHandle().setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self.transport.abortConnection()


@dataclass(eq=False)
class Attackers(ClientFactory):
    """
    The connections of one attack.

    Attributes:
        alive: Those that are open.
        outcome: What became of them.

    """

    reactor: Any
    port: int
    attack: Attack
    clients: int
    rate: float
    source: str = "127.0.2.1"
    alive: set[Attacker] = field(default_factory=set)
    outcome: Outcome = field(default_factory=Outcome)

    protocol = Attacker
    noisy = False

    def __post_init__(self) -> None:
        self._stopped = False
        self._again: set[Any] = set()
        self._stepping = LoopingCall(self._step)
        self._stepping.clock = self.reactor

    def start(self) -> None:
        """Open the connections, and begin."""
        for _ in range(self.clients):
            self._connect()
        self._stepping.start(TICK)

    def stop(self) -> None:
        """
        Reset every connection but those that the server has to end by itself.

        Those send their last bytes now, if they have not, and go on not reading.
        """
        self._stopped = True
        self._stepping.stop()
        for call in self._again:
            call.cancel()
        self._again.clear()
        for each in list(self.alive):
            if self.attack.last:
                each.say_last()
            else:
                each.reset()

    def look(self) -> None:
        """Read: Twisted does not report the end of a connection that is paused."""
        for each in list(self.alive):
            each.transport.resumeProducing()

    def kill(self) -> int:
        """Reset what is left; return how many connections that is."""
        left = list(self.alive)
        for each in left:
            each.reset()
        return len(left)

    def lost(self, attacker: Attacker) -> None:
        """Count a connection that has ended, and open another unless stopped."""
        self.alive.discard(attacker)
        self.outcome.ended += 1
        self._later()

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Try again: the server accepts no more connections just now."""
        self._later()

    def _later(self) -> None:
        if not self._stopped:
            call = self.reactor.callLater(AGAIN, self._reconnect)
            self._again.add(call)

    def _reconnect(self) -> None:
        self._again = {call for call in self._again if call.active()}
        self._connect()

    def _connect(self) -> None:
        address = (self.source, 0)
        self.reactor.connectTCP("127.0.0.1", self.port, self, 10, address)

    def _step(self) -> None:
        for each in list(self.alive):
            each.step(self.rate)


def main(reactor: Any, *given: str) -> Deferred[None]:
    """Run one attack alone: the port, its name, clients, bytes/s of each, seconds."""
    port, name, clients, rate, seconds = given
    attackers = Attackers(reactor, int(port), ATTACKS[name], int(clients), float(rate))
    attackers.start()

    def over(_: object) -> None:
        attackers.stop()
        attackers.kill()
        print(json.dumps(vars(attackers.outcome)))

    return deferLater(reactor, float(seconds), lambda: None).addCallback(over)


if __name__ == "__main__":
    react(main, sys.argv[1:])

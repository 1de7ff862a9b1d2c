"""
What the four transports have in common, seen from a client's side.

Rules of this file:

1. A carrier writes when its client gives it something, and says when it takes more.
2. It knows how to let go of a session for another carrier, and to go on if that fails.
3. It can die in three ways, and in the middle of what it writes.
"""

from __future__ import annotations

import random
from typing import Any, ClassVar, Protocol

from benchmarks import wire
from soak.connection import Connection
from soak.plan import Plan
from twisted_engineio.protocol.codec import Codec
from twisted_engineio.protocol.packet import Packet, PacketType

CLOSE = Packet(PacketType.CLOSE)
NOOP = Packet(PacketType.NOOP)
PROBE = Packet(PacketType.PING, "probe")


class Client(Protocol):
    """What a carrier asks of its client."""

    reactor: Any
    chance: random.Random
    plan: Plan
    codec: Codec
    port: int
    source: str
    sid: str

    def take(self, carrier: Carrier, item: str | bytes | Packet) -> None:
        """Take a packet or a message."""

    def ready(self, carrier: Carrier) -> None:
        """Hear that it takes more."""

    def lost(self, carrier: Carrier, why: str) -> None:
        """Hear that it cannot go on."""


class Carrier:
    """
    One transport of one session.

    Attributes:
        name: What it is called here.
        writable: Whether it takes something to write.
        dead: Whether it was ended by us: nothing is heard of it any more.

    """

    name: ClassVar[str]
    transport: ClassVar[str]

    def __init__(self, client: Client) -> None:
        self.client = client
        self.dead = False
        self._connections: list[Connection] = []
        self._then: Any = None

    # The client's side.

    @property
    def writable(self) -> bool:
        raise NotImplementedError

    @property
    def steady(self) -> bool:
        """Whether nothing that is sent now is lost by our doing."""
        return True

    def open(self, *, candidate: bool) -> None:
        """Open a session, or ask to take one over."""
        raise NotImplementedError

    def write(self, items: list[Any]) -> None:
        """Write packets and messages."""
        raise NotImplementedError

    def let_go(self, then: Any) -> None:
        """Call ``then`` once nothing is on its way either way."""
        self._then = then
        self._look()

    def go_on(self) -> None:
        """Forget that: the session stays."""
        self._then = None

    def _look(self) -> None:
        """See whether nothing is on its way."""
        if self._then is not None and self._is_settled():
            then, self._then = self._then, None
            then()

    def _is_settled(self) -> bool:
        return True

    # Its ends.

    def reset(self) -> None:
        """Die with a RST."""
        self.dead = True
        for each in self._connections:
            each.reset()

    def close(self) -> None:
        """Die with a FIN."""
        self.dead = True
        for each in self._connections:
            each.close()

    def freeze(self) -> None:
        """Read and write no more."""
        self.dead = True
        for each in self._connections:
            each.freeze()

    def write_half(self) -> None:
        """Write a part of something."""
        raise NotImplementedError

    # What they share.

    def _dial(self) -> Connection:
        client = self.client
        chance = client.chance
        # Some 600 KB/s: what was flooded is read well before a pong is overdue.
        slow = (lambda: chance.uniform(0.02, 0.2)) if client.plan.slow else None
        connection = Connection(client.reactor, self, slow)
        self._connections.append(connection)
        connection.dial(client.port, client.source)
        return connection

    def _forget(self, connection: Connection) -> None:
        self._connections.remove(connection)

    def _query(self) -> str:
        client = self.client
        query = f"EIO={client.plan.revision}&transport={self.transport}"
        query += f"&sid={client.sid}" if client.sid else f"&who={client.plan.who}"
        if client.plan.slow and not client.sid:
            query += "&slow=1"
        return query + ("&b64=1" if client.plan.base64 else "")

    def _request(self, method: str, *lines: str, query: str = "") -> bytes:
        client = self.client
        if client.plan.gzip:
            lines = (*lines, "Accept-Encoding: gzip")
        head = [
            f"{method} {wire.PATH}?{query or self._query()} HTTP/1.1",
            f"Host: 127.0.0.1:{client.port}",
            *lines,
        ]
        return ("\r\n".join(head) + wire.SEPARATOR.decode()).encode()

    def streaming(self, connection: Connection) -> None:
        """Hear what no carrier but one expects."""
        self.client.lost(self, "an answer without a length")

    def chunk(self, connection: Connection, data: bytes) -> None:
        """Hear what no carrier but one expects."""

    def upgraded(self, connection: Connection) -> None:
        """Hear what no carrier but one expects."""
        self.client.lost(self, "a WebSocket that nobody asked for")

    def frame(self, connection: Connection, opcode: int, payload: bytes) -> None:
        """Hear what no carrier but one expects."""

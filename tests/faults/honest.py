"""Clients that do all that the protocol asks of them: only a fault ends them."""

from __future__ import annotations

import json
from typing import Any

from listening import dechunk
from peers import PATH, HttpPeer, WebSocketPeer, http_request, timely
from stages import until
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.protocol import Protocol

from twisted_engineio import Packet, PacketType
from twisted_engineio.protocol import codec_v4

PATIENT = 60.0
"""Seconds that an answer may take from a server that is asleep."""


class Pinged:
    """
    A client that answers pings.

    Attributes:
        sid: Its session's id, once it knows.
        pings: How many it had.
        holds: Whether it waits with its pongs.

    """

    sid = ""
    pings = 0
    holds = False

    def take_ping(self) -> None:
        """Answer a ping, or not yet."""
        self.pings += 1
        if not self.holds:
            self.say("3")

    def say(self, packets: str) -> Any:
        """Send packets."""
        raise NotImplementedError


class HonestWebSocket(Pinged, WebSocketPeer):
    """A WebSocket that answers pings."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Act on a packet, and keep a message."""
        if payload[:1] == b"0" and not isBinary:
            self.sid = json.loads(payload[1:])["sid"]
        elif payload == b"2" and not isBinary:
            self.take_ping()
        else:
            super().onMessage(payload, isBinary)

    def say(self, packets: str) -> None:
        """Send a packet."""
        WebSocketPeer.say(self, packets)

    async def echoes(self, text: str) -> None:
        """Say something, and hear it again."""
        self.say(f"4{text}")
        heard = await self.message(PATIENT)
        assert heard == f"4{text}", heard


class Posting(Pinged):
    """
    The half of a client that POSTs.

    Attributes:
        target: Where it POSTs to.

    """

    target = ""
    _poster: HttpPeer

    def __init__(self) -> None:
        self._messages: DeferredQueue[str] = DeferredQueue()

    def say(self, packets: str) -> Deferred[Any]:
        """POST packets; an answer of its own for each."""
        self._poster.send(self.target, "POST", packets.encode())
        return self._poster.answer(PATIENT)

    async def echoes(self, text: str) -> None:
        """Say something, and hear it again."""
        answer = await self.say(f"4{text}")
        assert answer.text == "ok", answer
        heard = await timely(self._messages.get(), PATIENT)
        assert heard == text

    def take(self, payload: bytes) -> None:
        """Act on the packets of a payload, and keep the messages."""
        for item in codec_v4.decode_payload(payload, binary=False):
            if item == Packet(PacketType.PING):
                self.take_ping()
            elif isinstance(item, str):
                self._messages.put(item)


class HonestPolling(Posting):
    """A client that polls, over two connections."""

    _getter: HttpPeer

    @classmethod
    async def open(cls, getter: HttpPeer, poster: HttpPeer, url: str) -> HonestPolling:
        """Open a session, and begin to poll."""
        client = cls()
        client._getter, client._poster = getter, poster
        client.sid = (await getter.ask(url)).sid
        client.target = f"{url}&sid={client.sid}"
        Deferred.fromCoroutine(client._poll())
        return client

    def drop(self) -> None:
        """Close both connections with a RST."""
        self._getter.drop()
        self._poster.drop()

    async def _poll(self) -> None:
        while True:
            self._getter.send(self.target)
            answer = await self._getter.answer(PATIENT)
            if answer.status != 200 or answer.body in (b"1", b"6"):
                return
            self.take(answer.body)


class HonestStream(Posting, Protocol):
    """
    A client that listens to a stream of events.

    Attributes:
        is_lost: Whether the stream is over.

    """

    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self.is_lost = False
        self._data = b""
        self._taken = 0

    async def opens(self, poster: HttpPeer) -> None:
        """Open a session."""
        self._poster = poster
        self.transport.write(http_request(PATH + "sse"))
        await until(lambda: self.sid or self.is_lost)
        self.target = f"{PATH}sse&sid={self.sid}"

    def dataReceived(self, data: bytes) -> None:
        """Act on the events that are whole."""
        self._data += data
        body = dechunk(self._data.partition(b"\r\n\r\n")[2]).decode()
        events = body.split("\n\n")[:-1]
        for event in events[self._taken :]:
            for line in event.split("\n"):
                if line.startswith("data: 0"):
                    self.sid = json.loads(line[7:])["sid"]
                elif line.startswith("data: "):
                    self.take(line[6:].encode())
        self._taken = len(events)

    def connectionLost(self, *_: object) -> None:
        """Note that nothing more will come."""
        self.is_lost = True

    def drop(self) -> None:
        """Close both connections with a RST."""
        self.transport.abortConnection()
        self._poster.drop()

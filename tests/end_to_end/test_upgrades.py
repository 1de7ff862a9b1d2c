"""
A thousand upgrades with messages in flight: none is lost, doubled or reordered.

Each client opens a session by polling, and both sides send numbered messages in bursts
of random size at random moments. Somewhere in between the client upgrades as npm's
client does: it goes on polling and posting during the probe, pauses when ``3probe``
has come, waits for its last GET and POST, says ``5`` and sends the rest by WebSocket.
"""

from __future__ import annotations

import random
from base64 import b64decode, b64encode
from typing import Any

from peers import POLLING, HttpPeer, WebSocketPeer
from pytest_twisted import ensureDeferred
from stages import Recorder, Serve, Stage, at_once, turn, until

from twisted_engineio import Config, Session, State

UPGRADES = 1000
AT_ONCE = 50
MESSAGES = 200
LAST = MESSAGES - 1
KEPT = 20
"""Messages that each side keeps for after the upgrade, so that all are in mid-stream,
however slow the machine."""


class Counting(Recorder):
    """Sends numbers to each session, at its own pace, and checks what comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.random = random.Random(1)

    def session_opened(self, session: Session) -> None:
        """Begin to count, in both directions."""
        super().session_opened(session)
        session.data = {"expected": 0, "next": 0}
        self.send_some(session)

    def send_some(self, session: Session) -> None:
        """Send the next numbers, and the others later."""
        if session.state is not State.OPEN:
            return
        data = session.data
        has_moved = session.transport.name == "websocket"
        end = min(
            data["next"] + self.random.randint(1, 12),
            MESSAGES if has_moved else MESSAGES - KEPT,
        )
        for number in range(data["next"], end):
            session.send(bytes([number]) if number % 5 == 4 else f"{number}")
        data["next"] = end
        if end < MESSAGES:
            later = turn(self.random.random() * 0.02)
            later.addCallback(lambda _: self.send_some(session))

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Check that it is the next number; what is wrong ends the session."""
        assert number_in(data) == session.data["expected"]
        session.data["expected"] += 1


def number_in(data: str | bytes) -> int:
    """Read a number, from text or from a byte."""
    return data[0] if isinstance(data, bytes) else int(data)


class Client:
    """One client and its upgrade."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.random = random.Random(seed)
        self.got: list[int] = []
        self.sent = 0
        # How many messages have gone one way when it upgrades; more are to come.
        self.threshold = self.random.randint(0, 150)
        self.paused = False
        self.getter: HttpPeer
        self.target: str

    async def run(self) -> None:
        """Open, upgrade, and see every message arrive once."""
        self.getter = await self.stage.peer()
        opened = await self.getter.ask(POLLING)
        self.target = f"{POLLING}&sid={opened.sid}"
        for packet in opened.text.split("\x1e")[1:]:
            self.take(packet)
        poster = await self.stage.peer()
        ready, *_ = await at_once(self.probe(), self.poll(), self.post(poster))
        assert max(self.sent, len(self.got)) <= MESSAGES - KEPT
        ready.say("5")
        await at_once(self.listen(ready), self.talk(ready))
        assert self.got == list(range(MESSAGES))
        session = self.session
        await until(lambda: session.data["expected"] == MESSAGES)
        await until(lambda: session.transport.name == "websocket")
        for peer in (self.getter, poster, ready):
            peer.drop()

    async def probe(self) -> WebSocketPeer:
        """Connect the WebSocket once enough is sent, and hear that it works."""
        await until(lambda: max(self.sent, len(self.got)) >= self.threshold)
        if self.random.random() < 0.1:
            # It changes its mind in the middle, and tries again.
            (await self.candidate()).drop()
            await until(lambda: self.session.probe is None)
        socket = await self.candidate()
        self.paused = True
        return socket

    async def candidate(self) -> WebSocketPeer:
        """Connect a WebSocket and hear that it works."""
        socket = await self.stage.candidate(self.target)
        socket.say("2probe")
        assert await socket.message() == "3probe"
        return socket

    @property
    def session(self) -> Session:
        """The server's side of it."""
        return self.stage.server.sessions[self.target.rpartition("=")[2]]

    async def poll(self) -> None:
        """Fetch messages until the pause; the last GET is waited for."""
        while not self.paused:
            answer = await self.getter.ask(self.target)
            for packet in answer.text.split("\x1e"):
                self.take(packet)

    async def post(self, poster: HttpPeer) -> None:
        """Send messages until the pause; the last POST is waited for."""
        while not self.paused:
            burst = self.burst(12, MESSAGES - KEPT)
            if burst:
                body = "\x1e".join(map(packet_of, burst)).encode()
                assert (await poster.ask(self.target, "POST", body)).text == "ok"
            await turn(self.random.random() * 0.01)

    async def talk(self, socket: WebSocketPeer) -> None:
        """Send the rest."""
        while self.sent < MESSAGES:
            for number in self.burst(48, MESSAGES):
                binary = number % 7 == 6
                socket.say(bytes([number]) if binary else f"4{number}")
            await turn(self.random.random() * 0.01)

    async def listen(self, socket: WebSocketPeer) -> None:
        """Take messages until the last has come."""
        while not self.got or self.got[-1] != LAST:
            packet: Any = await socket.message()
            assert packet is not None, f"closed after {len(self.got)} messages"
            self.take(packet)

    def burst(self, most: int, end: int) -> range:
        """Choose the next numbers to send."""
        start = self.sent
        self.sent = min(start + self.random.randint(1, most), end)
        return range(start, self.sent)

    def take(self, packet: str | bytes) -> None:
        """Keep the number in a packet; a noop has none."""
        if isinstance(packet, bytes):
            self.got.append(packet[0])
        elif packet[:1] == "b":
            self.got.append(b64decode(packet[1:])[0])
        elif packet != "6":
            assert packet[:1] == "4", packet
            self.got.append(int(packet[1:]))


def packet_of(number: int) -> str:
    """Write a number for a payload, some as binary."""
    return (
        "b" + b64encode(bytes([number])).decode() if number % 7 == 6 else f"4{number}"
    )


@ensureDeferred
async def test_upgrades_lose_double_and_reorder_nothing(serve: Serve) -> None:
    """1,000 upgrades, 200 messages each way: every one arrives once, in order."""
    config = Config(ping_interval=60.0, upgrade_timeout=60.0)
    stage = await serve(Counting(), config)
    waiting = iter([Client(stage, seed) for seed in range(UPGRADES)])

    async def some() -> None:
        for client in waiting:
            await client.run()

    await at_once(*(some() for _ in range(AT_ONCE)))
    assert len(stage.application.opened) == UPGRADES
    await until(lambda: len(stage.application.closed) == UPGRADES)

"""What is asked of a server: the table of workloads, and how each is set going."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from benchmarks import wire
from benchmarks.clients import (
    Crowd,
    Echo,
    Knocker,
    Listener,
    Poller,
    Tally,
    Visitor,
    Work,
)
from benchmarks.loop import Loop

SHORT = 32
# Twisted listens with a backlog of 50 unless told otherwise.
KNOCKING = 32

Kind = TypeVar("Kind", Echo, Listener, Poller)
Setup = Callable[[Loop], Tally]


@dataclass(frozen=True)
class Workload:
    """
    One kind of work.

    Args:
        name: What the command line calls it.
        title: What the table and the plots call it.
        unit: What is counted and divided by.
        sessions: How many are open, 0 when they come and go.
        setup: Opens the sessions and sets them to work.
        ping_interval: In seconds; as a rule so long that no ping is sent.
        memory: Whether what counts is memory, not CPU time.
        extra: Left out unless asked for by name.

    """

    name: str
    title: str
    unit: str
    sessions: int
    setup: Setup
    ping_interval: float = 300.0
    memory: bool = False
    extra: bool = False


def _all_open(batch: Sequence[Echo | Poller]) -> bool:
    return all(one.open for one in batch)


def _gather(loop: Loop, count: int, make: Callable[[], Kind]) -> list[Kind]:
    """Open so many sessions, a few at a time."""
    ready: list[Kind] = []
    for start in range(0, count, KNOCKING):
        batch = [make() for _ in range(min(KNOCKING, count - start))]
        loop.run_until(
            partial(_all_open, batch), 30, f"opening session {start} and some after it"
        )
        ready += batch
    return ready


def _echo(sessions: int, work: Work) -> Setup:
    def setup(loop: Loop) -> Tally:
        tally, lumps = Tally(), work.lumps()
        for session in _gather(loop, sessions, lambda: Echo(loop, tally, work, lumps)):
            session.begin()
        return tally

    return setup


def _idle(sessions: int, work: Work) -> Setup:
    def setup(loop: Loop) -> Tally:
        tally, lumps = Tally(), work.lumps()
        _gather(loop, sessions, lambda: Echo(loop, tally, work, lumps))
        return tally

    return setup


def _broadcast(sessions: int, work: Work) -> Setup:
    def setup(loop: Loop) -> Tally:
        tally, lumps, crowd = Tally(), work.lumps(), Crowd(sessions)
        crowd.speaker = _gather(
            loop, sessions, lambda: Listener(loop, tally, work, lumps, crowd)
        )[0]
        crowd.say(work.window)
        return tally

    return setup


def _visits(loop: Loop) -> Tally:
    tally = Tally()
    goodbye = wire.client_frame(wire.CLOSE, (1000).to_bytes(2, "big"))
    for _ in range(KNOCKING):
        Visitor(loop, tally, goodbye)
    return tally


def _polling(sessions: int, packet: bytes) -> Setup:
    def setup(loop: Loop) -> Tally:
        tally = Tally()
        for poller in _gather(loop, sessions, lambda: Poller(loop, tally, packet)):
            poller.begin()
        return tally

    return setup


def _knocks(loop: Loop) -> Tally:
    tally = Tally()
    for _ in range(KNOCKING):
        Knocker(loop, tally)
    return tally


def _text(size: int, window: int = 1, batch: int = 1, first: bytes = b"x") -> Work:
    payload = b"4" + first + b"x" * (size - 1)
    return Work(wire.TEXT, payload, payload, window, batch)


BYTES = bytes(range(256))[:SHORT]
BINARY = Work(wire.BINARY, BYTES, BYTES)
PONG = Work(wire.TEXT, wire.PONG_PACKET, wire.PING_PACKET)
ONE = _text(SHORT)

WORKLOADS = {
    work.name: work
    for work in (
        Workload(
            "echo",
            "echo 32 B, 100 sessions, 1 in flight",
            "message",
            100,
            _echo(100, ONE),
        ),
        Workload(
            "echo-deep",
            "echo 32 B, 10 sessions, 16 in flight",
            "message",
            10,
            _echo(10, _text(SHORT, 16)),
        ),
        Workload(
            "echo-bursts",
            "echo 32 B, 10 sessions, 16 at a time",
            "message",
            10,
            _echo(10, _text(SHORT, 16, 16)),
            extra=True,
        ),
        Workload(
            "echo-binary",
            "echo 32 B binary, 100 sessions",
            "message",
            100,
            _echo(100, BINARY),
        ),
        Workload(
            "echo-4k",
            "echo 4 KiB, 100 sessions",
            "message",
            100,
            _echo(100, _text(4096)),
        ),
        Workload(
            "echo-64k",
            "echo 64,000 B, 10 sessions",
            "message",
            10,
            _echo(10, _text(64_000)),
        ),
        Workload(
            "broadcast",
            "broadcast to 500, 1 in flight",
            "delivery",
            500,
            _broadcast(500, _text(SHORT, 1, first=b"!")),
        ),
        Workload(
            "broadcast-deep",
            "broadcast to 500, 4 in flight",
            "delivery",
            500,
            _broadcast(500, _text(SHORT, 4, first=b"!")),
        ),
        Workload(
            "visits", "WebSocket session opened and closed", "session", 0, _visits
        ),
        Workload(
            "polling",
            "polling round trip, 100 sessions",
            "round trip",
            100,
            _polling(100, ONE.sent),
        ),
        Workload("handshakes", "polling handshake", "handshake", 0, _knocks),
        Workload(
            "heartbeat",
            "heartbeat, 2,000 sessions",
            "ping and pong",
            2000,
            _idle(2000, PONG),
            ping_interval=1.0,
            extra=True,
        ),
        Workload(
            "echo-1000",
            "echo 32 B, 1,000 sessions, 1 in flight",
            "message",
            1000,
            _echo(1000, ONE),
        ),
        Workload(
            "echo-9000",
            "echo 32 B, 9,000 sessions, 1 in flight",
            "message",
            9000,
            _echo(9000, ONE),
        ),
        Workload(
            "idle",
            "9,000 idle sessions",
            "session",
            9000,
            _idle(9000, ONE),
            memory=True,
        ),
    )
}

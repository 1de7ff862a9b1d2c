"""Seconds per message: received, sent, echoed, broadcast."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from benchmarks import wire
from benchmarks.micro.wired import Connection, Echo, House, Silent

MANY = 100
SIZES = {"32 B": 32, "1 KiB": 1024, "4 KiB": 4096, "64,000 B": 64_000}

sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())


def frames(opcode: int, size: int) -> bytes:
    """Return many frames that a client sends, all of one size."""
    prefix = b"4" if opcode == wire.TEXT else b""
    return wire.client_frame(opcode, prefix + b"x" * size) * MANY


def one_by_one(connection: Connection, frame: bytes) -> None:
    """Feed a frame many times, each in a read of its own."""
    received = connection.protocol.dataReceived
    for _ in range(MANY):
        received(frame)
    connection.clear()


@sizes
def test_receive_text(benchmark: BenchmarkFixture, size: int) -> None:
    """A hundred text frames, each in a read of its own."""
    connection, _session = House(Silent()).websocket()
    frame = wire.client_frame(wire.TEXT, b"4" + b"x" * size)
    benchmark(one_by_one, connection, frame)


@sizes
def test_receive_binary(benchmark: BenchmarkFixture, size: int) -> None:
    """A hundred binary frames, each in a read of its own."""
    connection, _session = House(Silent()).websocket()
    benchmark(one_by_one, connection, wire.client_frame(wire.BINARY, b"x" * size))


def test_receive_in_one_read(benchmark: BenchmarkFixture) -> None:
    """A hundred text frames in one read."""
    connection, _session = House(Silent()).websocket()
    benchmark(connection.protocol.dataReceived, frames(wire.TEXT, 32))


@pytest.mark.parametrize(
    "message",
    ["x" * 32, b"x" * 32, "é" * 32, "x" * 4096],
    ids=["32 B", "32 B binary", "32 accents", "4 KiB"],
)
def test_send(benchmark: BenchmarkFixture, message: str | bytes) -> None:
    """A hundred messages to one session."""
    connection, session = House(Silent()).websocket()

    def send() -> None:
        for _ in range(MANY):
            session.send(message)
        connection.clear()

    benchmark(send)


def test_echo(benchmark: BenchmarkFixture) -> None:
    """A hundred text frames, each in a read of its own, and their echoes."""
    connection, _session = House(Echo()).websocket()
    frame = wire.client_frame(wire.TEXT, b"4" + b"x" * 32)
    benchmark(one_by_one, connection, frame)


@pytest.mark.parametrize("messages", [1, 4])
def test_broadcast(benchmark: BenchmarkFixture, messages: int) -> None:
    """Some messages to five hundred sessions, in one turn of the reactor."""
    house = House(Silent())
    connections = [house.websocket()[0] for _ in range(500)]

    def broadcast() -> None:
        for _ in range(messages):
            house.server.broadcast("x" * 32)
        house.turn()

    broadcast()
    expected = wire.server_frame(wire.TEXT, b"4" + b"x" * 32) * messages
    assert {connection.take() for connection in connections} == {expected}

    def clear() -> None:
        for connection in connections:
            connection.clear()

    benchmark.pedantic(broadcast, setup=clear, rounds=100)


def test_open_a_websocket_session(benchmark: BenchmarkFixture) -> None:
    """A connection from its first byte to its open packet, and its end."""
    house = House(Silent())
    goodbye = wire.client_frame(wire.CLOSE, (1000).to_bytes(2, "big"))

    def visit() -> None:
        connection, _session = house.websocket()
        connection.feed(goodbye)
        connection.protocol.connectionLost(Failure(ConnectionDone()))

    visit()
    assert not house.server.sessions
    assert not house.clock.getDelayedCalls()

    benchmark(visit)

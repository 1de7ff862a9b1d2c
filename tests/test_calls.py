"""A small text message stays within the written number of Python calls."""

from __future__ import annotations

from benchmarks import wire
from benchmarks.micro.calls import AT_MOST, calls_of
from benchmarks.micro.wired import Echo, House, Silent

FRAME = wire.client_frame(wire.TEXT, b"4" + b"x" * 32)


def test_calls_in():
    """From the bytes of a frame to the application: three calls."""
    connection, _session = House(Silent()).websocket()
    calls = calls_of(connection.protocol.dataReceived, FRAME)
    assert len(calls) <= AT_MOST["in"], calls


def test_calls_out():
    """From the application to the socket: three calls."""
    connection, session = House(Silent()).websocket()
    calls = calls_of(session.send, "x" * 32)
    assert connection.value() == wire.server_frame(wire.TEXT, b"4" + b"x" * 32)
    assert len(calls) <= AT_MOST["out"], calls


def test_calls_of_an_echo():
    """In and out together: no more than one after the other."""
    house = House(Echo())
    connection, _session = house.websocket()
    calls = calls_of(connection.protocol.dataReceived, FRAME)
    house.turn()
    assert connection.value() == wire.server_frame(wire.TEXT, b"4" + b"x" * 32)
    assert len(calls) <= AT_MOST["in"] + AT_MOST["out"], calls


def test_calls_of_many_in_one_read():
    """Sixteen frames in one read cost no more than sixteen reads of one."""
    house = House(Echo())
    connection, _session = house.websocket()
    calls = calls_of(connection.protocol.dataReceived, FRAME * 16)
    house.turn()
    assert connection.value() == wire.server_frame(wire.TEXT, b"4" + b"x" * 32) * 16
    assert len(calls) <= 16 * (AT_MOST["in"] + AT_MOST["out"]), calls

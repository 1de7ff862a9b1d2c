"""Engine.IO protocol v4, "Heartbeat", as a client sees it."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from stages import Serve, Stage, at_once, turn

from twisted_engineio import CloseReason, Config

QUICK = Config(ping_interval=0.3, ping_timeout=0.2)
EAGER = Config(ping_interval=0.05, ping_timeout=10.0)
SID_UNKNOWN = (400, 1, "Session ID unknown")


@ensureDeferred
async def test_polling_heartbeat(serve: Serve) -> None:
    """A ping comes an interval after each pong, as long as pongs come."""
    stage = await serve(config=EAGER)
    peer, target = await stage.polling()
    for _ in range(3):
        assert (await peer.ask(target)).text == "2"
        assert (await peer.ask(target, "POST", b"3")).text == "ok"
    assert stage.server.sessions


@ensureDeferred
async def test_websocket_heartbeat(serve: Serve) -> None:
    """A ping comes an interval after each pong, as long as pongs come."""
    stage = await serve(config=EAGER)
    socket = await stage.websocket()
    await socket.message()
    for _ in range(3):
        assert await socket.message() == "2"
        socket.say("3")
    assert stage.server.sessions


@ensureDeferred
async def test_a_silent_polling_client_is_gone_when_it_must_be(serve: Serve) -> None:
    """A GET sent exactly interval + timeout after the handshake finds no session."""
    stage = await serve(config=QUICK)
    jobs = [_poll_when_it_is_late(stage) for _ in range(10)]
    assert await at_once(*jobs) == [SID_UNKNOWN] * 10
    assert stage.application.closed == [CloseReason.PING_TIMEOUT] * 10


async def _poll_when_it_is_late(stage: Stage) -> tuple[int, int, str]:
    peer, target = await stage.polling()
    await turn(QUICK.ping_interval + QUICK.ping_timeout)
    return (await peer.ask(target)).error


@ensureDeferred
async def test_a_silent_websocket_client_is_gone(serve: Serve) -> None:
    """A client that answers no ping is disconnected; messages are no substitute."""
    stage = await serve(config=Config(ping_interval=0.05, ping_timeout=0.1))
    socket = await stage.websocket()
    await socket.message()
    assert await socket.message() == "2"
    socket.say("4still here")
    await socket.lost()
    assert await stage.ended() is CloseReason.PING_TIMEOUT


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@ensureDeferred
async def test_a_client_that_pings_is_wrong(serve: Serve, transport: str) -> None:
    """In revision 4 only the server pings: the other way round ends the session."""
    stage = await serve()
    if transport == "polling":
        peer, target = await stage.polling()
        await peer.ask(target, "POST", b"2")
    else:
        socket = await stage.websocket()
        socket.say("2")
        await socket.lost()
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR


@ensureDeferred
async def test_stray_packets_are_ignored(serve: Serve) -> None:
    """Open, pong, upgrade and noop from a client change nothing."""
    stage = await serve()
    peer, target = await stage.polling()
    assert (await peer.ask(target, "POST", b"0\x1e3\x1e5\x1e6\x1e4x")).text == "ok"
    assert (await peer.ask(target)).text == "4x"

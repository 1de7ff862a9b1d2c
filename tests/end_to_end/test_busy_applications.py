"""Applications that do not finish, and clients that leave them, over real sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest
from peers import BINARY, CLOSE, TEXT, HttpPeer, frame, upgrade_request
from pytest_twisted import ensureDeferred
from stages import Recorder, Serve, Stage, sockets, turn, until
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from twisted_engineio import CloseReason, Config, Session

EVERYTHING = ("polling", "sse", "websocket")


class Endless(Recorder):
    """Never finishes with a message, unless it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = 0

    def message_received(self, session: Session, data: str | bytes) -> Deferred:
        """Take for ever."""
        super().message_received(session, data)
        return Deferred(self._cancel)

    def _cancel(self, _: Deferred) -> None:
        self.cancelled += 1


class Paused(Recorder):
    """Takes one message, and then no more."""

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Pause."""
        super().message_received(session, data)
        session.pause_reading()


async def raw(stage: Stage) -> HttpPeer:
    """Open a WebSocket session whose frames are read when the test says."""
    peer = await stage.peer()
    peer.write(upgrade_request())
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[0] == TEXT
    return peer


def reset(peer: HttpPeer) -> None:
    """Send RST."""
    linger = struct.pack("ii", 1, 0)
    peer.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.transport.abortConnection()


WAYS: dict[str, Callable[[HttpPeer], object]] = {
    "a close frame": lambda peer: peer.write(frame(CLOSE, b"\x03\xe8")),
    "FIN": lambda peer: peer.transport.loseConnection(),
    "RST": reset,
}


@pytest.mark.parametrize("leave", WAYS.values(), ids=WAYS)
@ensureDeferred
async def test_a_client_that_leaves_a_busy_application_is_gone(
    serve: Serve, leave: Callable
) -> None:
    """Its descriptor is free at once, its messages are delivered, its session ends."""
    stage = await serve(Endless(), Config(handler_timeout=0.5))
    before = len(sockets())
    peer = await raw(stage)
    peer.write(b"".join(frame(TEXT, b"4%d" % number) for number in range(50)))
    await until(lambda: stage.application.received)
    began = reactor.seconds()
    leave(peer)
    await until(lambda: not stage.server.connected)
    await until(lambda: len(sockets()) <= before)
    assert reactor.seconds() - began < 0.4
    assert stage.application.received == ["0"]
    assert await stage.ended() is CloseReason.TRANSPORT_CLOSE
    assert stage.application.received == [str(number) for number in range(50)]
    assert stage.application.cancelled == 50
    peer.leave()


@pytest.mark.parametrize("application", [Endless, Paused])
@ensureDeferred
async def test_a_flood_that_nobody_takes_ends(
    serve: Serve, application: Callable
) -> None:
    """TCP stops it after some 64 KiB, and in time it is given up."""
    config = Config(paused_timeout=0.5, handler_timeout=0.2, close_timeout=0.2)
    stage = await serve(application(), config)
    peer = await raw(stage)
    peer.write(frame(TEXT, b"4first") + frame(BINARY, bytes(60_000)) * 400)
    await turn(0.1)
    session = stage.session
    assert session.busy
    assert -70_000 < session.room <= 0
    assert await stage.ended() is CloseReason.APPLICATION_ERROR
    assert stage.application.received == ["first"]
    await stage.server.stop()  # which gives up what is unfinished
    peer.leave()


@ensureDeferred
async def test_a_client_that_answers_pings_is_kept(serve: Serve) -> None:
    """Though its application takes nothing for much longer than a pong may take."""
    config = Config(ping_interval=0.1, ping_timeout=0.1)
    stage = await serve(Paused(), config)
    socket_ = await stage.websocket()
    await socket_.message()
    socket_.say("4first")
    socket_.say("4second")
    for _ in range(10):
        assert await socket_.message() == "2"
        socket_.say("3")
    assert stage.application.closed == []
    stage.session.resume_reading()
    await until(lambda: stage.application.received == ["first", "second"])


@pytest.mark.parametrize("transport", EVERYTHING)
@ensureDeferred
async def test_a_client_that_falls_silent_is_given_up(
    serve: Serve, transport: str
) -> None:
    """As behind a pulled cable: what it said before is delivered."""
    config = Config(
        ping_interval=0.1,
        ping_timeout=0.1,
        handler_timeout=0.1,
        transports=EVERYTHING,
    )
    stage = await serve(Endless(), config)
    if transport == "websocket":
        peer = await raw(stage)
        peer.write(frame(TEXT, b"41") + frame(TEXT, b"42"))
    else:
        peer, target = await stage.polling()
        assert (await peer.ask(target, "POST", b"41\x1e42")).text == "ok"
    assert await stage.ended() is CloseReason.PING_TIMEOUT
    assert stage.application.received == ["1", "2"]
    peer.leave()

"""Slow readers and fast senders over real sockets: what is held, and who waits."""

from __future__ import annotations

import io

import pytest
from peers import BINARY, CLOSE, TEXT, HttpPeer, frame, upgrade_request
from pytest_twisted import ensureDeferred
from stages import Echo, Recorder, Serve, Stage, turn, until
from twisted.internet import reactor
from twisted.internet.interfaces import IConsumer
from twisted.protocols.basic import FileSender

from twisted_engineio import CloseReason, Config, Session
from twisted_engineio.transports.write_buffer import unsent

MIB = 1_048_576
CHUNK = bytes(MIB)


async def raw(stage: Stage) -> HttpPeer:
    """Open a WebSocket session whose frames are read when the test says."""
    peer = await stage.peer()
    peer.write(upgrade_request())
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[0] == TEXT
    return peer


@ensureDeferred
async def test_what_waits_for_a_websocket_s_socket_is_buffered(serve: Serve) -> None:
    """Send says that it is too much though the queue is empty, and drained waits."""
    config = Config()
    stage = await serve(config=config)
    peer = await raw(stage)
    peer.transport.pauseProducing()
    session = stage.session
    held = 0
    for _ in range(200):
        below = session.send(bytes(60_000))
        held = unsent(session.transport.transport)
        assert below is (session.buffered <= config.high_water_mark)
        if not below:
            break
    assert not below
    assert held > config.low_water_mark
    assert session.buffered >= held
    drained = session.drained()
    assert not drained.called
    peer.transport.resumeProducing()
    await drained
    assert session.buffered <= config.low_water_mark


@ensureDeferred
async def test_a_websocket_that_reads_nothing_is_bounded(serve: Serve) -> None:
    """What the transport holds counts; it ends, and others do not notice."""
    config = Config(max_buffered=4 * MIB)
    stage = await serve(Echo(), config)
    other = await stage.websocket()
    await other.message()
    peer = await raw(stage)
    peer.transport.pauseProducing()
    slow = list(stage.server.sessions.values())[-1]
    most = 0
    for _ in range(100):
        if not stage.application.closed:
            slow.send(CHUNK)
            most = max(most, slow.buffered)
        await turn()
        if stage.application.closed:
            break
    assert stage.application.closed == [CloseReason.SLOW_CLIENT]
    assert 4 * MIB < most <= 5 * MIB + 65_536
    assert slow.buffered == 0
    other.say("4hello")
    assert await other.message() == "4hello"
    peer.transport.resumeProducing()
    await peer.lost()


@ensureDeferred
async def test_one_message_far_too_large_for_a_full_socket(serve: Serve) -> None:
    """It went to the transport whole, and the session ends all the same."""
    stage = await serve(Recorder(), Config(max_buffered=2 * MIB))
    peer = await raw(stage)
    peer.transport.pauseProducing()
    assert not stage.session.send(bytes(64 * MIB))
    assert await stage.ended() is CloseReason.SLOW_CLIENT
    peer.transport.resumeProducing()
    await peer.lost()


@ensureDeferred
async def test_a_file_is_sent_no_faster_than_it_is_read(serve: Serve) -> None:
    """Twisted's FileSender, over a WebSocket, to a client that dawdles."""
    stage = await serve(Recorder())
    peer = await raw(stage)
    peer.transport.pauseProducing()
    session, content = stage.session, bytes(range(256)) * 65_536  # 16 MiB
    sent = FileSender().beginFileTransfer(io.BytesIO(content), IConsumer(session))
    await turn(0.3)
    assert not sent.called
    assert session.buffered <= 3 * 16_384
    peer.transport.resumeProducing()
    received = b""
    pieces = []
    while sum(map(len, pieces)) < len(content):
        opcode, piece = await peer.frame()
        assert opcode == BINARY
        pieces.append(piece)
    received = b"".join(pieces)
    assert received == content
    await sent


class Proxy(Recorder):
    """Passes on what each of two sessions is sent to the other."""

    def session_opened(self, session: Session) -> None:
        """Join the second to the first."""
        super().session_opened(session)
        session.data = IConsumer(session)
        if len(self.opened) == 2:
            one, other = (each.data for each in self.opened)
            one.registerProducer(other, True)
            other.registerProducer(one, True)

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Pass it on."""
        (other,) = (each for each in self.opened if each is not session)
        other.data.write(data)


@ensureDeferred
async def test_two_sessions_that_are_joined_hold_each_other_back(serve: Serve) -> None:
    """A sender floods, its reader sleeps: the server holds little and loses nothing."""
    stage = await serve(Proxy())
    sender = await raw(stage)
    reader = await raw(stage)
    reader.transport.pauseProducing()
    behind = stage.application.opened[1]
    piece, count, most = bytes(60_000), 400, 0  # 24 MB: more than kernels hold
    for number in range(count):
        sender.write(frame(BINARY, number.to_bytes(4, "big") + piece))
    for _ in range(100):
        await turn(0.005)
        most = max(most, behind.buffered)
    assert stage.application.opened[0].busy
    assert most <= 65_536 + 2 * 65_536
    reader.transport.resumeProducing()
    for number in range(count):
        opcode, payload = await reader.frame()
        assert (opcode, payload[:4]) == (BINARY, number.to_bytes(4, "big"))
    assert len(stage.server.sessions) == 2


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@ensureDeferred
async def test_a_session_may_send_only_so_much_a_second(
    serve: Serve, transport: str
) -> None:
    """It is read more slowly, and all comes through."""
    config = Config(max_messages_per_second=20.0)
    stage = await serve(Recorder(), config)
    texts = [str(number) for number in range(30)]
    began = reactor.seconds()
    if transport == "polling":
        peer, target = await stage.polling()
        body = "\x1e".join(f"4{each}" for each in texts).encode()
        assert (await peer.ask(target, "POST", body)).text == "ok"
    else:
        peer = await raw(stage)
        peer.write(b"".join(frame(TEXT, b"4" + each.encode()) for each in texts))
        await until(lambda: len(stage.application.received) == len(texts))
    assert reactor.seconds() - began >= 0.45
    assert stage.application.received == texts
    assert stage.server.sessions


@ensureDeferred
async def test_a_session_that_sends_too_much_may_be_ended(serve: Serve) -> None:
    """Where the operator wants it so."""
    config = Config(max_bytes_per_second=1000.0, over_rate="close")
    stage = await serve(Recorder(), config)
    peer = await raw(stage)
    peer.write(frame(BINARY, bytes(1000)) + frame(BINARY, b"x"))
    assert await stage.ended() is CloseReason.RATE_EXCEEDED
    opcode, payload = await peer.frame()
    assert (opcode, payload) == (CLOSE, (1008).to_bytes(2, "big"))
    await peer.lost()
    assert stage.application.received == [bytes(1000)]

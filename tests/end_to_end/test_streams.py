"""Server-sent events over real sockets: cut, resumed, taken over, not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from listening import dechunk
from peers import PATH, HttpPeer, http_request
from stages import Serve, Stage, turn, until
from tls import secure
from twisted.internet import reactor
from twisted.internet.endpoints import connectProtocol
from twisted.internet.protocol import Protocol

from twisted_engineio import CloseReason, Config

SSE = PATH + "sse"
ALL = ("polling", "sse", "websocket")


class Listener(Protocol):
    """A client's stream: what has come of it so far."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.is_lost = False

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.data += data

    def connectionLost(self, *_: object) -> None:
        """Note that nothing more will come."""
        self.is_lost = True

    def drop(self) -> None:
        """Go away, without a word."""
        self.transport.abortConnection()

    @property
    def ended(self) -> bool:
        """Whether the response is whole."""
        return self.data.endswith(b"0\r\n\r\n")

    @property
    def events(self) -> list[tuple[int, str]]:
        """The numbers and payloads of the whole events."""
        body = dechunk(self.data.partition(b"\r\n\r\n")[2]).decode()
        blocks = [block.split("\ndata: ") for block in body.split("\n\n")[:-1]]
        return [
            (int(block[0].rpartition(".")[2]), block[1])
            for block in blocks
            if len(block) == 2
        ]


async def listen(stage: Stage, target: str = SSE, *headers: str) -> Listener:
    """Open a stream, and wait for its first bytes."""
    listener: Listener = await connectProtocol(stage.client, Listener())
    stage._clients.append(listener)
    listener.transport.write(http_request(target, headers=headers))
    await until(lambda: b":ok" in listener.data or b"HTTP/1.1 4" in listener.data)
    return listener


async def opened(serve: Serve, **options: Any) -> tuple[Stage, Listener, HttpPeer, str]:
    """Open a session on a stream, with a connection for POSTs."""
    own_site = options.pop("own_site", True)
    stage = await serve(None, Config(transports=ALL, **options), own_site=own_site)
    listener = await listen(stage)
    await until(lambda: listener.events)
    sid = json.loads(listener.events[0][1][1:])["sid"]
    return stage, listener, await stage.peer(), sid


@pytest_twisted.ensureDeferred
async def test_a_stream_that_is_cut_is_resumed(serve: Serve, own_site: bool) -> None:
    """On our own site and on another: what was missed comes first."""
    stage, listener, peer, sid = await opened(serve, own_site=own_site)
    target = f"{SSE}&sid={sid}"
    text = "one\r\n%\u2028"
    assert (await peer.ask(target, "POST", f"4{text}".encode())).body == b"ok"
    await until(lambda: len(listener.events) == 2)
    assert listener.events[1] == (2, "4one%0D%0A%25\u2028")
    listener.transport.abortConnection()
    assert (await peer.ask(target, "POST", b"4two")).body == b"ok"
    again = await listen(stage, SSE, f"Last-Event-ID: {sid}.1")
    await until(lambda: len(again.events) == 2)
    assert again.events == [(2, "4one%0D%0A%25\u2028"), (3, "4two")]
    assert stage.application.closed == []


@pytest_twisted.ensureDeferred
async def test_the_newest_stream_is_the_one(serve: Serve) -> None:
    """A connection that seems alive is ended by the next."""
    stage, listener, _, sid = await opened(serve)
    again = await listen(stage, SSE, f"Last-Event-ID: {sid}.1")
    await until(lambda: listener.ended)
    stage.session.send("hello")
    await until(lambda: again.events)
    assert again.events == [(2, "4hello")]
    liar = await listen(stage, SSE, f"Last-Event-ID: {sid}.99")
    assert liar.data.startswith(b"HTTP/1.1 400")


@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_read(serve: Serve) -> None:
    """What is held for it is bounded, and it is given up."""
    stage, listener, _, _ = await opened(serve, max_buffered=2_000_000)
    listener.transport.pauseProducing()
    session = stage.session
    held = 0
    for _ in range(100):
        if stage.application.closed:
            break
        session.send("x" * 200_000)
        held = max(held, session.buffered)
        await turn()
    assert stage.application.closed == [CloseReason.SLOW_CLIENT]
    assert held <= 2_200_000
    assert stage.server.sessions == {}


@pytest_twisted.ensureDeferred
async def test_the_last_words_wait_for_a_full_socket(serve: Serve) -> None:
    """A session that is closed says all that it has to say, however slow the reader."""
    stage, listener, _, _ = await opened(serve, sse_ring_bytes=1 << 25)
    listener.transport.pauseProducing()
    session, said = stage.session, 0
    while session.buffered < 50_000:  # the socket is full, and some wait besides
        session.send(f"{said}:".ljust(20_000, "x"))
        said += 1
        await turn()
    wire = session.transport._stream._request.transport
    session.close()
    await turn()
    assert stage.application.closed == []
    listener.transport.resumeProducing()
    await until(lambda: listener.ended or listener.is_lost)
    assert wire.bufferSize == Config().low_water_mark  # for what the client asks next
    packets = "\x1e".join(data for _, data in listener.events[1:]).split("\x1e")
    heard = [int(each[1:].partition(":")[0]) for each in packets if each[0] == "4"]
    assert heard == list(range(said))
    assert packets[-1] == "1"
    assert stage.application.closed == [CloseReason.FORCED_CLOSE]


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
@pytest.mark.parametrize("tls", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_stop_waits_for_who_reads_slowly(
    serve: Serve, certificate: Path, own_site: bool, tls: bool
) -> None:
    """However little of it waits in the process: a reactor that stops cuts that off."""
    config = Config(transports=ALL)
    if tls:
        stage = await secure(serve, certificate, own_site, config=config)
    else:
        stage = await serve(None, config, own_site=own_site)
    stage.narrow()
    listener = await listen(stage)
    socket = listener.transport.transport if tls else listener.transport
    socket.pauseProducing()
    session, said = stage.session, 0
    while session.buffered < 8_000:
        while session.buffered < 8_000:
            session.send(f"{said}:".ljust(4_000, "x"))
            said += 1
            await turn(0.02)
        await turn(0.3)  # for the kernel takes some later
    assert session.transport.writable
    stopped = stage.server.stop(timeout=10)
    await turn(0.5)
    assert not stopped.called
    socket.resumeProducing()
    await stopped
    assert stage.application.closed == [CloseReason.SERVER_CLOSE]
    await until(lambda: listener.ended)
    assert [data[1:].partition(":")[0] for _, data in listener.events[1:-1]] == [
        str(number) for number in range(said)
    ]
    assert listener.events[-1][1] == "1"


@pytest_twisted.ensureDeferred
async def test_a_server_that_stops_ends_its_streams(serve: Serve) -> None:
    """With a close packet; who comes later gets an error."""
    stage, listener, _, sid = await opened(serve)
    await stage.server.stop()
    await until(lambda: listener.ended)
    assert listener.events[-1][1] == "1"
    late = await listen(stage, SSE, f"Last-Event-ID: {sid}.1")
    assert late.data.startswith(b"HTTP/1.1 400")
    assert stage.application.closed == [CloseReason.SERVER_CLOSE]


@pytest_twisted.ensureDeferred
async def test_a_quiet_stream_stays(serve: Serve) -> None:
    """Longer than request_timeout: comments come, and it is no idle connection."""
    stage, listener, _, _ = await opened(serve, sse_keepalive=0.05, request_timeout=0.2)
    end = reactor.seconds() + 0.6
    await until(lambda: reactor.seconds() > end)
    assert not listener.is_lost
    assert dechunk(listener.data.partition(b"\r\n\r\n")[2]).endswith(b":\n\n:\n\n")
    stage.session.send("hello")
    await until(lambda: len(listener.events) == 2)

"""HTTP/2 over TLS, for polling and streams of events; WebSocket stays with HTTP/1.1."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from http2 import Exchange, Http2Peer
from peers import PATH, POLLING, WEBSOCKET
from pytest_twisted import ensureDeferred
from stages import Serve, Stage, turn, until
from tls import secure, trusting
from twisted.internet import reactor
from twisted.internet.endpoints import connectProtocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.resource import Resource
from twisted.web.server import Site

from twisted_engineio import CloseReason, Config, EngineIOResource, protect

# Twisted's TLS calls what newer releases of pyOpenSSL would rather not have called.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")

Begin = Callable[..., Awaitable[tuple[Stage, Http2Peer]]]
SMALL = Config(max_payload=1000)
STREAMS = Config(transports=("polling", "sse", "websocket"))


@pytest_twisted.async_yield_fixture
async def begin(
    serve: Serve, certificate: Path, own_site: bool
) -> AsyncIterator[Begin]:
    """Start a server with TLS, and connect to it with HTTP/2."""

    async def start(config: Config | None = None) -> tuple[Stage, Http2Peer]:
        stage = await secure(serve, certificate, own_site, config=config)
        if not own_site:
            await listen_protected(stage, certificate)
        trusting(stage, certificate, b"h2", b"http/1.1")
        return stage, await connect(stage)

    yield start


async def listen_protected(stage: Stage, certificate: Path) -> None:
    """Listen with a Site that isn't ours, protected."""
    await stage.stop_listening()
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(stage.server))
    site = protect(Site(root), stage.server)
    endpoint = f"ssl:0:privateKey={certificate}:interface=127.0.0.1"
    await stage.listen_with(site, endpoint)


async def connect(stage: Stage, **options: Any) -> Http2Peer:
    """Connect, and see HTTP/2 chosen."""
    peer: Http2Peer = await connectProtocol(stage.client, Http2Peer(**options))
    stage._clients.append(peer)
    await until(lambda: peer.negotiated)
    assert peer.negotiated == b"h2"
    return peer


async def opened(peer: Http2Peer) -> str:
    """Open a session by polling, and give the target of its requests."""
    hello = await peer.ask(POLLING)
    assert hello.status == 200
    return f"{POLLING}&sid={json.loads(hello.text[1:])['sid']}"


# What works.


@ensureDeferred
async def test_a_session_polls_on_one_connection(begin: Begin) -> None:
    """A GET waits while POSTs come and go beside it."""
    stage, peer = await begin()
    target = await opened(peer)
    session = stage.session
    assert session.handshake.is_secure
    assert session.handshake.client_address == "127.0.0.1"
    assert session.handshake.headers["host"] == "localhost"
    for number in range(20):
        waiting = peer.send(target)
        answer = await peer.ask(target, "POST", b"4%d" % number)
        assert (answer.status, answer.body) == (200, b"ok")
        await until(lambda waiting=waiting: waiting.ended)
        assert waiting.text == f"4{number}"
    session.send("x" * 300_000)
    assert len((await peer.ask(target, accept_encoding="identity")).body) == 300_001
    peer.send(target, "POST", b"1")
    assert await stage.ended() is CloseReason.TRANSPORT_CLOSE


@ensureDeferred
async def test_many_sessions_share_a_connection(begin: Begin) -> None:
    """As a proxy would carry them."""
    stage, peer = await begin()
    targets = [await opened(peer) for _ in range(20)]
    waiting = [peer.send(target) for target in targets]
    for number, target in enumerate(targets):
        assert (await peer.ask(target, "POST", b"4%d" % number)).text == "ok"
    await until(lambda: all(each.ended for each in waiting))
    assert [each.text for each in waiting] == [f"4{n}" for n in range(20)]
    assert len(stage.server.sessions) == 20


@ensureDeferred
async def test_events_come_on_a_stream(begin: Begin) -> None:
    """Server-sent events, with POSTs beside them, and resumed after a reset."""
    _, peer = await begin(STREAMS)
    listening = peer.send(PATH + "sse")
    await until(lambda: "data: 0" in listening.text)
    assert listening.headers["content-type"] == "text/event-stream"
    sid = json.loads(listening.text.partition("data: 0")[2].splitlines()[0])["sid"]
    target = f"{PATH}sse&sid={sid}"
    assert (await peer.ask(target, "POST", b"4one")).text == "ok"
    await until(lambda: "data: 4one" in listening.text)
    peer.reset(listening)
    assert (await peer.ask(target, "POST", b"4two")).text == "ok"
    again = peer.send(target, last_event_id=f"{sid}.2")
    await until(lambda: "data: 4two" in again.text)
    assert "4one" not in again.text


@ensureDeferred
async def test_a_stream_whose_client_reads_nothing_is_held_back(begin: Begin) -> None:
    """Its window is the socket; what doesn't fit waits in the session."""
    stage, peer = await begin(STREAMS)
    deaf = await connect(stage, reads=False)
    deaf.send(PATH + "sse")
    await until(lambda: stage.server.sessions)
    session = stage.session
    sent = 0
    while session.send("x" * 10_000):
        sent += 1
        assert sent < 1000
        await turn()
    assert session.buffered > 0
    # The other connection is none the worse.
    assert (await peer.ask(POLLING)).status == 200


@ensureDeferred
async def test_polls_whose_client_reads_nothing_are_buffered(begin: Begin) -> None:
    """Each on a stream of its own: all of them together are too much."""
    config = Config(max_buffered=1_000_000, http_compression=False)
    stage, peer = await begin(config)
    deaf = await connect(stage, reads=False)
    polled = deaf.send(POLLING)
    await until(lambda: polled.ended)
    target = f"{POLLING}&sid={json.loads(polled.text[1:])['sid']}"
    session = stage.session
    for number in range(30):
        deaf.send(target)
        await until(lambda: session.transport.writable)
        session.send("x" * 100_000)
        await turn()
        if stage.application.closed:
            break
        assert session.buffered > number * 100_000 - 66_000
    assert stage.application.closed == [CloseReason.SLOW_CLIENT]
    assert (await peer.ask(POLLING)).status == 200


@ensureDeferred
async def test_a_stream_whose_end_is_not_read_is_reset(begin: Begin) -> None:
    """After close_timeout, with all that was held for it; the connection stays."""
    transports = ("polling", "sse", "websocket")
    stage, _ = await begin(Config(transports=transports, close_timeout=0.3))
    deaf = await connect(stage, reads=False)
    stream = deaf.send(PATH + "sse")
    await until(lambda: stage.server.sessions)
    session = stage.session
    while session.transport.writable:
        session.send("x" * 30_000)
        await turn()
    session.abort()
    await until(lambda: stream.reset is not None)
    assert not deaf.is_lost
    assert stage.application.closed == [CloseReason.FORCED_CLOSE]


@ensureDeferred
async def test_an_end_that_waits_for_the_window_harms_nobody(begin: Begin) -> None:
    """A window that is exactly used up, and the connection's opens: all go on."""
    stage, _ = await begin(STREAMS)
    deaf = await connect(stage, reads=False)
    stream = deaf.send(PATH + "sse")
    await until(lambda: stage.server.sessions)
    session = stage.session
    channel = session.transport._stream._request.channel
    deaf._conn.increment_flow_control_window(1_000_000, stream.number)
    deaf._flush()
    await turn(0.05)
    events = f"id: {session.sid}.2\ndata: 4\n\nid: {session.sid}.3\ndata: 1\n\n"
    room = channel._conn.remainingOutboundWindow(channel.streamID)
    session.send("x" * (room - len(events)))
    await turn(0.05)
    session.close()
    await turn(0.05)
    assert stage.application.closed == []
    deaf._conn.increment_flow_control_window(1_000_000)
    deaf._flush()
    await until(lambda: stream.ended)
    assert not deaf.is_lost
    assert stage.application.closed == [CloseReason.FORCED_CLOSE]


# WebSocket.


@ensureDeferred
async def test_a_websocket_has_a_connection_of_its_own(
    begin: Begin, certificate: Path
) -> None:
    """A client that asks for HTTP/1.1, as browsers do, upgrades what polls here."""
    stage, peer = await begin()
    target = await opened(peer)
    trusting(stage, certificate, b"http/1.1")
    socket = await stage.candidate(target)
    socket.say("2probe")
    assert await socket.message() == "3probe"
    socket.say("5")
    socket.say("4hello")
    assert await socket.message() == "4hello"
    assert stage.session.transport.name == "websocket"


@ensureDeferred
async def test_a_websocket_over_http_2_is_refused(begin: Begin) -> None:
    """In a word that says why; the connection goes on."""
    stage, peer = await begin()
    answer = await peer.ask(WEBSOCKET)
    assert answer.status == 400
    assert json.loads(answer.text) == {"code": 3, "message": "Bad request"}
    assert (await peer.ask(POLLING)).status == 200
    assert len(stage.server.sessions) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(":protocol", "websocket"), (":scheme", "https"), (":path", WEBSOCKET)], 400),
        ([], 404),
    ],
    ids=["extended", "ordinary"],
)
@ensureDeferred
async def test_a_connect_is_refused(
    begin: Begin, headers: list[tuple[str, str]], status: int
) -> None:
    """RFC 8441 is not spoken, and not offered; and nobody is a proxy here."""
    _, peer = await begin()
    exchange = peer.begin_with(
        [(":method", "CONNECT"), (":authority", "localhost"), *headers]
    )
    peer.end(exchange)
    await until(lambda: exchange.ended)
    assert exchange.status == status
    assert (await peer.ask(POLLING)).status == 200


# Limits.


@ensureDeferred
async def test_a_body_over_the_limit_is_refused(begin: Begin) -> None:
    """While it is still being sent; the connection and the session go on."""
    stage, peer = await begin(SMALL)
    target = await opened(peer)
    large = peer.begin(target, "POST")
    peer.write(large, b"4" * 1001)
    await until(lambda: large.status)
    assert large.status == 413
    peer.write(large, b"4" * 5000)
    peer.end(large)
    await until(lambda: large.ended)
    assert (await peer.ask(target, "POST", b"4hello")).text == "ok"
    assert (await peer.ask(target)).text == "4hello"
    assert stage.application.received == ["hello"]


@ensureDeferred
async def test_a_body_without_end_is_cut(begin: Begin) -> None:
    """Past sixteen times the limit its stream is reset, and nothing else."""
    _, peer = await begin(SMALL)
    target = await opened(peer)
    endless = peer.begin(target, "POST")
    while endless.reset is None:
        if peer.room(endless) >= 1000:
            peer.write(endless, b"4" * 1000)
        await turn()
    assert endless.status == 413
    assert (await peer.ask(target, "POST", b"4hello")).text == "ok"


@ensureDeferred
async def test_a_request_that_trickles_is_cut(begin: Begin) -> None:
    """It has its time as a whole; its session hears of it, its connection doesn't."""
    stage, peer = await begin(Config(request_timeout=1.0))
    target = await opened(peer)
    slow = peer.begin(target, "POST")
    began = reactor.seconds()
    while slow.reset is None:
        peer.write(slow, b"4")
        await turn(0.02)
    assert 0.5 < reactor.seconds() - began < 8
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR
    assert (await peer.ask(POLLING)).status == 200


@ensureDeferred
async def test_a_reset_get_ends_its_session(begin: Begin) -> None:
    """As a lost connection would."""
    stage, peer = await begin()
    waiting: Exchange = peer.send(await opened(peer))
    await turn(0.05)
    peer.reset(waiting)
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR


@ensureDeferred
async def test_an_idle_connection_ends(serve: Serve, certificate: Path) -> None:
    """After as long as a poll may be held, which is not idle."""
    config = Config(
        request_timeout=1.0,
        keep_alive_timeout=1.0,
        ping_interval=1.2,
        ping_timeout=0.3,
    )
    stage = await secure(serve, certificate, True, config=config)
    trusting(stage, certificate, b"h2")
    peer = await connect(stage)
    target = await opened(peer)
    waiting = peer.send(target)
    await until(lambda: waiting.ended)
    assert waiting.text == "2"
    peer.send(target, "POST", b"1")
    began = reactor.seconds()
    # twisted.web says goodbye, and cuts the connection off 15 seconds later.
    await until(lambda: peer.terminated)
    assert reactor.seconds() - began > 1.0


# Another client than h2, which the server itself stands on.


@ensureDeferred
async def test_curl(begin: Begin, certificate: Path, tmp_path: Path) -> None:
    """nghttp2's, in curl: a handshake, a POST and a poll."""
    stage, _ = await begin()

    async def curl(target: str, *options: str) -> str:
        out, complaints, status = await getProcessOutputAndValue(
            "curl",
            ["--http2", "-sS", "--cacert", str(certificate), *options]
            + ["-w", " HTTP/%{http_version} %{http_code}", stage.host + target],
        )
        assert (complaints, status) == (b"", 0)
        return str(out.decode())

    hello = await curl(POLLING)
    assert hello.endswith(" HTTP/2 200")
    target = f"{POLLING}&sid={stage.session.sid}"
    assert await curl(target, "--data-binary", "4hello") == "ok HTTP/2 200"
    assert await curl(target) == "4hello HTTP/2 200"
    large = tmp_path / "large"
    large.write_bytes(b"4" * 1_000_001)
    assert await curl(target, "--data-binary", f"@{large}") == " HTTP/2 413"

"""Clients that read nothing, send ahead or send too much, over real sockets."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from peers import HUNG_UP, POLLING, http_request
from pytest_twisted import ensureDeferred
from stages import Serve, Stage, turn, until
from tls import secure
from twisted.internet import reactor
from twisted.internet.tcp import Server
from twisted.web.resource import Resource
from twisted.web.server import Site

from twisted_engineio import Config, EngineIOResource, EngineIOSite, protect

# Twisted gives OpenSSL a certificate in its old form.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")

PAGE = 100_000


class Page(Resource):
    """Counts how often it is asked for."""

    isLeaf = True

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.asked = 0

    def render_GET(self, request: object) -> bytes:
        """Answer with much."""
        self.asked += 1
        return bytes(self.size)


async def with_pages(serve: Serve, config: Config, *, ours: bool = True) -> Stage:
    """Listen with pages beside the server, on a second port of the same stage."""
    stage = await serve(config=config)
    await stage.stop_listening()
    stage.page, stage.huge = Page(PAGE), Page(5_000_000)
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(stage.server))
    root.putChild(b"page", stage.page)
    root.putChild(b"huge", stage.huge)
    stage.site = (
        EngineIOSite(root, stage.server)
        if ours
        else protect(Site(root, reactor=reactor, timeout=5), stage.server)
    )
    await stage.listen_with(stage.site, "tcp:0:interface=127.0.0.1")
    stage.narrow()
    return stage


def held_by(stage: Stage) -> set[Server]:
    """Find the server's connections, whether they are read or written."""
    known = [each for each in gc.get_objects() if isinstance(each, Server)]
    return {each for each in known if each.connected and each.server is not None}


@pytest.mark.parametrize("ours", [True, False])
@ensureDeferred
async def test_pages_that_are_not_read_are_not_made(serve: Serve, ours: bool) -> None:
    """However many are asked for; once their client reads, all of them are."""
    stage = await with_pages(serve, Config(), ours=ours)
    peer = await stage.peer()
    peer.transport.pauseProducing()
    for _ in range(120):
        peer.send("/page")
    await turn(0.3)
    assert stage.page.asked < 60  # what the kernel holds, and one more
    peer.transport.resumeProducing()
    for _ in range(120):
        assert len((await peer.answer()).body) == PAGE


@pytest.mark.parametrize("ours", [True, False])
@ensureDeferred
async def test_a_connection_that_should_close_and_is_not_read_is_cut_off(
    serve: Serve, ours: bool
) -> None:
    """After close_timeout."""
    stage = await with_pages(serve, Config(close_timeout=0.3), ours=ours)
    peer = await stage.peer()
    peer.transport.pauseProducing()
    peer.send("/huge", headers=["Connection: close"])
    await until(lambda: stage.huge.asked)
    await until(lambda: not held_by(stage))
    peer.transport.resumeProducing()
    await peer.lost()
    assert len((await peer.answer()).body) < 5_000_000


@ensureDeferred
async def test_a_last_answer_of_any_size_is_not_cut(serve: Serve) -> None:
    """If it is read, however slowly: longer than close_timeout in all."""
    stage = await with_pages(serve, Config(close_timeout=0.4))
    peer = await stage.peer()
    peer.send("/huge", headers=["Connection: close"])
    for _ in range(10):
        peer.transport.pauseProducing()
        await turn(0.1)
        peer.transport.resumeProducing()
        await turn(0.001)
    assert len((await peer.answer()).body) == 5_000_000


@ensureDeferred
async def test_over_tls_a_client_that_does_not_close_is_cut_off(
    serve: Serve, certificate: Path
) -> None:
    """It does not answer the alert that closes the connection, for it reads nothing."""
    stage = await secure(serve, certificate, True, config=Config(close_timeout=0.3))
    peer = await stage.peer()
    assert (await peer.ask("/nothing")).status == 404
    held = held_by(stage)
    assert held
    peer.transport.pauseProducing()
    peer.send("/nothing", headers=["Connection: close"])
    await until(lambda: not held_by(stage))
    peer.transport.resumeProducing()
    await peer.lost()


TOO_LONG = {
    "a header": (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: ", 431),
    "a URI": (b"GET /", 414),
}


@pytest.mark.parametrize(("head", "status"), TOO_LONG.values(), ids=TOO_LONG)
@ensureDeferred
async def test_who_sends_too_long_a_head_reads_why(
    serve: Serve, head: bytes, status: int
) -> None:
    """Though it still sends when the answer comes: a reset would lose that."""
    stage = await serve()
    peer = await stage.peer()
    peer.write(head + b"y" * 900_000)
    assert (await peer.answer()).status == status
    assert await peer.answer() is HUNG_UP


@pytest.mark.parametrize("ours", [True, False])
@ensureDeferred
async def test_a_body_for_no_session_is_answered_first(
    serve: Serve, ours: bool
) -> None:
    """And discarded; the connection serves the next request."""
    stage = await with_pages(serve, Config(), ours=ours)
    peer = await stage.peer()
    body = b"4" + b"x" * 900_000
    peer.write(http_request(POLLING + "&sid=x", "POST", body)[: -len(body)])
    assert (await peer.answer()).error == (400, 1, "Session ID unknown")
    peer.write(body)
    assert len((await peer.ask("/page")).body) == PAGE


@pytest.mark.parametrize("with_tls", [False, True])
@ensureDeferred
async def test_connections_are_bounded(
    serve: Serve, certificate: Path, with_tls: bool
) -> None:
    """One too many is closed; those that are there stay, and leave room."""
    config = Config(max_connections=2)
    if with_tls:
        stage = await secure(serve, certificate, True, config=config)
    else:
        stage = await serve(config=config)
    first, _ = await stage.polling()
    socket = await stage.websocket()
    await socket.message()
    late = await stage.peer()
    await late.lost()
    socket.say("4hello")
    assert await socket.message() == "4hello"
    first.leave()
    await first.lost()
    await until(lambda: len(stage.server.sessions) == 2)
    again = await stage.peer()
    assert (await again.ask("/nothing")).status == 404


@ensureDeferred
async def test_a_target_may_be_absolute(serve: Serve) -> None:
    """As a client writes it that believes us a proxy."""
    stage = await serve()
    peer = await stage.peer()
    assert (await peer.ask("http://localhost" + POLLING)).sid
    assert (await peer.ask("/nothing")).status == 404

"""Limits on time: slow requests, silent connections, pipelining, slow admission."""

from __future__ import annotations

import pytest
from peers import (
    BINARY,
    CLOSE,
    HUNG_UP,
    POLLING,
    TEXT,
    WEBSOCKET,
    frame,
    http_request,
    upgrade_request,
)
from pytest_twisted import ensureDeferred
from stages import Echo, Serve, Stage, turn, until
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from twisted_engineio import CloseReason, Config, Handshake, Reject

IMPATIENT = Config(request_timeout=0.3, keep_alive_timeout=0.3)


class Slow(Echo):
    """Admits nobody until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Deferred[None]] = []

    def admit(self, handshake: Handshake) -> Deferred[None]:
        """Wait."""
        waiting: Deferred[None] = Deferred()
        self.asked.append(waiting)
        return waiting

    async def is_asked(self) -> Deferred[None]:
        """Wait until a client asks to be admitted."""
        await until(lambda: self.asked)
        return self.asked.pop()


# Slow and silent.


@pytest.mark.parametrize(
    "data",
    [
        http_request(POLLING)[:-2] + b"X-Slow: " + b"y" * 1000,
        b"GET /" + b"y" * 1000,
        http_request(POLLING, "POST", headers=["Content-Length: 1000"]) + bytes(999),
        http_request(POLLING, "POST", headers=["Transfer-Encoding: chunked"])
        + b"1\r\nx\r\n" * 500,
    ],
    ids=["headers", "first line", "body", "chunks"],
)
@ensureDeferred
async def test_a_request_that_trickles_is_cut_off(serve: Serve, data: bytes) -> None:
    """A byte now and then puts nothing off: a request has its time as a whole."""
    stage = await serve(config=IMPATIENT)
    peer = await stage.peer()
    began = reactor.seconds()
    for byte in data:
        peer.write(bytes([byte]))
        await turn(0.01)
        if peer.is_lost:
            break
    await peer.lost()
    assert 0.2 < reactor.seconds() - began < 1.5


@ensureDeferred
async def test_a_post_that_trickles_ends_its_session(serve: Serve) -> None:
    """The session's POST is cut off, and the session with it."""
    stage = await serve(config=IMPATIENT)
    peer, target = await stage.polling()
    peer.send(target, "POST", headers=["Content-Length: 100"])
    peer.write(b"4hello")
    await peer.lost()
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR
    assert stage.application.received == []


@pytest.mark.parametrize("idle", [False, True])
@ensureDeferred
async def test_a_silent_connection_is_closed(serve: Serve, idle: bool) -> None:
    """One that never sends a byte, or no further request, is closed."""
    stage = await serve(config=IMPATIENT)
    peer = await stage.peer()
    if idle:
        assert (await peer.ask("/nothing")).status == 404
    await peer.lost()


@ensureDeferred
async def test_a_waiting_get_is_not_slow(serve: Serve) -> None:
    """A poll is the server's to answer: it outlives request_timeout."""
    stage = await serve(config=IMPATIENT)
    peer, target = await stage.polling()
    waiting = peer.ask(target)
    await turn(0.8)
    stage.session.send("at last")
    assert (await waiting).text == "4at last"


@ensureDeferred
async def test_a_websocket_is_not_slow(serve: Serve) -> None:
    """A WebSocket outlives request_timeout, silent or not."""
    stage = await serve(config=IMPATIENT)
    socket = await stage.websocket()
    await socket.message()
    await turn(0.8)
    socket.say("4hello")
    assert await socket.message() == "4hello"


@ensureDeferred
async def test_a_handshake_without_a_poll_is_reaped(serve: Serve) -> None:
    """A session whose client never comes back ends at the ping timeout."""
    stage = await serve(config=Config(ping_interval=0.05, ping_timeout=0.05))
    peer, _ = await stage.polling()
    peer.drop()
    assert await stage.ended() is CloseReason.PING_TIMEOUT


# Pipelining.


@ensureDeferred
async def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    """Requests written at once get their answers one after the other."""
    stage = await serve()
    peer, target = await stage.polling()
    for number in range(5):
        peer.send(target, "POST", b"4%d" % number)
        peer.send(target)
    for number in range(5):
        assert (await peer.answer()).text == "ok"
        assert (await peer.answer()).text == f"4{number}"


@ensureDeferred
async def test_what_is_behind_a_waiting_get_waits(serve: Serve) -> None:
    """A POST pipelined behind a GET that waits is handled when that is answered."""
    stage = await serve()
    peer, target = await stage.polling()
    peer.send(target)
    peer.send(target, "POST", b"4late")
    await until(lambda: stage.session.transport.writable)
    await turn(0.05)
    assert stage.application.received == []
    stage.session.send("first")
    assert (await peer.answer()).text == "4first"
    assert (await peer.answer()).text == "ok"
    assert stage.application.received == ["late"]


@pytest.mark.parametrize("stays", [True, False])
@ensureDeferred
async def test_much_behind_a_waiting_get_does_not_keep_a_session(
    serve: Serve, stays: bool, own_site: bool
) -> None:
    """With 200 KB pipelined behind its GET a session is still reaped."""
    config = Config(ping_interval=0.1, ping_timeout=0.1)
    stage = await serve(config=config, own_site=own_site)
    peer, target = await stage.polling()
    peer.send(target)
    peer.write(http_request("/", headers=["X: " + "y" * 1000]) * 200)
    await until(lambda: stage.session.transport.writable)
    if not stays:
        peer.drop()
    reason = await stage.ended()
    assert reason in (CloseReason.PING_TIMEOUT, CloseReason.TRANSPORT_ERROR)


# Slow admission.


@ensureDeferred
async def test_what_is_sent_while_admission_waits_is_not_lost(serve: Serve) -> None:
    """Frames that come before the application has decided are delivered after."""
    stage = await serve(Slow())
    peer = await stage.peer()
    peer.write(upgrade_request() + frame(TEXT, b"4a"))
    admitted = await stage.application.is_asked()
    peer.write(frame(TEXT, b"4b"))
    peer.write(frame(BINARY, bytes(300_000)))
    await turn(0.05)
    admitted.callback(None)
    assert (await peer.answer()).status == 101
    said = [await peer.frame() for _ in range(4)]
    assert said[0][1][:1] == b"0"
    assert said[1:] == [(TEXT, b"4a"), (TEXT, b"4b"), (BINARY, bytes(300_000))]


GARBAGE = [
    b"garbage",
    b"\x00" * 5000,
    b"\xff" * 5000,
    b"\r\n\r\n",
    upgrade_request(),
    http_request(POLLING) * 3,
    b"y" * 100_000,
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("ending", ["admitted", "refused"])
@ensureDeferred
async def test_garbage_while_admission_waits_does_no_harm(
    serve: Serve, garbage: bytes, ending: str
) -> None:
    """Whatever comes behind an upgrade request, no session is left of it."""
    stage = await serve(Slow())
    peer = await stage.peer()
    peer.write(upgrade_request() + garbage)
    decided = await stage.application.is_asked()
    peer.write(garbage)
    await turn(0.01)
    if ending == "admitted":
        decided.callback(None)
    else:
        decided.errback(Reject(403, "no"))
    answer = await peer.answer()
    assert answer.status == (101 if ending == "admitted" else 403)
    if ending == "admitted":
        assert (await peer.frame())[1][:1] == b"0"
        assert (await peer.frame())[0] == CLOSE
    peer.leave()
    await peer.lost()
    await until(lambda: not stage.server.sessions)
    await lives(stage)


@pytest.mark.parametrize("late", [False, True])
@ensureDeferred
async def test_nothing_is_served_behind_a_refused_upgrade(
    serve: Serve, late: bool
) -> None:
    """Who is told "Connection: close" gets no further answer."""
    stage = await serve(Slow())
    peer = await stage.peer()
    sid = "" if late else "&sid=nobody"
    peer.write(upgrade_request(WEBSOCKET + sid) + http_request("/nothing"))
    if late:
        (await stage.application.is_asked()).errback(Reject(403, "no"))
    assert (await peer.answer()).headers["connection"] == "close"
    assert await peer.answer() is HUNG_UP


@pytest.mark.parametrize("way", ["leave", "drop"])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
@ensureDeferred
async def test_a_client_that_leaves_while_admission_waits_is_forgotten(
    serve: Serve, transport: str, way: str
) -> None:
    """The application is told by its cancelled Deferred, and no session opens."""
    stage = await serve(Slow())
    peer = await stage.peer()
    request = upgrade_request() if transport == "websocket" else http_request(POLLING)
    peer.write(request)
    decided = await stage.application.is_asked()
    getattr(peer, way)()
    await until(lambda: decided.called)
    assert not stage.application.opened
    await lives(stage)


@pytest.mark.parametrize("way", ["leave", "drop"])
@ensureDeferred
async def test_a_client_that_sends_and_leaves_while_admission_waits(
    serve: Serve, way: str
) -> None:
    """100 KB of garbage and then gone: when it is admitted, nothing is left."""
    stage = await serve(Slow())
    peer = await stage.peer()
    peer.write(upgrade_request() + bytes(100_000))
    decided = await stage.application.is_asked()
    await turn(0.02)
    getattr(peer, way)()
    await turn(0.02)
    if not decided.called:
        decided.callback(None)
    await until(lambda: not stage.server.sessions)
    await lives(stage)


@ensureDeferred
async def test_no_service_before_admission(serve: Serve) -> None:
    """Until the application has accepted there is no session to be found."""
    stage = await serve(Slow(), make_sid=lambda _: "known-in-advance")
    peer = await stage.peer()
    waiting = peer.ask(POLLING)
    decided = await stage.application.is_asked()
    other = await stage.peer()
    target = f"{POLLING}&sid=known-in-advance"
    assert (await other.ask(target)).error[:2] == (400, 1)
    assert (await other.ask(target, "POST", b"4x")).error[:2] == (400, 1)
    other.write(upgrade_request(f"{WEBSOCKET}&sid=known-in-advance"))
    assert (await other.answer()).status == 400
    decided.callback(None)
    assert (await waiting).sid == "known-in-advance"


async def lives(stage: Stage) -> None:
    """The server serves on."""
    stage.application.asked.clear()
    peer = await stage.peer()
    waiting = peer.ask(POLLING)
    (await stage.application.is_asked()).callback(None)
    assert (await waiting).sid

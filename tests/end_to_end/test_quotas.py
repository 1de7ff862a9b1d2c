"""How many may come, and how fast, over real sockets."""

from __future__ import annotations

import pytest
from peers import POLLING, WEBSOCKET, HttpPeer, upgrade_request
from pytest_twisted import ensureDeferred
from stages import Recorder, Serve, Stage, until

from twisted_engineio import CloseReason, Config, Handshake, Observer, Session


class Watcher(Observer):
    """Remembers which limits were hit."""

    def __init__(self) -> None:
        self.hit: list[str] = []

    def limit_reached(self, limit: str, about: Session | Handshake) -> None:
        """Remember it."""
        assert isinstance(about, (Session, Handshake))
        self.hit.append(limit)


async def come(stage: Stage, transport: str) -> tuple[HttpPeer, int]:
    """Ask for a session, and tell the status of the answer."""
    peer = await stage.peer()
    if transport == "polling":
        return peer, (await peer.ask(POLLING)).status
    peer.write(upgrade_request())
    return peer, (await peer.answer()).status


GOOD = {"polling": 200, "websocket": 101}
LIMITS = [
    (Config(max_sessions=3), 503),
    (Config(max_sessions_per_address=3), 429),
]


@pytest.mark.parametrize(("config", "status"), LIMITS, ids=["in all", "per address"])
@pytest.mark.parametrize("transport", GOOD)
@ensureDeferred
async def test_a_place_is_free_again_when_a_session_ends(
    serve: Serve, own_site: bool, config: Config, status: int, transport: str
) -> None:
    """Who is one too many is told so, and when to come back; who is in stays."""
    watcher = Watcher()
    stage = await serve(Recorder(), config, observers=[watcher], own_site=own_site)
    for _ in range(3):
        assert (await come(stage, transport))[1] == GOOD[transport]
    await until(lambda: len(stage.server.sessions) == 3)
    for other in GOOD:
        assert (await come(stage, other))[1] == status
    assert len(watcher.hit) == 2
    next(iter(stage.server.sessions.values())).abort()
    await until(lambda: len(stage.server.sessions) == 2)
    assert (await come(stage, transport))[1] == GOOD[transport]
    await until(lambda: len(stage.server.sessions) == 3)


@ensureDeferred
async def test_a_rush_of_websockets_leaves_no_more_than_may_be(serve: Serve) -> None:
    """Fifty at the same moment for five places: five are in, however they raced."""
    stage = await serve(Recorder(), Config(max_sessions=5))
    peers = await stage.peers(50)
    for each in peers:
        each.write(upgrade_request(WEBSOCKET))
    statuses = [(await each.answer()).status for each in peers]
    assert statuses.count(101) >= 5
    assert set(statuses) <= {101, 503}
    await until(lambda: len(stage.application.opened) == 5)
    assert len(stage.server.sessions) == 5


@ensureDeferred
async def test_handshakes_have_a_rate(serve: Serve) -> None:
    """Who comes too soon is told when to come back."""
    watcher = Watcher()
    config = Config(max_handshakes_per_second=0.1)
    stage = await serve(config=config, observers=[watcher])
    peer = await stage.peer()
    assert (await peer.ask(POLLING)).status == 200
    refused = await peer.ask(POLLING)
    assert refused.error == (503, 4, "Too many clients at once")
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert watcher.hit == ["max_handshakes_per_second"]


@ensureDeferred
async def test_a_handshake_that_nobody_polls_is_reaped(serve: Serve) -> None:
    """Long before its ping is overdue."""
    watcher = Watcher()
    config = Config(first_poll_timeout=0.2)
    stage = await serve(Recorder(), config, observers=[watcher])
    await stage.polling()
    assert await stage.ended() is CloseReason.PING_TIMEOUT
    assert watcher.hit == ["first_poll_timeout"]


@ensureDeferred
async def test_a_handshake_that_is_polled_stays(serve: Serve) -> None:
    """However long the poll waits."""
    config = Config(first_poll_timeout=0.1, ping_interval=0.5)
    stage = await serve(config=config)
    peer, target = await stage.polling()
    assert (await peer.ask(target)).text == "2"
    assert stage.session


@ensureDeferred
async def test_a_post_of_too_many_packets_is_an_error(serve: Serve) -> None:
    """By default that is many; it is answered 400, and the session ends."""
    watcher = Watcher()
    stage = await serve(Recorder(), observers=[watcher])
    peer, target = await stage.polling()
    limit = Config().max_packets
    body = b"\x1e".join([b"4"] * limit)
    assert (await peer.ask(target, "POST", body)).text == "ok"
    assert (await peer.ask(target, "POST", body + b"\x1e4")).status == 400
    assert await stage.ended() is CloseReason.PARSE_ERROR
    assert len(stage.application.received) == 2 * limit
    assert watcher.hit == ["max_packets"]

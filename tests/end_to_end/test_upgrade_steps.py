"""Engine.IO protocol v4, "Upgrade", step by step, and every way in which it fails."""

from __future__ import annotations

import pytest
from peers import WEBSOCKET, HttpPeer, WebSocketPeer, upgrade_request
from pytest_twisted import ensureDeferred
from stages import Serve, Stage, turn, until

from twisted_engineio import CloseReason, Config

BAD_REQUEST = (400, 3, "Bad request")


async def probed(stage: Stage, target: str) -> WebSocketPeer:
    """Bring an upgrade to the point where only the client's ``5`` is missing."""
    socket = await stage.candidate(target)
    socket.say("2probe")
    assert await socket.message() == "3probe"
    return socket


async def still_polling(stage: Stage, peer: HttpPeer, target: str) -> None:
    """The session goes on where it was, and takes another, better attempt."""
    await until(lambda: stage.session.probe is None)
    assert (await peer.ask(target, "POST", b"4on")).text == "ok"
    assert (await peer.ask(target)).text == "4on"
    socket = await probed(stage, target)
    socket.say("5")
    socket.say("4moved")
    assert await socket.message() == "4moved"


@ensureDeferred
async def test_a_session_moves_to_websocket(serve: Serve, own_site: bool) -> None:
    """Probe, noop, upgrade: from then on messages go by WebSocket."""
    stage = await serve(own_site=own_site)
    peer, target = await stage.polling()
    socket = await probed(stage, target)
    assert (await peer.ask(target)).text == "6"
    socket.say("5")
    socket.say("4hello")
    assert await socket.message() == "4hello"
    assert stage.session.transport.name == "websocket"


@ensureDeferred
async def test_a_waiting_get_is_released_by_the_probe(serve: Serve) -> None:
    """The GET that waits when the probe is answered gets a noop."""
    stage = await serve()
    peer, target = await stage.polling()
    waiting = peer.ask(target)
    await until(lambda: stage.session.transport.writable)
    await probed(stage, target)
    assert (await waiting).text == "6"


@ensureDeferred
async def test_messages_flow_over_polling_while_the_probe_is_open(
    serve: Serve,
) -> None:
    """Until the client says ``5`` it may poll, and gets what there is."""
    stage = await serve()
    peer, target = await stage.polling()
    await probed(stage, target)
    for number in range(3):
        stage.session.send(f"{number}")
        assert (await peer.ask(target)).text == f"4{number}"


@ensureDeferred
async def test_what_waits_is_sent_first(serve: Serve) -> None:
    """What no GET fetched before the ``5`` arrives by WebSocket, in order."""
    stage = await serve()
    _, target = await stage.polling()
    stage.session.send("a")
    socket = await probed(stage, target)
    stage.session.send(b"b")
    socket.say("5")
    socket.say("4c")
    assert [await socket.message() for _ in range(3)] == ["4a", b"b", "4c"]


@ensureDeferred
async def test_the_steps_may_come_in_one_write(serve: Serve) -> None:
    """A client that does not wait for the probe's answer is upgraded, too."""
    stage = await serve()
    peer, target = await stage.polling()
    waiting = peer.ask(target)
    await until(lambda: stage.session.transport.writable)
    socket = await stage.candidate(target)
    for step in ("2probe", "5", "4hello"):
        socket.say(step)
    assert await socket.message() == "3probe"
    assert await socket.message() == "4hello"
    assert (await waiting).text == "6"


@ensureDeferred
async def test_polling_is_over_after_the_upgrade(serve: Serve) -> None:
    """A GET or POST for a session that moved is an error, and harms nothing."""
    stage = await serve()
    peer, target = await stage.polling()
    socket = await probed(stage, target)
    socket.say("5")
    await until(lambda: stage.session.transport.name == "websocket")
    assert (await peer.ask(target)).error == BAD_REQUEST
    assert (await peer.ask(target, "POST", b"4x")).error == BAD_REQUEST
    socket.say("4hello")
    assert await socket.message() == "4hello"
    assert stage.application.received == ["hello"]


@pytest.mark.parametrize("moved", [False, True])
@ensureDeferred
async def test_a_second_websocket_is_closed(serve: Serve, moved: bool) -> None:
    """During a probe and after it no other WebSocket gets the session."""
    stage = await serve()
    _, target = await stage.polling()
    socket = await probed(stage, target)
    if moved:
        socket.say("5")
        await until(lambda: stage.session.transport.name == "websocket")
    second = await stage.candidate(target)
    await second.lost()
    if not moved:
        socket.say("5")
    socket.say("4hello")
    assert await socket.message() == "4hello"


@ensureDeferred
async def test_a_websocket_session_takes_no_second_websocket(serve: Serve) -> None:
    """What began on WebSocket stays on that one."""
    stage = await serve()
    socket = await stage.websocket()
    await socket.message()
    second = await stage.websocket(f"{WEBSOCKET}&sid={stage.session.sid}")
    await second.lost()
    socket.say("4hello")
    assert await socket.message() == "4hello"


@pytest.mark.parametrize(
    "said", ["5", "1", "4early", "2", "2other", "x", "", b"early", "bAQ==", "3probe"]
)
@ensureDeferred
async def test_a_wrong_first_step_ends_the_candidate_only(
    serve: Serve, said: str | bytes
) -> None:
    """Whatever is not ``2probe`` costs the candidate; the session polls on."""
    stage = await serve()
    peer, target = await stage.polling()
    socket = await stage.candidate(target)
    socket.say(said)
    await socket.lost()
    await still_polling(stage, peer, target)
    assert stage.application.received == ["on", "moved"]


@pytest.mark.parametrize("said", ["1", "4early", "2probe", "6", "", "x", b"early"])
@ensureDeferred
async def test_a_wrong_second_step_ends_the_candidate_only(
    serve: Serve, said: str | bytes
) -> None:
    """Whatever is not ``5`` costs the candidate; the session polls on."""
    stage = await serve()
    peer, target = await stage.polling()
    socket = await probed(stage, target)
    socket.say(said)
    await socket.lost()
    await still_polling(stage, peer, target)
    assert stage.application.received == ["on", "moved"]


@pytest.mark.parametrize("step", ["before the probe", "after the probe"])
@pytest.mark.parametrize("way", ["close", "drop"])
@ensureDeferred
async def test_a_lost_candidate_is_forgotten(serve: Serve, step: str, way: str) -> None:
    """A candidate that goes away takes nothing with it."""
    stage = await serve()
    peer, target = await stage.polling()
    if step == "before the probe":
        socket = await stage.candidate(target)
        await until(lambda: stage.session.probe)
    else:
        socket = await probed(stage, target)
    socket.sendClose() if way == "close" else socket.drop()
    await still_polling(stage, peer, target)


@pytest.mark.parametrize("answered", [False, True])
@ensureDeferred
async def test_an_upgrade_takes_no_longer_than_it_may(
    serve: Serve, answered: bool
) -> None:
    """After upgrade_timeout the candidate is closed, and the session polls on."""
    stage = await serve(config=Config(upgrade_timeout=0.1))
    peer, target = await stage.polling()
    socket = await stage.candidate(target)
    if answered:
        socket.say("2probe")
        assert await socket.message() == "3probe"
    await socket.lost()
    await still_polling(stage, peer, target)


@ensureDeferred
async def test_the_heartbeat_survives_the_upgrade(serve: Serve) -> None:
    """A ping that went out by polling is answered by WebSocket, and the next comes."""
    stage = await serve(config=Config(ping_interval=0.05, ping_timeout=0.5))
    peer, target = await stage.polling()
    assert (await peer.ask(target)).text == "2"
    socket = await probed(stage, target)
    socket.say("5")
    for _ in range(3):
        socket.say("3")
        assert await socket.message() == "2"


@pytest.mark.parametrize("ending", ["client", "server", "abort"])
@ensureDeferred
async def test_a_session_that_ends_takes_its_candidate_along(
    serve: Serve, ending: str
) -> None:
    """Closed in the middle of an upgrade: both connections hear of it."""
    stage = await serve()
    peer, target = await stage.polling()
    socket = await probed(stage, target)
    if ending == "client":
        await peer.ask(target, "POST", b"1")
    elif ending == "server":
        stage.session.close()
        assert (await peer.ask(target)).text == "1"
    else:
        stage.session.abort()
    await socket.lost()
    expected = {"client": CloseReason.TRANSPORT_CLOSE}
    assert await stage.ended() is expected.get(ending, CloseReason.FORCED_CLOSE)


@ensureDeferred
async def test_a_session_closed_before_the_upgrade_is_whole(serve: Serve) -> None:
    """Closing does not lose what was queued, though no GET ever comes again."""
    stage = await serve()
    _, target = await stage.polling()
    stage.session.send("last words")
    socket = await probed(stage, target)
    stage.session.close()
    await turn()
    socket.say("5")
    assert await socket.message() == "4last words"
    await socket.lost()
    assert socket.code == 1000
    assert await stage.ended() is CloseReason.FORCED_CLOSE


@pytest.mark.parametrize(
    "config", [Config(allow_upgrades=False), Config(transports=["polling"])]
)
@ensureDeferred
async def test_upgrades_that_are_off_are_refused(serve: Serve, config: Config) -> None:
    """The open packet offers nothing, and who tries is refused by HTTP."""
    stage = await serve(config=config)
    peer, target = await stage.polling()
    peer.write(upgrade_request(target.replace("=polling", "=websocket")))
    answer = await peer.answer()
    assert answer.status == 400
    again = await stage.peer()
    opened = (await again.ask(target.split("&sid")[0])).open_packet
    assert opened["upgrades"] == []

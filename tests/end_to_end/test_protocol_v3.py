"""Engine.IO protocol v3 as a client sees it, where allow_eio3 is on."""

from __future__ import annotations

import json

import pytest
from peers import HttpPeer, upgrade_request
from pytest_twisted import ensureDeferred
from stages import Serve, Stage, at_once, turn, until
from test_upgrade_steps import probed

from twisted_engineio import CloseReason, Config

OLD = Config(allow_eio3=True)
QUICK = Config(allow_eio3=True, ping_interval=0.3, ping_timeout=0.2)

POLLING = "/engine.io/?EIO=3&transport=polling"
WEBSOCKET = "/engine.io/?EIO=3&transport=websocket"
TEXT = POLLING + "&b64=1"

SID_UNKNOWN = (400, 1, "Session ID unknown")
BAD_REQUEST = (400, 3, "Bad request")
BAD_VERSION = (400, 5, "Unsupported protocol version")

BINARY = bytes([0, 6, 255, *b"4hello", 1, 5, 255, 4, 1, 2, 3, 4])
"""The payload of the text ``hello`` and the bytes 1 to 4."""
OCTETS = ["Content-Type: application/octet-stream"]


async def polling(stage: Stage, target: str = TEXT) -> tuple[HttpPeer, str]:
    """Open a session by polling: a client, and the target of its requests."""
    peer = await stage.peer()
    assert (await peer.ask(target)).status == 200
    return peer, f"{target}&sid={stage.session.sid}"


# Handshake.


@pytest.mark.parametrize("target", [POLLING, TEXT, POLLING.replace("EIO=3&", "")])
@ensureDeferred
async def test_polling_opens_a_session(
    serve: Serve, own_site: bool, target: str
) -> None:
    """The open packet has its length before it; who names no revision means 3."""
    stage = await serve(config=QUICK, own_site=own_site)
    peer = await stage.peer()
    answer = await peer.ask(target)
    length, _, packet = answer.text.partition(":")
    assert int(length) == len(packet)
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    said = json.loads(packet.removeprefix("0"))
    assert said.pop("maxPayload", 1_000_000) == 1_000_000
    assert said == {
        "sid": stage.session.sid,
        "upgrades": ["websocket"],
        "pingInterval": 300,
        "pingTimeout": 200,
    }
    assert stage.session.protocol == 3


@ensureDeferred
async def test_websocket_opens_a_session(serve: Serve) -> None:
    """The first frame is the open packet, without a length; nothing is offered."""
    stage = await serve(config=QUICK)
    socket = await stage.websocket(WEBSOCKET)
    packet = str(await socket.message())
    said = json.loads(packet.removeprefix("0"))
    assert (said["sid"], said["upgrades"]) == (stage.session.sid, [])
    assert stage.session.protocol == 3


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize(
    ("config", "revision"), [(Config(), "3"), (OLD, "abc"), (OLD, "2"), (OLD, "")]
)
@ensureDeferred
async def test_another_revision_is_refused(
    serve: Serve, config: Config, revision: str, transport: str
) -> None:
    """Revision 3 unless it is switched on, and what is no revision always."""
    stage = await serve(config=config)
    peer = await stage.peer()
    target = f"/engine.io/?EIO={revision}&transport={transport}"
    if transport == "polling":
        assert (await peer.ask(target)).error == BAD_VERSION
    else:
        peer.write(upgrade_request(target))
        answer = await peer.answer()
        assert (answer.status, answer.text) == (400, BAD_VERSION[2])
    assert not stage.application.opened


@ensureDeferred
async def test_a_session_keeps_its_revision(serve: Serve) -> None:
    """A request in another revision is an error, and harms nothing."""
    stage = await serve(config=OLD)
    peer, target = await polling(stage)
    assert (await peer.ask(target.replace("EIO=3", "EIO=4"))).error == BAD_REQUEST
    assert (await peer.ask(target, "POST", b"2:4x")).text == "ok"


# Messages.


@pytest.mark.parametrize(
    "payload",
    ["6:4hello", "6:4test16:4test26:4test3", "6:4hello10:b4AQIDBA==", "1:4", "4:4😀é"],
)
@ensureDeferred
async def test_polling_echoes(serve: Serve, own_site: bool, payload: str) -> None:
    """What a POST delivers comes back by one GET; lengths count UTF-16."""
    stage = await serve(config=OLD, own_site=own_site)
    peer, target = await polling(stage)
    assert (await peer.ask(target, "POST", payload.encode())).text == "ok"
    assert (await peer.ask(target)).text == payload


@pytest.mark.parametrize(
    ("body", "headers"), [(b"6:4hello10:b4AQIDBA==", []), (BINARY, OCTETS)]
)
@ensureDeferred
async def test_polling_echoes_binary(
    serve: Serve, own_site: bool, body: bytes, headers: list[str]
) -> None:
    """Who takes bytes gets bytes, whether it sent bytes or base64."""
    stage = await serve(config=OLD, own_site=own_site)
    peer, target = await polling(stage, POLLING)
    assert (await peer.ask(target, "POST", body, headers)).text == "ok"
    answer = await peer.ask(target)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.body == BINARY
    assert stage.application.received == ["hello", b"\x01\x02\x03\x04"]


@pytest.mark.parametrize("data", ["4hello", "4", "4😀é", b"\x04\x01\x02\x03", b"\x04"])
@ensureDeferred
async def test_websocket_echoes(serve: Serve, data: str | bytes) -> None:
    """A text packet and a binary one, which names its type, come back as sent."""
    stage = await serve(config=OLD)
    socket = await stage.websocket(WEBSOCKET)
    await socket.message()
    socket.say(data)
    assert await socket.message() == data


@ensureDeferred
async def test_websocket_binary_is_text_for_a_client_that_asks(serve: Serve) -> None:
    """A handshake with b64=1 gets binary as base64, and may send it so."""
    stage = await serve(config=OLD)
    socket = await stage.websocket(WEBSOCKET + "&b64=1")
    await socket.message()
    socket.say("b4AQIDBA==")
    assert await socket.message() == "b4AQIDBA=="
    assert stage.application.received == [b"\x01\x02\x03\x04"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"abc", []), (b"6:4hello3:4x", []), (b"", []), (b"6:4hello", OCTETS)],
)
@ensureDeferred
async def test_a_payload_that_is_none_ends_the_session(
    serve: Serve, body: bytes, headers: list[str]
) -> None:
    """The waiting GET gets a close packet, behind what the good packets made."""
    stage = await serve(config=OLD)
    poster, target = await polling(stage)
    getter = await stage.peer()
    waiting = getter.ask(target)
    await until(lambda: stage.session.transport.writable)
    assert (await poster.ask(target, "POST", body, headers)).status == 400
    assert (await waiting).text in ("1:1", "6:4hello", "6:4hello1:1")
    assert await stage.ended() is CloseReason.PARSE_ERROR
    assert (await getter.ask(target)).error == SID_UNKNOWN


@pytest.mark.parametrize("data", ["abc", "", "b5AQ==", b"", b"\x01", b"no type"])
@ensureDeferred
async def test_a_frame_that_is_no_packet_ends_the_session(
    serve: Serve, data: str | bytes
) -> None:
    """So does a binary one that is no message."""
    stage = await serve(config=OLD)
    socket = await stage.websocket(WEBSOCKET)
    await socket.message()
    socket.say(data)
    await socket.lost()
    assert await stage.ended() is CloseReason.PARSE_ERROR


@ensureDeferred
async def test_a_second_poll_ends_the_session(serve: Serve) -> None:
    """Two GETs at once: the first is told goodbye, the second is an error."""
    stage = await serve(config=OLD)
    first, target = await polling(stage)
    second = await stage.peer()
    waiting = first.ask(target)
    await until(lambda: stage.session.transport.writable)
    assert (await second.ask(target)).status == 400
    assert (await waiting).text == "1:1"
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR
    assert (await first.ask(target)).error == SID_UNKNOWN


# Heartbeat: the client pings.


@ensureDeferred
async def test_polling_heartbeat(serve: Serve) -> None:
    """Each ping is answered, with its data, and keeps the session."""
    stage = await serve(config=OLD)
    peer, target = await polling(stage)
    for ping, pong in (("1:2", "1:3"), ("1:2", "1:3"), ("6:2probe", "6:3probe")):
        assert (await peer.ask(target, "POST", ping.encode())).text == "ok"
        assert (await peer.ask(target)).text == pong


@ensureDeferred
async def test_websocket_heartbeat(serve: Serve) -> None:
    """Pings keep a session for longer than it may be silent; none comes from us."""
    stage = await serve(config=QUICK)
    socket = await stage.websocket(WEBSOCKET)
    await socket.message()
    for _ in range(3):
        await turn(0.25)
        socket.say("2")
        assert await socket.message() == "3"
    assert stage.server.sessions


@ensureDeferred
async def test_a_silent_polling_client_is_gone_when_it_must_be(serve: Serve) -> None:
    """A ping sent interval + timeout after the handshake finds no session."""
    stage = await serve(config=QUICK)

    async def ping_when_it_is_late() -> tuple[int, int, str]:
        peer = await stage.peer()
        packet = (await peer.ask(TEXT)).text.partition(":0")[2]
        await turn(QUICK.ping_interval + QUICK.ping_timeout)
        target = f"{TEXT}&sid={json.loads(packet)['sid']}"
        return (await peer.ask(target, "POST", b"1:2")).error

    jobs = [ping_when_it_is_late() for _ in range(10)]
    assert await at_once(*jobs) == [SID_UNKNOWN] * 10
    assert stage.application.closed == [CloseReason.PING_TIMEOUT] * 10


@ensureDeferred
async def test_a_silent_websocket_client_is_gone(serve: Serve) -> None:
    """A client that never pings is disconnected; messages are no substitute."""
    stage = await serve(
        config=Config(allow_eio3=True, ping_interval=0.05, ping_timeout=0.1)
    )
    socket = await stage.websocket(WEBSOCKET)
    await socket.message()
    socket.say("4still here")
    await socket.lost()
    assert await stage.ended() is CloseReason.PING_TIMEOUT


@ensureDeferred
async def test_a_client_that_pongs_is_wrong(serve: Serve) -> None:
    """In revision 3 only the client pings: the other way round ends the session."""
    stage = await serve(config=OLD)
    peer, target = await polling(stage)
    await peer.ask(target, "POST", b"1:3")
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR


# Close.


@ensureDeferred
async def test_polling_client_closes(serve: Serve) -> None:
    """The POST is answered ok, the waiting GET by a noop, and the session is over."""
    stage = await serve(config=OLD)
    getter, target = await polling(stage)
    poster = await stage.peer()
    waiting = getter.ask(target)
    await until(lambda: stage.session.transport.writable)
    assert (await poster.ask(target, "POST", b"1:1")).text == "ok"
    assert (await waiting).text == "1:6"
    assert await stage.ended() is CloseReason.TRANSPORT_CLOSE
    assert (await getter.ask(target)).error == SID_UNKNOWN


@ensureDeferred
async def test_websocket_client_closes(serve: Serve) -> None:
    """A close packet ends the session and the WebSocket."""
    stage = await serve(config=OLD)
    socket = await stage.websocket(WEBSOCKET)
    await socket.message()
    socket.say("1")
    await socket.lost()
    assert await stage.ended() is CloseReason.TRANSPORT_CLOSE


@ensureDeferred
async def test_the_server_closes_a_polling_session(serve: Serve) -> None:
    """The next GET gets what is queued, and the close packet behind it."""
    stage = await serve(config=OLD)
    peer, target = await polling(stage)
    stage.session.send("last words")
    stage.session.close()
    assert (await peer.ask(target)).text == "11:4last words1:1"
    assert await stage.ended() is CloseReason.FORCED_CLOSE


# Upgrade.


@pytest.mark.parametrize("target", [POLLING, TEXT])
@ensureDeferred
async def test_a_session_moves_to_websocket(serve: Serve, target: str) -> None:
    """Probe, noop, upgrade; then messages, and before them nothing, go over it."""
    stage = await serve(config=OLD)
    peer, target = await polling(stage, target)
    socket = await probed(stage, target)
    assert (await peer.ask(target)).text == "1:6"
    socket.say("5")
    socket.say("4hello")
    assert await socket.message() == "4hello"
    assert stage.session.transport.name == "websocket"
    socket.say("2")
    assert await socket.message() == "3"


@ensureDeferred
async def test_what_waits_is_sent_first(serve: Serve) -> None:
    """What no GET fetched before the ``5`` arrives by WebSocket, in order."""
    stage = await serve(config=OLD)
    _, target = await polling(stage, POLLING)
    stage.session.send("a")
    socket = await probed(stage, target)
    stage.session.send(b"b")
    socket.say("5")
    socket.say("4c")
    assert [await socket.message() for _ in range(3)] == ["4a", b"\x04b", "4c"]


@ensureDeferred
async def test_polling_is_over_after_the_upgrade(serve: Serve) -> None:
    """A GET and another WebSocket are turned away, and harm nothing."""
    stage = await serve(config=OLD)
    peer, target = await polling(stage)
    socket = await probed(stage, target)
    socket.say("5")
    await until(lambda: stage.session.transport.name == "websocket")
    assert (await peer.ask(target)).error == BAD_REQUEST
    second = await stage.candidate(target)
    await second.lost()
    socket.say("4hello")
    assert await socket.message() == "4hello"

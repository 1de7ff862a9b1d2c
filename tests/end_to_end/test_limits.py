"""Limits on what one client may send: a POST's body, a WebSocket's messages."""

from __future__ import annotations

import pytest
from peers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    POLLING,
    TEXT,
    WEBSOCKET,
    HttpPeer,
    frame,
    http_request,
    upgrade_request,
)
from pytest_twisted import ensureDeferred
from stages import Serve, Stage, turn, until
from twisted.internet import reactor

from twisted_engineio import CloseReason, Config, Observer, PayloadTooLarge

LIMIT = 100_000
SMALL = Config(max_payload=LIMIT)


class Watcher(Observer):
    """Remembers what was refused for its size."""

    def __init__(self) -> None:
        self.refused: list[tuple[int, int]] = []

    def payload_refused(self, error: PayloadTooLarge) -> None:
        """Remember size and limit."""
        self.refused.append((error.size, error.limit))


async def goes_on(stage: Stage, target: str) -> None:
    """The session still takes messages, and has had none so far."""
    peer = await stage.peer()
    assert (await peer.ask(target, "POST", b"4on")).text == "ok"
    assert stage.application.received == ["on"]


# POST.


@ensureDeferred
async def test_a_post_of_max_payload_bytes_is_taken(
    serve: Serve, own_site: bool
) -> None:
    """The limit is inclusive, in bytes."""
    stage = await serve(config=SMALL, own_site=own_site)
    peer, target = await stage.polling()
    assert (await peer.ask(target, "POST", b"4" + bytes(LIMIT - 1))).text == "ok"
    assert len(stage.application.received[0]) == LIMIT - 1


@ensureDeferred
async def test_a_post_over_the_limit_is_413(serve: Serve, own_site: bool) -> None:
    """One byte more is refused with an empty body, and the session goes on."""
    stage = await serve(config=SMALL, own_site=own_site)
    peer, target = await stage.polling()
    answer = await peer.ask(target, "POST", b"4" + bytes(LIMIT))
    assert (answer.status, answer.body) == (413, b"")
    await goes_on(stage, target)


@ensureDeferred
async def test_a_post_over_the_limit_is_413_before_its_body(serve: Serve) -> None:
    """Its Content-Length is enough; observers are told size and limit."""
    watcher = Watcher()
    stage = await serve(config=SMALL, observers=[watcher])
    peer, target = await stage.polling()
    announced = f"Content-Length: {LIMIT + 1}"
    answer = await peer.ask(target, "POST", headers=[announced])
    assert (answer.status, answer.body) == (413, b"")
    assert watcher.refused == [(LIMIT + 1, LIMIT)]
    await goes_on(stage, target)


@pytest.mark.parametrize("target", [POLLING, f"{POLLING}&sid=nobody"])
@ensureDeferred
async def test_a_post_of_nobody_is_413_too(serve: Serve, target: str) -> None:
    """No session is needed for a body to be too large."""
    stage = await serve(config=SMALL)
    peer = await stage.peer()
    answer = await peer.ask(target, "POST", headers=["Content-Length: 999999999999"])
    assert answer.status == 413


@ensureDeferred
async def test_the_client_of_a_413_may_finish_its_body(serve: Serve) -> None:
    """What it still sends is thrown away, and the connection serves on."""
    stage = await serve(config=SMALL)
    peer, target = await stage.polling()
    announced = f"Content-Length: {LIMIT + 1}"
    assert (await peer.ask(target, "POST", headers=[announced])).status == 413
    peer.write(bytes(LIMIT + 1))
    assert (await peer.ask(target, "POST", b"4next")).text == "ok"
    assert stage.application.received == ["next"]


@ensureDeferred
async def test_a_chunked_post_is_cut_at_the_limit(serve: Serve) -> None:
    """A body without a length is refused the moment it passes the limit."""
    watcher = Watcher()
    stage = await serve(config=SMALL, observers=[watcher])
    peer, target = await stage.polling()
    waiting = peer.ask(target, "POST", headers=["Transfer-Encoding: chunked"])
    peer.write(b"%x\r\n%b\r\n" % (LIMIT, bytes(LIMIT)))
    await turn(0.05)
    assert not waiting.called
    peer.write(b"1\r\nx\r\n")
    answer = await waiting
    assert (answer.status, answer.body) == (413, b"")
    assert watcher.refused == [(LIMIT + 1, LIMIT)]
    await goes_on(stage, target)


@ensureDeferred
async def test_a_chunked_post_within_the_limit_is_taken(serve: Serve) -> None:
    """Chunks are put together, wherever they are cut."""
    stage = await serve(config=SMALL)
    peer, target = await stage.polling()
    waiting = peer.ask(target, "POST", headers=["Transfer-Encoding: chunked"])
    for byte in "4é€😀".encode():
        peer.write(b"1\r\n%c\r\n" % byte)
    peer.write(b"0\r\n\r\n")
    assert (await waiting).text == "ok"
    assert stage.application.received == ["é€😀"]


@ensureDeferred
async def test_a_chunked_post_without_end_is_cut_off(serve: Serve) -> None:
    """A client that goes on and on after its 413 loses its connection."""
    stage = await serve(config=Config(max_payload=10_000))
    peer, target = await stage.polling()
    waiting = peer.ask(target, "POST", headers=["Transfer-Encoding: chunked"])
    for _ in range(40):
        peer.write(b"2710\r\n%b\r\n" % bytes(10_000))
    assert (await waiting).status in (413, 0)
    await peer.lost()
    await goes_on(stage, target)


@ensureDeferred
async def test_a_body_shorter_than_it_says_is_not_delivered(serve: Serve) -> None:
    """A POST broken off ends its session, and the part that came is thrown away."""
    stage = await serve()
    peer, target = await stage.polling()
    peer.send(target, "POST", headers=["Content-Length: 20"])
    peer.write(b"4whole\x1e4ha")
    peer.leave()
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR
    assert stage.application.received == []


@ensureDeferred
async def test_a_body_longer_than_it_says_is_another_request(serve: Serve) -> None:
    """What is over is read as HTTP, which it isn't; the session is unharmed."""
    stage = await serve()
    peer, target = await stage.polling()
    peer.write(http_request(target, "POST", b"4hi") + b"and more\r\n\r\n")
    assert (await peer.answer()).text == "ok"
    assert (await peer.answer()).status == 400
    await peer.lost()
    assert stage.application.received == ["hi"]
    assert stage.server.sessions


LIES = [
    ["Content-Length: -1"],
    ["Content-Length: +3"],
    ["Content-Length: 3x"],
    ["Content-Length: 0x3"],
    ["Content-Length: ٣"],
    ["Content-Length: 3, 4"],
    ["Content-Length: 3", "Content-Length: 4"],
    ["Content-Length: 3", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked", "Content-Length: 3"],
    ["Transfer-Encoding: gzip"],
]


@pytest.mark.parametrize("headers", LIES)
@ensureDeferred
async def test_a_length_that_cannot_be_is_400(serve: Serve, headers: list[str]) -> None:
    """A body whose end is doubtful is refused by HTTP, and delivered to nobody."""
    stage = await serve()
    peer, target = await stage.polling()
    lines = [f"POST {target} HTTP/1.1", "Host: localhost", *headers, "", "4hi"]
    peer.write("\r\n".join(lines).encode())
    assert (await peer.answer()).status in (400, 501)
    await peer.lost()
    assert stage.application.received == []


@ensureDeferred
async def test_a_client_that_waits_to_be_asked_is_asked(serve: Serve) -> None:
    """``Expect: 100-continue`` on a body that is welcome: go on."""
    stage = await serve()
    peer, target = await stage.polling()
    expect = ["Expect: 100-continue", "Content-Length: 6"]
    assert (await peer.ask(target, "POST", headers=expect)).status == 100
    peer.write(b"4hello")
    assert (await peer.answer()).text == "ok"
    assert stage.application.received == ["hello"]


@ensureDeferred
async def test_a_client_that_waits_to_be_asked_is_told_no(serve: Serve) -> None:
    """``Expect: 100-continue`` on a body that is too large: 413, and never a 100."""
    stage = await serve(config=SMALL)
    peer, target = await stage.polling()
    expect = ["Expect: 100-continue", f"Content-Length: {LIMIT + 1}"]
    assert (await peer.ask(target, "POST", headers=expect)).status == 413
    await goes_on(stage, target)


# WebSocket.


async def raw_websocket(stage: Stage) -> HttpPeer:
    """Open a WebSocket session whose frames are written by hand."""
    peer = await stage.peer()
    peer.write(upgrade_request())
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[0] == TEXT
    return peer


def code_in(said: tuple[int, bytes]) -> tuple[int, bytes]:
    """Read a close frame: its code, and the reason behind it."""
    opcode, payload = said
    assert opcode == CLOSE, said
    return int.from_bytes(payload[:2], "big"), payload[2:]


@ensureDeferred
async def test_a_message_of_max_payload_bytes_is_taken(serve: Serve) -> None:
    """The limit is inclusive, for the frame as it is sent."""
    stage = await serve(config=SMALL)
    peer = await raw_websocket(stage)
    peer.write(frame(BINARY, bytes(LIMIT)))
    assert await peer.frame() == (BINARY, bytes(LIMIT))


@pytest.mark.parametrize(
    "frames",
    [
        [frame(BINARY, bytes(LIMIT + 1))],
        [frame(TEXT, b"4" * (LIMIT + 1))],
        [frame(BINARY, b"", length=LIMIT + 1)],
        [frame(BINARY, b"", length=2**62)],
        [frame(BINARY, bytes(LIMIT), fin=False), frame(CONTINUATION, b"x")],
        [
            frame(BINARY, bytes(LIMIT // 2), fin=False),
            frame(CONTINUATION, bytes(LIMIT // 2), fin=False),
            frame(CONTINUATION, b"x", fin=False),
        ],
        [frame(BINARY, b"x", fin=False), frame(CONTINUATION, b"", length=LIMIT)],
    ],
    ids=[
        "binary",
        "text",
        "header",
        "huge header",
        "2 parts",
        "3 parts",
        "last header",
    ],
)
@ensureDeferred
async def test_a_message_over_the_limit_is_1009(
    serve: Serve, frames: list[bytes]
) -> None:
    """However it is cut, and before it is there: 1009, nothing of it delivered."""
    watcher = Watcher()
    stage = await serve(config=SMALL, observers=[watcher])
    peer = await raw_websocket(stage)
    for each in frames:
        peer.write(each)
    assert code_in(await peer.frame()) == (1009, b"")
    assert await stage.ended() is CloseReason.PAYLOAD_TOO_LARGE
    assert stage.application.received == []
    [(size, limit)] = watcher.refused
    assert size > limit == LIMIT


@ensureDeferred
async def test_a_message_of_many_frames_is_taken(serve: Serve) -> None:
    """A message may be cut into as many frames as there may be."""
    stage = await serve(config=Config(max_fragments=100))
    peer = await raw_websocket(stage)
    peer.write(frame(TEXT, b"4", fin=False))
    peer.write(frame(CONTINUATION, b"x", fin=False) * 98)
    peer.write(frame(CONTINUATION, b"x"))
    assert await peer.frame() == (TEXT, b"4" + b"x" * 99)


@ensureDeferred
async def test_a_flood_of_fragments_is_cheap(serve: Serve) -> None:
    """A message of endless empty frames ends, and others are served meanwhile."""
    stage = await serve(config=Config(max_fragments=1000, close_timeout=0.2))
    other = await stage.websocket()
    await other.message()
    peer = await raw_websocket(stage)
    peer.write(frame(TEXT, b"4", fin=False))
    empty = frame(CONTINUATION, b"", fin=False, masked=False)
    masked = bytes([empty[0], 0x80, 1, 2, 3, 4])
    peer.write(masked * 1_000_000)
    began = reactor.seconds()
    other.say("4hello")
    assert await other.message() == "4hello"
    assert code_in(await peer.frame())[0] == 1008
    await peer.lost()
    assert reactor.seconds() - began < 10.0  # else it hangs
    assert stage.application.closed == [CloseReason.TRANSPORT_ERROR]


# Sent ahead.


@ensureDeferred
async def test_frames_behind_the_upgrade_request_are_not_lost(serve: Serve) -> None:
    """A client need not wait for the 101 to send."""
    stage = await serve()
    peer = await stage.peer()
    peer.write(
        upgrade_request(WEBSOCKET) + frame(TEXT, b"4early") + frame(BINARY, b"!")
    )
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[1][:1] == b"0"
    assert await peer.frame() == (TEXT, b"4early")
    assert await peer.frame() == (BINARY, b"!")


@ensureDeferred
async def test_large_frames_behind_the_probe_request_are_not_lost(serve: Serve) -> None:
    """The steps of an upgrade, and what follows, in one write of 200 KB."""
    stage = await serve()
    _, target = await stage.polling()
    peer = await stage.peer()
    steps = [frame(TEXT, b"2probe"), frame(TEXT, b"5"), frame(BINARY, bytes(200_000))]
    target = target.replace("=polling", "=websocket")
    peer.write(upgrade_request(target) + b"".join(steps))
    assert (await peer.answer()).status == 101
    assert await peer.frame() == (TEXT, b"3probe")
    assert await peer.frame() == (BINARY, bytes(200_000))
    await until(lambda: stage.session.transport.name == "websocket")

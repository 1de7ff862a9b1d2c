"""Hostile WebSockets: bad handshakes, bad packets, and frames that break the rules."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from peers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    WEBSOCKET,
    HttpPeer,
    frame,
    upgrade_request,
)
from pytest_twisted import ensureDeferred
from stages import Serve, Stage, turn, until
from twisted.internet import reactor

from twisted_engineio import CloseReason, Config


async def raw_websocket(stage: Stage) -> HttpPeer:
    """Open a WebSocket session whose frames are written by hand."""
    peer = await stage.peer()
    peer.write(upgrade_request())
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[0] == TEXT
    return peer


async def code_of(peer: HttpPeer) -> int:
    """Wait for the close frame: its code."""
    opcode, payload = await peer.frame()
    assert opcode == CLOSE, (opcode, payload)
    return int.from_bytes(payload[:2], "big")


KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = "Sec-WebSocket-Version: 13"
UPGRADE = "Upgrade: websocket"
CONNECTION = "Connection: Upgrade"


@pytest.mark.parametrize(
    "headers",
    [
        [UPGRADE, CONNECTION, VERSION],
        [UPGRADE, CONNECTION, KEY],
        [UPGRADE, VERSION, KEY],
        [UPGRADE, CONNECTION, KEY, "Sec-WebSocket-Version: 99"],
        [UPGRADE, CONNECTION, KEY, "Sec-WebSocket-Version: x"],
        [UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: short"],
        [UPGRADE, CONNECTION, VERSION, KEY, KEY],
        ["Upgrade: h2c", CONNECTION, VERSION, KEY],
        [UPGRADE, CONNECTION, VERSION, KEY, "Sec-WebSocket-Protocol: a,a"],
        [UPGRADE, CONNECTION, VERSION, KEY, "Sec-WebSocket-Extensions: ;;="],
    ],
)
@ensureDeferred
async def test_a_bad_handshake_opens_nothing(serve: Serve, headers: list[str]) -> None:
    """A request that is not quite an upgrade is refused by HTTP, or taken as it is."""
    stage = await serve()
    peer = await stage.peer()
    answer = await peer.ask(WEBSOCKET, headers=headers)
    if answer.status == 101:
        assert headers[:4] == [UPGRADE, CONNECTION, VERSION, KEY]
        return
    assert 400 <= answer.status < 500
    assert not stage.application.opened
    assert not stage.server.sessions


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
@ensureDeferred
async def test_only_a_get_is_upgraded(serve: Serve, method: str) -> None:
    """Another method with an upgrade's headers is refused."""
    stage = await serve()
    peer = await stage.peer()
    request = upgrade_request().replace(b"GET", method.encode(), 1)
    peer.write(request)
    if method == "HEAD":
        peer.leave()
        await peer.lost()
    else:
        assert (await peer.answer()).status == 400
    assert not stage.application.opened


@ensureDeferred
async def test_http_1_0_is_not_upgraded(serve: Serve) -> None:
    """WebSocket needs HTTP/1.1, and who has less is told so."""
    stage = await serve()
    peer = await stage.peer()
    peer.write(upgrade_request().replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    assert 400 <= (await peer.answer()).status < 600
    await peer.lost()
    assert not stage.server.sessions


@pytest.mark.parametrize(
    "data", ["9foo", "", "٣", "²", "b=", "bAQ", "b AQ==", "b😀", "-1", " 4", "\x1e"]
)
@ensureDeferred
async def test_a_bad_packet_ends_its_session(serve: Serve, data: str) -> None:
    """Nothing is delivered, and the reason is a parse error."""
    stage = await serve()
    peer = await raw_websocket(stage)
    peer.write(frame(TEXT, data.encode()) + frame(TEXT, b"4after"))
    assert (await peer.frame())[0] == CLOSE
    assert await stage.ended() is CloseReason.PARSE_ERROR
    assert stage.application.received == []


BROKEN = {
    "unmasked": (frame(TEXT, b"4x", masked=False), 1002),
    "reserved bit 1": (frame(TEXT, b"4x", reserved=4), 1002),
    "reserved bit 2": (frame(TEXT, b"4x", reserved=2), 1002),
    "reserved bit 3": (frame(BINARY, b"x", reserved=1), 1002),
    **{f"opcode {each}": (frame(each, b"x"), 1002) for each in (3, 7, 11, 15)},
    "continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "message in a message": (frame(TEXT, b"4", fin=False) + frame(TEXT, b"4"), 1002),
    "ping in pieces": (frame(PING, b"x", fin=False), 1002),
    "ping of 126 bytes": (frame(PING, bytes(126)), 1002),
    "close of one byte": (frame(CLOSE, b"x"), 1002),
    **{
        f"close code {each}": (frame(CLOSE, each.to_bytes(2, "big")), 1002)
        for each in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)
    },
    "close reason not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "text not UTF-8": (frame(TEXT, b"4\xff"), 1007),
    "text with a surrogate": (frame(TEXT, b"4\xed\xa0\x80"), 1007),
    "text cut in a character": (frame(TEXT, b"4\xc3"), 1007),
    "length over 63 bits": (frame(TEXT, b"", length=2**64 - 1), 1002),
    "length of 4 EiB": (frame(BINARY, b"", length=2**62), 1009),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
@ensureDeferred
async def test_a_frame_that_breaks_the_rules_ends_the_session(
    serve: Serve, data: bytes, code: int
) -> None:
    """RFC 6455's code for it, the connection closed, the session over, no message."""
    stage = await serve()
    peer = await raw_websocket(stage)
    peer.write(data)
    assert await code_of(peer) == code
    reasons = {
        1002: CloseReason.TRANSPORT_ERROR,
        1007: CloseReason.PARSE_ERROR,
        1009: CloseReason.PAYLOAD_TOO_LARGE,
    }
    assert await stage.ended() is reasons[code]
    assert stage.application.received == []


@ensureDeferred
async def test_every_byte_may_come_alone(serve: Serve) -> None:
    """A connection read byte by byte says the same as one read at once."""
    stage = await serve()
    peer = await stage.peer()
    for byte in (
        upgrade_request() + frame(TEXT, "4é€😀".encode()) + frame(BINARY, b"xyz")
    ):
        peer.write(bytes([byte]))
    assert (await peer.answer()).status == 101
    await peer.frame()
    assert await peer.frame() == (TEXT, "4é€😀".encode())
    assert await peer.frame() == (BINARY, b"xyz")


@ensureDeferred
async def test_websocket_pings_are_answered(serve: Serve) -> None:
    """RFC 6455's own ping gets its pong, also between the parts of a message."""
    stage = await serve()
    peer = await raw_websocket(stage)
    peer.write(frame(TEXT, b"4a", fin=False) + frame(PING, b"are you there"))
    assert (await peer.frame())[1] == b"are you there"
    peer.write(frame(CONTINUATION, b"b"))
    assert await peer.frame() == (TEXT, b"4ab")


EXTENSIONS = "sec-websocket-extensions"
DEFLATE = ["Sec-WebSocket-Extensions: permessage-deflate"]


def deflated(size: int) -> bytes:
    """Compress so many zeros as a permessage-deflate message; RFC 7692, 7.2.1."""
    deflate = zlib.compressobj(wbits=-15)
    step = bytes(1_000_000)
    parts = [deflate.compress(step) for _ in range(size // len(step))]
    parts.append(deflate.compress(bytes(size % len(step))))
    return b"".join([*parts, deflate.flush(zlib.Z_SYNC_FLUSH)])[:-4]


@ensureDeferred
async def test_compression_is_off(serve: Serve) -> None:
    """An extension that nobody switched on is not agreed to."""
    stage = await serve()
    peer = await stage.peer()
    peer.write(upgrade_request(headers=DEFLATE))
    answer = await peer.answer()
    assert answer.status == 101
    assert EXTENSIONS not in answer.headers
    peer.write(frame(BINARY, deflated(10), reserved=4))
    await peer.frame()
    assert await code_of(peer) == 1002


@pytest.mark.parametrize(("size", "good"), [(100_000, True), (100_001, False)])
@ensureDeferred
async def test_the_limit_is_of_what_was_compressed(
    serve: Serve, size: int, good: bool
) -> None:
    """What counts are the bytes of a message as it was before it was compressed."""
    config = Config(per_message_deflate=True, max_payload=100_000)
    stage = await serve(config=config)
    peer = await stage.peer()
    peer.write(upgrade_request(headers=DEFLATE))
    assert "permessage-deflate" in (await peer.answer()).headers[EXTENSIONS]
    await peer.frame()
    peer.write(frame(BINARY, deflated(size), reserved=4))
    if good:
        await until(lambda: stage.application.received == [bytes(size)])
    else:
        assert await code_of(peer) == 1009
        assert await stage.ended() is CloseReason.PAYLOAD_TOO_LARGE


@pytest.mark.parametrize("parts", [1, 100])
@ensureDeferred
async def test_a_bomb_does_not_go_off(serve: Serve, parts: int) -> None:
    """400 MB of zeros in a frame of 400 KB are never all in memory: 1009, soon."""
    stage = await serve(config=Config(per_message_deflate=True))
    peer = await stage.peer()
    peer.write(upgrade_request(headers=DEFLATE))
    await peer.answer()
    await peer.frame()
    bomb = deflated(400_000_000)
    step = len(bomb) // parts + 1
    pieces = [bomb[start : start + step] for start in range(0, len(bomb), step)]
    tracemalloc.start()
    began = reactor.seconds()
    for number, piece in enumerate(pieces):
        opcode, reserved = (CONTINUATION, 0) if number else (BINARY, 4)
        last = number == len(pieces) - 1
        peer.write(frame(opcode, piece, fin=last, reserved=reserved))
    code = await code_of(peer)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == 1009
    assert reactor.seconds() - began < 10.0  # else it hangs
    assert peak < 20_000_000
    assert await stage.ended() is CloseReason.PAYLOAD_TOO_LARGE


@ensureDeferred
async def test_no_memory_is_reserved_for_a_length(serve: Serve) -> None:
    """A header that announces max_payload bytes costs nothing until they come."""
    stage = await serve(config=Config(max_payload=500_000_000))
    peer = await raw_websocket(stage)
    tracemalloc.start()
    peer.write(frame(BINARY, b"x", length=500_000_000))
    await turn(0.05)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert stage.session

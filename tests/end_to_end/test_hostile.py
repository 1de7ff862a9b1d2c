"""Hostile requests: whatever HTTP brings gets a clear answer, and harms nobody."""

from __future__ import annotations

import random
import re
import tempfile
from typing import Any

import pytest
from peers import HUNG_UP, POLLING, WEBSOCKET, frame, http_request, upgrade_request
from pytest_twisted import ensureDeferred
from stages import Logged, Recorder, Serve, Stage, turn, until
from twisted.internet import reactor
from twisted.logger import eventAsText, globalLogPublisher

from twisted_engineio import CloseReason, Config, Session


async def is_unharmed(stage: Stage, target: str) -> None:
    """The session of that target still takes messages and polls."""
    peer = await stage.peer()
    assert (await peer.ask(target, "POST", b"4fine")).text == "ok"
    assert (await peer.ask(target)).text == "4fine"


# 1. Many small packets.


@pytest.mark.parametrize("packet", [b"4", b"6", b"b"])
@ensureDeferred
async def test_a_payload_of_the_smallest_packets_is_taken(
    serve: Serve, packet: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a million packets in a megabyte, where that many are allowed."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    application = Recorder()
    config = Config(max_payload=1_000_000, max_packets=500_000)
    stage = await serve(application, config)
    peer, target = await stage.polling()
    body = b"\x1e".join([packet] * 500_000)
    assert (await peer.ask(target, "POST", body)).text == "ok"
    assert len(application.received) == (0 if packet == b"6" else 500_000)


# 3. Queries.

STRANGE = ["", "__proto__", "__class__", "%ff", "%00", "a" * 8000, "%F0%9F%98%80"]


@pytest.mark.parametrize("value", STRANGE, ids=range(len(STRANGE)))
@pytest.mark.parametrize("key", ["transport", "sid", "EIO"])
@ensureDeferred
async def test_a_strange_value_is_a_clean_400(
    serve: Serve, key: str, value: str
) -> None:
    """Of a repeated key the last counts, and if it makes no sense that is said."""
    stage = await serve()
    peer = await stage.peer()
    answer = await peer.ask(f"{POLLING}&{key}=x&{key}={value}")
    if (key, value) == ("sid", ""):
        assert answer.sid  # an empty sid is a handshake
    else:
        assert answer.error[0] == 400
        assert not stage.application.opened


@pytest.mark.parametrize("value", STRANGE, ids=range(len(STRANGE)))
@ensureDeferred
async def test_a_strange_timestamp_is_noise(serve: Serve, value: str) -> None:
    """``t`` and unknown keys may hold anything, any number of times."""
    stage = await serve()
    peer = await stage.peer()
    assert (await peer.ask(f"{POLLING}&t=x&t={value}&unknown&=&&")).sid
    assert (await peer.ask(f"{POLLING}&{value}=1&{value}=2")).sid


@pytest.mark.parametrize("byte", ["\xff", "\x00", "\t", " "])
@ensureDeferred
async def test_a_byte_that_no_url_has_is_400(serve: Serve, byte: str) -> None:
    """twisted.web refuses it before anybody looks at the query."""
    stage = await serve()
    peer = await stage.peer()
    assert (await peer.ask(f"{POLLING}&t={byte}")).status == 400
    await peer.lost()


# 4. Methods and content types.


@pytest.mark.parametrize(
    "method", ["HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "BREW", "get"]
)
@ensureDeferred
async def test_every_method_gets_an_answer(
    serve: Serve, method: str, own_site: bool
) -> None:
    """None is held: code 2 without a session, 405 with one, which is unharmed."""
    stage = await serve(own_site=own_site)
    peer, target = await stage.polling()
    answer = await peer.ask(POLLING, method)
    assert answer.status == 400
    if method != "HEAD":
        assert answer.error == (400, 2, "Bad handshake method")
    assert (await peer.ask(target, method)).status == 405
    await is_unharmed(stage, target)
    assert len(stage.application.opened) == 1


@ensureDeferred
async def test_options_is_answered(serve: Serve, own_site: bool) -> None:
    """A preflight is answered at once, with and without a session."""
    stage = await serve(own_site=own_site)
    peer, target = await stage.polling()
    assert (await peer.ask(POLLING, "OPTIONS")).status == 204
    assert (await peer.ask(target, "OPTIONS")).status == 204
    assert (await peer.ask("/engine.io/", "OPTIONS")).status == 204
    await is_unharmed(stage, target)


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain;charset=UTF-8",
        "text/html",
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "\xff\xff",
        ";;;",
        "",
    ],
)
@ensureDeferred
async def test_every_content_type_is_text(serve: Serve, kind: str) -> None:
    """What a POST calls its body does not matter."""
    stage = await serve()
    peer, target = await stage.polling()
    headers = [f"Content-Type: {kind}"]
    assert (await peer.ask(target, "POST", b"4a=b&c", headers)).text == "ok"
    assert stage.application.received == ["a=b&c"]


@ensureDeferred
async def test_octets_are_refused(serve: Serve, own_site: bool) -> None:
    """Binary payloads are revision 3: 400, and the session ends."""
    stage = await serve(own_site=own_site)
    peer, target = await stage.polling()
    headers = ["Content-Type: application/octet-stream"]
    assert (await peer.ask(target, "POST", b"4a", headers)).status == 400
    assert await stage.ended() is CloseReason.PARSE_ERROR
    assert stage.application.received == []


@ensureDeferred
async def test_a_browsers_headers_are_no_trouble(serve: Serve) -> None:
    """A dozen headers, folded, repeated or in any case, change nothing."""
    stage = await serve()
    peer, target = await stage.polling()
    headers = [
        "User-Agent: Mozilla/5.0",
        "ACCEPT: */*",
        "accept-language: en",
        "Accept: Transfer-Encoding: chunked",
        "Sec-Fetch-Mode: cors",
        "Content-type: text/plain;charset=UTF-8",
        "Connection: keep-alive",
        "Referer: http://localhost/",
        "Pragma: no-cache",
        "X-Other: kept",
    ]
    for number in range(3):
        body = b"4%d" % number
        assert (await peer.ask(target, "POST", body, headers)).text == "ok"
        assert (await peer.ask(target, headers=headers)).text == f"4{number}"


# 5. Pongs.


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@ensureDeferred
async def test_unsolicited_pongs_arm_no_timers(serve: Serve, transport: str) -> None:
    """100,000 pongs that nobody asked for leave the delayed calls as they were."""
    stage = await serve(config=Config(max_packets=100_000))
    if transport == "polling":
        peer, target = await stage.polling()
        timers = len(reactor.getDelayedCalls())
        await peer.ask(target, "POST", b"\x1e".join([b"3"] * 100_000))
    else:
        peer = await stage.peer()
        peer.write(upgrade_request())
        await peer.answer()
        await peer.frame()
        timers = len(reactor.getDelayedCalls())
        peer.write(frame(1, b"3") * 100_000 + frame(1, b"4end"))
        await peer.frame()
    assert len(reactor.getDelayedCalls()) == timers
    assert stage.session


# 9. Bad packets.


@pytest.mark.parametrize(
    "body",
    [
        b"9foo",
        b"",
        b"\x1e",
        b"\x1e4a",
        "٣".encode(),
        "²".encode(),
        b"b=",
        b"bAQ",
        b"b AQ==",
        b"bAQ==\n",
        b"b\xf0\x9f\x98\x80",
        b"\xff4a",
        b"4\xff",
        b"4\xed\xa0\x80",
        b"\xef\xbb\xbf4a",
        b"-1",
        b" 4",
    ],
)
@ensureDeferred
async def test_a_bad_packet_ends_its_session(
    serve: Serve, body: bytes, own_site: bool
) -> None:
    """By polling: 400, nothing delivered, and the reason is a parse error."""
    stage = await serve(own_site=own_site)
    peer, target = await stage.polling()
    assert (await peer.ask(target, "POST", body)).status == 400
    assert await stage.ended() is CloseReason.PARSE_ERROR
    assert stage.application.received == []


# 10. Injection.


@pytest.mark.parametrize("key", ["transport", "sid", "EIO", "t", "j", "b64"])
@ensureDeferred
async def test_nothing_of_a_query_is_echoed(serve: Serve, key: str) -> None:
    """CR and LF reach no header, and an answer says nothing of what was asked."""
    stage = await serve(config=Config(cors=["*"]))
    evil = "%0d%0aX-Evil:evil%0d%0a%0d%0a<script>evil</script>"
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        peer = await stage.peer()
        answer = await peer.ask(f"{POLLING}&{key}={evil}", method)
        assert "x-evil" not in answer.headers
        assert b"evil" not in answer.body
        peer.drop()
    peer = await stage.peer()
    peer.write(upgrade_request(f"{WEBSOCKET}&{key}={evil}"))
    answer = await peer.answer()
    assert "x-evil" not in answer.headers
    assert b"evil" not in answer.body


# 14. Session ids.


@ensureDeferred
async def test_ids_cannot_be_guessed_or_chosen(serve: Serve) -> None:
    """120 random bits, URL-safe, never the client's own."""
    stage = await serve()
    peer = await stage.peer()
    ids = [(await peer.ask(POLLING)).sid for _ in range(200)]
    assert len(set(ids)) == 200
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{20}", each) for each in ids)
    columns = [len(set(column)) for column in zip(*ids, strict=True)]
    assert min(columns) > 40
    assert (await peer.ask(f"{POLLING}&sid={'A' * 20}")).error[1] == 1


class Failing(Recorder):
    """Fails at every message."""

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Fail."""
        raise ZeroDivisionError


@ensureDeferred
async def test_logs_show_only_the_beginning_of_an_id(
    serve: Serve, logged: Logged
) -> None:
    """Whatever is logged of a session, its id stays a secret."""
    texts: list[str] = []

    def observe(event: Any) -> None:
        texts.append(eventAsText(event, includeTraceback=False))

    globalLogPublisher.addObserver(observe)
    try:
        stage = await serve(Failing())
        peer, target = await stage.polling()
        sid = stage.session.sid
        await peer.ask(target, "PUT")
        await peer.ask(target.replace("EIO=4", "EIO=3"))
        await peer.ask(target, "POST", b"4x")
        await peer.ask(target)
        assert await stage.ended() is CloseReason.APPLICATION_ERROR
    finally:
        globalLogPublisher.removeObserver(observe)
    assert len(logged.take(ZeroDivisionError)) == 1
    assert any(sid[:6] in each for each in texts)
    assert not any(sid in each for each in texts)


# And whatever nobody has thought of.


@pytest.mark.parametrize("seed", range(10))
@ensureDeferred
async def test_mutilated_requests_do_no_harm(serve: Serve, seed: int) -> None:
    """Requests with bytes changed, left out or put in get an answer, or none."""
    stage = await serve(config=Config(request_timeout=0.3))
    _, target = await stage.polling()
    chance = random.Random(seed)
    for _ in range(30):
        request = bytearray(
            chance.choice(
                [
                    http_request(POLLING, "POST", b"4hello"),
                    http_request(target, "POST", b"4hello\x1ebAQ=="),
                    http_request(target),
                    upgrade_request(),
                    upgrade_request(target.replace("=polling", "=websocket")),
                ]
            )
        )
        for _ in range(chance.randint(1, 4)):
            start = chance.randrange(len(request))
            end = start + chance.randint(0, 3)
            request[start:end] = chance.randbytes(chance.randint(0, 3))
        peer = await stage.peer()
        peer.write(bytes(request))
        peer.leave()
        await peer.lost()
    _, target = await stage.polling()
    await is_unharmed(stage, target)


@ensureDeferred
async def test_a_head_without_end_is_cut_off(serve: Serve) -> None:
    """More headers than a request may have end the connection."""
    stage = await serve()
    peer = await stage.peer()
    peer.write(http_request(POLLING, headers=["X: " + "y" * 1000] * 100))
    assert (await peer.answer()).status == 431
    await peer.lost()
    assert await peer.answer() is HUNG_UP
    await turn()
    await until(lambda: not stage.server.sessions)

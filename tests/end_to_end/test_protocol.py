"""Engine.IO protocol v4 as a client sees it: handshake, messages, heartbeat, close."""

from __future__ import annotations

import pytest
from peers import WEBSOCKET, upgrade_request
from pytest_twisted import ensureDeferred
from stages import Serve, turn, until
from treq.client import HTTPClient

from twisted_engineio import CloseReason, Config

QUICK = Config(ping_interval=0.3, ping_timeout=0.2)
EAGER = Config(ping_interval=0.05, ping_timeout=10.0)

TRANSPORT_UNKNOWN = (400, 0, "Transport unknown")
SID_UNKNOWN = (400, 1, "Session ID unknown")
BAD_METHOD = (400, 2, "Bad handshake method")
BAD_REQUEST = (400, 3, "Bad request")
BAD_VERSION = (400, 5, "Unsupported protocol version")


# Handshake.


@ensureDeferred
async def test_polling_opens_a_session(
    serve: Serve, http: HTTPClient, own_site: bool
) -> None:
    """The answer to the first GET is the open packet, in the wire's milliseconds."""
    stage = await serve(config=QUICK, own_site=own_site)
    response = await http.get(stage.polling_url)
    text = await response.text()
    assert response.code == 200
    assert response.headers.getRawHeaders("content-type") == [
        "text/plain; charset=UTF-8"
    ]
    assert response.headers.getRawHeaders("cache-control") == ["no-store"]
    assert text == (
        f'0{{"sid":"{stage.session.sid}","upgrades":["websocket"],'
        '"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}'
    )


@ensureDeferred
async def test_the_path_works_without_its_last_slash(
    serve: Serve, http: HTTPClient
) -> None:
    """Both forms of the path are the server; what is below it is not."""
    stage = await serve()
    for path, status in (("/engine.io", 200), ("/engine.io/x", 404), ("/", 404)):
        response = await http.get(f"{stage.host}{path}?EIO=4&transport=polling")
        await response.content()
        assert response.code == status


@ensureDeferred
async def test_websocket_opens_a_session(serve: Serve) -> None:
    """The first frame is the open packet, and there is nothing to upgrade to."""
    stage = await serve(config=QUICK)
    socket = await stage.websocket()
    assert await socket.message() == (
        f'0{{"sid":"{stage.session.sid}","upgrades":[],'
        '"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}'
    )


REFUSED = [
    ("GET", "?transport=polling", BAD_VERSION),
    ("GET", "?EIO=abc&transport=polling", BAD_VERSION),
    ("GET", "?EIO=3&transport=polling", BAD_VERSION),
    ("GET", "?EIO=5&transport=polling", BAD_VERSION),
    ("GET", "?EIO=4", TRANSPORT_UNKNOWN),
    ("GET", "?EIO=4&transport=abc", TRANSPORT_UNKNOWN),
    ("GET", "", TRANSPORT_UNKNOWN),
    ("GET", "?EIO=4&transport=websocket", BAD_REQUEST),
    ("POST", "?EIO=4&transport=polling", BAD_METHOD),
    ("PUT", "?EIO=4&transport=polling", BAD_METHOD),
    ("GET", "?EIO=4&transport=polling&sid=nobody", SID_UNKNOWN),
    ("POST", "?EIO=4&transport=polling&sid=nobody", SID_UNKNOWN),
    ("POST", "?EIO=4&transport=abc&sid=nobody", TRANSPORT_UNKNOWN),
]


@pytest.mark.parametrize(("method", "query", "error"), REFUSED)
@ensureDeferred
async def test_a_bad_request_is_refused_by_its_code(
    serve: Serve,
    http: HTTPClient,
    method: str,
    query: str,
    error: tuple[int, int, str],
) -> None:
    """Each error has its code and its words, as JSON, and opens no session."""
    stage = await serve()
    response = await http.request(method, f"{stage.host}/engine.io/{query}")
    said = await response.json()
    assert (response.code, said["code"], said["message"]) == error
    assert response.headers.getRawHeaders("content-type") == ["application/json"]
    assert not stage.application.opened


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?transport=websocket", "Unsupported protocol version"),
        ("?EIO=abc&transport=websocket", "Unsupported protocol version"),
        ("?EIO=4", "Transport unknown"),
        ("?EIO=4&transport=abc", "Transport unknown"),
        ("?EIO=4&transport=polling", "Bad request"),
        ("?EIO=4&transport=websocket&sid=nobody", "Session ID unknown"),
    ],
)
@ensureDeferred
async def test_a_bad_upgrade_is_refused_before_the_101(
    serve: Serve, query: str, words: str
) -> None:
    """A WebSocket that cannot be is refused by HTTP, and the connection ended."""
    stage = await serve()
    peer = await stage.peer()
    peer.write(upgrade_request("/engine.io/" + query))
    answer = await peer.answer()
    assert (answer.status, answer.text) == (400, words)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["connection"] == "close"
    await peer.lost()
    assert not stage.application.opened


# Messages.


@pytest.mark.parametrize(
    "payload",
    ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA==", "4\x1eb", "4😀é"],
)
@ensureDeferred
async def test_polling_echoes(
    serve: Serve, http: HTTPClient, own_site: bool, payload: str
) -> None:
    """What a POST delivers comes back by one GET: in order, text and binary."""
    stage = await serve(own_site=own_site)
    await (await http.get(stage.polling_url)).content()
    url = f"{stage.polling_url}&sid={stage.session.sid}"
    response = await http.post(url, data=payload.encode())
    assert (response.code, await response.text()) == (200, "ok")
    assert response.headers.getRawHeaders("content-type") == ["text/html"]
    response = await http.get(url)
    assert (response.code, await response.text(encoding="utf-8")) == (200, payload)


@ensureDeferred
async def test_a_waiting_get_is_answered_when_there_is_a_message(serve: Serve) -> None:
    """A poll waits, and is answered the moment the application sends."""
    stage = await serve()
    peer, target = await stage.polling()
    waiting = peer.ask(target)
    await turn(0.05)
    assert not waiting.called
    stage.session.send("now")
    assert (await waiting).text == "4now"


@ensureDeferred
async def test_polling_requests_share_their_connections(serve: Serve) -> None:
    """Keep-alive: a hundred polls and posts need two connections."""
    stage = await serve()
    getter, target = await stage.polling()
    poster = await stage.peer()
    for number in range(100):
        assert (await poster.ask(target, "POST", b"4%d" % number)).text == "ok"
        assert (await getter.ask(target)).text == f"4{number}"


@ensureDeferred
async def test_a_payload_with_a_bad_packet_ends_the_session(
    serve: Serve, own_site: bool
) -> None:
    """The packets before the bad one count; then GET, POST and session end."""
    stage = await serve(own_site=own_site)
    poster, target = await stage.polling()
    getter = await stage.peer()
    waiting = getter.ask(target)
    await until(lambda: stage.session.transport.writable)
    answer = await poster.ask(target, "POST", b"4good\x1eabc\x1e4after")
    assert answer.status == 400
    assert (await waiting).text in ("1", "4good\x1e1", "4good")
    assert await stage.ended() is CloseReason.PARSE_ERROR
    assert stage.application.received == ["good"]
    assert (await getter.ask(target)).error == SID_UNKNOWN


@ensureDeferred
async def test_a_second_poll_ends_the_session(serve: Serve, own_site: bool) -> None:
    """Two GETs at once: the first is told goodbye, the second is an error."""
    stage = await serve(own_site=own_site)
    first, target = await stage.polling()
    second = await stage.peer()
    waiting = first.ask(target)
    await until(lambda: stage.session.transport.writable)
    assert (await second.ask(target)).status == 400
    assert (await waiting).text == "1"
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR
    assert (await first.ask(target)).error == SID_UNKNOWN


@ensureDeferred
async def test_a_second_post_ends_the_session(serve: Serve) -> None:
    """Two POSTs at once: the session ends, and nothing of either is delivered."""
    stage = await serve()
    first, target = await stage.polling()
    second = await stage.peer()
    first.send(target, "POST", headers=["Content-Length: 6"])
    first.write(b"4hal")
    await turn(0.02)
    assert (await second.ask(target, "POST", b"4whole")).status == 400
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR
    first.write(b"f!")
    assert (await first.answer()).status == 400
    assert stage.application.received == []


@pytest.mark.parametrize("data", ["4hello", "4", "4😀é", b"\x01\x02\x03\x04", b""])
@ensureDeferred
async def test_websocket_echoes(serve: Serve, data: str | bytes) -> None:
    """A text packet and a binary one come back as they were sent."""
    stage = await serve()
    socket = await stage.websocket()
    await socket.message()
    socket.say(data)
    assert await socket.message() == data


@ensureDeferred
async def test_websocket_binary_is_text_for_a_client_that_asks(serve: Serve) -> None:
    """A handshake with b64=1 gets binary as base64, and may send it so."""
    stage = await serve()
    socket = await stage.websocket(WEBSOCKET + "&b64=1")
    await socket.message()
    socket.say("bAQIDBA==")
    assert await socket.message() == "bAQIDBA=="
    assert stage.application.received == [b"\x01\x02\x03\x04"]


@ensureDeferred
async def test_websocket_with_a_bad_packet_ends(serve: Serve) -> None:
    """A frame that is no packet closes the WebSocket and the session."""
    stage = await serve()
    socket = await stage.websocket()
    await socket.message()
    socket.say("abc")
    await socket.lost()
    assert await stage.ended() is CloseReason.PARSE_ERROR

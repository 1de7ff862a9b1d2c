"""How sessions end: closed by the client, by the server, or lost."""

from __future__ import annotations

from peers import HUNG_UP, PATH, POLLING
from pytest_twisted import ensureDeferred
from stages import Serve, until

from twisted_engineio import CloseReason, Config

SID_UNKNOWN = (400, 1, "Session ID unknown")


@ensureDeferred
async def test_polling_client_closes(serve: Serve, own_site: bool) -> None:
    """The POST is answered ok, the waiting GET by a noop, and the session is over."""
    stage = await serve(own_site=own_site)
    getter, target = await stage.polling()
    poster = await stage.peer()
    waiting = getter.ask(target)
    await until(lambda: stage.session.transport.writable)
    assert (await poster.ask(target, "POST", b"1")).text == "ok"
    assert (await waiting).text == "6"
    assert await stage.ended() is CloseReason.TRANSPORT_CLOSE
    assert (await getter.ask(target)).error == SID_UNKNOWN


@ensureDeferred
async def test_websocket_client_closes(serve: Serve) -> None:
    """A close packet ends the session; nothing behind it is handled."""
    stage = await serve()
    socket = await stage.websocket()
    await socket.message()
    socket.say("1")
    socket.say("4too late")
    await socket.lost()
    assert await stage.ended() is CloseReason.TRANSPORT_CLOSE
    assert stage.application.received == []


@ensureDeferred
async def test_websocket_client_closes_by_websocket(serve: Serve) -> None:
    """A close frame is as good as a close packet."""
    stage = await serve()
    socket = await stage.websocket()
    socket.sendClose(1000)
    await socket.lost()
    assert socket.code == 1000
    assert await stage.ended() is CloseReason.TRANSPORT_CLOSE


@ensureDeferred
async def test_a_client_that_drops_its_poll_is_gone(
    serve: Serve, own_site: bool
) -> None:
    """A TCP connection lost with a GET waiting ends the session at once."""
    stage = await serve(own_site=own_site)
    peer, target = await stage.polling()
    peer.send(target)
    await until(lambda: stage.session.transport.writable)
    peer.drop()
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR


@ensureDeferred
async def test_a_client_that_breaks_off_a_post_is_gone(serve: Serve) -> None:
    """The part of a POST that arrived is not delivered, and the session ends."""
    stage = await serve()
    peer, target = await stage.polling()
    peer.send(target, "POST", headers=["Content-Length: 100"])
    peer.write(b"4first\x1e4sec")
    peer.leave()
    assert await stage.ended() is CloseReason.TRANSPORT_ERROR
    assert stage.application.received == []


@ensureDeferred
async def test_the_server_closes_a_polling_session(serve: Serve) -> None:
    """The waiting GET gets what is queued, and the close packet behind it."""
    stage = await serve()
    peer, target = await stage.polling()
    stage.session.send("last words")
    stage.session.close()
    assert (await peer.ask(target)).text == "4last words\x1e1"
    assert await stage.ended() is CloseReason.FORCED_CLOSE


@ensureDeferred
async def test_the_last_words_wait_no_longer_than_they_must(serve: Serve) -> None:
    """A closed session whose client never polls again is over at close_timeout."""
    stage = await serve(config=Config(close_timeout=0.05))
    await stage.polling()
    stage.session.close()
    assert await stage.ended() is CloseReason.FORCED_CLOSE


@ensureDeferred
async def test_the_server_closes_a_websocket_session(serve: Serve) -> None:
    """The client gets what is queued, and then a close frame with code 1000."""
    stage = await serve()
    socket = await stage.websocket()
    await socket.message()
    stage.session.send("last words")
    stage.session.close()
    assert await socket.message() == "4last words"
    await socket.lost()
    assert socket.code == 1000
    assert await stage.ended() is CloseReason.FORCED_CLOSE


@ensureDeferred
async def test_stop_closes_every_session_and_refuses_new_ones(serve: Serve) -> None:
    """When a server stops, all its clients hear of it, and none can come."""
    stage = await serve()
    peer, target = await stage.polling()
    socket = await stage.websocket()
    waiting = peer.ask(target)
    await until(lambda: len(stage.server.sessions) == 2)
    await stage.server.stop()
    assert (await waiting).text == "1"
    await socket.lost()
    assert stage.application.closed == [CloseReason.SERVER_CLOSE] * 2
    assert (await peer.ask(POLLING)).status == 503


@ensureDeferred
async def test_http_1_0_gets_an_answer(serve: Serve) -> None:
    """A client without keep-alive is answered, and the connection ended."""
    stage = await serve()
    peer = await stage.peer()
    peer.write(f"GET {PATH}polling HTTP/1.0\r\n\r\n".encode())
    assert (await peer.answer()).sid == stage.session.sid
    await peer.lost()
    assert await peer.answer() is HUNG_UP

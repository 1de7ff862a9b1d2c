"""
Every way in which a session begins and ends, or doesn't begin.

Each way is a coroutine that opens a session, or is refused one, and ends it; it gives
the reason that the application must be told, or ``None`` if no session was opened. What
it connected is gone, or going, when it is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from peers import PATH, POLLING, TEXT, WEBSOCKET, frame, upgrade_request
from stages import Recorder, Stage, until
from twisted.internet.defer import Deferred

from twisted_engineio import CloseReason, Handshake, Reject, Session, State

__all__ = ["SLOW_WAYS", "WAYS", "Choosy", "Way"]

Way = Callable[[Stage], Awaitable[CloseReason | None]]

WAYS: list[Way] = []
SLOW_WAYS: list[Way] = []


class Choosy(Recorder):
    """Remembers reasons only, so that it holds no session; admits not everybody."""

    async def admit(self, handshake: Handshake) -> None:
        """Think for ever about some, and refuse some."""
        if handshake.query.get("t") == "slow":
            await Deferred()
        if handshake.query.get("t") == "refused":
            raise Reject(403, "not you")

    def session_opened(self, session: Session) -> None:
        """Send, so that queues are not empty when sessions end."""
        session.send("welcome")
        session.send(b"welcome")

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Do what the client asks for."""
        if data == "close":
            session.send("goodbye")
            session.close()
        elif data == "abort":
            session.abort()


def way(function: Way) -> Way:
    """Add a way to the list."""
    WAYS.append(function)
    return function


@way
async def client_closes_by_post(stage: Stage) -> CloseReason:
    """With a GET waiting, too."""
    poster, target = await stage.polling()
    getter = await stage.peer()
    waiting = getter.ask(target)
    await poster.ask(target, "POST", b"4hello\x1e1")
    await waiting
    getter.drop()
    poster.drop()
    return CloseReason.TRANSPORT_CLOSE


@way
async def client_closes_by_packet(stage: Stage) -> CloseReason:
    """On a WebSocket."""
    socket = await stage.websocket()
    socket.say("1")
    await socket.lost()
    return CloseReason.TRANSPORT_CLOSE


@way
async def client_closes_by_frame(stage: Stage) -> CloseReason:
    """With messages in flight."""
    socket = await stage.websocket()
    socket.say("4hello")
    socket.sendClose(1000)
    await socket.lost()
    return CloseReason.TRANSPORT_CLOSE


@way
async def client_drops_its_poll(stage: Stage) -> CloseReason:
    """By RST, with a GET waiting."""
    peer, target = await stage.polling()
    session = session_of(stage, target)
    peer.send(target)
    await until(lambda: session.transport.writable)
    peer.drop()
    return CloseReason.TRANSPORT_ERROR


@way
async def client_drops_its_post(stage: Stage) -> CloseReason:
    """In the middle of the body."""
    peer, target = await stage.polling()
    peer.send(target, "POST", headers=["Content-Length: 100"])
    peer.write(b"4hello\x1e4wor")
    peer.leave()
    await peer.lost()
    return CloseReason.TRANSPORT_ERROR


@way
async def client_drops_its_websocket(stage: Stage) -> CloseReason:
    """By RST."""
    socket = await stage.websocket()
    await socket.message()
    socket.drop()
    return CloseReason.TRANSPORT_CLOSE


@way
async def client_drops_in_the_middle_of_a_frame(stage: Stage) -> CloseReason:
    """The rest of the frame never comes."""
    peer = await stage.peer()
    peer.write(upgrade_request() + frame(TEXT, b"4hello", length=100))
    await peer.frame()
    peer.leave()
    await peer.lost()
    return CloseReason.TRANSPORT_CLOSE


@way
async def client_upgrades_and_closes(stage: Stage) -> CloseReason:
    """The whole way."""
    peer, target = await stage.polling()
    socket = await stage.candidate(target)
    for step in ("2probe", "5", "4hello", "1"):
        socket.say(step)
    await socket.lost()
    peer.drop()
    return CloseReason.TRANSPORT_CLOSE


@way
async def client_abandons_an_upgrade(stage: Stage) -> CloseReason:
    """The candidate is lost, then the session."""
    peer, target = await stage.polling()
    socket = await stage.candidate(target)
    socket.say("2probe")
    await socket.message()
    socket.drop()
    await peer.ask(target, "POST", b"1")
    peer.drop()
    return CloseReason.TRANSPORT_CLOSE


@way
async def client_closes_in_an_upgrade(stage: Stage) -> CloseReason:
    """The session ends first, and its candidate with it."""
    peer, target = await stage.polling()
    socket = await stage.candidate(target)
    socket.say("2probe")
    await socket.message()
    await peer.ask(target, "POST", b"1")
    await socket.lost()
    peer.drop()
    return CloseReason.TRANSPORT_CLOSE


@way
async def client_polls_twice(stage: Stage) -> CloseReason:
    """Two GETs at once."""
    first, target = await stage.polling()
    second = await stage.peer()
    session = session_of(stage, target)
    first.send(target)
    await until(lambda: session.transport.writable)
    assert (await second.ask(target)).status == 400
    first.drop()
    second.drop()
    return CloseReason.TRANSPORT_ERROR


@way
async def client_posts_nonsense(stage: Stage) -> CloseReason:
    """A parse error by polling."""
    peer, target = await stage.polling()
    assert (await peer.ask(target, "POST", b"4hello\x1e9")).status == 400
    peer.drop()
    return CloseReason.PARSE_ERROR


@way
async def client_sends_nonsense(stage: Stage) -> CloseReason:
    """A parse error by WebSocket."""
    socket = await stage.websocket()
    socket.say("9")
    await socket.lost()
    return CloseReason.PARSE_ERROR


@way
async def client_sends_too_much(stage: Stage) -> CloseReason:
    """A message over the limit."""
    socket = await stage.websocket()
    socket.say(bytes(2000))
    await socket.lost()
    return CloseReason.PAYLOAD_TOO_LARGE


@way
async def server_closes_polling(stage: Stage) -> CloseReason:
    """The close packet is fetched."""
    peer, target = await stage.polling()
    await peer.ask(target, "POST", b"4close")
    assert (await peer.ask(target)).text.endswith("\x1e1")
    peer.drop()
    return CloseReason.FORCED_CLOSE


@way
async def server_closes_websocket(stage: Stage) -> CloseReason:
    """The close handshake is done."""
    socket = await stage.websocket()
    socket.say("4close")
    await socket.lost()
    return CloseReason.FORCED_CLOSE


@way
async def server_aborts_polling(stage: Stage) -> CloseReason:
    """Nothing is waited for."""
    peer, target = await stage.polling()
    await peer.ask(target, "POST", b"4abort")
    peer.drop()
    return CloseReason.FORCED_CLOSE


@way
async def server_aborts_websocket(stage: Stage) -> CloseReason:
    """Nothing is waited for."""
    socket = await stage.websocket()
    socket.say("4abort")
    await socket.lost()
    return CloseReason.FORCED_CLOSE


@way
async def client_is_refused(stage: Stage) -> None:
    """By the application, on both transports."""
    peer = await stage.peer()
    assert (await peer.ask(POLLING + "&t=refused")).status == 403
    peer.write(upgrade_request(WEBSOCKET + "&t=refused"))
    assert (await peer.answer()).status == 403
    await peer.lost()


@way
async def client_is_wrong(stage: Stage) -> None:
    """By the protocol."""
    peer = await stage.peer()
    assert (await peer.ask(PATH + "nothing")).status == 400
    assert (await peer.ask(POLLING + "&sid=nobody", "POST", b"4")).status == 400
    assert (await peer.ask(POLLING, "POST", b"4")).status == 400
    peer.drop()


@way
async def client_leaves_before_it_is_admitted(stage: Stage) -> None:
    """While the application thinks, a polling client goes away."""
    peer = await stage.peer()
    peer.send(POLLING + "&t=slow")
    peer.leave()
    await peer.lost()


@way
async def client_leaves_before_its_101(stage: Stage) -> None:
    """While the application thinks, a WebSocket client goes away, having sent more."""
    peer = await stage.peer()
    peer.write(upgrade_request(WEBSOCKET + "&t=slow") + b"garbage")
    peer.leave()
    await peer.lost()


def slow_way(function: Way) -> Way:
    """Add a way to the list of those that end by a timer."""
    SLOW_WAYS.append(function)
    return function


@slow_way
async def client_never_polls(stage: Stage) -> CloseReason:
    """A handshake and nothing else."""
    peer, target = await stage.polling()
    await ended(session_of(stage, target))
    peer.drop()
    return CloseReason.PING_TIMEOUT


@slow_way
async def client_never_answers_by_polling(stage: Stage) -> CloseReason:
    """It fetches its ping and waits for more."""
    peer, target = await stage.polling()
    assert (await peer.ask(target)).text == "2"
    assert (await peer.ask(target)).text == "1"
    peer.drop()
    return CloseReason.PING_TIMEOUT


@slow_way
async def client_never_answers_by_websocket(stage: Stage) -> CloseReason:
    """It hears its ping and waits for more."""
    socket = await stage.websocket()
    await socket.lost()
    return CloseReason.PING_TIMEOUT


@slow_way
async def client_vanishes_in_an_upgrade(stage: Stage) -> CloseReason:
    """Its candidate is closed first, then the session."""
    peer, target = await stage.polling()
    session = session_of(stage, target)
    socket = await stage.candidate(target)
    socket.say("2probe")
    await socket.lost()
    await ended(session)
    peer.drop()
    return CloseReason.PING_TIMEOUT


@slow_way
async def client_never_hears_the_goodbye(stage: Stage) -> CloseReason:
    """The server closes, and no GET comes to fetch it."""
    peer, target = await stage.polling()
    session = session_of(stage, target)
    await peer.ask(target, "POST", b"4close")
    await ended(session)
    peer.drop()
    return CloseReason.FORCED_CLOSE


@slow_way
async def client_never_ends_its_request(stage: Stage) -> CloseReason:
    """Neither a POST for a session, nor the headers of another."""
    poster, target = await stage.polling()
    poster.send(target, "POST", headers=["Content-Length: 10"])
    poster.write(b"4hel")
    other = await stage.peer()
    other.write(b"GET /engine.io/ HTTP/1.1\r\n")
    await poster.lost()
    await other.lost()
    return CloseReason.TRANSPORT_ERROR


async def ended(session: Session) -> None:
    """Wait until a session is over."""
    await until(lambda: session.state is State.CLOSED)


def session_of(stage: Stage, target: str) -> Session:
    """Find the session of a polling target."""
    return stage.server.sessions[target.rpartition("=")[2]]

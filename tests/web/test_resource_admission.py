"""Handshakes that wait for the application, and clients that do not wait for it."""

from __future__ import annotations

from asyncio import CancelledError as AsyncioCancelled

import pytest
from fakes import CLOSE_FRAME, frame
from twisted.internet.defer import CancelledError, Deferred

from twisted_engineio import CloseReason, Reject
from twisted_engineio.transports.websocket.frames import FastWebSocketTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Version": "13",
}


@pytest.fixture
def verdict(listener):
    """Make the application's admit wait for a Deferred."""
    waiting = Deferred()
    listener.on_admit = lambda _: waiting
    return waiting


@pytest.fixture(params=["polling", "websocket"])
def ask(request, server, browse):
    """Ask for a session, over either transport."""

    def shake():
        browser = browse(server)
        if request.param == "polling":
            return browser.get(POLLING)
        return browser.upgrade(WEBSOCKET)

    return shake


def test_a_client_waits_for_its_admission(server, ask, verdict, listener):
    """Nothing is answered and no session made before."""
    browser = ask()
    assert browser.answers == []
    assert server.sessions == {}
    verdict.callback(None)
    browser.turns()
    assert len(server.sessions) == 1
    assert len(listener.opened) == 1
    assert browser.answer.status in (200, 101)


def test_a_client_that_leaves_meanwhile_is_forgotten(server, ask, listener):
    """The application's Deferred is cancelled; nothing is logged, nobody is told."""
    cancelled = []
    waiting = Deferred(cancelled.append)
    listener.on_admit = lambda _: waiting
    ask().lose()
    assert cancelled == [waiting]
    assert server.sessions == {}
    assert listener.opened == []


def test_a_client_that_leaves_while_admit_is_called_opens_nothing(
    server, browse, listener
):
    """Whoever made it leave, an answer at once comes too late."""
    browsers = [browse(server), browse(server)]
    leaving = iter(browsers)
    listener.on_admit = lambda _: next(leaving).lose()
    browsers[0].get(POLLING)
    browsers[1].upgrade(WEBSOCKET, Sec_WebSocket_Protocol="not-for-the-door")
    assert next(leaving, None) is None
    assert listener.opened == []
    assert [each.answers for each in browsers] == [[], []]


def test_an_admission_that_comes_too_late_opens_nothing(server, ask, listener):
    """Even if the application insists on letting a client in that has left."""

    async def insist(_):
        try:
            await Deferred()
        except CancelledError:
            return  # welcome all the same

    listener.on_admit = insist
    browser = ask()
    browser.lose()
    assert server.sessions == {}
    assert browser.answers == []


def test_an_admission_that_fails_too_late_is_nobody_s(server, ask, listener):
    """There is no one left to refuse; what the application raised was its own."""

    async def complain(_):
        try:
            await Deferred()
        except CancelledError:
            raise Reject(401, "too late") from None

    listener.on_admit = complain
    browser = ask()
    browser.lose()
    assert browser.answers == []


def test_no_service_before_admission(server, browse, verdict):
    """There is no id yet that a request could name."""
    browse(server).get(POLLING)
    other = browse(server).post(f"{POLLING}&sid=x", b"4early")
    assert other.answer.json()["code"] == 1


def test_a_rejected_client_reads_the_application_s_words(server, browse, listener):
    """Its status and message, as JSON; before a 101 as plain text."""

    async def reject(_):
        raise Reject(401, "Who are you?")

    listener.on_admit = reject
    answer = browse(server).get(POLLING).answer
    assert (answer.status, answer.body) == (
        401,
        b'{"code":4,"message":"Who are you?"}',
    )
    browser = browse(server).upgrade(WEBSOCKET)
    assert (browser.answer.status, browser.answer.body) == (401, b"Who are you?")
    assert browser.wire.disconnecting


def test_an_admit_that_raises_is_a_bad_request(server, ask, listener, logged):
    """It is logged for the operator, and the client told no more."""
    listener.on_admit = lambda _: 1 / 0
    browser = ask()
    assert browser.answer.status == 400
    assert b"Bad request" in browser.answer.body
    logged.take(ZeroDivisionError)


@pytest.mark.parametrize("error", [CancelledError, AsyncioCancelled, SystemExit])
def test_whatever_admit_raises_the_client_is_answered(
    server, browse, listener, logged, error
):
    """As if somebody had thought about it: a Deferred catches all there is."""

    def give_up(_):
        raise error

    listener.on_admit = give_up
    browser = browse(server).get(POLLING)
    assert browser.answer.status == 400
    assert browser.answer.json()["message"] == "Bad request"
    logged.take(error)
    browser = browse(server).upgrade(WEBSOCKET)
    assert browser.answer.status == 400
    assert browser.answer.body == b"Bad request"
    logged.take(error)


def test_an_application_that_fails_in_its_greeting(server, browse, listener, logged):
    """The handshake is refused: there is no session to poll."""
    listener.on_opened = lambda _: 1 / 0
    answer = browse(server).get(POLLING).answer
    assert (answer.status, answer.json()["code"]) == (400, 3)
    assert server.sessions == {}
    assert listener.reasons == [CloseReason.APPLICATION_ERROR]
    logged.take(ZeroDivisionError)


def test_an_application_that_fails_in_its_greeting_on_websocket(
    server, browse, listener, logged
):
    """The WebSocket is closed."""
    listener.on_opened = lambda _: 1 / 0
    browser = browse(server).upgrade(WEBSOCKET)
    assert browser.answer.status == 101
    assert browser.frames[-1] == (CLOSE_FRAME, b"\x03\xe8")
    assert server.sessions == {}
    logged.take(ZeroDivisionError)


def test_the_version_is_checked_after_admission(server, browse, listener):
    """Admission, then EIO."""
    answer = browse(server).get("EIO=3&transport=polling").answer
    assert answer.json()["code"] == 5
    assert len(listener.admitted) == 1


def test_a_make_sid_that_fails_is_a_bad_request(make_server, browse, logged):
    """On polling as JSON."""
    server = make_server(make_sid=lambda _: 1 / 0)
    assert browse(server).get(POLLING).answer.json()["code"] == 3
    logged.take(ZeroDivisionError)


def test_a_make_sid_that_fails_refuses_a_websocket(make_server, browse, logged):
    """Before the 101."""
    server = make_server(make_sid=lambda _: 1 / 0)
    answer = browse(server).upgrade(WEBSOCKET).answer
    assert (answer.status, answer.body) == (400, b"Bad request")
    logged.take(ZeroDivisionError)


def test_a_server_that_stops_refuses_with_503(server, ask):
    """No new sessions."""
    server.stop()
    assert ask().answer.status == 503


def test_a_server_that_stops_while_a_client_waits_refuses_it(server, browse, verdict):
    """The application's yes comes too late."""
    browser = browse(server).get(POLLING)
    server.stop()
    verdict.callback(None)
    assert browser.answer.status == 503
    assert server.sessions == {}


def test_a_server_that_stops_while_a_websocket_waits_refuses_it(
    server, browse, verdict
):
    """With an answer, before it is a WebSocket."""
    browser = browse(server).upgrade(WEBSOCKET)
    server.stop()
    verdict.callback(None)
    assert browser.answer.status == 503
    assert server.sessions == {}


def test_a_server_that_stops_while_a_websocket_opens_closes_it(server, browse):
    """Between its handshake and its open packet there is a turn; or two."""
    browser = browse(server).get(WEBSOCKET, **HANDSHAKE)
    assert browser.answer.status == 101
    server.stop()
    browser.turns()
    assert server.sessions == {}
    assert browser.frames == [(CLOSE_FRAME, b"\x03\xe8")]


def test_a_websocket_that_is_lost_while_it_opens_leaves_nothing(server, browse):
    """No session, and no timer: the fixture looks."""
    browser = browse(server).get(WEBSOCKET, **HANDSHAKE)
    browser.lose()
    browser.turns()
    assert server.sessions == {}


@pytest.mark.parametrize("garbage", [b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\xff"])
@pytest.mark.parametrize("admits", [True, False])
def test_garbage_behind_a_pending_upgrade_leaves_nothing(
    server, browse, listener, verdict, garbage, admits
):
    """CVE-2022-21676, CVE-2022-41940: no unhandled error, no session left."""
    browser = browse(server).upgrade(WEBSOCKET)
    browser.send(garbage)
    if admits:
        verdict.callback(None)
    else:
        verdict.errback(Reject())
    browser.send(garbage)
    browser.lose()
    assert server.sessions == {}
    assert len(listener.opened) == len(listener.closed)


def test_frames_behind_a_pending_upgrade_are_not_lost(
    server, browse, listener, verdict
):
    """What came ahead of the 101 is delivered after it."""
    browser = browse(server).upgrade(WEBSOCKET)
    browser.send(frame("4one"))
    browser.send(frame("4two")[:3]).send(frame("4two")[3:])
    assert listener.received == []
    verdict.callback(None)
    browser.send(frame("4three"))
    browser.turns()
    assert listener.received == ["one", "two", "three"]


def test_a_client_that_leaves_while_its_greeting_goes_on(server, browse, listener):
    """An async greeting holds its messages, and its end behind them."""
    greeting = Deferred()
    listener.on_opened = lambda _: greeting
    browser = browse(server).upgrade(WEBSOCKET)
    browser.send(frame("4early"))
    browser.lose()
    assert listener.closed == []
    greeting.callback(None)
    assert listener.received == ["early"]
    assert len(listener.closed) == 1


@pytest.mark.parametrize("headers", [{}, {"Expect": "nothing"}])
def test_a_websocket_that_fails_is_cut(server, browse, logged, monkeypatch, headers):
    """The connection is no longer twisted.web's to answer on."""
    browser = browse(server)

    def refuse(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(server.websockets.protocol, "makeConnection", refuse)
    browser.upgrade(WEBSOCKET, **headers)
    assert browser.wire.disconnected
    assert server.sessions == {}
    logged.take(ZeroDivisionError)


def test_an_operator_s_function_that_fails_is_a_bad_request(
    make_server, browse, logged
):
    """It is logged, and the client told no more."""
    server = make_server(jsonp=True, cors=lambda _: 1 / 0)
    headers = {"Cookie": "a=b", "Referer": "https://a.org/"}
    answer = browse(server).get(f"{POLLING}&j=0", **headers).answer
    assert (answer.status, answer.json()["code"]) == (400, 3)
    assert server.sessions == {}
    logged.take(ZeroDivisionError)


@pytest.mark.parametrize("kind", [WebSocketTransport, FastWebSocketTransport])
def test_what_comes_while_a_websocket_opens_is_not_lost(server, browse, listener, kind):
    """Between its handshake and its open packet, in pieces."""
    server.websockets.use(kind)
    browser = browse(server).get(WEBSOCKET, **HANDSHAKE)
    for byte in frame("4early"):
        browser.send(bytes((byte,)))
    assert listener.received == []
    browser.turns()
    assert listener.received == ["early"]


def test_a_cors_function_that_raises_refuses(make_server, browse, logged):
    """Clearly, and without harm to the next request."""

    def judge(origin):
        raise ZeroDivisionError

    browser = browse(make_server(cors=judge))
    browser.get("EIO=4&transport=polling", Origin="http://elsewhere.example")
    assert browser.answer.status == 400
    assert browser.answer.json() == {"code": 3, "message": "Bad request"}
    logged.take(ZeroDivisionError)


def test_a_session_that_cannot_open_is_a_bad_request(make_server, browse, logged):
    """Whatever failed is logged, and no client is left waiting."""

    def unlucky():
        raise ZeroDivisionError

    server = make_server(random=unlucky)
    browser = browse(server).get(POLLING)
    assert (browser.answer.status, browser.answer.json()["code"]) == (400, 3)
    assert server.sessions == {}
    logged.take(ZeroDivisionError)


def test_an_answer_that_cannot_be_made_ends_the_connection(
    server, browse, listener, logged
):
    """A client that waits for ever would be worse."""

    def refuse(_):
        error = Reject(503)
        error.headers["Retry-After"] = 5
        raise error

    listener.on_admit = refuse
    browser = browse(server).get(POLLING)
    assert browser.answers == []
    assert browser.wire.disconnecting
    logged.take(AttributeError)

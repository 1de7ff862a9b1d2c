"""Attempts to upgrade are counted, and one too many costs a refusal and no more."""

from __future__ import annotations

import pytest
from fakes import Browser, Onlooker, frame
from twisted.web.resource import Resource

from twisted_engineio import Admission, EngineIOResource, EngineIOSite

POLLING = "EIO=4&transport=polling"
ALL = ["polling", "websocket", "sse"]


@pytest.fixture
def onlooker():
    """Give an observer that writes down what it hears."""
    return Onlooker()


@pytest.fixture
def opened(make_server, browse, onlooker):
    """Open a session by polling; give its server and its id."""

    def open_one(transport="polling", **options):
        server = make_server(observers=[onlooker], transports=ALL, **options)
        browse(server).get(f"EIO=4&transport={transport}")
        (sid,) = server.sessions
        return server, sid

    return open_one


def refusals(onlooker):
    """Give what was refused, and the limits that were reached."""
    told = [each for each in onlooker.events if each[0] == "connection_refused"]
    hit = [each[1] for each in onlooker.events if each[0] == "limit_reached"]
    return len(told), hit


@pytest.fixture
def attempt(browse):
    """Try to upgrade once, and break it off."""

    def attempt(server, sid, transport="websocket"):
        query = f"EIO=4&transport={transport}&sid={sid}"
        browser = browse(server)
        if transport == "websocket":
            browser.upgrade(query)
        else:
            browser.get(query)
        status = browser.answer.status
        browser.lose()
        if transport == "sse" and server.sessions[sid].probe is not None:
            server.sessions[sid].probe.candidate.receiver.fail(None)  # as by its POST
        return status

    return attempt


@pytest.mark.parametrize("transport", ["websocket", "sse"])
@pytest.mark.parametrize(
    ("options", "most"), [({}, 10), ({"max_upgrade_attempts": 3}, 3)]
)
def test_one_attempt_too_many_is_refused(
    opened, attempt, browse, onlooker, listener, transport, options, most
):
    """Before the 101, and told; the session goes on where it is."""
    server, sid = opened(**options)
    statuses = [attempt(server, sid, transport) for _ in range(most + 5)]
    started = 101 if transport == "websocket" else 200
    assert statuses == [started] * most + [429] * 5
    assert refusals(onlooker) == (5, ["max_upgrade_attempts"] * 5)
    answer = browse(server).post(f"{POLLING}&sid={sid}", b"4hello").answer
    assert (answer.status, listener.received) == (200, ["hello"])


def test_the_refusal_says_when_to_come_back(opened, attempt, browse):
    """RFC 6585, 4: in whole seconds."""
    server, sid = opened()
    for _ in range(10):
        attempt(server, sid)
    browser = browse(server).upgrade(f"EIO=4&transport=websocket&sid={sid}")
    assert browser.wire.value().startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert browser.answer.headers["retry-after"] == "3"
    assert browser.answer.body == b"Bad request"
    assert browser.wire.disconnecting
    answer = browse(server).get(f"EIO=4&transport=sse&sid={sid}").answer
    assert answer.json() == {"code": 3, "message": "Bad request"}
    assert answer.status == 429


def test_attempts_come_back_over_a_ping_interval(opened, attempt, clock, browse):
    """Ten in each stay allowed, of a session's own interval."""
    server, sid = opened(ping_interval=20.0)
    assert [attempt(server, sid) for _ in range(11)] == [101] * 10 + [429]
    for _ in range(12):
        clock.advance(2)
        browse(server).post(f"{POLLING}&sid={sid}", b"3")
        assert attempt(server, sid) == 101
        assert attempt(server, sid) == 429


def test_a_session_may_have_an_interval_of_its_own(
    make_server, browse, listener, attempt
):
    """Which its application has given it."""
    listener.on_admit = lambda _: Admission(ping_interval=5.0)
    server = make_server()
    sid = browse(server).get(POLLING).answer.open()["sid"]
    for _ in range(10):
        attempt(server, sid)
    answer = browse(server).upgrade(f"EIO=4&transport=websocket&sid={sid}").answer
    assert answer.headers["retry-after"] == "1"


def test_attempts_while_one_is_tried_count_too(opened, browse, onlooker):
    """Each is a WebSocket that is opened to be closed; and after the move likewise."""
    server, sid = opened()
    query = f"EIO=4&transport=websocket&sid={sid}"
    first = browse(server).upgrade(query)
    assert [browse(server).upgrade(query).answer.status for _ in range(6)] == [101] * 6
    first.send(frame("2probe") + frame("5"))
    assert server.sessions[sid].transport.name == "websocket"
    statuses = [browse(server).upgrade(query).answer.status for _ in range(5)]
    assert statuses == [101] * 3 + [429] * 2
    assert refusals(onlooker)[1] == ["max_upgrade_attempts"] * 2
    assert sid in server.sessions


def test_streams_that_are_resumed_are_no_attempts(opened, browse):
    """A browser connects again as often as its network breaks."""
    server, sid = opened("sse")
    for _ in range(30):
        browser = browse(server).get(f"EIO=4&transport=sse&sid={sid}")
        assert browser.answer.status == 200
        browser.lose()


def test_malformed_attempts_are_none(opened, browse):
    """They are refused for what they are."""
    server, sid = opened()
    query = f"EIO=4&transport=websocket&sid={sid}"
    for _ in range(30):
        browser = browse(server).get(query, Upgrade="websocket", Connection="Upgrade")
        assert browser.answer.status == 400
    assert browse(server).upgrade(query).answer.status == 101


@pytest.mark.parametrize("door", [True, False])
def test_it_is_told_once_at_the_door(make_server, house, browse, door):
    """A refusal goes on to twisted.web, and is counted there."""
    server = make_server()
    hit = []
    server.limit_reached = lambda limit, about: hit.append(limit)
    sid = browse(server).get(POLLING).answer.open()["sid"]
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    site = EngineIOSite(root, server, door=door)
    statuses = []
    for _ in range(12):
        browser = Browser(site)
        house.append(browser)
        browser.upgrade(f"EIO=4&transport=websocket&sid={sid}")
        statuses.append(browser.answer.status)
        browser.lose()
    assert statuses == [101] * 10 + [429] * 2
    assert hit == ["max_upgrade_attempts"] * 2

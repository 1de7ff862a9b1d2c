"""Our own port: what belongs to the server, and connections byte by byte."""

from __future__ import annotations

import pytest
from fakes import Browser, Onlooker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.web.resource import Resource
from twisted.web.static import Data

from twisted_engineio import EngineIOResource, EngineIOSite, Observer

POLLING = "EIO=4&transport=polling"


@pytest.fixture
def mixed(server, house):
    """Give a connection to a site that has other resources too."""
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    root.putChild(b"", Data(b"home", "text/plain"))
    root.putChild(b"form", Form())
    browser = Browser(EngineIOSite(root, server))
    house.append(browser)
    return browser


class Form(Resource):
    """Reads a form, as other resources may."""

    isLeaf = True

    def render_POST(self, request):
        return b"read " + b",".join(request.args[b"a"])


def test_other_resources_are_twisted_web_s_affair(mixed):
    """Pages are served, forms are read, bodies over our limit are theirs to judge."""
    mixed.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    body = b"a=1&b=" + b"x" * 2_000_000
    mixed.send(
        b"POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" % len(body)
    )
    mixed.send(body)
    assert [each.body for each in mixed.answers] == [b"home", b"read 1"]


def test_a_form_sent_to_the_server_is_text(server, browse, listener):
    """twisted.web would mix its fields into the query."""
    sid = browse(server).get(POLLING).answer.open()["sid"]
    kind = {"Content_Type": "application/x-www-form-urlencoded"}
    browse(server).post(f"{POLLING}&sid={sid}", b"4sid=x&a=b", **kind)
    assert listener.received == ["sid=x&a=b"]


def test_requests_byte_by_byte(server, browse, listener):
    """However a network cuts a conversation, it is the same."""
    browser = browse(server)
    conversation = b"GET /engine.io/?%b HTTP/1.1\r\nHost: x\r\n\r\n" % POLLING.encode()
    for byte in conversation:
        browser.send(bytes([byte]))
    query = f"{POLLING}&sid={browser.answers[0].open()['sid']}".encode()
    conversation = (
        b"POST /engine.io/?%b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"User-Agent: x\r\nAccept: */*\r\n\r\n4text"
        b"POST /engine.io?%b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\n4c\r\n5;x=y\r\nhunks\r\n0\r\n\r\n" % (query, query)
    )
    for byte in conversation:
        browser.send(bytes([byte]))
    assert listener.received == ["text", "chunks"]
    assert [each.body for each in browser.answers[1:]] == [b"ok", b"ok"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(cuts=st.lists(st.integers(1, 400), max_size=20))
def test_a_conversation_cut_anywhere_is_the_same(browse, make_server, listener, cuts):
    """Also where headers are dropped that nothing depends on."""
    server = make_server(make_sid=lambda _: "a-sid")
    listener.received.clear()
    head = (
        b"Host: example.com\r\nUser-Agent: x\r\nAccept: a,\r\n b\r\n"
        b"Sec-Fetch-Mode: cors\r\nX-A: b\r\nAccept-Language: de\r\nReferer: x\r\n"
    )
    query = POLLING.encode()
    stream = b"GET /engine.io/?%b HTTP/1.1\r\n%b\r\n" % (query, head) + b"".join(
        b"POST /engine.io/?%b&sid=a-sid HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b"
        % (query, head, len(body), body)
        for body in (b"4one", b"4two\r\n\r\nAccept: x", b"4\r\nAccept: y\r\n\r\n")
    )
    browser = browse(server)
    for size in cuts:
        browser.send(stream[:size])
        stream = stream[size:]
    browser.send(stream)
    assert listener.received == [
        "one",
        "two\r\n\r\nAccept: x",
        "\r\nAccept: y\r\n\r\n",
    ]
    assert [each.status for each in browser.answers] == [200] * 4
    browser.lose()
    server.find("a-sid").abort()
    server.clock.advance(0)


class Sparing(Onlooker):
    """An observer that reads few headers of a request."""

    whole_requests = False


@pytest.mark.parametrize(
    ("observers", "observed"),
    [
        ([], False),
        ([Observer()], False),
        ([Sparing()], False),
        ([Onlooker()], True),
        ([Sparing(), Onlooker()], True),
    ],
)
def test_who_observes_sees_every_header(make_server, house, observers, observed):
    """Those that no answer depends on are dropped, unless somebody wants them."""
    seen = []

    class Looking(EngineIOResource):
        def render(self, request):
            seen.append(dict(request.requestHeaders.getAllRawHeaders()))
            return super().render(request)

    server = make_server(observers=observers)
    root = Resource()
    root.putChild(b"engine.io", Looking(server))
    browser = Browser(EngineIOSite(root, server))
    house.append(browser)
    browser.get(POLLING, User_Agent="x", X_A="b")
    sid = next(iter(server.sessions))
    browser.post(f"{POLLING}&sid={sid}", b"6", User_Agent="x", X_A="b", Origin="")
    assert b"User-Agent" in seen[0]
    assert (b"User-Agent" in seen[1]) is observed
    assert seen[1][b"X-A"] == [b"b"]
    assert b"Origin" in seen[1]
    assert b"Content-Length" in seen[1]


def test_headers_that_go_on_in_the_next_line_are_left_alone(server, browse, listener):
    """Dropping half of one would make the rest part of another."""
    sid = browse(server).get(POLLING).answer.open()["sid"]
    browser = browse(server).send(
        b"POST /engine.io/?%b&sid=%b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        b"Accept: a,\r\n b\r\n\r\n4x" % (POLLING.encode(), sid.encode())
    )
    assert browser.answer.body == b"ok"
    assert listener.received == ["x"]


# Pipelining.


def test_pipelined_requests_are_answered_in_order(server, browse, listener, clock):
    """A POST behind a held GET waits for it, and is read in a later turn."""
    sid = browse(server).get(POLLING).answer.open()["sid"]
    query = f"{POLLING}&sid={sid}"
    browser = browse(server).get(query)
    browser.post(query, b"4one").post(query, b"4two")
    assert listener.received == []
    server.sessions[sid].send("go")
    assert listener.received == []
    clock.advance(0)
    assert [each.body for each in browser.answers] == [b"4go", b"ok", b"ok"]
    assert listener.received == ["one", "two"]


def test_a_held_get_with_much_behind_it_is_reaped(server, browse, clock):
    """More than 16 KiB pause the connection; the session's timers end it."""
    sid = browse(server).get(POLLING).answer.open()["sid"]
    browser = browse(server).get(f"{POLLING}&sid={sid}")
    browser.send(b"x" * 50_000)
    assert browser.wire.producerState == "paused"
    clock.advance(25)
    clock.advance(20)
    assert server.sessions == {}
    assert browser.answers[0].body == b"2"


# The log.


def test_there_is_no_access_log_unless_it_is_asked_for(server, house, tmp_path):
    """A poll a second is no news; who wants a log gives logPath."""
    for options in ({}, {"logPath": str(tmp_path / "access.log")}):
        site = EngineIOSite(Resource(), server, **options)
        site.startFactory()
        browser = Browser(site)
        house.append(browser)
        browser.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        browser.lose()
        site.stopFactory()
        server.clock.advance(1)
    assert (tmp_path / "access.log").read_text().count("GET /nothing") == 1
    for call in server.clock.getDelayedCalls():
        call.cancel()


@pytest.mark.parametrize("extra", ["&accessid=5", "&sid=", "&sid=unknown"])
def test_a_handshake_keeps_its_headers(server, browse, listener, extra):
    """Only a request of a session that is there loses any."""
    browse(server).get("EIO=4&transport=polling" + extra, User_Agent="me")
    for shake in listener.admitted:
        assert shake.headers["user-agent"] == "me"
    assert len(listener.admitted) == (0 if "unknown" in extra else 1)

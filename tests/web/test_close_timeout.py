"""A connection that is to be closed is closed, and its last answer leaves before."""

from __future__ import annotations

import pytest
from fakes import Browser
from tcp_browser import TCPBrowser
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import Data

from twisted_engineio import EngineIOResource, EngineIOSite, protect

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n%b\r\n"
BAD = {
    "request line": b"NONSENSE\r\n\r\n",
    "header": b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    "header name": b"GET / HTTP/1.1\r\nHost: x\r\na b: c\r\n\r\n",
    "length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\n"
    b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


class Slow(Resource):
    """Begins to answer and does not end."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.requests = []

    def render(self, request):
        self.requests.append(request)
        request.notifyFinish().addErrback(lambda _: None)
        request.write(b"begun")
        return NOT_DONE_YET


@pytest.fixture(params=["ours", "protected"])
def site(request, make_server):
    """Give a site with pages, of either kind, where closing has five seconds."""
    server = make_server(
        close_timeout=5.0, request_timeout=20.0, keep_alive_timeout=20.0
    )
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    root.putChild(b"", Data(b"home", "text/plain"))
    root.putChild(b"page", Data(b"x" * 100_000, "text/plain"))
    root.putChild(b"slow", Slow())
    if request.param == "ours":
        return EngineIOSite(root, server)
    site = protect(Site(root, reactor=server.clock, timeout=20), server)
    site.server = server
    return site


@pytest.fixture
def connect(site, house):
    """Connect to it: over TCP, or over a transport in memory."""

    def connect(kind=TCPBrowser):
        browser = kind(site)
        house.append(browser)
        return browser

    return connect


def tick(clock, seconds):
    """Let time pass, a second at a time."""
    for _ in range(seconds):
        clock.advance(1)


def is_lost(browser):
    """Tell whether the connection is gone."""
    return bool(browser.wire.disconnected)


# The deadline.


@pytest.mark.parametrize("path", [b"", b"page", b"nothing", b"engine.io/?transport=x"])
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_who_does_not_read_the_last_answer_is_cut_off(connect, clock, path, version):
    """Whichever resource has given it."""
    browser = connect()
    browser.socket.room = 0
    request = GET % (path, b"Connection: close\r\n")
    browser.send(request.replace(b"HTTP/1.1", version))
    tick(clock, 4)
    assert not is_lost(browser)
    tick(clock, 2)
    assert is_lost(browser)
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_who_does_not_read_a_refusal_is_cut_off(connect, clock, data):
    """Whatever was wrong."""
    browser = connect()
    browser.socket.room = 0
    browser.send(data)
    tick(clock, 4)
    assert not is_lost(browser)
    tick(clock, 2)
    assert is_lost(browser)


def test_who_is_timed_out_and_reads_nothing_is_cut_off(connect, clock):
    """It had its time; it has close_timeout to take what it was sent."""
    browser = connect()
    browser.socket.room = 0
    browser.send(b"GET /eng")
    tick(clock, 20)
    assert not is_lost(browser)
    browser.turn()
    tick(clock, 6)
    assert is_lost(browser)


def test_an_application_that_closes_a_connection_closes_it(connect, site, clock):
    """By twisted.web's request.loseConnection, behind an answer that is not read."""
    browser = connect()
    browser.socket.room = 0
    browser.send(GET % (b"slow", b""))
    site.resource.children[b"slow"].requests[0].loseConnection()
    tick(clock, 6)
    assert is_lost(browser)


def test_an_answer_that_is_read_slowly_is_not_cut(connect, clock):
    """As long as something is taken in close_timeout."""
    browser = connect()
    browser.socket.room = 0
    browser.send(GET % (b"page", b"Connection: close\r\n"))
    for _ in range(16):
        tick(clock, 4)
        assert not is_lost(browser)
        browser.socket.room = 6000
        browser.turn()
    browser.socket.room = None
    browser.turn()
    assert len(browser.answer.body) == 100_000


def test_a_client_that_stops_to_read_is_cut_off(connect, clock):
    """Having read a part does not count for ever."""
    browser = connect()
    browser.socket.room = 50_000
    browser.send(GET % (b"page", b"Connection: close\r\n"))
    browser.turn()
    tick(clock, 4)
    browser.socket.room = 100
    browser.turn()
    tick(clock, 11)
    assert is_lost(browser)


def test_a_connection_that_closes_in_time_leaves_no_timer(connect, clock):
    """The usual case."""
    browser = connect()
    browser.send(GET % (b"", b"Connection: close\r\n"))
    browser.turn()
    assert browser.answer.body == b"home"
    browser.lose()  # as the reactor does, when all is written
    assert clock.getDelayedCalls() == []


def test_a_connection_that_is_lost_is_not_closed_again(connect, clock):
    """Whoever closes it a second time starts no timer."""
    browser = connect(Browser)
    browser.send(GET % (b"", b""))
    protocol = browser.wire.protocol
    browser.lose()
    getattr(protocol, "_channel", protocol).loseConnection()
    assert clock.getDelayedCalls() == []


def test_a_connection_is_closed_once(connect, clock):
    """What closes it again puts the deadline off no further."""
    browser = connect()
    browser.socket.room = 0
    browser.send(GET % (b"page", b"Connection: close\r\n"))
    protocol = browser.wire.protocol
    tick(clock, 4)
    getattr(protocol, "_channel", protocol).loseConnection()
    tick(clock, 2)
    assert is_lost(browser)


# An answer that is not the last.


def test_who_does_not_read_an_answer_is_cut_off(connect, site, clock):
    """On our own port in twice request_timeout; in a Site by its own timeout."""
    browser = connect()
    browser.socket.room = 0
    browser.send(GET % (b"page", b""))
    tick(clock, 19)
    assert not is_lost(browser)
    tick(clock, 42)
    assert is_lost(browser)


def test_who_reads_an_answer_slowly_is_not_idle(connect, site, clock):
    """As long as something is taken in request_timeout."""
    if not isinstance(site, EngineIOSite):
        return  # a Site's own timeout knows no progress
    browser = connect()
    browser.socket.room = 0
    browser.send(GET % (b"page", b""))
    for _ in range(16):
        tick(clock, 18)
        assert not is_lost(browser)
        browser.socket.room = 6000
        browser.turn()
    browser.socket.room = None
    browser.turn()
    assert len(browser.answer.body) == 100_000
    tick(clock, 19)
    assert not is_lost(browser)


def test_who_does_not_read_what_is_produced_is_cut_off(connect, site, clock):
    """An answer that has not ended, because its client takes nothing, ends so."""
    if not isinstance(site, EngineIOSite):
        return
    browser = connect()
    browser.socket.room = 0
    browser.send(GET % (b"slow", b""))
    site.resource.children[b"slow"].requests[0].write(b"x" * 100_000)
    tick(clock, 41)
    assert is_lost(browser)


def test_a_stream_that_is_read_slowly_is_not_cut(connect, site, clock):
    """What waits is as much each time that it is looked at, and not the same."""
    if not isinstance(site, EngineIOSite):
        return
    browser = connect()
    browser.send(GET % (b"slow", b"")).turn()
    (request,) = site.resource.children[b"slow"].requests
    for _ in range(10):
        browser.socket.room = 500
        request.write(b"x" * 1000)
        browser.turn()
        tick(clock, 10)
        browser.socket.room = None
        browser.turn()
        browser.socket.room = 500
        request.write(b"x" * 1000)
        browser.turn()
        tick(clock, 10)
        assert not is_lost(browser)
        browser.socket.room = None
        browser.turn()


def test_what_was_written_in_this_turn_is_not_unread(connect, site, clock):
    """A timer that writes may fire just before the one that looks."""
    if not isinstance(site, EngineIOSite):
        return
    browser = connect()
    browser.send(GET % (b"slow", b"")).turn()
    (request,) = site.resource.children[b"slow"].requests
    for _ in range(100):
        request.write(b"beat")
        clock.advance(1)
        browser.turn()
    assert not is_lost(browser)


def test_an_answer_that_takes_its_time_is_not_cut(connect, site, clock):
    """What the client could take it has taken."""
    browser = connect()
    browser.send(GET % (b"slow", b"")).turn()
    tick(clock, 100)
    assert not is_lost(browser)


def test_a_transport_that_cannot_be_counted_says_that_it_is_full(connect, site, clock):
    """As one of a plugin's endpoint does."""
    if not isinstance(site, EngineIOSite):
        return
    browser = connect(Browser)
    browser.send(GET % (b"slow", b""))
    browser.wire.fill()
    tick(clock, 30)
    browser.wire.empty()
    browser.wire.fill()
    tick(clock, 20)
    assert not is_lost(browser)
    tick(clock, 40)
    assert is_lost(browser)


# Refusals.


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_refusal_is_a_whole_answer(connect, data):
    """Then nothing more is written, and what still comes is thrown away."""
    browser = connect()
    browser.send(data + b"x" * 5000).turn()
    assert browser.answer.status == 400
    assert browser.answer.headers["connection"] == "close"
    assert browser.socket.calls == ["shutdown"]
    for _ in range(10):
        browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100).turn()
    assert len(browser.answers) == 1
    assert not is_lost(browser)


def test_what_is_discarded_is_bounded(connect, clock):
    """A client that sends on for ever is cut off."""
    browser = connect()
    browser.send(BAD["header"]).turn()
    for _ in range(100):
        browser.send(b"x" * 65_536)
        clock.advance(0)
        if is_lost(browser):
            break
    else:
        raise AssertionError("it reads for ever")


def test_a_transport_that_has_no_half_is_closed(connect):
    """TLS waits for its client by itself."""
    browser = connect(Browser)
    browser.send(BAD["header"])
    assert browser.answer.status == 400
    assert browser.wire.disconnecting


def test_the_rest_of_a_request_that_is_answered_gets_no_second_answer(connect):
    """It would be taken for the answer to the next."""
    browser = connect()
    head = (
        b"POST /engine.io/?transport=x HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999"
    )
    browser.send(head + b"\r\n\r\n").turn()
    assert browser.answer.status == 413
    channel = browser.wire.protocol
    for _ in range(2):
        getattr(channel, "_channel", channel).refuse(400)
    browser.turn()
    assert len(browser.answers) == 1
    assert browser.socket.calls == ["shutdown"]


LONG = b"x" * 17_000


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + LONG + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /" + LONG, 414),
        (b"GET /?" + b"x" * 16_384, 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + LONG + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + LONG, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: bcd\r\n" * 3000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 600 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"A: " + b"b" * 999 + b"\r\n") * 17, 431),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 9000, None),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nA: " + b"b" * 9000 + b"\r\n", 431),
    ],
)
@pytest.mark.parametrize("size", [1_000_000, 1000, 61])
def test_what_is_too_long_is_told(connect, data, status, size):
    """414 for the request line, 431 for headers, in whatever pieces it comes."""
    browser = connect()
    for at in range(0, len(data), size):
        browser.send(data[at : at + size])
    browser.turn()
    assert [each.status for each in browser.answers] == ([status] if status else [])
    if status:
        assert browser.socket.calls == ["shutdown"]


def test_what_is_just_not_too_long_is_read(connect):
    """500 headers, and a URI of many kilobytes."""
    browser = connect()
    headers = b"a:\r\n" * 490
    browser.send(b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n" + headers)
    browser.send(b"\r\n").turn()
    assert browser.answer.status == 404

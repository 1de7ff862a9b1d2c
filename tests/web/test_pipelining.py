"""A client that does not read its answers, or sends far ahead, is waited for."""

from __future__ import annotations

import pytest
from tcp_browser import TCPBrowser
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import Data

from twisted_engineio import (
    CloseReason,
    EngineIOResource,
    EngineIOSite,
    protect,
)
from twisted_engineio.web.http1 import channel as channel_module
from twisted_engineio.web.http1 import close_timeout, pipelining

POLLING = b"EIO=4&transport=polling"
PAGE = 30_000
WAY = ["ours", "protected"]


class Reader(TCPBrowser):
    """A client whose answers leave when they are looked at."""

    @property
    def answers(self):
        self.turn()
        return super().answers


class Later(Resource):
    """Answers when the test says so."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.requests = []

    def render(self, request):
        self.requests.append(request)
        request.notifyFinish().addErrback(lambda _: None)
        return NOT_DONE_YET


class Counted(Resource):
    """A page that counts how often it is asked for."""

    isLeaf = True

    def __init__(self, size):
        super().__init__()
        self.asked = 0
        self.size = size

    def render_GET(self, request):
        self.asked += 1
        return b"x" * self.size


@pytest.fixture(params=WAY)
def way(request):
    """Name the kind of site: both have the same limits."""
    return request.param


@pytest.fixture
def pages():
    """Give the pages of the site."""
    return {b"page": Counted(PAGE), b"huge": Counted(1_000_000), b"later": Later()}


@pytest.fixture
def connect(way, pages, make_server, house):
    """Connect to a site over TCP, with options of its server."""
    made = []

    def connect(**options):
        if not made:
            server = make_server(**options)
            root = Resource()
            root.putChild(b"engine.io", EngineIOResource(server))
            root.putChild(b"", Data(b"home", "text/plain"))
            for name, page in pages.items():
                root.putChild(name, page)
            if way == "ours":
                site = EngineIOSite(root, server)
            else:
                site = protect(Site(root, reactor=server.clock), server)
                site.server = server
            made.append(site)
        browser = Reader(made[0])
        house.append(browser)
        return browser

    return connect


def get(path, *headers):
    """Write a GET."""
    return b"\r\n".join([b"GET %b HTTP/1.1" % path, b"Host: x", *headers, b"", b""])


def drain(browser, clock):
    """Read all, for as long as something comes."""
    browser.socket.room = None
    for _ in range(1000):
        browser.turn()
        clock.advance(0)
        if not browser.wire.dataBuffer and not browser.wire._tempDataBuffer:
            break


# Answers that are not read.


@pytest.mark.parametrize(
    ("path", "most"), [(b"/page", 3), (b"/huge", 1), (b"/engine.io/?" + POLLING, 700)]
)
def test_answers_that_are_not_read_are_bounded(connect, pages, clock, path, most):
    """Whichever resource gives them: no more than high_water_mark, and one answer."""
    browser = connect()
    browser.socket.room = 0
    for _ in range(4):
        browser.send(get(path) * 300)
        clock.advance(0)
    waiting = len(browser.wire.dataBuffer) + browser.wire._tempDataLen
    assert waiting <= 65_536 + 1_001_000
    assert pages[b"page"].asked + pages[b"huge"].asked <= most


@pytest.mark.parametrize("path", [b"/page", b"/huge", b"/nothing"])
def test_all_requests_are_answered_once_their_client_reads(connect, clock, path, pages):
    """In their order, and none is lost."""
    browser = connect()
    browser.socket.room = 0
    browser.send((get(path) * 9 + get(b"/")) * 2)
    assert len(browser.answers) == 0
    drain(browser, clock)
    answers = browser.answers
    assert len(answers) == 20
    assert [at for at, each in enumerate(answers) if each.body == b"home"] == [9, 19]
    assert pages[b"page"].asked + pages[b"huge"].asked in (0, 18)


def test_an_answer_of_any_size_is_not_cut(connect, clock):
    """A megabyte to a client that takes a thousand bytes at a time."""
    browser = connect()
    browser.socket.room = 0
    browser.send(get(b"/huge"))
    while browser.wire.dataBuffer or browser.wire._tempDataBuffer:
        browser.socket.room = 5000
        browser.turn()
    assert len(browser.answer.body) == 1_000_000


@pytest.mark.parametrize("high", [20_000, 65_536, 200_000])
def test_how_much_may_wait_is_high_water_mark(connect, pages, clock, high):
    """What waits is at most one answer more."""
    browser = connect(high_water_mark=high, low_water_mark=1000)
    browser.socket.room = 0
    browser.send(get(b"/page") * 20)
    clock.advance(0)
    assert pages[b"page"].asked == high // PAGE + 1


def test_a_connection_that_waits_is_not_read(connect, clock):
    """Else what it sends would fill the memory in place of what it is sent."""
    browser = connect()
    read = []
    browser.wire.reactor.addReader = lambda _: read.append("on")
    browser.wire.reactor.removeReader = lambda _: read.append("off")
    browser.socket.room = 0
    browser.send(get(b"/huge"))
    assert read[-1] == "off"
    drain(browser, clock)
    assert read[-1] == "on"


def test_a_request_in_progress_takes_no_more_than_it_should(connect, pages, clock):
    """What is sent behind an answer that is not read is not collected."""
    read = []
    browser = connect()
    browser.wire.reactor.addReader = lambda _: read.append("on")
    browser.wire.reactor.removeReader = lambda _: read.append("off")
    browser.send(get(b"/later"))
    browser.socket.room = 0
    pages[b"later"].requests[0].write(b"x" * 100_000)
    browser.send(get(b"/"))
    assert read[-1:] != ["off"]  # it would not be seen to leave
    browser.send(b"x" * 20_000)
    assert read[-1] == "off"


def test_polls_that_are_not_read_wait(connect, clock):
    """Their answers as well: one large message is there, and nothing is behind it."""
    browser = connect()
    browser.send(get(b"/engine.io/?" + POLLING))
    sid = browser.answer.open()["sid"]
    (session,) = browser.site.server.sessions.values()
    browser.socket.room = 0
    poll = get(b"/engine.io/?%b&sid=%b" % (POLLING, sid.encode()))
    session.send(b"x" * 900_000)
    browser.send(poll * 150)
    clock.advance(0)
    for _ in range(10):
        session.send(b"x" * 100_000)
        clock.advance(0)
    assert len(browser.wire.dataBuffer) + browser.wire._tempDataLen < 2_000_000
    assert session.buffered > 1_850_000


def poll_of(session):
    """Write a session's GET."""
    return get(b"/engine.io/?%b&sid=%b" % (POLLING, session.sid.encode()))


@pytest.fixture
def session(connect):
    """Give a session that polls, and whose answers of 100,000 bytes are too many."""
    browser = connect(max_buffered=350_000, http_compression=False)
    browser.send(get(b"/engine.io/?" + POLLING)).turn()
    (only,) = connect().site.server.sessions.values()
    return only


def test_what_a_poll_s_connection_has_not_sent_is_buffered(connect, session):
    """Until it is sent, or the connection is lost."""
    browser = connect()
    browser.socket.room = 30_000
    browser.send(poll_of(session))
    session.send(b"x" * 90_000)
    browser.turn()
    left = len(browser.wire.dataBuffer) - browser.wire.offset
    left += browser.wire._tempDataLen
    assert session.buffered == left > 80_000
    browser.socket.room = 50_000
    browser.turn()
    assert session.buffered == left - 50_000
    browser.socket.room = None
    browser.turn()
    assert session.buffered == 0


def test_a_lost_connection_holds_nothing(connect, session):
    """Its bytes are gone with it."""
    browser = connect()
    browser.socket.room = 0
    browser.send(poll_of(session))
    session.send(b"x" * 100_000)
    assert session.buffered > 100_000
    browser.wire.connectionLost(Failure(ConnectionDone()))
    assert session.buffered == 0


def test_who_polls_on_many_connections_and_reads_none_is_slow(
    connect, session, clock, listener
):
    """Each may hold one answer; all of them together no more than max_buffered."""
    held = 0
    for _ in range(10):
        browser = connect()
        browser.socket.room = 0
        browser.send(poll_of(session))
        session.send(b"x" * 100_000)
        clock.advance(0)
        if listener.closed:
            break
        held += 1
        assert session.buffered > held * 100_000
    assert held == 2
    assert listener.reasons == [CloseReason.SLOW_CLIENT]


def test_another_page_on_the_connection_of_a_poll_does_not_count(
    connect, session, listener, clock
):
    """A page of a megabyte is not the session's."""
    browser = connect()
    browser.socket.room = 0
    browser.send(poll_of(session) + get(b"/huge"))
    session.send("x" * 1000)
    clock.advance(0)
    session.send("hi again")
    clock.advance(0)
    assert 1000 < session.buffered < 1100
    assert listener.closed == []


def test_a_client_that_reads_is_never_slow(connect, session, clock, listener):
    """However much it is sent."""
    browser = connect()
    for _ in range(20):
        browser.send(poll_of(session))
        session.send(b"x" * 100_000)
        browser.turn()
        clock.advance(0)
    assert session.buffered == 0
    assert listener.closed == []


def test_a_producer_is_paused_and_the_next_request_waits(connect, pages, clock):
    """twisted.web's own way to hold back an answer goes on to work."""
    browser = connect()
    browser.send(get(b"/later") + get(b"/"))
    request = pages[b"later"].requests[0]
    said = []

    class Producer:
        def pauseProducing(self):
            said.append("pause")

        def resumeProducing(self):
            said.append("resume")

        def stopProducing(self):
            said.append("stop")

    browser.socket.room = 0
    request.registerProducer(Producer(), True)
    request.write(b"x" * 100_000)
    assert said == ["pause"]
    request.unregisterProducer()
    request.finish()
    clock.advance(0)
    assert b"home" not in bytes(browser.wire.dataBuffer)
    drain(browser, clock)
    assert browser.socket.sent.endswith(b"home")


# Requests that are sent ahead.


def stop_turns(browser):
    """Stop the queue, and give what makes a pass of it."""
    turns = browser.site.engineio_mounts.slices
    turns._timer.cancel()
    turns._timer = None
    return turns._turn


def in_one_turn(browser, data):
    """Count the answers that come before the reactor turns."""
    before = len(browser.answers)
    browser.send(data)
    return len(browser.answers) - before


@pytest.mark.parametrize("path", [b"/", b"/nothing", b"/engine.io/?transport=x"])
def test_one_read_does_not_hold_the_reactor(connect, clock, path):
    """At most 32 requests are handled, then others have their turn."""
    browser = connect()
    assert 0 < in_one_turn(browser, get(path) * 1000) <= 32
    drain(browser, clock)
    assert len(browser.answers) == 1000
    assert in_one_turn(browser, get(path) * 5) == 5


def test_a_slow_request_ends_its_connection_s_turn(connect, clock, pages):
    """After four milliseconds, however few they are."""
    browser = connect()
    page = pages[b"page"]
    page.render_GET = lambda request: slow(request)

    def slow(request):
        page.asked += 1
        clock.rightNow += 0.0015
        return b""

    browser.send(get(b"/page") * 10)
    assert page.asked == 4
    clock.advance(0)
    assert page.asked == 10


def test_connections_take_turns(connect, clock):
    """One that has sent a little is not behind all of one that has sent much."""
    flood, other = connect(), connect()
    flood.send(get(b"/") * 1000)
    assert in_one_turn(other, get(b"/") * 3) == 1  # the first is never behind others
    stop_turns(flood)()
    assert len(other.answers) == 3
    assert 33 < len(flood.answers) <= 64
    drain(flood, clock)
    assert len(flood.answers) == 1000


def test_a_connection_that_is_lost_leaves_the_queue(connect, clock, pages):
    """Nothing of it is handled any more, and no timer is left."""
    browser = connect()
    browser.send(get(b"/page") * 40)
    asked = pages[b"page"].asked
    browser.lose()
    clock.advance(0)
    assert pages[b"page"].asked == asked
    assert clock.getDelayedCalls() == []


def test_what_is_behind_a_request_that_closes_is_not_handled(connect, clock, pages):
    """RFC 9112, 9.6."""
    browser = connect()
    data = get(b"/") * 33 + get(b"/", b"Connection: close") + get(b"/page") * 100
    browser.send(data)
    clock.advance(0)
    assert len(browser.answers) == 34
    assert pages[b"page"].asked == 0


def test_a_connection_that_is_closed_in_the_queue_is_left_alone(connect, clock):
    """Its requests are not handled once somebody has closed it."""
    browser = connect()
    browser.send(get(b"/") * 100)
    protocol = browser.wire.protocol
    getattr(protocol, "_channel", protocol).loseConnection()
    clock.advance(0)
    assert len(browser.answers) == 32


def chunked(path, chunks, behind=b""):
    """Write a POST with a body of chunks of one byte each."""
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    return head + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n" + behind


@pytest.fixture
def pieces(monkeypatch):
    """Write down the sizes of what is read of bodies at once."""
    sizes = []
    read = HTTPChannel.rawDataReceived

    def spy(channel, data):
        if not channel._handlingRequest:
            sizes.append(len(data))
        read(channel, data)

    monkeypatch.setattr(HTTPChannel, "rawDataReceived", spy)
    return sizes


@pytest.mark.parametrize("chunks", [10, 400, 12_000])
def test_chunks_of_one_byte_are_read_piece_by_piece(connect, clock, pieces, chunks):
    """And what is behind them is the next request."""
    browser = connect()
    browser.send(get(b"/engine.io/?" + POLLING))
    sid = browser.answers[0].open()["sid"].encode()
    path = b"/engine.io/?%b&sid=%b" % (POLLING, sid)
    behind = get(b"/") + get(b"/nothing")
    browser.send(chunked(path, chunks, behind))
    assert sum(pieces) <= 32 * 2048
    clock.advance(0)
    assert max(pieces) <= 2048
    answers = browser.answers
    assert [each.status for each in answers][-2:] == [200, 404]
    assert answers[-2].body == b"home"


def test_a_chunked_body_in_pieces_has_a_request_in_progress_behind_it(
    connect, clock, pages
):
    """What was sent behind waits for it."""
    browser = connect()
    browser.send(chunked(b"/later", 200, get(b"/") * 300))
    clock.advance(0)
    assert browser.answers == []
    (request,) = pages[b"later"].requests
    request.setHeader(b"Content-Length", b"2")
    request.write(b"ok")
    request.finish()
    drain(browser, clock)
    assert [each.body for each in browser.answers] == [b"ok"] + [b"home"] * 300


def test_a_chunked_body_that_breaks_off_in_a_piece_is_refused_once(connect, clock):
    """400, and what is behind it is not read."""
    browser = connect()
    head = b"POST /later HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    browser.send(head + b"1\r\nx\r\n" * 100 + b"zz\r\n" + b"x" * 10_000)
    clock.advance(0)
    browser.turn()
    assert browser.socket.sent.count(b"HTTP/1.1 400 ") == 1


def test_a_body_with_a_length_is_read_at_once(connect, pieces):
    """It costs nothing to read."""
    browser = connect()
    head = b"POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    browser.send(head + b"x" * 60_000)
    assert pieces == [60_000]


def test_a_websocket_behind_requests_is_opened(connect, clock):
    """With what was sent behind its handshake."""
    browser = connect()
    browser.send(get(b"/") * 40)
    browser.upgrade((POLLING.replace(b"polling", b"websocket")).decode())
    clock.advance(0.001)
    assert browser.answers[-1].status == 101


def test_a_client_whose_turn_has_not_come_is_not_slow(connect, clock):
    """A server that is busy judges nobody by it."""
    browser = connect(request_timeout=10.0, keep_alive_timeout=10.0)
    browser.send(get(b"/") * 100)
    browser.turn()
    run = stop_turns(browser)
    for _ in range(30):
        clock.advance(1)
    assert not browser.wire.disconnecting
    run()
    clock.advance(0)
    assert len(browser.answers) == 100


def test_twisted_web_s_headers_are_kept_by_their_names():
    """In their usual form: an own getter would take as long as all else."""
    (name,) = channel_module.TWISTED
    headers = Headers({b"hOST": [b"x"]})
    assert getattr(headers, name).get(b"Host") == [b"x"]


@pytest.mark.parametrize("name", [*pipelining.TWISTED, *close_timeout.TWISTED])
def test_twisted_web_still_has_what_is_known_of_it(name):
    """The private names."""
    theirs = HTTPChannel()
    theirs.site = theirs.factory = None
    theirs.makeConnection(StringTransport())
    theirs.setTimeout(None)
    assert hasattr(theirs, name)

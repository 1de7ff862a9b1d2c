"""The body of a request: refused before it is read, cut at the limit, broken off."""

from __future__ import annotations

import pytest
from fakes import PONG, Browser, Onlooker
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.web._http2 import H2Stream
from twisted.web.resource import Resource
from twisted.web.static import Data

from twisted_engineio import CloseReason, EngineIOResource, EngineIOSite
from twisted_engineio.web.body_limit import EngineIORequest

POLLING = "EIO=4&transport=polling"


@pytest.fixture
def onlooker():
    """Give an observer that writes down every event."""
    return Onlooker()


@pytest.fixture
def post(make_server, browse, onlooker):
    """Open a session where bodies have 100 bytes; send the heads of POSTs to it."""
    server = make_server(max_payload=100, observers=[onlooker])
    sid = browse(server).get(POLLING).answer.open()["sid"]
    onlooker.events.clear()

    def begin(*headers, sid=sid, method="POST", server=server):
        lines = [
            f"{method} /engine.io/?{POLLING}&sid={sid} HTTP/1.1",
            "Host: example.com",
            *headers,
        ]
        return browse(server).send("\r\n".join(lines).encode() + b"\r\n\r\n")

    return begin


CHUNKED = "Transfer-Encoding: chunked"


def test_a_body_at_the_limit_is_taken(post, listener):
    """max_payload is inclusive."""
    browser = post("Content-Length: 100").send(b"4" + b"x" * 99)
    assert browser.answer.body == b"ok"
    assert listener.received == ["x" * 99]


@pytest.mark.parametrize("length", [101, 10**6, 10**18])
def test_a_body_over_the_limit_is_refused_before_it_is_read(
    post, listener, onlooker, length
):
    """By its Content-Length: 413, an empty body, and the session goes on."""
    browser = post(f"Content-Length: {length}")
    assert (browser.answer.status, browser.answer.body) == (413, b"")
    assert onlooker.events == [("payload_refused", length, 100)]
    assert listener.closed == []
    assert post("Content-Length: 4").send(b"4new").answer.body == b"ok"


def test_a_refused_body_is_thrown_away(post, listener):
    """So that a client that sends it all first gets to read the answer."""
    browser = post("Content-Length: 101").send(b"4" * 50).send(b"4" * 51)
    assert browser.answer.status == 413
    assert not browser.wire.disconnected
    assert listener.received == []
    browser.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [each.status for each in browser.answers] == [413, 404]


def test_a_refused_body_without_end_is_cut(post):
    """Past sixteen times the limit nobody reads on."""
    browser = post("Content-Length: 1000000")
    for _ in range(16):
        browser.send(b"x" * 100)
    assert not browser.wire.disconnected
    browser.send(b"x")
    assert browser.wire.disconnected


def test_a_chunked_body_is_cut_when_it_passes_the_limit(post, listener, onlooker):
    """There is no length to refuse it by: what came is counted."""
    browser = post(CHUNKED).send(b"64\r\n" + b"4" * 100 + b"\r\n")
    assert browser.answers == []
    browser.send(b"1\r\n4\r\n")
    assert (browser.answer.status, browser.answer.body) == (413, b"")
    assert onlooker.events == [("payload_refused", 101, 100)]
    browser.send(b"5\r\n44444\r\n0\r\n\r\n")
    assert (listener.received, listener.closed) == ([], [])
    assert len(browser.answers) == 1


def test_a_chunked_body_without_end_is_cut(post):
    """Whatever its chunks say."""
    browser = post(CHUNKED).send(b"1000000\r\n")
    while not browser.wire.disconnected:
        browser.send(b"x" * 100)
        assert len(browser.wire.value()) < 1000
    assert browser.answer.status == 413


def test_who_asks_before_sending_is_told(post):
    """Expect: 100-continue is answered with 413 alone, or with the go-ahead."""
    refused = post("Content-Length: 101", "Expect: 100-continue")
    assert refused.wire.value().startswith(b"HTTP/1.1 413 ")
    welcome = post("Content-Length: 4", "Expect: 100-continue")
    assert welcome.wire.value().startswith(b"HTTP/1.1 100 ")


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
def test_a_body_of_another_method_has_the_same_limit(post, method, listener):
    """A GET with a huge body is refused as well, and is no poll."""
    browser = post("Content-Length: 101", method=method)
    assert browser.answer.status == 413
    assert listener.closed == []


def test_a_body_for_nobody_has_the_same_limit(post):
    """An unknown sid is no way around it."""
    assert post("Content-Length: 101", sid="x").answer.status == 413
    browser = post("Content-Length: 4", sid="x").send(b"4abc")
    assert browser.answer.json()["code"] == 1


def test_a_body_that_is_broken_off_ends_its_session(post, listener):
    """The part that arrived is never delivered."""
    post("Content-Length: 50").send(b"4part").lose()
    assert listener.received == []
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


def test_a_refused_body_that_is_broken_off_ends_nothing(post, listener):
    """It was refused already."""
    post("Content-Length: 101").send(b"4part").lose()
    post(CHUNKED).send(b"64\r\n" + b"4" * 100 + b"\r\n1\r\n4\r\n").lose()
    assert listener.closed == []


@pytest.mark.parametrize(
    "length", ["Content-Length: -1", "Content-Length: x", "Content-Length: 1, 2"]
)
def test_a_length_that_is_none_is_twisted_web_s_to_refuse(post, length, listener):
    """400, and the session unharmed."""
    browser = post(length)
    assert browser.wire.value().startswith(b"HTTP/1.1 400 ")
    assert listener.closed == []


def test_a_length_that_lies_delivers_no_more_than_it_says(post, listener):
    """What comes behind the body is the next request, a bad one."""
    browser = post("Content-Length: 2").send(b"4xsmuggled\r\n\r\n")
    assert listener.received == ["x"]
    assert browser.answers[0].body == b"ok"


def test_a_post_to_a_session_on_websocket_is_a_bad_request(
    post, make_server, browse, listener
):
    """It delivers nothing, and the session goes on."""
    server = make_server()
    browse(server).upgrade("EIO=4&transport=websocket")
    (sid,) = server.sessions
    browser = post("Content-Length: 2", sid=sid, server=server).send(b"4x")
    assert browser.answer.json()["code"] == 3
    assert (listener.received, listener.closed) == ([], [])


def test_a_resource_elsewhere_in_the_site_is_served_too(make_server, house, listener):
    """Without the guard, which knows one path; and by twisted.web's own means."""
    server, root = make_server(max_payload=100), Resource()
    root.putChild(b"other", EngineIOResource(server))
    browser = Browser(EngineIOSite(root, server, "/engine.io"))
    house.append(browser)
    browser.send(f"GET /other?{POLLING} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    sid = browser.answer.open()["sid"]
    for body, status in ((b"4x", 200), (b"4" * 101, 413)):
        browser.send(
            b"POST /other?%b&sid=%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
            % (POLLING.encode(), sid.encode(), len(body))
        )
        browser.send(body)
        assert browser.answers[-1].status == status
    assert listener.received == ["x"]


@pytest.fixture
def bounded(make_server, house):
    """Give a connection to a site where nothing else takes bodies; how it was told."""
    onlooker = Onlooker()
    server = make_server(max_payload=100, observers=[onlooker])
    root = Resource()
    root.putChild(b"", Data(b"home", "text/plain"))
    browser = Browser(EngineIOSite(root, server, "/engine.io", bounded=True))
    house.append(browser)
    return browser, onlooker


@pytest.mark.parametrize("length", [101, 500_000_000])
def test_elsewhere_a_body_may_be_refused_before_it_is_read_too(
    bounded, monkeypatch, length
):
    """Where no resource of the site takes one; nothing of it reaches the disk."""
    monkeypatch.setattr("tempfile.TemporaryFile", None)
    browser, onlooker = bounded
    browser.send(b"POST /x?sid=y HTTP/1.1\r\nHost: x\r\n")
    browser.send(b"Content-Length: %d\r\n\r\n" % length)
    assert (browser.answer.status, browser.answer.body) == (413, b"")
    assert onlooker.events == [("payload_refused", length, 100)]
    for _ in range(17):
        browser.send(b"x" * 100)
    assert browser.wire.disconnected is (length > 101)


def test_elsewhere_a_chunked_body_is_not_waited_for(bounded):
    """No resource takes it: it is answered at once, and cut when there is too much."""
    browser, _ = bounded
    browser.send(b"POST / HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % CHUNKED.encode())
    assert browser.answer.status == 405
    browser.send(b"64\r\n" + b"4" * 100 + b"\r\n0\r\n\r\n")
    browser.send(b"POST / HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % CHUNKED.encode())
    assert [each.status for each in browser.answers] == [405, 405]
    for _ in range(17):
        assert not browser.wire.disconnected
        browser.send(b"64\r\n" + b"4" * 100 + b"\r\n")
    browser.send(b"1\r\n4\r\n")
    assert browser.wire.disconnected


def test_elsewhere_a_body_within_the_limit_is_the_resource_s_own(bounded):
    """As is a request without one."""
    browser, _ = bounded
    browser.send(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
    browser.send(b"x" * 100 + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [each.body for each in browser.answers] == [b"home", b"home"]


def test_nothing_is_written_to_the_disk(make_server, browse, listener, monkeypatch):
    """A body is in memory, for it is bounded."""
    monkeypatch.setattr("tempfile.TemporaryFile", None)
    server = make_server()
    sid = browse(server).get(POLLING).answer.open()["sid"]
    browse(server).post(f"{POLLING}&sid={sid}", b"4" + b"x" * 999_999)
    assert len(listener.received[0]) == 999_999


def test_a_wrapper_s_cookie_is_sent(server, browse):
    """A resource around ours may set one; then twisted.web writes the answer."""
    browser = browse(server)
    process = EngineIORequest.process

    class Wrapped(EngineIORequest):
        def process(self):
            self.addCookie("name", "value")
            process(self)

    browser.site.requestFactory = Wrapped
    browser = Browser(browser.site)
    browser.get("EIO=4&transport=polling")
    assert browser.answer.headers["set-cookie"] == "name=value"
    browser.lose()


# HTTP/2, where a request has a stream instead of a connection.


class Connection:
    """An HTTP/2 connection as its streams see it: it writes down what they ask."""

    def __init__(self):
        self.headers = []
        self.body = b""
        self.ended = 0
        self.aborted = 0

    def getPeer(self):
        return None

    getHost = getPeer

    def _isSecure(self):
        return True

    def writeHeaders(self, version, code, reason, headers, stream):
        self.headers.append((code, dict(headers)))

    def writeDataToStream(self, stream, data):
        self.body += data

    def endRequest(self, stream):
        self.ended += 1

    def abortRequest(self, stream):
        self.aborted += 1

    def openStreamWindow(self, stream, increment):
        pass


@pytest.fixture
def stream(make_server, browse, onlooker):
    """Open a session where bodies have 100 bytes; begin requests to it on streams."""
    server = make_server(max_payload=100, observers=[onlooker])
    first = browse(server)
    sid = first.get(POLLING).answer.open()["sid"]
    first.get(f"{POLLING}&sid={sid}")
    onlooker.events.clear()

    def begin(
        method="POST", path=f"/engine.io/?{POLLING}&sid={sid}", more=(), **headers
    ):
        connection = Connection()
        named = [(b":method", method.encode()), (b":path", path.encode())]
        named += [(b":authority", b"example.com")]
        named += [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in headers.items()
        ]
        named += more
        site = first.site
        begun = H2Stream(1, connection, named, site.requestFactory, site, site)
        begun.connection = connection
        return begun

    return begin


def test_a_stream_s_body_is_taken(stream, listener):
    """The limit is the same, to the byte."""
    post = stream(content_length="100")
    post.receiveDataChunk(b"4" + b"x" * 99, 100)
    post.requestComplete()
    assert listener.received == ["x" * 99]
    assert post.connection.headers[0][0] == b"200"
    assert (post.connection.body, post.connection.ended) == (b"ok", 1)


@pytest.mark.parametrize("headers", [{}, {"content_length": "101"}])
def test_a_stream_s_body_is_cut_at_the_limit(stream, listener, onlooker, headers):
    """By what came alone: its headers are not all there when its length is."""
    post = stream(**headers)
    post.receiveDataChunk(b"4" * 100, 100)
    assert post.connection.headers == []
    post.receiveDataChunk(b"4", 1)
    assert post.connection.headers[0][0] == b"413"
    assert onlooker.events == [("payload_refused", 101, 100)]
    post.requestComplete()
    assert (post.connection.ended, listener.received) == (1, [])
    assert listener.closed == []


def test_a_stream_without_end_is_cut_alone(stream, listener):
    """The connection may have others."""
    post = stream()
    for _ in range(18):
        post.receiveDataChunk(b"4" * 100, 100)
    assert post.connection.aborted == 0
    post.receiveDataChunk(b"4" * 100, 100)
    assert post.connection.aborted == 1
    assert listener.closed == []


def test_a_stream_has_the_time_of_a_request(stream, listener, clock):
    """What has come of the POST is broken off, which ends its session."""
    post = stream()
    for _ in range(6):
        clock.advance(9.9)
        assert post.connection.aborted == 0
        post.receiveDataChunk(b"4", 1)
        listener.opened[0].receive_packet(PONG)
    clock.advance(0.6)
    assert post.connection.aborted == 1
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


@pytest.mark.parametrize("comes", [True, False])
def test_a_stream_that_its_client_resets_leaves_no_timer(
    stream, listener, clock, comes
):
    """The house fixture looks for one."""
    post = stream()
    if comes:
        post.receiveDataChunk(b"4", 1)
    else:
        clock.advance(0)
    post.connectionLost(Failure(ConnectionDone()))
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


def test_a_stream_s_second_length_changes_nothing(stream, listener, clock):
    """Twisted tells each; a timer for each would leave one that nobody stops."""
    post = stream(more=[(b"content-length", b"2")] * 2)
    post.receiveDataChunk(b"4x", 2)
    post.requestComplete()
    assert post.connection.headers[0][0] == b"200"
    assert listener.received == ["x"]
    for _ in range(3):
        clock.advance(20)
        listener.opened[0].receive_packet(PONG)
    clock.advance(1)
    assert post.connection.aborted == 0


def test_a_stream_for_another_resource_is_twisted_web_s_own(stream):
    """Its body is that resource's affair, and its time."""
    post = stream(path="/elsewhere")
    post.receiveDataChunk(b"x" * 200, 200)
    post.requestComplete()
    assert post.connection.headers[0][0] == b"404"


def test_a_stream_without_a_path_is_for_no_resource(stream):
    """An ordinary CONNECT: RFC 9113, 8.5; twisted.web alone would fail."""
    connect = stream("CONNECT", path="")
    connect.path = None
    connect.requestComplete()
    assert connect.connection.headers[0][0] == b"404"


def test_a_post_for_another_transport_is_not_the_session_s(server, browse, listener):
    """Whoever breaks it off breaks nothing."""
    sid = browse(server).get("EIO=4&transport=polling").answer.open()["sid"]
    head = f"POST /engine.io/?EIO=4&transport=websocket&sid={sid} HTTP/1.1\r\n"
    browser = browse(server).send(head.encode() + b"Content-Length: 9\r\n\r\nabc")
    browser.lose()
    assert listener.closed == []


def test_a_stream_that_is_reset_at_once_leaves_no_timer(stream, listener):
    """Nothing of it has been handled."""
    stream().connectionLost(Failure(ConnectionDone()))
    assert listener.reasons == []


def test_a_stream_s_body_that_no_one_wants_is_not_collected(stream, clock):
    """It is answered when its headers have ended; the stream ends with its body."""
    post = stream(path="/engine.io/?EIO=4&transport=polling&sid=x")
    clock.advance(0)
    assert post.connection.headers[0][0] == b"400"
    for _ in range(9):
        post.receiveDataChunk(b"x" * 100, 100)
        assert post._request.content.getbuffer().nbytes == 0
    assert post.connection.ended == 0
    post.requestComplete()
    assert (len(post.connection.headers), post.connection.ended) == (1, 1)


def test_a_stream_may_get_with_a_body(stream):
    """It is answered when the body begins to come, and nothing of that is kept."""
    get = stream("GET", path="/engine.io/?EIO=4&transport=polling")
    assert get.connection.headers == []
    get.receiveDataChunk(b"x" * 100, 100)
    assert get.connection.headers[0][0] == b"200"
    assert get._request.content.getbuffer().nbytes == 0
    get.requestComplete()
    assert get.connection.ended == 1

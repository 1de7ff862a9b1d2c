"""A body that no one wants is not collected, and its request is answered at once."""

from __future__ import annotations

import pytest
from fakes import Browser, Listener, Onlooker
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import Data

from twisted_engineio import (
    CloseReason,
    EngineIOResource,
    EngineIOSite,
    Server,
    protect,
)

POLLING = "EIO=4&transport=polling"
GIVEN = {
    "length": b"Content-Length: 900\r\n",
    "chunks": b"Transfer-Encoding: chunked\r\n",
}


def piece(way, data):
    """Write a piece of a body."""
    return data if way == "length" else b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture(params=["ours", "protected"])
def kind(request):
    """Name the kind of site."""
    return request.param


@pytest.fixture(params=GIVEN)
def way(request):
    """Name how a body says how long it is."""
    return request.param


@pytest.fixture
def onlooker():
    """Give an observer that writes down every event."""
    return Onlooker()


@pytest.fixture
def connect(kind, make_server, onlooker, house):
    """Connect to a site with two servers and a page."""
    made = {}

    def connect(**options):
        if not made:
            options.setdefault("max_payload", 1000)
            server = make_server(observers=[onlooker], **options)
            other = Server(Listener(), clock=server.clock)
            house.append(other)
            root = Resource()
            root.putChild(b"engine.io", EngineIOResource(server))
            root.putChild(b"status", EngineIOResource(other))
            root.putChild(b"", Data(b"home", "text/plain"))
            if kind == "ours":
                site = EngineIOSite(root, server, bounded=True)
                site.engineio_mounts.add(other, "/status")
            else:
                site = protect(Site(root, reactor=server.clock), server)
                protect(site, other, "/status")
            made.update(site=site, server=server)
        browser = Browser(made["site"])
        house.append(browser)
        return browser

    connect.made = made
    return connect


def begin(browser, method, target, *lines):
    """Send a head whose body is still to come; give what is asked."""
    head = b"%b %b HTTP/1.1\r\nHost: example.com\r\n" % (method, target.encode())
    browser.send(head + b"".join(lines) + b"\r\n")
    return browser


def held(browser):
    """Count what is held of the body."""
    request = browser.wire.protocol._channel.requests[-1]
    return request.content.getbuffer().nbytes


@pytest.fixture
def sid(connect):
    """Open a session, and give its id."""
    return connect().get(POLLING).answer.open()["sid"]


UNWANTED = {
    "an unknown sid": ("POST", f"/engine.io/?{POLLING}&sid=x", b"", 400),
    "no sid": ("POST", f"/engine.io/?{POLLING}", b"", 400),
    "no query": ("POST", "/engine.io/", b"", 400),
    "an unknown transport": ("POST", "/engine.io/?EIO=4&transport=x&sid=SID", b"", 400),
    "another transport": (
        "POST",
        "/engine.io/?EIO=4&transport=websocket&sid=SID",
        b"",
        400,
    ),
    "another revision": (
        "POST",
        "/engine.io/?EIO=3&transport=polling&sid=SID",
        b"",
        400,
    ),
    "a foreign origin": (
        "POST",
        f"/engine.io/?{POLLING}&sid=SID",
        b"Origin: https://evil.example\r\n",
        400,
    ),
    "a handshake": ("GET", f"/engine.io/?{POLLING}", b"", 200),
    "put": ("PUT", f"/engine.io/?{POLLING}&sid=SID", b"", 405),
    "options": ("OPTIONS", f"/engine.io/?{POLLING}&sid=SID", b"", 204),
    "the status server": ("POST", f"/status/?{POLLING}&sid=x", b"", 400),
    "a handshake of it": ("POST", f"/status?{POLLING}", b"", 400),
}


@pytest.mark.parametrize(
    ("method", "target", "lines", "status"), UNWANTED.values(), ids=UNWANTED
)
def test_a_body_that_no_one_wants_is_not_collected(
    connect, sid, way, method, target, lines, status
):
    """It is answered before a byte of it has come, and the next request is served."""
    browser = connect()
    target = target.replace("SID", sid)
    begin(browser, method.encode(), target, lines, GIVEN[way])
    assert browser.answer.status in (status, 403)
    for _ in range(9):
        browser.send(piece(way, b"x" * 100))
        if browser.wire.protocol._channel.requests:
            assert held(browser) == 0
    assert len(browser.answers) == 1
    if way == "chunks":
        browser.send(b"0\r\n\r\n")
    browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert browser.answers[1].body == b"home"


@pytest.mark.parametrize(
    ("target", "status"), [("/", 405), ("/nothing", 404), ("/engine.io/more", 404)]
)
def test_a_page_takes_no_body(connect, kind, way, target, status):
    """On our own port; in a Site of somebody's own it is the page's affair."""
    browser = begin(connect(), b"POST", target, GIVEN[way])
    browser.send(piece(way, b"x" * 100))
    if kind == "ours":
        assert browser.answer.status == status
        assert held(browser) == 0
    else:
        assert browser.answers == []


def test_a_poll_with_a_body_is_a_poll(connect, sid, way):
    """Held as any other; its body is discarded meanwhile, and comes to its end."""
    browser = begin(connect(), b"GET", f"/engine.io/?{POLLING}&sid={sid}", GIVEN[way])
    browser.send(piece(way, b"x" * 900))
    assert held(browser) == 0
    if way == "chunks":
        browser.send(b"0\r\n\r\n")
    assert browser.answers == []
    connect.made["server"].sessions[sid].send("hi")
    assert browser.answer.body == b"4hi"
    browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert browser.answers[1].body == b"home"


def test_a_poll_that_is_answered_before_its_body_has_come(connect, sid, way):
    """The answer leaves at once; the next request begins behind the body."""
    browser = begin(connect(), b"GET", f"/engine.io/?{POLLING}&sid={sid}", GIVEN[way])
    browser.send(piece(way, b"x" * 500))
    connect.made["server"].sessions[sid].send("hi")
    assert browser.answer.body == b"4hi"
    browser.send(piece(way, b"GET / HTTP/1.1\r\n" * 25))
    browser.send(b"0\r\n\r\n" if way == "chunks" else b"")
    assert len(browser.answers) == 1
    browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert browser.answers[1].body == b"home"


def test_a_handshake_that_waits_takes_no_body(connect, listener, way):
    """The application thinks about the client, not about what it sends."""
    admitted = Deferred()
    listener.on_admit = lambda _: admitted
    browser = begin(connect(), b"GET", f"/engine.io/?{POLLING}", GIVEN[way])
    browser.send(piece(way, b"x" * 900))
    assert held(browser) == 0
    admitted.callback(None)
    browser.send(b"0\r\n\r\n" if way == "chunks" else b"")
    assert browser.answer.open()["sid"]


def test_a_websocket_s_handshake_has_no_body(connect, sid, way):
    """Its bytes would be taken for frames."""
    lines = (
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    browser = begin(
        connect(), b"GET", "/engine.io/?EIO=4&transport=websocket", lines, GIVEN[way]
    )
    assert browser.answer.status == 400
    assert len(connect.made["server"].sessions) == 1


def test_a_body_that_is_discarded_is_bounded(connect, way):
    """Past sixteen times the limit the connection is cut."""
    target = f"/engine.io/?{POLLING}&sid=x"
    browser = begin(connect(max_payload=100), b"POST", target, GIVEN["chunks"])
    for _ in range(17):
        assert not browser.wire.disconnected
        browser.send(piece("chunks", b"x" * 100))
    browser.send(piece("chunks", b"x"))
    assert browser.wire.disconnected


def test_a_body_that_is_discarded_has_request_timeout(connect, clock):
    """A client that trickles is cut off, though it is answered."""
    target = f"/engine.io/?{POLLING}&sid=x"
    browser = begin(connect(request_timeout=10.0), b"POST", target, GIVEN["length"])
    for _ in range(10):
        assert not browser.wire.disconnecting
        browser.send(b"x")
        clock.advance(1)
    assert browser.wire.disconnecting


def test_a_client_that_leaves_after_its_answer_fails_nothing(connect, sid, way):
    """The session of a poll goes on."""
    browser = begin(connect(), b"GET", f"/engine.io/?{POLLING}&sid={sid}", GIVEN[way])
    connect.made["server"].sessions[sid].send("hi")
    browser.lose()
    assert sid in connect.made["server"].sessions


@pytest.mark.parametrize("status", [400, 100])
def test_only_a_body_that_is_wanted_is_asked_for(connect, sid, status):
    """Expect: 100-continue of one that is not has the answer alone."""
    target = f"/engine.io/?{POLLING}&sid={sid if status == 100 else 'x'}"
    expect = b"Expect: 100-continue\r\n"
    browser = begin(connect(), b"POST", target, expect, GIVEN["length"])
    assert browser.wire.value().startswith(b"HTTP/1.1 %d " % status)
    assert browser.wire.value().count(b"HTTP/1.1 ") == 1


# A body that is wanted.


def test_a_body_is_collected_for_its_session(connect, sid, way, listener):
    """And for it alone."""
    browser = begin(connect(), b"POST", f"/engine.io/?{POLLING}&sid={sid}", GIVEN[way])
    browser.send(piece(way, b"4" + b"x" * 899))
    assert browser.answers == [] or way == "length"
    browser.send(b"0\r\n\r\n" if way == "chunks" else b"")
    assert browser.answer.body == b"ok"
    assert listener.received == ["x" * 899]


def test_a_second_post_is_refused_before_its_body(connect, sid, way, listener):
    """It ends the session, and neither is delivered."""
    target = f"/engine.io/?{POLLING}&sid={sid}"
    first = begin(connect(), b"POST", target, GIVEN[way])
    second = begin(connect(), b"POST", target, GIVEN[way])
    assert second.answer.status == 400
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]
    first.send(piece(way, b"4" + b"x" * 899))
    first.send(b"0\r\n\r\n" if way == "chunks" else b"")
    assert first.answer.status == 400
    assert listener.received == []


def test_a_session_that_ends_meanwhile_takes_no_body(
    connect, sid, way, listener, clock
):
    """The POST is answered as any other that comes too late."""
    target = f"/engine.io/?{POLLING}&sid={sid}"
    browser = begin(connect(), b"POST", target, GIVEN[way])
    connect.made["server"].sessions[sid].abort()
    clock.advance(0)
    browser.send(piece(way, b"4" + b"x" * 899))
    browser.send(b"0\r\n\r\n" if way == "chunks" else b"")
    assert browser.answer.status == 400
    assert browser.answer.json()["code"] == 1
    assert listener.received == []


def test_a_session_that_moves_meanwhile_takes_no_body(connect, sid, way, listener):
    """What comes by its old transport is not delivered."""
    server = connect.made["server"]
    target = f"/engine.io/?{POLLING}&sid={sid}"
    post = begin(connect(), b"POST", target, GIVEN[way])
    socket = connect().upgrade(f"EIO=4&transport=websocket&sid={sid}")
    socket.send(b"\x81\x86\0\0\0\0002probe").send(b"\x81\x81\0\0\0\0005")
    assert server.sessions[sid].transport.name == "websocket"
    post.send(piece(way, b"4" + b"x" * 899))
    post.send(b"0\r\n\r\n" if way == "chunks" else b"")
    assert post.answer.status == 400
    assert post.answer.json()["code"] == 3
    assert listener.received == []


def test_a_client_that_breaks_off_ends_its_session(connect, sid, way, listener):
    """Before the first byte of the body as well."""
    browser = begin(connect(), b"POST", f"/engine.io/?{POLLING}&sid={sid}", GIVEN[way])
    browser.lose()
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


def test_the_function_for_origins_is_asked_once(connect, way):
    """Not for the headers, and again for the body."""
    asked = []
    connect(cors=lambda origin: asked.append(origin) or True)
    sid = connect().get(POLLING).answer.open()["sid"]
    lines = (b"Origin: https://page.example\r\n", GIVEN[way])
    browser = begin(connect(), b"POST", f"/engine.io/?{POLLING}&sid={sid}", *lines)
    browser.send(piece(way, b"4" + b"x" * 899))
    browser.send(b"0\r\n\r\n" if way == "chunks" else b"")
    assert browser.answer.body == b"ok"
    assert asked == ["https://page.example"]


class Thoughtful(Resource):
    """Stands around ours, and thinks about each request."""

    isLeaf = True

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.waiting = []

    def render(self, request):
        request.prepath, request.postpath = [b"engine.io"], [b""]
        self.waiting.append(request)
        return NOT_DONE_YET

    def think(self):
        """Let the first request pass."""
        self.inner.render(self.waiting.pop(0))


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_a_resource_around_ours_may_think(make_server, house, listener, when, way):
    """What comes meanwhile is kept for it, within the limit."""
    server = make_server(max_payload=1000)
    around, root = Thoughtful(EngineIOResource(server)), Resource()
    root.putChild(b"engine.io", around)
    site = EngineIOSite(root, server, "/engine.io", door=False)
    browser = Browser(site)
    house.append(browser)
    browser.get(POLLING)
    around.think()
    sid = browser.answer.open()["sid"]
    begin(browser, b"POST", f"/engine.io/?{POLLING}&sid={sid}", GIVEN[way])
    if when == "before":
        around.think()
    browser.send(piece(way, b"4" + b"x" * 499))
    if when == "between":
        around.think()
    browser.send(piece(way, b"x" * 400))
    browser.send(b"0\r\n\r\n" if way == "chunks" else b"")
    if when == "after":
        around.think()
    assert browser.answers[1].body == b"ok"
    assert listener.received == ["x" * 899]


def test_while_a_resource_around_ours_thinks_the_limit_holds(make_server, house):
    """It may still answer, so there is no answer of ours: the connection is cut."""
    server = make_server(max_payload=1000)
    around, root = Thoughtful(EngineIOResource(server)), Resource()
    root.putChild(b"engine.io", around)
    browser = Browser(EngineIOSite(root, server, "/engine.io", door=False))
    house.append(browser)
    target = f"/engine.io/?{POLLING}&sid=x"
    begin(browser, b"POST", target, GIVEN["chunks"])
    browser.send(piece("chunks", b"x" * 1000))
    assert not browser.wire.disconnected
    browser.send(piece("chunks", b"x"))
    assert browser.wire.disconnected
    assert browser.answers == []


@pytest.mark.parametrize("late", [False, True])
def test_a_resource_that_the_site_does_not_know(
    make_server, house, listener, late, way
):
    """It is asked in time; a body of which a part was discarded is not delivered."""
    server = make_server(max_payload=1000)
    around, root = Thoughtful(EngineIOResource(server)), Resource()
    root.putChild(b"other", around)
    browser = Browser(EngineIOSite(root, server, "/engine.io", bounded=True))
    house.append(browser)
    browser.send(f"GET /other?{POLLING} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    around.think()
    sid = browser.answer.open()["sid"]
    begin(browser, b"POST", f"/other?{POLLING}&sid={sid}", GIVEN[way])
    if not late:
        around.think()
    browser.send(piece(way, b"4" + b"x" * 499))
    if late:
        around.think()
    browser.send(piece(way, b"x" * 400))
    browser.send(b"0\r\n\r\n" if way == "chunks" else b"")
    assert listener.received == ([] if late else ["x" * 899])
    assert browser.answers[1].status == (400 if late else 200)


def test_a_request_that_ends_twice_ends_once(connect, way):
    """A resource may finish a request that has been, before its body is there."""
    browser = begin(connect(), b"POST", f"/engine.io/?{POLLING}&sid=x", GIVEN[way])
    (request,) = browser.wire.protocol._channel.requests
    request.finish()
    browser.send(piece(way, b"x" * 900))
    browser.send(b"0\r\n\r\n" if way == "chunks" else b"")
    browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [each.status for each in browser.answers] == [400, 200]

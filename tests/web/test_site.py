"""Our own port: what belongs to the server, and connections byte by byte."""

from __future__ import annotations

import math

import pytest
from fakes import Browser, Onlooker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Request
from twisted.web.static import Data

from twisted_engineio import ConfigError, EngineIOResource, EngineIOSite, Observer
from twisted_engineio.web.body_limit import EngineIORequest

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
        site = EngineIOSite(Resource(), server, "/engine.io", **options)
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


# Where the server stands in it.


def nest(*path, child):
    """Return a root with a resource below it."""
    for name in reversed(path):
        child, inner = Resource(), child
        child.putChild(name, inner)
    return child


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ((b"engine.io",), b"/engine.io"),
        ((b"a", b"b c", b"\xff"), b"/a/b c/\xff"),
        ((), b"/"),
    ],
)
def test_a_site_finds_where_its_server_stands(server, path, at):
    """At any depth, and whatever else is in the tree."""
    resource = EngineIOResource(server)
    root = nest(*path, child=resource)
    if path:
        root.putChild(b"", root)  # an idiom: a resource that is its own child
        root.putChild(b"page", Data(b"home", "text/plain"))
    site = EngineIOSite(root, server)
    assert site.engineio_mounts.server_at(at) is server
    assert site.resource_at(at) is resource
    assert site.resource_at(b"/elsewhere") is None


def test_a_server_may_stand_in_several_places(server):
    """Each of them has the limits."""
    root = nest(b"a", b"b", child=EngineIOResource(server))
    root.putChild(b"engine.io", EngineIOResource(server))
    site = EngineIOSite(root, server)
    for at in (b"/a/b", b"/engine.io"):
        assert site.engineio_mounts.server_at(at) is server
        assert type(site.resource_at(at)) is EngineIOResource


class Dynamic(Resource):
    """A resource that makes its children when they are asked for."""

    def getChild(self, name, request):
        return EngineIOResource(self.server)


@pytest.mark.parametrize("kind", ["nothing", "another", "behind a leaf", "dynamic"])
def test_a_site_without_its_server_is_not_made(server, make_server, kind):
    """Its limits would hold nowhere."""
    root = Resource()
    if kind == "another":
        root.putChild(b"engine.io", EngineIOResource(make_server()))
    elif kind == "behind a leaf":
        root = Form()
        root.putChild(b"engine.io", EngineIOResource(server))
    elif kind == "dynamic":
        root.putChild(b"engine.io", Dynamic())
    with pytest.raises(ConfigError, match="no EngineIOResource of this server") as it:
        EngineIOSite(root, server)
    assert it.value.option == "root"
    site = EngineIOSite(root, server, "/engine.io")
    assert site.engineio_mounts.server_at(b"/engine.io") is server


# What twisted.web's Site takes.


@pytest.mark.parametrize(
    ("options", "idle", "http2"),
    [
        ({}, 75.0, 75.0),
        ({"timeout": 30}, 30, 60.0),
        ({"timeout": 200}, 200, 200),
        ({"timeout": None}, math.inf, None),
    ],
)
def test_a_site_takes_a_timeout(server, make_server, options, idle, http2):
    """Of an idle connection; over HTTP/2 a poll that is held looks like one."""
    root = nest(b"engine.io", child=EngineIOResource(server))
    site = EngineIOSite(root, server, **options)
    assert site.engineio_mounts.keep_alive_timeout == idle
    site.engineio_mounts.add(make_server(keep_alive_timeout=300.0), "/other")
    assert site.engineio_mounts.keep_alive_timeout == (idle if options else 300.0)
    assert site.timeOut == http2


def test_an_idle_connection_has_the_site_s_timeout(server, house):
    """Less, or more, than the server's keep_alive_timeout."""
    root = nest(b"engine.io", child=EngineIOResource(server))
    for timeout, closed in ((10, True), (None, False)):
        browser = Browser(EngineIOSite(root, server, timeout=timeout))
        house.append(browser)
        browser.get("EIO=1&transport=polling")
        for _ in range(20):
            server.clock.advance(10)
        assert browser.wire.disconnecting is closed


def test_a_site_takes_a_reactor(server):
    """What it times with; the server's clock if left out."""
    root = nest(b"engine.io", child=EngineIOResource(server))
    other = Clock()
    assert EngineIOSite(root, server).reactor is server.clock
    assert EngineIOSite(root, server, reactor=other).reactor is other


class OwnRequest(Request):
    """A request class of the application's."""


@pytest.mark.parametrize("factory", [OwnRequest, lambda channel: OwnRequest(channel)])
def test_a_request_factory_without_limits_is_refused(server, factory):
    """Bodies of any size would be collected before our resource is called."""
    root = nest(b"engine.io", child=EngineIOResource(server))
    inherited = type("OwnSite", (EngineIOSite,), {"requestFactory": factory})
    message = r"would drop the limits.* protect\(Site\(root"
    with pytest.raises(TypeError, match=message):
        EngineIOSite(root, server, requestFactory=factory)
    with pytest.raises(TypeError, match=message):
        inherited(root, server)


def test_a_request_factory_with_the_limits_is_taken(server):
    """A subclass of the site's own request class."""
    root = nest(b"engine.io", child=EngineIOResource(server))
    kind = type("Limited", (EngineIORequest,), {})
    assert EngineIOSite(root, server, requestFactory=kind).requestFactory is kind


@pytest.mark.parametrize("leaf", [True, False])
def test_what_stands_between_the_root_and_the_resource_answers(server, leaf):
    """A leaf, or what is no Resource of twisted.web's, may do so as it likes."""
    root = Resource()
    between = Data(b"leaf", "text/plain") if leaf else object()
    root.children[b"app"] = between
    site = EngineIOSite(root, server, "/app/engine.io")
    assert site.resource_at(b"/app/engine.io") is None

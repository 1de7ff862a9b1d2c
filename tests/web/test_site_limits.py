"""A Site that isn't ours, protected: limits for our servers, nothing for the rest."""

from __future__ import annotations

from typing import ClassVar

import pytest
from fakes import Browser
from twisted.internet.task import Clock
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.static import Data

from twisted_engineio import (
    CloseReason,
    ConfigError,
    EngineIOResource,
    EngineIOSite,
    protect,
)

POLLING = b"EIO=4&transport=polling"


class Form(Resource):
    """Reads a form, as other resources may."""

    isLeaf = True

    def render_POST(self, request):
        return b"read " + b",".join(request.args[b"a"])


class Signed(Request):
    """Somebody's request class, which has a say in every answer."""

    lengths: ClassVar = []
    body = _room = _server = _cut = _refuse = None  # names that are its own affair

    def process(self):
        self.setHeader(b"X-Signed", b"yes")
        super().process()

    def gotLength(self, length):
        self.lengths.append(length)
        super().gotLength(length)


class Plain(Site):
    """A Site of somebody's own, on the test's clock."""


@pytest.fixture
def foreign(clock, house):
    """Make Sites that aren't ours, with our servers and other resources in them."""

    def make(servers, kind=Plain, **options):
        root = Resource()
        for name, server in servers.items():
            root.putChild(name.encode(), EngineIOResource(server))
        root.putChild(b"", Data(b"home", "text/plain"))
        root.putChild(b"form", Form())
        return kind(root, reactor=clock, **options)

    return make


@pytest.fixture
def connect(house):
    """Connect browsers to any Site."""

    def connect(site):
        browser = Browser(site)
        house.append(browser)
        return browser

    return connect


@pytest.fixture
def guarded(make_server, foreign):
    """A server where bodies have 100 bytes and requests ten seconds, protected."""
    server = make_server(max_payload=100, request_timeout=10.0)
    return server, protect(foreign({"engine.io": server}), server)


def open_session(browser, path=b"/engine.io/"):
    """Open a session, and give the target of its requests."""
    browser.send(b"GET %b?%b HTTP/1.1\r\nHost: x\r\n\r\n" % (path, POLLING))
    sid = browser.answers[-1].open()["sid"]
    return b"%b?%b&sid=%b" % (path, POLLING, sid.encode())


def begin(browser, target, *headers):
    """Send the head of a POST."""
    lines = [b"POST %b HTTP/1.1" % target, b"Host: x", *headers, b"", b""]
    return browser.send(b"\r\n".join(lines))


# Bodies.


def test_a_body_that_is_too_large_is_refused_before_it_is_read(guarded, connect):
    """By its Content-Length, where the Site alone would read it all."""
    _, site = guarded
    browser = connect(site)
    begin(browser, open_session(browser), b"Content-Length: 101")
    assert browser.answers[-1].status == 413
    browser.send(b"4" * 101)
    browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert browser.answers[-1].body == b"home"


def test_a_chunked_body_is_cut_at_the_limit(guarded, connect, listener):
    """There is no length to refuse it by."""
    _, site = guarded
    browser = connect(site)
    begin(browser, open_session(browser), b"Transfer-Encoding: chunked")
    browser.send(b"64\r\n" + b"4" * 100 + b"\r\n")
    assert len(browser.answers) == 1
    browser.send(b"1\r\n4\r\n")
    assert browser.answers[-1].status == 413
    assert listener.received == []
    assert listener.closed == []


def test_without_protection_a_site_reads_it_all(make_server, foreign, connect):
    """What protect is for."""
    server = make_server(max_payload=100)
    browser = connect(foreign({"engine.io": server}))
    begin(browser, open_session(browser), b"Content-Length: 101")
    browser.send(b"4" * 100)
    assert len(browser.answers) == 1


def test_a_body_within_the_limit_is_delivered(guarded, connect, listener):
    """Polling and WebSocket work as in any Site."""
    server, site = guarded
    browser = connect(site)
    begin(browser, open_session(browser), b"Content-Length: 3").send(b"4hi")
    assert browser.answers[-1].body == b"ok"
    assert listener.received == ["hi"]
    socket = connect(site)
    socket.upgrade("EIO=4&transport=websocket")
    assert socket.answer.status == 101
    assert len(server.sessions) == 2


def test_a_broken_off_post_ends_its_session(guarded, connect, listener):
    """A session hears of a POST when its headers are there."""
    _, site = guarded
    browser = connect(site)
    begin(browser, open_session(browser), b"Content-Length: 50").send(b"4part").lose()
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


def test_other_resources_take_what_they_took(guarded, connect):
    """Forms are read, bodies over our limit are theirs to judge."""
    _, site = guarded
    browser = connect(site)
    body = b"a=1&b=" + b"x" * 2_000_000
    kind = b"Content-Type: application/x-www-form-urlencoded"
    begin(browser, b"/form", kind, b"Content-Length: %d" % len(body)).send(body)
    assert browser.answer.body == b"read 1"


def test_several_servers_each_have_their_limit(make_server, foreign, connect):
    """Each path its own, also beside a Site of ours."""
    small, large = make_server(max_payload=10), make_server(max_payload=1000)
    servers = {"small": small, "large": large}
    site = foreign(servers)
    assert protect(protect(site, small, "/small"), large, "/large") is site
    root = Resource()
    for name, server in servers.items():
        root.putChild(name.encode(), EngineIOResource(server))
    ours = protect(EngineIOSite(root, small, "/small"), large, "/large")
    for each in (site, ours):
        for path, limit in ((b"/small", 10), (b"/large", 1000)):
            browser = connect(each)
            target = open_session(browser, path)
            begin(browser, target, b"Content-Length: %d" % limit).send(b"4" * limit)
            assert browser.answers[-1].body == b"ok"
            begin(browser, target, b"Content-Length: %d" % (limit + 1))
            assert browser.answers[-1].status == 413


# The request class.


def test_a_request_class_of_the_site_s_own_goes_on(make_server, foreign, connect):
    """What it adds to an answer stands in ours too; a body of ours is no form to it."""
    server = make_server(max_payload=100)
    site = protect(foreign({"engine.io": server}, requestFactory=Signed), server)
    browser = connect(site)
    target = open_session(browser)
    assert browser.answers[0].headers["x-signed"] == "yes"
    begin(browser, target, b"Content-Length: 101").send(b"4" * 101)
    assert browser.answers[-1].status == 413
    kind = b"Content-Type: application/x-www-form-urlencoded"
    begin(browser, b"/form", kind, b"Content-Length: 3").send(b"a=1")
    assert browser.answers[-1].headers["x-signed"] == "yes"
    assert Signed.lengths == [3]
    assert site.requestFactory.__name__ == "Signed"


# Time.


def test_a_client_has_the_server_s_time_for_a_request(guarded, connect, clock):
    """However it trickles."""
    _, site = guarded
    browser = connect(site)
    begin(browser, open_session(browser), b"Content-Length: 50")
    for _ in range(9):
        clock.advance(1)
        browser.send(b"4")
    assert not browser.wire.disconnecting
    clock.advance(1)
    assert browser.wire.disconnecting


def test_a_client_has_that_time_for_headers_of_anything(guarded, connect, clock):
    """Whom they are for shows only at their end."""
    _, site = guarded
    browser = connect(site).send(b"GET /form HTTP/1.1\r\n")
    for _ in range(10):
        assert not browser.wire.disconnecting
        clock.advance(1)
        browser.send(b"A: b\r\n")
    assert browser.wire.disconnecting


def test_other_resources_have_the_time_they_had(guarded, connect, clock):
    """An upload may trickle for as long as the Site lets it."""
    _, site = guarded
    browser = connect(site)
    begin(
        browser,
        b"/form",
        b"Content-Type: application/x-www-form-urlencoded",
        b"Content-Length: 103",
    ).send(b"a=")
    for _ in range(101):
        clock.advance(5)
        browser.send(b"x")
    assert not browser.wire.disconnecting
    assert browser.answer.body == b"read " + b"x" * 101


def test_an_idle_connection_has_the_site_s_time(guarded, connect, clock):
    """The Site's timeout, which is longer here; before and after a request."""
    _, site = guarded
    for requests in range(2):
        browser = connect(site)
        browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * requests)
        for _ in range(59):
            clock.advance(1)
        assert not browser.wire.disconnecting
        clock.advance(1)
        assert browser.wire.disconnecting


def test_each_request_of_a_connection_has_its_time(guarded, connect, clock):
    """A poll that was held, and an idle moment, count for nothing."""
    server, site = guarded
    browser = connect(site)
    target = open_session(browser)
    browser.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
    clock.advance(24)
    next(iter(server.sessions.values())).send("hello")
    assert browser.answers[-1].body == b"4hello"
    clock.advance(7)
    begin(browser, target, b"Content-Length: 2")
    clock.advance(9.5)
    assert not browser.wire.disconnecting
    clock.advance(0.5)
    assert browser.wire.disconnecting


def test_a_site_without_a_timeout_keeps_none(make_server, foreign, connect, clock):
    """Our requests have theirs all the same, every one."""
    server = make_server(request_timeout=10.0)
    site = protect(foreign({"engine.io": server}, timeout=None), server)
    idle = connect(site)
    browser = connect(site)
    target = open_session(browser)
    clock.advance(1000)
    assert not idle.wire.disconnecting
    begin(browser, target, b"Content-Length: 2")
    clock.advance(10)
    assert browser.wire.disconnecting


def test_a_websocket_is_not_timed(guarded, connect, clock):
    """The connection is no longer the channel's."""
    _, site = guarded
    browser = connect(site)
    browser.upgrade("EIO=4&transport=websocket")
    clock.advance(24)
    assert not browser.wire.disconnecting
    assert not browser.wire.disconnected


# Refusals.


def test_protecting_twice_changes_nothing(guarded):
    """The second call finds the first."""
    server, site = guarded
    before = site.engineio_mounts, site.requestFactory, site.protocol
    assert protect(site, server) is site
    assert (site.engineio_mounts, site.requestFactory, site.protocol) == before


def test_another_server_at_the_same_path_is_a_mistake(guarded, make_server):
    """Nothing says whose limits would count."""
    _, site = guarded
    with pytest.raises(ConfigError, match="is another server's"):
        protect(site, make_server())


@pytest.mark.parametrize(
    ("thing", "named"), [(Resource(), "a Resource"), (None, "a NoneType")]
)
def test_only_a_site_can_be_protected(server, thing, named):
    """A resource sees a body when it is too late."""
    with pytest.raises(TypeError, match=f"Site is needed, not {named}"):
        protect(thing, server)


@pytest.mark.parametrize("factory", [lambda channel, queued=False: None, HTTPChannel])
def test_a_request_factory_that_is_no_request_class_is_refused(server, factory):
    """Nothing could be put before it."""
    site = Site(Resource(), requestFactory=factory, reactor=Clock())
    with pytest.raises(TypeError, match=r"requestFactory is .*; only a subclass"):
        protect(site, server)
    assert not hasattr(site, "engineio_mounts")


def test_a_protocol_of_the_site_s_own_is_refused(server):
    """Replacing it would take away what it is for."""

    class Odd(Site):
        protocol = HTTPChannel

    with pytest.raises(TypeError, match="protocol is HTTPChannel; only connections"):
        protect(Odd(Resource(), reactor=Clock()), server)

"""The target of a request, in each of its forms, and the host that it names."""

from __future__ import annotations

import pytest
from fakes import Browser
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.resource import Resource
from twisted.web.static import Data

from twisted_engineio import EngineIOResource, EngineIOSite
from twisted_engineio.web.http1.request_target import is_host, read_absolute

POLLING = b"EIO=4&transport=polling"


@pytest.mark.parametrize(
    ("target", "read"),
    [
        (b"http://example.com/a?b", (b"/a?b", b"example.com")),
        (b"HTTPS://example.com:8080/a", (b"/a", b"example.com:8080")),
        (b"http://[::1]:3000/", (b"/", b"[::1]:3000")),
        (b"http://example.com", (b"/", b"example.com")),
        (b"http://example.com?a=b", (b"/?a=b", b"example.com")),
        (b"http://example.com/?u=http://x/", (b"/?u=http://x/", b"example.com")),
        (b"http:///a", None),
        (b"http://:80/a", None),
        (b"http://user@example.com/", None),
        (b"http://user:pass@example.com/", None),
        (b"http://a b/", None),
        (b"http://a:b/", None),
        (b"http:/a", None),
        (b"http:a", None),
        (b"ftp://example.com/", None),
        (b"ws://example.com/", None),
        (b"//example.com/", None),
        (b"a", None),
        (b"", None),
    ],
)
def test_an_absolute_target(target, read):
    """Its path and its host; what is none of its forms is none."""
    assert read_absolute(target, b"GET") == read


def test_options_for_all_of_a_host():
    """RFC 9112, 3.2.4: an empty path is an asterisk there."""
    assert read_absolute(b"http://a.b", b"OPTIONS") == (b"*", b"a.b")
    assert read_absolute(b"http://a.b/", b"OPTIONS") == (b"/", b"a.b")


@pytest.mark.parametrize(
    ("values", "version", "good"),
    [
        ([b"example.com"], b"HTTP/1.1", True),
        ([b"example.com:80"], b"HTTP/1.1", True),
        ([b"[2001:db8::1]:80"], b"HTTP/1.1", True),
        ([b"my_host.internal"], b"HTTP/1.1", True),
        ([b""], b"HTTP/1.1", True),
        (None, b"HTTP/1.0", True),
        ([b"x"], b"HTTP/1.0", True),
        (None, b"HTTP/1.1", False),
        ([b"x", b"x"], b"HTTP/1.1", False),
        ([b"x", b"y"], b"HTTP/1.0", False),
        ([b"x, y"], b"HTTP/1.1", False),
        ([b"a b"], b"HTTP/1.1", False),
        ([b"a/b"], b"HTTP/1.1", False),
        ([b"a:b"], b"HTTP/1.1", False),
        ([b"user@a"], b"HTTP/1.1", False),
        ([b"[::1"], b"HTTP/1.1", False),
        ([b"b\xfccher.example"], b"HTTP/1.1", False),
    ],
)
def test_a_host(values, version, good):
    """HTTP/1.1 has one; older ones may have none."""
    assert is_host(values, version) is good


@given(st.binary(max_size=40))
def test_whatever_stands_there_is_read(data):
    """Or it is not, and nothing is raised."""
    found = read_absolute(b"http://" + data, b"GET")
    if found is not None:
        path, host = found
        assert path[:1] == b"/"
        assert is_host([host], b"HTTP/1.1")
    is_host([data], b"HTTP/1.1")


# On our own port.


class Host(Resource):
    """Says which host it was asked for."""

    isLeaf = True

    def render(self, request):
        return request.requestHeaders.getRawHeaders(b"host", [b"none"])[0]


@pytest.fixture
def browser(server, house):
    """Connect to a site with pages."""
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    root.putChild(b"", Data(b"home", "text/plain"))
    root.putChild(b"host", Host())
    browser = Browser(EngineIOSite(root, server, bounded=True))
    house.append(browser)
    return browser


def test_an_absolute_target_is_served(browser, server, listener):
    """A whole conversation, as a client writes it that believes us a proxy."""
    at = b"http://example.com/engine.io/?" + POLLING
    browser.send(b"GET %b HTTP/1.1\r\nHost: example.com\r\n\r\n" % at)
    sid = browser.answer.open()["sid"].encode()
    browser.send(
        b"POST %b&sid=%b HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\n4hi"
        % (at, sid)
    )
    assert browser.answers[1].body == b"ok"
    assert listener.received == ["hi"]


def test_its_websocket_too(browser, listener):
    """Which the door leaves to twisted.web."""
    browser.send(
        b"GET http://example.com/engine.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
        b"Host: other\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Origin: http://example.com\r\n\r\n"
    ).turns()
    assert browser.answer.status == 101
    assert listener.opened[0].handshake.headers["host"] == "example.com"


def test_its_host_replaces_the_header(browser):
    """RFC 9112, 3.2.2: an origin is compared with it, say."""
    browser.send(b"GET http://a.example:80/host HTTP/1.1\r\nHost: b.example\r\n\r\n")
    assert browser.answer.body == b"a.example:80"
    browser.send(b"GET /host HTTP/1.1\r\nHost: b.example\r\n\r\n")
    assert browser.answers[1].body == b"b.example"


@pytest.mark.parametrize(
    "target", [b"http://x", b"http://x/", b"HTTP://x/", b"https://x/"]
)
def test_a_page_at_an_absolute_target(browser, target):
    """The root of the site, however it is written."""
    browser.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
    assert browser.answer.body == b"home"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n", 400),
        (b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nAccept: */*\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n", 400),
        (b"GET http://u@x/ HTTP/1.1\r\nHost: x\r\n", 400),
        (b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n", 400),
        (b"GET engine.io HTTP/1.1\r\nHost: x\r\n", 400),
        (b"GET ?EIO=4 HTTP/1.1\r\nHost: x\r\n", 400),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n", 405),
        (b"CONNECT http://x/ HTTP/1.1\r\nHost: x\r\n", 405),
    ],
)
def test_a_target_or_a_host_that_is_none_is_refused(browser, head, status):
    """With an answer; then the connection ends, and nothing behind it is read."""
    browser.send(head + b"\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert browser.answer.status == status
    assert browser.answer.headers["connection"] == "close"
    assert ("allow" in browser.answer.headers) is (status == 405)
    assert browser.wire.disconnecting


@pytest.mark.parametrize("target", [b"*", b"http://x"])
def test_options_of_the_server(browser, target):
    """RFC 9110, 9.3.7: a ping of sorts; the next request is served."""
    browser.send(b"OPTIONS %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
    assert browser.answer.status == 200
    browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert browser.answers[1].body == b"home"


def test_the_asterisk_is_for_options_alone(browser):
    """What else is asked of all of a server is not allowed."""
    browser.send(b"GET * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert browser.answer.status == 405


def test_http_1_0_needs_no_host(browser):
    """It had none yet."""
    browser.send(b"GET /host HTTP/1.0\r\n\r\n")
    assert browser.wire.value().endswith(b"\r\n\r\nnone")


def test_an_empty_host_is_one(browser):
    """RFC 9112, 3.2: of a target that names none."""
    browser.send(b"GET / HTTP/1.1\r\nHost:\r\n\r\n")
    assert browser.answer.body == b"home"

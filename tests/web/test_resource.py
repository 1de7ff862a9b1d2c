"""The module that reads URLs: every check, every refusal, in the reference's order."""

from __future__ import annotations

import pytest
from fakes import Browser, Onlooker
from treq.testing import StubTreq
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.static import Data
from twisted.web.test.requesthelper import DummyChannel

from twisted_engineio import CloseReason, EngineIOResource, Refused

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
FOREIGN = {"Origin": "https://evil.com"}

UNKNOWN_TRANSPORT = (400, b'{"code":0,"message":"Transport unknown"}')
UNKNOWN_SID = (400, b'{"code":1,"message":"Session ID unknown"}')
BAD_METHOD = (400, b'{"code":2,"message":"Bad handshake method"}')
BAD_REQUEST = (400, b'{"code":3,"message":"Bad request"}')
FORBIDDEN = (403, b'{"code":4,"message":"Forbidden"}')
BAD_VERSION = (400, b'{"code":5,"message":"Unsupported protocol version"}')


@pytest.fixture
def sid(server, browse):
    """Give the id of a session on polling."""
    return browse(server).get(POLLING).answer.open()["sid"]


def seen(browser: Browser) -> tuple[int, bytes]:
    """Give the status and the body of the one answer."""
    return browser.answer.status, browser.answer.body


# Requests without a session.

HANDSHAKES = {
    "": UNKNOWN_TRANSPORT,
    "EIO=4": UNKNOWN_TRANSPORT,
    "EIO=4&transport=": UNKNOWN_TRANSPORT,
    "EIO=4&transport=tcp": UNKNOWN_TRANSPORT,
    "EIO=4&transport=POLLING": UNKNOWN_TRANSPORT,
    "EIO=4&transport=__proto__": UNKNOWN_TRANSPORT,
    "EIO=4&transport=%ff%00": UNKNOWN_TRANSPORT,
    "EIO=4&transport=polling&transport=tcp": UNKNOWN_TRANSPORT,
    "EIO=4&transport=" + "x" * 8192: UNKNOWN_TRANSPORT,
    "transport=polling": BAD_VERSION,
    "EIO=&transport=polling": BAD_VERSION,
    "EIO=3&transport=polling": BAD_VERSION,
    "EIO=5&transport=polling": BAD_VERSION,
    "EIO=04&transport=polling": BAD_VERSION,
    "EIO=4.0&transport=polling": BAD_VERSION,
    "EIO=%D9%A4&transport=polling": BAD_VERSION,  # an Arabic four
    "EIO=4&EIO=x&transport=polling": BAD_VERSION,
    "EIO=4&transport=websocket": BAD_REQUEST,
    "EIO=4&transport=polling&sid=x": UNKNOWN_SID,
    "EIO=4&transport=polling&sid=" + "x" * 8192: UNKNOWN_SID,
    "EIO=4&transport=polling&sid=%00%ff": UNKNOWN_SID,
    "EIO=4&transport=polling&sid=__class__": UNKNOWN_SID,
    "EIO=4&transport=polling&sid=&sid=x": UNKNOWN_SID,
    "EIO=4&transport=websocket&sid=x": UNKNOWN_SID,
}


@pytest.mark.parametrize(("query", "expected"), HANDSHAKES.items())
def test_a_bad_handshake_is_refused(server, browse, query, expected):
    """Whatever stands in the query, a clean error and no session."""
    browser = browse(server).get(query)
    assert seen(browser) == expected
    headers = browser.answer.headers
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert server.sessions == {}
    assert not browser.wire.disconnecting


GOOD = [
    "EIO=4&transport=polling",
    "transport=polling&EIO=4&t=abc&x=y&b64=1",
    "EIO=4&transport=polling&sid=",
    "EIO=4&transport=polling&sid=x&sid=",
    "EIO=3&EIO=4&transport=tcp&transport=polling",
    "%45IO=%34&transport=poll%69ng",
]


@pytest.mark.parametrize("query", GOOD)
def test_a_good_handshake_opens_a_session(server, browse, query):
    """Of a repeated key the last counts; an empty sid is a handshake."""
    answer = browse(server).get(query).answer
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    assert list(server.sessions) == [answer.open()["sid"]]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "PATCH", "BREW"])
def test_a_handshake_is_a_get(server, browse, method):
    """Any other method is refused at once."""
    browser = browse(server).request(method, POLLING, b"4hello")
    head = browser.wire.value()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert BAD_METHOD[1] in head or method == "HEAD"
    assert server.sessions == {}


def test_what_is_below_the_path_is_not_there(server):
    """With and without a trailing slash, and nothing else."""
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    treq = StubTreq(root)
    for path, status in {
        "engine.io": 200,
        "engine.io/": 200,
        "engine.io/x": 404,
        "engine.io//": 404,
        "engine.io/x/": 404,
    }.items():
        answered = treq.get(f"https://example.com/{path}?{POLLING}")
        treq.flush()
        assert answered.result.code == status, path
    assert len(server.sessions) == 2


def test_a_resource_stands_beside_others(server):
    """Mounting it changes nothing for the rest of a site."""
    root = Data(b"home", "text/plain")
    root.isLeaf = False
    root.putChild(b"engine.io", EngineIOResource(server))
    treq = StubTreq(root)
    assert treq.get("https://example.com/engine.io").result.code == 400


# Requests of a session.

OF_A_SESSION = {
    "transport=polling&sid={sid}": BAD_REQUEST,
    "EIO=3&transport=polling&sid={sid}": BAD_REQUEST,
    "EIO=4&transport=websocket&sid={sid}": BAD_REQUEST,
    "EIO=4&transport=tcp&sid={sid}": UNKNOWN_TRANSPORT,
    "EIO=4&transport=polling&sid={sid}x": UNKNOWN_SID,
}


@pytest.mark.parametrize(("query", "expected"), OF_A_SESSION.items())
def test_a_bad_request_leaves_its_session_unharmed(
    server, browse, sid, query, expected
):
    """It is refused, and the session goes on."""
    assert seen(browse(server).get(query.format(sid=sid))) == expected
    assert list(server.sessions) == [sid]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "BREW"])
def test_a_session_has_two_methods(server, browse, sid, method):
    """Any other gets 405 at once, and no held request."""
    browser = browse(server).request(method, f"{POLLING}&sid={sid}", b"4hello")
    assert seen(browser) == (405, b"")
    assert browser.answer.headers["allow"] == "GET, POST, OPTIONS"
    assert list(server.sessions) == [sid]


def test_head_is_never_held(server, browse, sid):
    """It is no poll: it would take what it does not show."""
    server.sessions[sid].send("precious")
    browser = browse(server).request("HEAD", f"{POLLING}&sid={sid}")
    assert browser.wire.value().startswith(b"HTTP/1.1 405 ")
    polled = browse(server).get(f"{POLLING}&sid={sid}")
    assert seen(polled) == (200, b"4precious")


def test_a_post_over_the_limit_is_refused(make_server, listener):
    """On a Site that is not ours too, though its body has been read by then."""
    onlooker = Onlooker()
    server = make_server(max_payload=100, observers=[onlooker])
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    site = Site(root)
    Browser(site).get(POLLING)
    (sid,) = server.sessions
    query = f"{POLLING}&sid={sid}"
    assert seen(Browser(site).post(query, b"4" + b"x" * 100)) == (413, b"")
    assert seen(Browser(site).post(query, b"4" + b"x" * 99)) == (200, b"ok")
    assert listener.received == ["x" * 99]
    assert ("payload_refused", 101, 100) in onlooker.events


# WebSocket upgrades, refused before the 101.

UPGRADES = {
    "EIO=4&transport=tcp": (400, b"Transport unknown"),
    "EIO=4&transport=polling": (400, b"Bad request"),
    "EIO=3&transport=websocket": (400, b"Unsupported protocol version"),
    "EIO=4&transport=websocket&sid=x": (400, b"Session ID unknown"),
    "EIO=4&transport=polling&sid={sid}": (400, b"Bad request"),
    "EIO=3&transport=websocket&sid={sid}": (400, b"Bad request"),
}


@pytest.mark.parametrize(("query", "expected"), UPGRADES.items())
def test_a_bad_upgrade_is_refused_at_http_level(server, browse, sid, query, expected):
    """Plain text, and the connection is closed."""
    browser = browse(server).upgrade(query.format(sid=sid))
    assert seen(browser) == expected
    assert browser.answer.headers["connection"] == "close"
    assert browser.answer.headers["content-type"] == "text/plain; charset=UTF-8"
    assert browser.wire.disconnecting
    assert list(server.sessions) == [sid]


def test_an_upgrade_is_refused_where_upgrades_are_off(make_server, browse):
    """The open packet did not offer it."""
    server = make_server(allow_upgrades=False)
    opened = browse(server).get(POLLING).answer.open()
    assert opened["upgrades"] == []
    query = f"{WEBSOCKET}&sid={opened['sid']}"
    assert seen(browse(server).upgrade(query)) == (400, b"Bad request")


@pytest.mark.parametrize("name", ["polling", "websocket"])
def test_a_transport_that_is_off_is_unknown(make_server, browse, name):
    """As one that never was."""
    (other,) = {"polling", "websocket"} - {name}
    server = make_server(transports=[other])
    query = f"EIO=4&transport={name}"
    assert seen(browse(server).get(query)) == UNKNOWN_TRANSPORT


def test_a_websocket_needs_a_connection_of_its_own(server):
    """Over HTTP/2 there is none to be had; the refusal is a clean one."""
    channel = DummyChannel()
    request = Request(channel, False)
    request.requestHeaders.setRawHeaders(b"upgrade", [b"websocket"])
    request.method, request.uri = b"GET", b"/?" + WEBSOCKET.encode()
    request.clientproto, request.postpath = b"HTTP/1.1", []
    EngineIOResource(server).render(request)
    assert request.code == 400
    assert channel.transport.written.getvalue().endswith(b"Bad request")
    assert server.sessions == {}


UPGRADING = {
    "Connection": "Upgrade",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Version": "13",
}


@pytest.mark.parametrize("value", ["WebSocket", " websocket ", "h2c, WEBSOCKET"])
def test_the_upgrade_header_is_a_list_in_any_case(server, browse, value):
    """RFC 6455, 4.2.1: compared without regard to case."""
    polling = browse(server).get(POLLING, Upgrade=value, **UPGRADING)
    assert seen(polling) == (400, b"Bad request")
    websocket = browse(server).get(WEBSOCKET, Upgrade=value, **UPGRADING)
    assert websocket.answer.status == 101


IGNORED = [
    ("1.1", ["Upgrade: websocket"]),
    ("1.1", ["Upgrade: WebSocket", "Connection: keep-alive"]),
    ("1.1", ["Upgrade: h2c, websocket", "Connection: upgrade-insecure"]),
    ("1.0", ["Upgrade: websocket", "Connection: Upgrade"]),
    ("1.1", ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"]),
    ("1.1", ["Upgrade: h2c", "Upgrade: TLS/1.2", "Connection: upgrade"]),
    ("1.1", ["Upgrade:", "Connection: Upgrade"]),
]


@pytest.mark.parametrize(("version", "lines"), IGNORED)
def test_another_upgrade_is_no_upgrade(server, browse, sid, version, lines):
    """RFC 9110, 7.8: without its connection option it is ignored, and by HTTP/1.0."""
    for query, body in ((POLLING, ""), (f"{POLLING}&sid={sid}", "4text")):
        head = [
            f"{'POST' if body else 'GET'} /engine.io/?{query} HTTP/{version}",
            "Host: example.com",
            *lines,
            f"Content-Length: {len(body)}",
        ]
        browser = browse(server).send("\r\n".join([*head, "", body]).encode())
        assert browser.answer.status == 200


# Origins.


@pytest.mark.parametrize("query", [POLLING, WEBSOCKET, f"{POLLING}&sid=x"])
def test_a_foreign_origin_is_refused(server, browse, query):
    """On every transport, before the sid is looked at."""
    assert seen(browse(server).get(query, **FOREIGN)) == FORBIDDEN
    upgrade = browse(server).upgrade(query, **FOREIGN)
    assert seen(upgrade) == (403, b"Forbidden")
    assert server.sessions == {}


def test_the_transport_is_checked_before_the_origin(server, browse):
    """Checks in this order."""
    assert seen(browse(server).get("transport=x", **FOREIGN)) == UNKNOWN_TRANSPORT


def test_the_sid_is_checked_before_the_method_and_the_version(server, browse):
    """Then the method, then the version."""
    query = "transport=polling&sid=x"
    assert seen(browse(server).request("PUT", query)) == UNKNOWN_SID
    assert seen(browse(server).request("PUT", "transport=polling")) == BAD_METHOD


@pytest.mark.parametrize(
    "origin", ["https://exa\x01mple.com", "a\x1fb", "a\x7f", "caf\x81"]
)
def test_an_origin_that_is_none_is_a_bad_request(make_server, browse, origin):
    """It never reaches a header, not even where all pages are let in."""
    browser = browse(make_server(cors=["*"])).get(POLLING, Origin=origin)
    assert seen(browser) == BAD_REQUEST
    assert "access-control-allow-origin" not in browser.answer.headers


def test_an_allowed_origin_may_read_the_answer(make_server, browse):
    """Of every request, also of one that is refused."""
    server = make_server(cors=["https://a.org"], cors_credentials=True)
    for query in (POLLING, f"{POLLING}&sid=x"):
        headers = browse(server).get(query, Origin="https://a.org").answer.headers
        assert headers["access-control-allow-origin"] == "https://a.org"
        assert headers["access-control-allow-credentials"] == "true"
        assert headers["vary"] == "Origin"


def test_a_preflight_is_answered(make_server, browse):
    """Without looking at the transport: a browser asks before it says."""
    server = make_server(cors=["*"])
    browser = browse(server).request("OPTIONS", "", Origin="https://a.org")
    assert seen(browser) == (204, b"")
    headers = browser.answer.headers
    assert headers["access-control-allow-methods"] == "GET,POST"
    assert headers["access-control-allow-origin"] == "*"


def test_a_foreign_preflight_is_refused(server, browse):
    """As the request would be."""
    assert seen(browse(server).request("OPTIONS", "", **FOREIGN)) == FORBIDDEN


# What the handshake is told about the client.


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (IPv6Address("TCP", "2001:db8::1", 1), "2001:db8::1"),
        (UNIXAddress("/run/x"), None),
    ],
)
def test_the_client_s_address_is_known(server, browse, listener, address, expected):
    """Or None, on a UNIX socket."""
    browse(server, address=address).get(POLLING, X_Is="a", Cookie="b=c")
    (handshake,) = listener.admitted
    assert handshake.client_address == expected
    assert handshake.headers["x-is"] == "a"
    assert handshake.headers["cookie"] == "b=c"
    assert (handshake.transport, handshake.is_secure) == ("polling", False)


# Observers.


def test_every_refusal_is_told(make_server, browse):
    """With code, message and context."""
    onlooker = Onlooker()
    browse(make_server(observers=[onlooker])).get(f"{POLLING}&sid=x")
    ((event, error),) = onlooker.events
    assert event == "connection_refused"
    assert isinstance(error, Refused)
    assert (error.code, error.message) == (1, "Session ID unknown")
    assert error.context


def test_a_held_get_is_answered_when_its_session_ends(server, browse, sid):
    """No request is left without an answer."""
    waiting = browse(server).get(f"{POLLING}&sid={sid}")
    assert waiting.answers == []
    server.sessions[sid].fail(CloseReason.TRANSPORT_ERROR)
    assert seen(waiting) == (200, b"1")


def test_a_websocket_session_has_no_requests(server, browse):
    """A GET or POST that names its transport is as wrong as one that doesn't."""
    browse(server).upgrade("EIO=4&transport=websocket")
    (sid,) = server.sessions
    query = f"EIO=4&transport=websocket&sid={sid}"
    assert browse(server).get(query).answer.json()["code"] == 3
    assert browse(server).post(query, b"4x").answer.json()["code"] == 3
    assert sid in server.sessions


def test_a_resource_is_made_of_a_server(listener):
    """And not of what the server is made of."""
    with pytest.raises(TypeError, match="EngineIOResource takes a Server, not <"):
        EngineIOResource(listener)

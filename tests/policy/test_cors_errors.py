"""A page that may use the server may read every error of it; no other page may."""

from __future__ import annotations

import re

import pytest

from twisted_engineio import Reject

LISTED = "https://listed.example"
FOREIGN = "https://evil.example"
POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"

# Each sends one request with the headers that it is given; the session's id is there.


def get(query):
    return lambda browser, sid, **headers: browser.get(query.format(sid), **headers)


def post(query, body, **more):
    return lambda browser, sid, **headers: browser.post(
        query.format(sid), body, **more, **headers
    )


def method(name, query):
    return lambda browser, sid, **headers: browser.request(
        name, query.format(sid), **headers
    )


def upgrade(query):
    return lambda browser, sid, **headers: browser.upgrade(query.format(sid), **headers)


def raw(start, *more, body=b""):
    """Send a request line and headers as they are."""

    def ask(browser, sid, **headers):
        named = [f"{name}: {value}" for name, value in headers.items()]
        lines = [start.format(sid), "Host: example.com", *more, *named]
        return browser.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return ask


OF_A_SESSION = POLLING + "&sid={}"
ERRORS = {
    "an unknown transport": (400, get("EIO=4&transport=tobi")),
    "no transport": (400, get("EIO=4")),
    "an empty query": (400, get("")),
    "a transport that is off": (400, get("EIO=4&transport=sse")),
    "a transport that is another's attribute": (400, get("transport=__proto__&sid={}")),
    "JSONP that is off": (400, get(POLLING + "&j=0")),
    "a POST of an unknown transport": (400, post("transport=tobi&sid={}", b"4")),
    "an unknown id": (400, get(POLLING + "&sid=x")),
    "a handshake by POST": (400, post(POLLING, b"4")),
    "a handshake by DELETE": (400, method("DELETE", POLLING)),
    "a session of another transport": (400, get(WEBSOCKET + "&sid={}")),
    "a WebSocket without an upgrade": (400, get(WEBSOCKET)),
    "a session of another revision": (400, get("EIO=3&transport=polling&sid={}")),
    "an unknown revision": (400, get("EIO=5&transport=polling")),
    "no revision": (400, get("transport=polling")),
    "a packet that is none": (400, post(OF_A_SESSION, b"9")),
    "a POST of bytes": (
        400,
        post(OF_A_SESSION, b"4", Content_Type="application/octet-stream"),
    ),
    "a method that is not allowed": (405, method("PUT", OF_A_SESSION)),
    "a body over the limit": (413, post(OF_A_SESSION, b"4" * 101)),
    "a body over the limit of no session": (413, post(POLLING, b"4" * 101)),
    "a body over the limit in chunks": (
        413,
        raw(
            f"POST /engine.io/?{POLLING}&sid={{}} HTTP/1.1",
            "Transfer-Encoding: chunked",
            body=b"65\r\n" + b"4" * 101 + b"\r\n0\r\n\r\n",
        ),
    ),
    "a path below": (404, raw(f"GET /engine.io/below?{POLLING} HTTP/1.1")),
    "a POST to a path below": (
        404,
        raw(f"POST /engine.io/a/b/?{POLLING} HTTP/1.1", "Content-Length: 0"),
    ),
    "an upgrade of an unknown transport": (400, upgrade("EIO=4&transport=tobi")),
    "an upgrade of an unknown id": (400, upgrade(WEBSOCKET + "&sid=x")),
    "an upgrade of an unknown revision": (400, upgrade("EIO=5&transport=websocket")),
    "an upgrade to a path below": (
        404,
        raw(
            f"GET /engine.io/below?{WEBSOCKET} HTTP/1.1",
            *("Upgrade: websocket", "Connection: Upgrade"),
        ),
    ),
}
CORS = {
    "a list": [LISTED],
    "a pattern": [re.compile(r"https://li\w+\.example")],
    "a function": lambda origin: origin == LISTED,
}


def cors_of(answer):
    """Return the CORS headers of an answer, but for those that are the same for all."""
    return {
        name: value
        for name, value in answer.headers.items()
        if name.startswith("access-control-")
    }


@pytest.fixture
def make(make_server, browse):
    """Make a server with a polling session, and give it with the session's id."""

    def made(**options):
        server = make_server(max_payload=100, cors_credentials=True, **options)
        return server, browse(server).get(POLLING).answer.open()["sid"]

    return made


@pytest.mark.parametrize("cors", CORS.values(), ids=CORS)
@pytest.mark.parametrize(("status", "ask"), ERRORS.values(), ids=ERRORS)
def test_every_error_may_be_read_by_an_allowed_page(make, browse, cors, status, ask):
    """With credentials as any other answer; and caches are told."""
    server, sid = make(cors=cors)
    answer = ask(browse(server), sid, Origin=LISTED).answers[-1]
    assert answer.status == status
    assert cors_of(answer) == {
        "access-control-allow-origin": LISTED,
        "access-control-allow-credentials": "true",
    }
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("cors", [*CORS.values(), []], ids=[*CORS, "none"])
@pytest.mark.parametrize("origin", [FOREIGN, "null", "caf\xe9", "", None])
@pytest.mark.parametrize(("status", "ask"), ERRORS.values(), ids=ERRORS)
def test_no_error_may_be_read_by_another(make, browse, cors, origin, status, ask):
    """Whichever error it is; it may be that of the Origin."""
    server, sid = make(cors=cors)
    headers = {} if origin is None else {"Origin": origin}
    answer = ask(browse(server), sid, **headers).answers[-1]
    assert answer.status in (status, 400, 403)
    assert cors_of(answer) == {}


@pytest.mark.parametrize(("status", "ask"), ERRORS.values(), ids=ERRORS)
def test_where_any_page_may_use_it_any_may_read(make_server, browse, status, ask):
    """With an asterisk."""
    server = make_server(max_payload=100, cors=["*"])
    sid = browse(server).get(POLLING).answer.open()["sid"]
    answer = ask(browse(server), sid, Origin=FOREIGN).answers[-1]
    assert answer.status == status
    assert cors_of(answer) == {"access-control-allow-origin": "*"}


@pytest.mark.parametrize("origin", [FOREIGN, "null", "caf\xe9"])
def test_the_transport_is_checked_before_the_origin(make, browse, origin):
    """What is answered does not change: only who may read it does."""
    server, _ = make(cors=[LISTED])
    answer = browse(server).get("EIO=4&transport=tobi", Origin=origin).answer
    assert (answer.status, answer.json()["code"]) == (400, 0)


def test_the_application_s_refusal_may_be_read(make, browse, listener):
    """On polling, and before a 101."""
    server, _ = make(cors=[LISTED])

    def reject(_):
        raise Reject(401, "Who?")

    listener.on_admit = reject
    for browser in (
        browse(server).get(POLLING, Origin=LISTED),
        browse(server).upgrade(WEBSOCKET, Origin=LISTED),
    ):
        assert browser.answer.status == 401
        assert cors_of(browser.answer)["access-control-allow-origin"] == LISTED


@pytest.mark.parametrize(
    ("options", "status"),
    [({"max_sessions": 1}, 503), ({"max_sessions_per_address": 1}, 429)],
)
def test_that_a_server_is_full_may_be_read(make, browse, options, status):
    """With Retry-After, which a page's script may want to know."""
    server, _ = make(cors=[LISTED], cors_exposed_headers=["Retry-After"], **options)
    for browser in (
        browse(server).get(POLLING, Origin=LISTED),
        browse(server).upgrade(WEBSOCKET, Origin=LISTED),
    ):
        assert browser.answer.status == status
        told = cors_of(browser.answer)
        assert told["access-control-allow-origin"] == LISTED
        assert told["access-control-expose-headers"] == "Retry-After"


def test_that_another_poll_waits_may_be_read(make, browse):
    """The session's end is no secret to its own page."""
    server, sid = make(cors=[LISTED])
    browse(server).get(f"{POLLING}&sid={sid}", Origin=LISTED)
    answer = browse(server).get(f"{POLLING}&sid={sid}", Origin=LISTED).answer
    assert answer.status == 400
    assert cors_of(answer)["access-control-allow-origin"] == LISTED


def test_that_it_stops_may_be_read(make, browse, clock):
    """It is worth to come back then."""
    server, _ = make(cors=[LISTED])
    server.stop(timeout=0)
    clock.advance(1)
    answer = browse(server).get(POLLING, Origin=LISTED).answer
    assert answer.status == 503
    assert cors_of(answer)["access-control-allow-origin"] == LISTED


def test_a_preflight_that_goes_on_to_an_error_has_its_headers(make, browse):
    """Whatever the error."""
    server, _ = make(cors=[LISTED], cors_preflight_continue=True)
    browser = browse(server)
    browser.request("OPTIONS", "EIO=4&transport=tobi", Origin=LISTED)
    assert browser.answer.status == 400
    assert browser.answer.headers["access-control-allow-methods"] == "GET,POST"


def test_a_function_that_fails_lets_nobody_read(make, browse, logged):
    """It is logged, and the error stays what it was."""

    def fail(origin):
        raise KeyError(origin)

    server, sid = make(cors=fail)
    for ask in (ERRORS["an unknown transport"], ERRORS["a body over the limit"]):
        answer = ask[1](browse(server), sid, Origin=LISTED).answers[-1]
        assert answer.status == ask[0]
        assert cors_of(answer) == {}
        logged.take(KeyError)


def test_a_trusted_proxy_s_host_is_whose_own_page_reads(make, browse):
    """The page that is the server's own to its visitors needs no list."""
    server, sid = make(cors=[LISTED], trusted_proxies=["203.0.113.0/24"])
    own = {"Origin": "https://shown.example", "X_Forwarded_Host": "shown.example"}
    answer = browse(server).get("transport=tobi", **own).answer
    told = cors_of(answer)
    assert told["access-control-allow-origin"] == "https://shown.example"
    answer = browse(server).post(f"{POLLING}&sid={sid}", b"4" * 101, **own).answer
    assert answer.status == 413
    assert cors_of(answer) == told

"""Which pages may load a script: none, or with JSONP those that cors allows."""

from __future__ import annotations

import re

import pytest
from fakes import Browser
from twisted.internet.address import IPv4Address
from twisted.web.resource import Resource

from twisted_engineio import Config, EngineIOSite
from twisted_engineio.monitoring.access import AccessControl
from twisted_engineio.monitoring.counters import Counters
from twisted_engineio.monitoring.status import EVERY, StatusPage, StatusService
from twisted_engineio.policy.cors import Cors
from twisted_engineio.transports.jsonp import JSONPTransport

POLLING = "EIO=4&transport=polling"
UNKNOWN = {"code": 0, "message": "Transport unknown"}
FORBIDDEN = {"code": 4, "message": "Forbidden"}

COOKIE = {"Cookie": "session=1"}
SAME_ORIGIN = {"Sec_Fetch_Site": "same-origin"}
SAME_SITE = {"Sec_Fetch_Site": "same-site"}
CROSS_SITE = {"Sec_Fetch_Site": "cross-site"}
OWN = {"Referer": "http://example.com/page"}
LISTED = {"Referer": "https://listed.example/some/page?with=query"}
EVIL = {"Referer": "http://evil.com/page"}


# Off, as it is by default.


@pytest.mark.parametrize("index", ["j=0", "j=7", "j=", "j", "j=x", "%6A=0", "j=1&j=2"])
def test_off_it_is_an_unknown_transport(server, browse, listener, index):
    """Whatever the index; the application is not asked."""
    for headers in ({}, SAME_ORIGIN, OWN, COOKIE):
        answer = browse(server).get(f"{POLLING}&{index}", **headers).answer
        assert (answer.status, answer.json()) == (400, UNKNOWN)
        assert answer.headers["content-type"] == "application/json"
    assert listener.admitted == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_off_no_session_is_harmed(server, browse, listener, method):
    """A request with an index leaves the session whose id it names as it was."""
    sid = browse(server).get(POLLING).answer.open()["sid"]
    query = f"{POLLING}&sid={sid}"
    (session,) = server.sessions.values()
    session.send("for one who may read")
    body = b"d=4hello" if method == "POST" else None
    answer = browse(server).request(method, f"{query}&j=0", body).answer
    assert answer.status == 400
    assert listener.received == []
    assert browse(server).get(query).answer.body == b"4for one who may read"


def test_off_an_index_means_nothing_elsewhere(make_server, browse):
    """Only polling can be dressed as a script."""
    server = make_server(transports=("polling", "sse", "websocket"))
    browser = browse(server).get("EIO=4&transport=sse&j=0")
    assert browser.wire.value().startswith(b"HTTP/1.1 200")
    browser = browse(server).upgrade("EIO=4&transport=websocket&j=0")
    assert browser.answer.status == 101


# The status page trusts this machine: no page that it shows may read what is told.


@pytest.fixture
def status_browse(clock, house):
    """Connect to a status page without a token, from this machine."""
    access, counters = AccessControl(), Counters(clock=clock)
    service = StatusService(counters, access, clock=clock)
    service.startService()
    root = Resource()
    root.putChild(b"engine.io", StatusPage(service, access).children[b"engine.io"])
    site = EngineIOSite(root, service.server)

    def connect():
        browser = Browser(site, IPv4Address("TCP", "127.0.0.1", 4711))
        house.append(browser)
        return browser

    yield connect
    service.stopService()
    clock.advance(0)


def ask_local(browser, query, **headers):
    """Send a GET as a browser on this machine does."""
    lines = [f"{name.replace('_', '-')}: {headers[name]}" for name in headers]
    head = [f"GET /engine.io/?{query} HTTP/1.1", "Host: localhost:3000", *lines]
    return browser.send("\r\n".join(head).encode() + b"\r\n\r\n").answer


@pytest.mark.parametrize("index", ["j=0", "j=12", "%6a=3"])
@pytest.mark.parametrize("headers", [{}, CROSS_SITE, OWN, COOKIE, SAME_ORIGIN])
def test_the_status_page_is_no_script(status_browse, index, headers):
    """Not for a page from elsewhere, and not for its own."""
    answer = ask_local(status_browse(), f"{POLLING}&{index}", **headers)
    assert (answer.status, answer.json()) == (400, UNKNOWN)


def test_a_session_of_the_status_page_is_no_script_either(status_browse, clock):
    """Even for a page that has got hold of its id."""
    sid = ask_local(status_browse(), POLLING, **SAME_ORIGIN).open()["sid"]
    query = f"{POLLING}&sid={sid}"
    assert ask_local(status_browse(), f"{query}&j=0").status == 400
    clock.advance(EVERY)
    assert b"samples" in ask_local(status_browse(), query).body


@pytest.mark.parametrize("site", [CROSS_SITE, SAME_SITE, {"Sec_Fetch_Site": "x"}])
@pytest.mark.parametrize("mode", ["no-cors", "cors", "nested-navigate"])
def test_a_foreign_page_opens_no_session_of_the_status_page(status_browse, site, mode):
    """It could not read the answer, but it could fill the server with sessions."""
    answer = ask_local(status_browse(), POLLING, Sec_Fetch_Mode=mode, **site)
    assert answer.status == 403


# On.

PAGES = [
    # Headers, and whether a script is served; "listed.example" is in cors.
    ({}, True),
    (SAME_ORIGIN, True),
    ({"Sec_Fetch_Site": "none"}, True),
    (SAME_SITE, False),
    (CROSS_SITE, False),
    ({"Sec_Fetch_Site": ""}, False),
    ({"Sec_Fetch_Site": "same-origin, cross-site"}, False),
    (OWN, True),
    (EVIL, False),
    (LISTED, True),
    ({"Referer": "http://example.com"}, True),
    ({"Referer": "http://example.com:80/"}, True),
    ({"Referer": "https://example.com/"}, True),
    ({"Referer": "http://example.com:3000/"}, False),
    ({"Referer": "http://example.com.evil.com/"}, False),
    ({"Referer": "http://example.com@evil.com/"}, False),
    ({"Referer": "http://evil.com/http://example.com/"}, False),
    ({"Referer": "http://evil.com?http://example.com/"}, False),
    ({"Referer": "ftp://example.com/"}, False),
    ({"Referer": "http://example.com.:80/"}, False),
    ({"Referer": "nonsense"}, False),
    ({"Referer": "about:blank"}, False),
    ({"Referer": "null"}, False),
    ({**SAME_ORIGIN, **OWN}, True),
    ({**SAME_ORIGIN, **EVIL}, False),
    ({**SAME_SITE, **LISTED}, True),
    ({**CROSS_SITE, **LISTED}, True),
    ({**CROSS_SITE, **EVIL}, False),
    ({**CROSS_SITE, **OWN}, False),
    ({**CROSS_SITE, "Referer": "nonsense"}, False),
    ({**CROSS_SITE, "Origin": "https://listed.example"}, True),
    ({**CROSS_SITE, "Origin": "https://listed.example", **EVIL}, False),
    ({**SAME_ORIGIN, "Origin": "http://evil.com"}, False),
]


@pytest.mark.parametrize("cookie", [{}, COOKIE], ids=["", "cookie"])
@pytest.mark.parametrize(("headers", "allowed"), PAGES)
def test_a_script_must_come_from_an_allowed_page(
    make_server, browse, headers, allowed, cookie
):
    """Any page may load a script, and sends no Origin with it; cookies or not."""
    server = make_server(jsonp=True, cors=["https://listed.example"])
    answer = browse(server).get(f"{POLLING}&j=0", **headers, **cookie).answer
    if not headers and cookie:
        allowed = False  # nothing shows where it comes from
    if allowed:
        assert answer.body.startswith(b"___eio[0](")
    else:
        assert (answer.status, answer.json()) == (403, FORBIDDEN)
    assert len(server.sessions) == allowed


@pytest.mark.parametrize(("headers", "allowed"), PAGES)
@pytest.mark.parametrize("more", ["", "&j=0", "&j=9"])
def test_so_must_every_poll_of_its_session(make_server, browse, headers, allowed, more):
    """Also one without an index; a poll that is refused harms nothing."""
    server = make_server(jsonp=True, cors=["https://listed.example"])
    browse(server).get(f"{POLLING}&j=0")
    (session,) = server.sessions.values()
    assert isinstance(session.transport, JSONPTransport)
    query = f"{POLLING}&sid={session.sid}"
    session.send("secret")
    answer = browse(server).get(query + more, **headers).answer
    assert (b"secret" in answer.body) is allowed
    if not allowed:
        assert (answer.status, answer.json()) == (403, FORBIDDEN)
        assert b"secret" in browse(server).get(query, **OWN).answer.body


def test_so_must_a_form_of_it(make_server, browse, listener):
    """What a foreign page posts is not delivered."""
    server = make_server(jsonp=True)
    browse(server).get(f"{POLLING}&j=0")
    (session,) = server.sessions.values()
    query = f"{POLLING}&j=0&sid={session.sid}"
    assert browse(server).post(query, b"d=4evil", **CROSS_SITE).answer.status == 403
    assert browse(server).post(query, b"d=4good", **SAME_ORIGIN).answer.status == 200
    assert listener.received == ["good"]


def test_the_origin_is_judged_before_the_session(make_server, browse):
    """A foreign page does not learn which sessions there are."""
    server = make_server(jsonp=True)
    answer = browse(server).get(f"{POLLING}&j=0&sid=unknown", **EVIL).answer
    assert (answer.status, answer.json()) == (403, FORBIDDEN)


def test_polling_without_scripts_is_not_asked_for_a_referer(make_server, browse):
    """A browser guards its answers, and a cross-origin one has an Origin."""
    server = make_server(jsonp=True)
    sid = browse(server).get(POLLING, **CROSS_SITE, **EVIL).answer.open()["sid"]
    query = f"{POLLING}&sid={sid}"
    server.sessions[sid].send("x")
    answer = browse(server).get(query, **CROSS_SITE, **EVIL).answer
    assert (answer.status, answer.body) == (200, b"4x")


@pytest.mark.parametrize("headers", [COOKIE, CROSS_SITE, EVIL, {**CROSS_SITE, **EVIL}])
def test_a_script_may_come_from_anywhere_where_any_may(make_server, browse, headers):
    """With an asterisk."""
    server = make_server(cors=["*"], jsonp=True)
    assert browse(server).get(f"{POLLING}&j=0", **headers).answer.status == 200


@pytest.mark.parametrize(
    "cors", [[re.compile(r"https://\w+\.example")], lambda origin: "listed" in origin]
)
def test_the_referer_s_origin_is_what_cors_is_asked(cors):
    """By a pattern or a function, too: not its path, and not its query."""
    judge = Cors(Config(cors=cors))
    headers = {"sec-fetch-site": "cross-site"}
    told = {**headers, "referer": LISTED["Referer"]}
    assert judge.allows_script(told, "example.com")
    told = {**headers, "referer": "https://evil.com/listed"}
    assert not judge.allows_script(told, "example.com")


def test_a_page_without_tls_is_foreign_to_a_script_with_it():
    """As for Origins, where it is known."""
    judge = Cors(Config())
    plain = {"referer": "http://example.com/"}
    assert judge.allows_script(plain, "example.com", False)
    assert not judge.allows_script(plain, "example.com", True)


def test_a_failing_cors_refuses_a_script(make_server, browse, logged):
    """As it does an Origin."""

    def fail(origin):
        raise KeyError(origin)

    server = make_server(jsonp=True, cors=fail)
    answer = browse(server).get(f"{POLLING}&j=0", **EVIL).answer
    assert (answer.status, answer.json()["code"]) == (400, 3)
    logged.take(KeyError)

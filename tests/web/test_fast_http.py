"""A WebSocket is let in at the door as twisted.web would let it in, or left to it."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest
from fakes import CLOSE_FRAME, Browser, Listener, Onlooker, frame
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.address import IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.task import Clock
from twisted.python.filepath import FilePath
from twisted.web.http import combinedLogFormatter
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import GzipEncoderFactory
from twisted.web.static import File
from zope.interface import alsoProvides

from twisted_engineio import (
    Config,
    EngineIOResource,
    EngineIOSite,
    Observer,
    Reject,
    Server,
)
from twisted_engineio.web.body_limit import EngineIORequest
from twisted_engineio.web.fast_http import TWISTED, FastHTTPProtocol, read_head

WEBSOCKET = "EIO=4&transport=websocket"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PLAIN = {
    "Host": "example.com",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
URI = f"/engine.io/?{WEBSOCKET}"


def head(uri: str = URI, /, **changes: str | None) -> bytes:
    """Write a handshake; underscores in names are dashes, None leaves one out."""
    headers: dict[str, str | None] = dict(PLAIN)
    headers.update({name.replace("_", "-"): changes[name] for name in changes})
    lines = [f"{name}: {text}" for name, text in headers.items() if text is not None]
    return "\r\n".join([f"GET {uri} HTTP/1.1", *lines, "", ""]).encode("latin-1")


@pytest.fixture
def read_by_twisted_web(monkeypatch) -> list[bytes]:
    """List the requests that twisted.web has read."""
    read: list[bytes] = []
    process = EngineIORequest.requestReceived

    def received(self: Any, command: bytes, path: bytes, version: bytes) -> None:
        read.append(path)
        process(self, command, path, version)

    monkeypatch.setattr(EngineIORequest, "requestReceived", received)
    return read


def said(browser: Browser) -> bytes:
    """Tell what a client was answered, but for the second in which it was."""
    return re.sub(rb"\r\nDate: [^\r]+", b"", browser.wire.value())


def site_of(server: Server, **options: Any) -> EngineIOSite:
    """Make a site with nothing but the server's resource in it."""
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    return EngineIOSite(root, server, **options)


@pytest.fixture
def knock(house):
    """Give the connection on which bytes were sent to a site."""

    def send(site: EngineIOSite, data: bytes) -> Browser:
        browser = Browser(site)
        house.append(browser)
        return browser.send(data).turns()

    return send


# What the door takes.


@pytest.mark.parametrize(
    "data",
    [
        head(),
        head(Connection="keep-alive, Upgrade"),
        head(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"),
        head(Host="localhost:3000", Origin="http://localhost:3000"),
        head(f"/engine.io?{WEBSOCKET}&t=1&b64=1"),
        head(Cookie="a=b; c=d", User_Agent="Mozilla/5.0 (X11)"),
        head(**{f"X_{number}": "x" for number in range(95)}),
    ],
)
def test_a_plain_handshake_is_let_in(server, knock, read_by_twisted_web, data):
    """Without twisted.web, and what came behind it is not lost."""
    browser = knock(site_of(server), data + frame("4hello"))
    assert browser.answer.status == 101
    assert browser.texts[0][:8] == '0{"sid":'
    assert server.application.received == ["hello"]
    assert read_by_twisted_web == []


def test_its_answer_is_the_one_of_the_rfc(server, knock):
    """RFC 6455, 1.3, has this key and its answer."""
    answer = knock(site_of(server), head()).answer
    assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_polling_session_moves_through_the_door(
    server, browse, knock, read_by_twisted_web
):
    """Most clients come so: their session is known, and nobody is asked again."""
    sid = browse(server).get("EIO=4&transport=polling").answer.open()["sid"]
    del read_by_twisted_web[:]
    browser = knock(site_of(server), head(f"{URI}&sid={sid}") + frame("2probe"))
    assert browser.texts == ["3probe"]
    browser.send(frame("5"))
    assert server.sessions[sid].transport.name == "websocket"
    assert read_by_twisted_web == []
    assert len(server.application.admitted) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        head()[:-1],
        head().replace(b"GET", b"POST"),
        head().replace(b"HTTP/1.1", b"HTTP/1.0"),
        head("engine.io"),
        head().replace(b"\r\n", b"\n"),
        head(Upgrade="h2c"),
        head(Upgrade=None),
        head(Connection="close"),
        head(Sec_WebSocket_Version="8"),
        head(Sec_WebSocket_Key="short"),
        head(Sec_WebSocket_Key=None),
        head(Sec_WebSocket_Protocol="chat"),
        head(Sec_WebSocket_Extensions="x-mine"),
        head(Content_Length="0"),
        head(Transfer_Encoding="chunked"),
        head(Expect="100-continue"),
        head(Host=None),
        head(Host="two hosts"),
        head(Cookie="caf\u00e9"),
        head(Cookie="a\tb"),
        head(Cookie=""),
        head(Cookie="a" * 8192),
        head(**{f"X_{number}": "x" for number in range(96)}),
        head().replace(b"Host: ", b"Host:"),
        head().replace(b"Host: ", b"Host : "),
        head().replace(b"Upgrade: ", b"Host: other.org\r\nUpgrade: "),
        head().replace(b"Upgrade: ", b" folded\r\nUpgrade: "),
    ],
)
def test_what_is_not_plain_is_not_read(data):
    """twisted.web and Autobahn know what to do with it."""
    assert read_head(data) is None


@pytest.mark.parametrize(
    "uri",
    [
        "/",
        "/other/?" + WEBSOCKET,
        "/engine.io//?" + WEBSOCKET,
        "/engine.io/x?" + WEBSOCKET,
        "/%65ngine.io/?" + WEBSOCKET,
        "/engine.io/?EIO=4&transport=polling",
        "/engine.io/?EIO=4&transport=sse",
        "/engine.io/",
        f"{URI}&sid=unknown",
        "/engine.io/?EIO=3&transport=websocket",
    ],
)
def test_what_is_not_for_us_or_is_refused_is_twisted_web_s(
    make_server, knock, read_by_twisted_web, uri
):
    """It answers as it would without a door."""
    with_door, without = (
        knock(site_of(make_server(make_sid=lambda _: "x"), door=door), head(uri))
        for door in (True, False)
    )
    assert read_by_twisted_web == [uri.encode()] * 2
    assert said(with_door) == said(without)


# Nothing between our resource and the client is passed over.


class Guarded(Resource):
    """Lets nobody reach its children."""

    def getChildWithDefault(self, path, request):
        return File(FilePath("/dev/null").path)


class Strict(EngineIOResource):
    """Has a word of its own to each request."""

    def render(self, request):
        request.setResponseCode(418)
        return b""


class OwnRequest(EngineIORequest):
    """A request class of the operator's."""


class OwnSite(EngineIOSite):
    """A site that finds resources in its own way."""

    def getResourceFor(self, request):
        return Strict(self.server)


def wrapped(server: Server) -> EngineIOSite:
    root = Resource()
    inner = EncodingResourceWrapper(EngineIOResource(server), [GzipEncoderFactory()])
    root.putChild(b"engine.io", inner)
    return EngineIOSite(root, server, "/engine.io")


def guarded(server: Server) -> EngineIOSite:
    root = Guarded()
    root.putChild(b"engine.io", EngineIOResource(server))
    return EngineIOSite(root, server)


def subclassed(server: Server) -> EngineIOSite:
    root = Resource()
    root.putChild(b"engine.io", Strict(server))
    return EngineIOSite(root, server)


def with_own_requests(server: Server) -> EngineIOSite:
    site = site_of(server)
    site.requestFactory = OwnRequest
    return site


def found_otherwise(server: Server) -> EngineIOSite:
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    return OwnSite(root, server)


def behind_a_leaf(server: Server) -> EngineIOSite:
    root = EngineIOResource(server)
    root.putChild(b"engine.io", EngineIOResource(server))
    return EngineIOSite(root, server)


def elsewhere(server: Server) -> EngineIOSite:
    return EngineIOSite(Resource(), server, "/engine.io")


def not_lean(server: Server) -> EngineIOSite:
    return site_of(server, lean=False)


@pytest.mark.parametrize(
    "make",
    [
        wrapped,
        guarded,
        subclassed,
        with_own_requests,
        found_otherwise,
        behind_a_leaf,
        elsewhere,
        not_lean,
    ],
)
def test_whoever_stands_before_us_is_asked(server, knock, read_by_twisted_web, make):
    """A wrapper may want a password: what it says counts."""
    knock(make(server), head())
    assert read_by_twisted_web == [URI.encode()]


@pytest.mark.parametrize(
    "options", [{"observers": [Onlooker()]}, {"per_message_deflate": True}]
)
def test_a_server_that_needs_all_of_a_request_gets_it(
    make_server, knock, read_by_twisted_web, options
):
    """An observer sees its headers, compression its offers."""
    server = make_server(**options)
    knock(site_of(server), head())
    assert read_by_twisted_web == [URI.encode()]
    assert len(server.sessions) == 1


class Counts(Observer):
    """An observer that reads little of a request."""

    whole_requests = False

    def __init__(self):
        self.refused = 0

    def connection_refused(self, error, request):
        self.refused += 1


def test_who_only_counts_leaves_the_door_open(make_server, knock, read_by_twisted_web):
    """And hears of each refusal once."""
    observer = Counts()
    server = make_server(observers=[observer])
    knock(site_of(server), head())
    assert read_by_twisted_web == []
    assert len(server.sessions) == 1
    knock(site_of(server), head(f"{URI}&sid=unknown"))
    assert observer.refused == 1


def test_who_adds_headers_adds_them_behind_the_door(
    make_server, knock, read_by_twisted_web
):
    """However little it reads."""
    observer = Counts()
    observer.headers = lambda headers, *_: headers.addRawHeader(b"X-Seen", b"yes")
    browser = knock(site_of(make_server(observers=[observer])), head())
    assert read_by_twisted_web == [URI.encode()]
    assert browser.answer.headers["x-seen"] == "yes"


def test_a_server_without_websockets_refuses(make_server, knock):
    """In twisted.web's answer."""
    server = make_server(transports=["polling"])
    answer = knock(site_of(server), head()).answer
    assert (answer.status, answer.body) == (400, b"Transport unknown")


def test_an_access_log_has_it(server, knock, tmp_path, read_by_twisted_web):
    """A formatter of one's own reads twisted.web's request; ours needs none."""
    knock(site_of(server, logPath=str(tmp_path / "log")), head())
    assert read_by_twisted_web == []
    options = {"logPath": str(tmp_path / "log"), "logFormatter": combinedLogFormatter}
    knock(site_of(server, **options), head())
    assert read_by_twisted_web == [URI.encode()]


def test_a_path_of_several_parts_is_found(server, knock, read_by_twisted_web):
    """As twistd's --path puts it."""
    root, folder = Resource(), Resource()
    root.putChild(b"a", folder)
    folder.putChild(b"b", EngineIOResource(server))
    knock(EngineIOSite(root, server, "/a/b/"), head(f"/a/b/?{WEBSOCKET}"))
    assert len(server.sessions) == 1
    assert read_by_twisted_web == []


# The application.


def test_an_application_that_thinks_is_asked_once(server, listener, knock):
    """twisted.web waits for it, for the client may leave meanwhile."""
    verdict: Deferred[None] = Deferred()
    listener.on_admit = lambda _: verdict
    browser = knock(site_of(server), head())
    assert browser.answers == []
    verdict.callback(None)
    assert browser.turns().answer.status == 101
    assert len(listener.admitted) == len(server.sessions) == 1


def test_a_client_that_leaves_an_application_that_thinks_is_forgotten(
    server, listener, knock
):
    """Its admission is cancelled."""
    verdict: Deferred[None] = Deferred()
    listener.on_admit = lambda _: verdict
    knock(site_of(server), head()).lose()
    assert verdict.called
    assert server.sessions == {}


def test_a_handshake_that_twisted_web_refuses_holds_no_place(
    make_server, listener, knock
):
    """It has more headers than twisted.web takes: nobody is asked about it."""
    listener.on_admit = lambda _: Deferred()
    server = make_server(max_sessions=1)
    many = head(**{f"h{number}": "x" for number in range(600)})
    browser = knock(site_of(server), many)
    assert browser.wire.value().startswith(b"HTTP/1.1 431 ")
    browser.lose()
    assert listener.admitted == []
    listener.on_admit = lambda _: None
    assert knock(site_of(server), head()).answer.status == 101


@pytest.mark.parametrize("error", [Reject(418, "No tea"), ZeroDivisionError()])
def test_an_application_that_refuses_is_asked_once(
    server, listener, knock, logged, error
):
    """And its words are given by twisted.web."""

    def refuse(_):
        raise error

    listener.on_admit = refuse
    answers = [
        said(knock(site_of(server, door=door), head())) for door in (True, False)
    ]
    assert answers[0] == answers[1]
    assert len(listener.admitted) == 2  # once for each site
    del logged[:]


def test_a_server_that_an_application_stops_lets_nobody_in(server, listener, knock):
    """Not even who was asked about."""
    listener.on_admit = lambda _: server.stop() and None
    assert knock(site_of(server), head()).answer.status == 503
    assert server.sessions == {}


# Origins.


def test_a_listed_origin_is_let_in_and_told_so(make_server, knock, read_by_twisted_web):
    """The headers are those that twisted.web would send."""
    server = make_server(cors=["https://a.org"])
    data = head(Origin="https://a.org")
    ours = knock(site_of(server), data).answer
    assert read_by_twisted_web == []
    theirs = knock(site_of(server, door=False), data).answer
    assert ours == theirs
    assert ours.headers["access-control-allow-origin"] == "https://a.org"


@pytest.mark.parametrize("origin", ["https://evil.org", "null"])
def test_a_foreign_origin_is_refused(server, knock, origin):
    """Cross-site WebSocket hijacking stops here as there."""
    assert knock(site_of(server), head(Origin=origin)).answer.status == 403
    assert server.sessions == {}


def test_the_operator_s_function_is_asked_once(make_server, knock):
    """So twisted.web reads the request."""
    asked = []
    server = make_server(cors=lambda origin: not asked.append(origin))
    knock(site_of(server), head(Origin="https://a.org"))
    assert asked == ["https://a.org"]


# The client.


def test_a_trusted_proxy_says_who_the_client_is(make_server, knock, listener):
    """And what host it asked for."""
    server = make_server(trusted_proxies=["203.0.113.0/24"])
    data = head(
        X_Forwarded_For="192.0.2.7",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="a.org",
        Origin="https://a.org",
    )
    knock(site_of(server), data)
    knock(site_of(server), head())
    by_proxy, alone = listener.admitted
    assert (by_proxy.client_address, by_proxy.is_secure) == ("192.0.2.7", True)
    assert (alone.client_address, alone.is_secure) == ("203.0.113.5", False)


def test_what_is_small_is_not_held_back(tcp_browse, server):
    """Each connection is told, not its port: that would miss those that wait there."""
    browser = tcp_browse(server).send(head())
    assert browser.answers[0].status == 101
    assert browser.socket.options == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


def test_a_connection_over_tls_is_secure(server, house, listener):
    """Whatever wraps the transport says so; and small frames are not held back."""
    browser = Browser(site_of(server))
    house.append(browser)
    alsoProvides(browser.wire, ISSLTransport, ITCPTransport)
    told = []
    browser.wire.setTcpNoDelay = told.append
    browser.send(head()).turns()
    assert listener.admitted[0].is_secure
    assert told == [True]


# Time.


def test_what_has_come_before_it_was_accepted_is_read_at_once(
    tcp_browse, server, listener, clock
):
    """The reactor need not tell of it, and there is nothing to wait for."""
    browser = tcp_browse(server, early=head())
    assert browser.answers[0].status == 101
    assert not clock.getDelayedCalls()[1:]  # but for the open packet
    clock.advance(0.001)
    assert [each.transport.name for each in listener.opened] == ["websocket"]


def test_an_address_of_ipv6_is_told_with_its_scope(tcp_browse, server, listener):
    """Of which the socket alone knows only a number."""
    browser = tcp_browse(server)
    browser.socket.getsockname = lambda: ("fe80::1", 80, 0, 2)
    browser.wire.getHost = lambda: IPv6Address("TCP", "fe80::1%eth0", 80)
    browser.send(head())
    assert listener.admitted[0].server_address == ("fe80::1%eth0", 80)


@pytest.mark.parametrize("name", TWISTED)
def test_what_is_known_of_twisted_still_exists(tcp_browse, server, name):
    """Private attributes may go; then this fails before anything else does."""
    assert hasattr(tcp_browse(server).wire, name)


@pytest.mark.parametrize("early", [None, b""], ids=["nothing", "its end"])
def test_who_has_said_nothing_is_waited_for(tcp_browse, server, clock, early):
    """Of a connection that is closed already the reactor tells."""
    browser = tcp_browse(server, early=early)
    assert not browser.wire.disconnected
    assert len(clock.getDelayedCalls()) == 1
    browser.send(head())
    assert browser.answers[0].status == 101


def test_a_bug_costs_one_connection(tcp_browse, server, clock, monkeypatch):
    """Twisted logs what comes out of a Port; the connection is ours to close."""

    def fail(self, data):
        raise ZeroDivisionError

    monkeypatch.setattr(FastHTTPProtocol, "dataReceived", fail)
    lost = []
    monkeypatch.setattr(
        FastHTTPProtocol, "connectionLost", lambda self, why: lost.append(why)
    )
    with pytest.raises(ZeroDivisionError):
        tcp_browse(server, early=b"GET /")
    assert [why.type for why in lost] == [ZeroDivisionError]
    assert not clock.getDelayedCalls()


def test_who_says_nothing_is_cut_off(make_server, house, clock):
    """And leaves no timer behind, whether it goes or not."""
    browser = Browser(site_of(make_server(request_timeout=10.0)))
    house.append(browser)
    clock.advance(9.5)
    assert not browser.wire.disconnecting
    clock.advance(0.5)
    assert browser.wire.disconnecting


def test_nobody_is_judged_by_time_that_the_server_slept(make_server, house, clock):
    """The first bytes may wait in the socket: it has request_timeout once more."""
    browser = Browser(site_of(make_server(request_timeout=10.0)))
    house.append(browser)
    clock.advance(60)
    assert not browser.wire.disconnecting
    clock.advance(9.5)
    assert not browser.wire.disconnecting
    clock.advance(0.5)
    assert browser.wire.disconnecting


def test_who_leaves_without_a_word_leaves_nothing(server, house, clock):
    """The house is empty after it."""
    browser = Browser(site_of(server))
    browser.lose()
    assert clock.getDelayedCalls() == []


# Both ways, compared.

names = st.sampled_from(
    [
        *PLAIN,
        "Origin",
        "Cookie",
        "X-Forwarded-For",
        "Sec-WebSocket-Extensions",
        "Expect",
    ]
)
values = st.sampled_from(
    [
        *PLAIN.values(),
        *("upgrade", "WebSocket", "close", "keep-alive, Upgrade", "8", "100-continue"),
        *("http://example.com", "https://evil.org", "null", "permessage-deflate"),
        *("a=b", "", " padded ", "caf\u00e9", "example.com:80", "a@b", "192.0.2.7"),
    ]
)
changes = st.lists(st.tuples(names, values), max_size=3)
uris = st.sampled_from(
    [
        URI,
        f"/engine.io?{WEBSOCKET}",
        f"{URI}&t=%41&b64=1",
        f"{URI}&EIO=3",
        f"{URI}&transport=polling",
        f"{URI}&sid=",
        f"{URI}&sid=nobody",
        "/engine.io/?EIO=4",
        "/else",
    ]
)


def outcome(data: bytes, cut: int, *, door: bool) -> list[Any]:
    """Send a request in two pieces, and tell all that can be seen."""
    clock, application = Clock(), Listener()
    config = Config(trusted_proxies=["203.0.113.5"])
    server = Server(application, config, clock=clock, make_sid=lambda _: "the-sid")
    browser = Browser(site_of(server, door=door))
    if cut:
        browser.send(data[:cut])
    browser.send(data[cut:]).turns()
    seen = [said(browser), application.admitted, list(server.sessions)]
    browser.send(frame("4hi")).send(frame(b"\x03\xe8", CLOSE_FRAME))
    seen += [said(browser), application.received, application.reasons]
    seen += [browser.wire.disconnecting, browser.wire.disconnected]
    browser.lose()
    for session in list(server.sessions.values()):
        session.abort()
    clock.advance(0)
    return [*seen, clock.getDelayedCalls()]


@given(changes=changes, uri=uris, repeated=st.booleans(), cut=st.integers(0, 250))
@example(changes=[], uri=URI, repeated=False, cut=0)
def test_both_ways_in_are_alike(changes, uri, repeated, cut):
    """Answers, admissions, sessions, goodbyes: the same bytes from both."""
    lines = list(PLAIN.items()) if repeated else []
    lines += ({**PLAIN, **dict(changes)}).items() if not repeated else changes
    text = "\r\n".join([f"GET {uri} HTTP/1.1", *(f"{n}: {v}" for n, v in lines)])
    data = text.encode("latin-1") + b"\r\n\r\n" + frame("4early")
    assert outcome(data, cut, door=True) == outcome(data, cut, door=False)

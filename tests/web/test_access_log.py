"""Access logs hold no session's id and no ticket, whoever writes them."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

import pytest
from fakes import Browser
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.web.http import combinedLogFormatter, proxiedLogFormatter
from twisted.web.iweb import IAccessLogFormatter
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data
from zope.interface.verify import verifyObject

import twisted_engineio.web.access_log as module
from twisted_engineio import EngineIOResource, EngineIOSite, protect
from twisted_engineio.web.access_log import RedactedLog, Upgrade, redacted_log

POLLING = "EIO=4&transport=polling"
SID = "Zm9vYmFyYmF6cXV4MTIz"


@pytest.fixture
def log():
    """A formatter like that of a Site of ours."""
    return redacted_log()


# What is redacted.


@pytest.mark.parametrize(
    ("uri", "redacted"),
    [
        ("/engine.io/?EIO=4&sid=%s", "/engine.io/?EIO=4&sid=Zm9vYm..."),
        ("/engine.io/?sid=%s&EIO=4", "/engine.io/?sid=Zm9vYm...&EIO=4"),
        ("/?sid=%s&sid=%s", "/?sid=Zm9vYm...&sid=Zm9vYm..."),
        ("/?s%%69d=%s", "/?s%69d=Zm9vYm..."),
        ("/?%%73%%69%%64=%s", "/?%73%69%64=Zm9vYm..."),
        ("/?SID=%s&Sid=%s", "/?SID=Zm9vYm...&Sid=Zm9vYm..."),
        ("/?%%53%%49%%44=%s", "/?%53%49%44=Zm9vYm..."),
        ("/?a=1;sid=%s", "/?a=1;sid=Zm9vYm..."),
        ("/?a?sid=%s", "/?a?sid=Zm9vYm..."),
        ("/#sid=%s", "/#sid=Zm9vYm..."),
        ("/?lastEventId=%s.17&x=1", "/?lastEventId=Zm9vYm...&x=1"),
        ("/?LASTEVENTID=%s.17", "/?LASTEVENTID=Zm9vYm..."),
        ("/?ticket=%s&EIO=4", "/?ticket=...&EIO=4"),
        ("/?token=%s", "/?token=..."),
        ("/?sid=short", "/?sid=..."),
        ("/?sid=", "/?sid=..."),
        ("/?next=%%2Fengine.io%%2F%%3Fsid%%3D%s", None),
        ("/?next=%%252F%%253FEIO%%253D4%%2526sid%%253D%s", None),
        ("/app/x/y/engine.io/?EIO=4&sid=%s", None),
        ("http://example.com/engine.io/?sid=%s", None),
        ("/?sidecar=1&inside=2&accessid=3", "/?sidecar=1&inside=2&accessid=3"),
        ("/?sid", "/?sid"),
        ("/engine.io/", "/engine.io/"),
        ("*", "*"),
    ],
)
def test_a_uri_holds_no_secret(log, uri, redacted):
    """However the field is written, and wherever it stands."""
    text = uri.replace("%s", SID).replace("%%", "%")
    found = log.redact(text.encode()).decode()
    assert SID[:7] not in found
    if redacted is not None:
        assert found == redacted


@given(
    spelling=st.tuples(
        *(
            st.sampled_from([each, each.upper(), f"%{ord(each):x}", f"%{ord(each):X}"])
            for each in "sid"
        )
    ),
    before=st.lists(st.sampled_from(["EIO=4", "t=abc", "sid=", "x=%26", "ä=ö"])),
    after=st.sampled_from(["", "&b=1", "#x", "&sid=zzzzzzzzz"]),
)
def test_any_spelling_of_a_key_is_known(spelling, before, after):
    """Each letter plain or percent-encoded, small or capital."""
    query = "&".join([*before, "".join(spelling) + "=" + SID]) + after
    assert SID[:7].encode() not in redacted_log().redact(b"/?" + query.encode())


@pytest.mark.parametrize("name", ["ticket", "Ticket", "access_token", "a.b"])
def test_an_application_names_its_own_secrets(name):
    """What its clients send in the query."""
    log = redacted_log(secrets=["sid", name])
    uri = f"/?{quote(name)}=mysecret&sid={SID}".encode()
    assert b"mysecret" not in log.redact(uri)
    assert SID.encode() not in log.redact(uri)
    assert log.redact(b"/?axb=plain") == b"/?axb=plain"


def test_no_secrets_at_all_is_a_choice():
    """Then nothing is touched."""
    uri = f"/?sid={SID}".encode()
    assert redacted_log(secrets=[]).redact(uri) == uri


@pytest.mark.parametrize(
    "uri", ["/?" + "x" * 9000, "/?" + "sid=a&" * 3000, "/?" + "%25" * 9000]
)
def test_a_field_of_a_line_is_bounded(log, uri):
    """A client's words fill no disk."""
    assert len(log.redact(uri.encode())) <= 512


def test_it_is_a_formatter_of_twisted_web_s():
    """By its interface."""
    assert verifyObject(IAccessLogFormatter, redacted_log())


def test_what_is_known_of_a_site_exists():
    """Private names of Twisted's."""
    site = Site(Resource())
    for name in module.TWISTED:
        assert hasattr(site, name)


# Sites.


@pytest.fixture
def run(server, house, clock, tmp_path):
    """Send requests to a Site, and give the lines of its access log."""
    path = tmp_path / "access.log"

    def run(make_site, talk=None, **options):
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(server))
        root.putChild(b"", Data(b"home", "text/plain"))
        site = make_site(root, logPath=str(path), **options)
        site.startFactory()
        browser = Browser(site)
        house.append(browser)
        (talk or converse)(browser, site)
        for each in house:
            if isinstance(each, Browser):
                each.lose()
        site.stopFactory()
        clock.advance(1)
        for call in clock.getDelayedCalls():
            call.cancel()
        return path.read_text().splitlines()

    return run


def converse(browser, site):
    """Open a session, write and poll, as an application's page would."""
    browser.get(POLLING, User_Agent="me", Referer="http://example.com/?sid=" + SID)
    sid = next(iter(browser.site.resource.children[b"engine.io"].engineio.sessions))
    query = f"{POLLING}&sid={sid}"
    browser.post(query, b"6", User_Agent="me", Referer=f"http://x/?{query}")
    browser.post(query.replace("sid", "s%69d"), b"6", User_Agent="me")
    browser.get(f"{POLLING}&sid={sid}wrong", User_Agent="me")


def no_sid(lines, server):
    """Whether no line has an id that the server gave, or the one in a Referer."""
    ids = [*server.sessions, SID]
    return not any(sid[:7] in line for sid in ids for line in lines)


SITES = {
    "EngineIOSite": lambda server, clock: (
        lambda root, **options: EngineIOSite(root, server, **options)
    ),
    "protect": lambda server, clock: (
        lambda root, **options: protect(Site(root, reactor=clock, **options), server)
    ),
    "twistd web": lambda server, clock: (
        lambda root, **options: Site(root, reactor=clock, **options)
    ),
    "redacted_log": lambda server, clock: (
        lambda root, **options: Site(
            root, reactor=clock, logFormatter=redacted_log(), **options
        )
    ),
    "proxied": lambda server, clock: (
        lambda root, **options: protect(
            Site(root, reactor=clock, logFormatter=proxiedLogFormatter, **options),
            server,
        )
    ),
}


@pytest.mark.parametrize("kind", SITES)
def test_a_site_s_log_holds_no_session_s_id(run, server, clock, kind):
    """Whoever made the Site: in the URI, and in the Referer."""
    lines = run(SITES[kind](server, clock))
    assert len(lines) == 4
    assert no_sid(lines, server)
    assert all('"me"' in line for line in lines)
    sid = next(iter(server.sessions))
    assert f'sid={sid[:6]}... HTTP/1.1" 200 2' in lines[1]
    assert 'sid=Zm9vYm..." "me"' in lines[0]


@pytest.mark.parametrize("kind", [*SITES][:3])
def test_what_is_refused_before_it_is_read_is_redacted_too(run, server, clock, kind):
    """A body that is too large, at a Site that has served nothing else yet."""

    def talk(browser, site):
        browser.get(f"{POLLING}&sid={SID}")
        browser.send(
            f"POST /engine.io/?{POLLING}&sid={SID} HTTP/1.1\r\nHost: x\r\n"
            "Content-Length: 2000000\r\n\r\n".encode()
        )
        browser.send(b"x" * 2_000_000)

    lines = run(SITES[kind](server, clock), talk)
    assert len(lines) == 2
    assert not any(SID[:7] in line for line in lines)


def test_a_formatter_of_one_s_own_sees_no_secret(run, server):
    """In whatever it reads of the request."""
    seen = []

    def formatter(timestamp, request):
        seen.append(
            (
                request.uri,
                request.path,
                request.args,
                request.getHeader("referer"),
                request.getHeader(b"last-event-id"),
                request.getHeader("nothing"),
                request.requestHeaders.getRawHeaders("referer"),
                request.requestHeaders.getRawHeaders("last-event-id"),
            )
        )
        return combinedLogFormatter(timestamp, request)

    def talk(browser, site):
        browser.send(
            f"GET /?a=1&sid={SID} HTTP/1.1\r\nHost: x\r\nReferer: /?sid={SID}\r\n"
            f"Last-Event-ID: {SID}.4\r\n\r\n".encode()
        )

    lines = run(
        lambda root, **options: EngineIOSite(root, server, **options),
        talk,
        logFormatter=formatter,
    )
    assert len(lines) == 1
    assert SID[:7] not in repr((seen, lines))
    assert seen[0][2] == {b"a": [b"1"], b"sid": [b"Zm9vYm..."]}
    assert seen[0][3] == "/?sid=Zm9vYm..."
    assert seen[0][4] == b"Zm9vYm..."
    assert seen[0][5] is None


def test_a_site_of_another_kind_is_left_alone(server):
    """Where there is no formatter, there is nothing to wrap."""
    site = object()
    EngineIOResource(server)._redact_access_log(site)
    assert not hasattr(site, "_logFormatter")


# Our own.


def websocket(browser, site):
    """Open a WebSocket and send nothing."""
    browser.upgrade(
        "EIO=4&transport=websocket&ticket=mysecret", User_Agent="me", Referer="/r"
    )


@pytest.mark.parametrize("door", [True, False], ids=["door", "twisted.web"])
def test_a_websocket_is_a_line(run, server, door):
    """When it opens, with status 101; before or behind twisted.web."""
    lines = run(
        lambda root, **options: EngineIOSite(root, server, door=door, **options),
        websocket,
    )
    (line,) = lines
    assert (
        '"GET /engine.io/?EIO=4&transport=websocket&ticket=... HTTP/1.1" 101 -'
        ' "/r" "me"' in line
    )
    assert line.startswith('"203.0.113.5" - - ')


def test_an_access_log_keeps_the_door_open(run, server):
    """The door reads what its line needs; another formatter may need more."""
    seen = []

    def talk(browser, site):
        seen.append(site.resource_at(b"/engine.io/") is not None)

    def make(root, **options):
        return EngineIOSite(root, server, **options)

    run(make, talk)
    run(make, talk, logFormatter=combinedLogFormatter)
    assert seen == [True, False]


def test_a_session_s_requests_lose_what_no_line_needs(run, server, monkeypatch):
    """The headers in the log stay, the others go as they do without a log."""
    seen = []
    find = EngineIOResource.render

    def render(self, request):
        seen.append({name for name, _ in request.requestHeaders.getAllRawHeaders()})
        return find(self, request)

    monkeypatch.setattr(EngineIOResource, "render", render)

    def talk(browser, site):
        browser.get(POLLING)
        sid = next(iter(server.sessions))
        every = {"User_Agent": "me", "Referer": "/", "Accept": "x", "DNT": "1"}
        browser.post(f"{POLLING}&sid={sid}", b"6", **every)

    run(lambda root, **options: EngineIOSite(root, server, **options), talk)
    assert {b"User-Agent", b"Referer"} <= seen[1]
    assert {b"Accept", b"DNT", b"Dnt"}.isdisjoint(seen[1])


@pytest.mark.parametrize("door", [True, False])
def test_the_address_is_the_client_s_behind_a_trusted_proxy(run, make_server, door):
    """As everywhere else; for a WebSocket and for a poll."""
    server = make_server(trusted_proxies=["203.0.113.0/24"])

    def talk(browser, site):
        browser.get(POLLING, X_Forwarded_For="192.0.2.7, 203.0.113.9")
        browser.get(POLLING)
        Browser(site).upgrade(
            "EIO=4&transport=websocket", X_Forwarded_For="2001:db8::5"
        ).lose()

    def make(root, **options):
        root.putChild(b"engine.io", EngineIOResource(server))
        return EngineIOSite(root, server, door=door, **options)

    lines = run(make, talk)
    assert [line.split()[0] for line in lines] == [
        '"192.0.2.7"',
        '"203.0.113.5"',
        '"2001:db8::5"',
    ]


def test_without_an_address_there_is_a_dash():
    """On a UNIX socket, with trusted proxies that say nothing."""
    upgrade = Upgrade(b"/", {}, None)
    log = RedactedLog(combinedLogFormatter, (), module.TrustedProxies(["unix"]))
    assert log("now", upgrade).startswith('"-" - - now "GET / HTTP/1.1" 101 - "-" "-"')
    assert IPv4Address("TCP", "x", 0).host == "x"


def test_a_full_disk_is_no_reason_to_serve_nobody(server, browse, logged):
    """The answer is sent, and the log says so, at a bounded rate."""

    class Full:
        def write(self, line):
            raise OSError(28, "No space left on device")

    browser = browse(server)
    browser.site.logs_upgrades = True
    browser.site._logFile = Full()
    browser.site._logDateTime = "now"
    for _ in range(12):
        browser.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [each.status for each in browser.answers] == [404] * 12
    assert len(logged) == 10
    assert "No space left" in logged.take()["why"]
    server.flush_log()
    logged.clear()


def test_a_method_of_any_length_is_cut(run, server):
    """And the version: a line is bounded, whatever a client sends."""

    def talk(browser, site):
        browser.send(b"X" * 7000 + b" /engine.io/ HTTP/1.1\r\nHost: x\r\n\r\n")

    (line,) = run(partial(EngineIOSite, server=server), talk)
    assert 512 < len(line) < 1000

"""The status page tells an operator, and nobody else, what the server does."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from fakes import PONG, Browser, RecordingTransport, handshake, join
from twisted.internet.address import IPv4Address
from twisted.web.resource import Resource

from twisted_engineio import (
    CloseReason,
    EngineIOSite,
    ErrorCode,
    Refused,
    Reject,
    __version__,
)
from twisted_engineio.monitoring.access import AccessControl
from twisted_engineio.monitoring.counters import Counters
from twisted_engineio.monitoring.status import EVERY, StatusPage, StatusService
from twisted_engineio.protocol.handshake import Handshake

TOKEN = "a-token-of-27-characters-xx"
POLLING = "EIO=4&transport=polling"


@pytest.fixture
def counters(clock):
    """Give a tally with the test's time."""
    return Counters(clock=clock)


@pytest.fixture
def watched(make_server, counters):
    """Give a server that it observes."""
    return make_server(observers=[counters], ping_interval=3600)


@pytest.fixture
def make_service(counters, clock, house):
    """Make services that tell of it, and stop them after the test."""
    made = []

    def make(access=None, **options):
        service = StatusService(
            counters, access or AccessControl(), clock=clock, **options
        )
        service.startService()
        made.append(service)
        house.append(service.server)
        return service

    yield make
    for service in made:
        if service.running:
            service.stopService()
    clock.advance(0)


@pytest.fixture
def service(make_service):
    """Give one that runs."""
    return make_service()


def watch(service):
    """Begin to look, and give what is told from then on."""
    transport = RecordingTransport("websocket")
    join(service.server, transport)
    return Told(transport)


class Told:
    """What one who looks on was told."""

    def __init__(self, transport):
        self.transport = transport

    @property
    def all(self):
        return [json.loads(text) for text in self.texts]

    @property
    def texts(self):
        written = (getattr(each, "data", each) for each in self.transport.written)
        return [each for each in written if "samples" in each]

    @property
    def last(self):
        return self.all[-1]


# What is told.


def test_who_begins_to_look_is_told_what_there_was(service, clock):
    """Ten minutes of samples at most, and what the page must know to show them."""
    clock.pump([EVERY] * 400)
    told = watch(service).last
    assert told["about"] == {
        "version": __version__,
        "started": 0.0,
        "now": 400 * EVERY,
        "every": EVERY,
        "transports": ["polling", "sse", "websocket"],
        "ages": [10.0, 60.0, 600.0, 3600.0, 86400.0],
    }
    times = [sample[0] for sample in told["samples"]]
    assert (times[0], times[-1], len(times)) == (100 * EVERY, 400 * EVERY, 301)


def test_a_sample_says_where_the_counts_stand(service, watched, open_session, clock):
    """Sessions as they are, everything else since the start."""
    session, other = open_session(watched), open_session(watched, "websocket")
    session.receive("äb")
    session.receive(b"12")
    session.send("hello")
    session.send(b"1")
    session.send(b"2")
    other.fail(CloseReason.PARSE_ERROR)
    watched.refused(Reject(), SimpleNamespace(view=handshake()))
    clock.advance(EVERY)
    (*_, sample) = service.status.samples
    assert sample == [EVERY, 1, 0, 0, 2, 3, 5, 7, 2, 1, 1]


def test_who_looks_is_told_every_sample(service, clock):
    """And nobody is told anything while nobody looks."""
    told = watch(service)
    clock.advance(EVERY)
    clock.advance(EVERY)
    clock.advance(0)
    assert [len(each["samples"]) for each in told.all] == [1, 1, 1]
    assert [each["samples"][-1][0] for each in told.all] == [0, EVERY, 2 * EVERY]
    assert "about" not in told.last


def test_ends_and_upgrades_and_limits_are_told(
    service, watched, counters, open_session
):
    """Only those reasons that there were."""
    open_session(watched).fail(CloseReason.PARSE_ERROR)
    open_session(watched).upgrade(RecordingTransport("websocket"))
    counters.limit_reached("max_sessions", handshake())
    counters.payloads_refused = 3
    told = watch(service).last
    assert told["closed"] == {"parse error": 1}
    assert told["upgrades"] == [1, 0]
    assert told["limits"] == {"max_sessions": 1}
    assert told["payloads"] == 3


def test_sessions_are_told_by_age_and_transport(service, watched, open_session, clock):
    """Each in one group."""
    open_session(watched)
    clock.advance(100)
    open_session(watched)
    open_session(watched, "websocket")
    clock.advance(9.9)
    ages = watch(service).last["survey"]["ages"]
    assert ages == {
        "polling": [1, 0, 1, 0, 0, 0],
        "sse": [0, 0, 0, 0, 0, 0],
        "websocket": [1, 0, 0, 0, 0, 0],
    }


def test_a_transport_that_is_new_has_ages_too(service, watched, open_session):
    """Whoever brings one need not tell the page."""
    open_session(watched, "pigeon")
    assert watch(service).last["survey"]["ages"]["pigeon"] == [1, 0, 0, 0, 0, 0]


def test_the_slowest_are_told(service, watched, counters, open_session, clock):
    """Who has most waiting, and whose ping takes longest; never a whole id."""
    sessions = [open_session(watched) for _ in range(30)]
    for size, session in enumerate(sessions):
        session.transport.writable = False
        if size:
            session.send("x" * 10 * size)
    pinged, waiting = sessions[0], sessions[1]
    counters.sessions[pinged].round_trip = 0.5
    counters.sessions[waiting].pinged = clock.seconds()
    clock.advance(7)
    told = watch(service)
    slow = {each["sid"]: each for each in told.last["survey"]["slow"]}
    known = {each.sid[:6]: each for each in sessions}
    assert {known[sid] for sid in slow} == {pinged, waiting, *sessions[-10:]}
    assert slow[pinged.sid[:6]] == {
        "sid": pinged.sid[:6],
        "transport": "polling",
        "age": 7.0,
        "buffered": 0,
        "ping": 0.5,
    }
    assert slow[waiting.sid[:6]]["ping"] == 7.0
    assert slow[sessions[-1].sid[:6]]["buffered"] == 290
    assert told.last["survey"]["buffered"] == 10 * sum(range(30))
    assert not any(session.sid in text for session in sessions for text in told.texts)


def test_who_keeps_nobody_waiting_is_not_slow(service, watched, open_session, clock):
    """An answer that took no time is none to show."""
    session = open_session(watched)
    clock.advance(1)
    session.receive_packet(PONG)
    assert watch(service).last["survey"]["slow"] == []


def test_looking_at_each_session_takes_its_share_of_the_time_only(
    service, counters, clock, monkeypatch
):
    """A look that took a tenth of a second is not repeated for five."""
    told = watch(service)
    now = clock.seconds
    steps = iter([0.0, 0.1])
    monkeypatch.setattr(
        service.status, "_survey", slowly(service.status, counters, now, steps)
    )
    for _ in range(4):
        clock.advance(EVERY)
        clock.advance(0)
    assert ["survey" in each for each in told.all] == [True, True, False, False, True]


def slowly(status, counters, now, steps):
    """Make a survey that takes a tenth of a second the first time."""
    survey = status._survey

    def look():
        took = next(steps, 0.0) or 0.1
        moments = iter([now(), now() + took])
        counters.seconds = lambda: next(moments)
        try:
            return survey()
        finally:
            counters.seconds = now

    return look


HOSTILE = "<script>alert(1)</script>" * 20


def test_refusals_are_told_with_their_reasons(service, watched, clock):
    """The newest first; what a client said of itself is cut short."""
    clock.advance(3)
    error = Refused(ErrorCode.UNKNOWN_SID, "no session has this id")
    watched.refused(error, SimpleNamespace(view=handshake()))
    clock.advance(1)
    request = Handshake(
        HOSTILE, {}, {"origin": HOSTILE, "user-agent": HOSTILE}, "203.0.113.5"
    )
    watched.refused(Reject(429, "Later"), SimpleNamespace(view=request))
    newest, oldest = watch(service).last["refusals"]
    assert newest == {
        "at": 4.0,
        "code": "forbidden",
        "status": 429,
        "why": "Later",
        "address": "203.0.113.5",
        "transport": HOSTILE[:120],
        "origin": HOSTILE[:120],
        "agent": HOSTILE[:120],
    }
    assert oldest["why"] == "no session has this id"
    assert oldest["address"] == "UNIX socket"


def test_what_is_told_does_not_grow_without_end(service, watched, open_session):
    """Many sessions and hostile refusals make a few thousand characters."""
    for _ in range(500):
        session = open_session(watched)
        session.transport.writable = False
        session.send("x")
        request = Handshake(HOSTILE, {}, {"origin": HOSTILE, "user-agent": HOSTILE})
        watched.refused(Reject(), SimpleNamespace(view=request))
    assert len(watch(service).texts[-1]) < 20_000


# Who may look.


@pytest.fixture
def ask(watched, make_service, house):
    """Ask for a page from this machine or from elsewhere."""

    def get(path, access=None, address="127.0.0.1", **headers):
        options = {"trusted_proxies": headers.pop("trusted", ())}
        access = access or AccessControl(**options)
        root = Resource()
        root.putChild(b"status", StatusPage(make_service(access, **options), access))
        site = EngineIOSite(root, watched, "/engine.io")
        browser = Browser(site, address=IPv4Address("TCP", address, 4711))
        house.append(browser)
        headers = {"Host": "localhost:3000", **headers}
        lines = [f"GET {path} HTTP/1.1", *map(": ".join, headers.items())]
        browser.send("\r\n".join([*lines, "", ""]).encode())
        return browser.answer

    return get


@pytest.mark.parametrize("path", ["/status", "/status/"])
def test_the_page_is_there_with_and_without_a_slash(ask, path):
    """Whole, and not to be framed or kept."""
    answer = ask(path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert b'name="engineio-token" content="no"' in answer.body
    assert answer.body.endswith(b"</html>\n")


def test_nothing_else_is_below_it(ask):
    """But the server that feeds it."""
    assert ask("/status/nothing").status == 404


def test_from_elsewhere_there_is_no_page(ask):
    """Without a token only this machine may look, and not through a proxy."""
    assert ask("/status", address="203.0.113.5").status == 403
    assert ask("/status", **{"X-Forwarded-For": "127.0.0.1"}).status == 403
    trusted = {"trusted": ("127.0.0.1",), "X-Forwarded-For": "203.0.113.5"}
    assert ask("/status", **trusted).status == 403


def test_with_a_token_the_page_asks_for_it(ask):
    """It is the same page for everybody, and holds nothing but the question."""
    answer = ask("/status", AccessControl(TOKEN), "203.0.113.5")
    assert answer.status == 200
    assert b'name="engineio-token" content="yes"' in answer.body
    assert TOKEN.encode() not in answer.body


LINE = f"/status/engine.io/?{POLLING}"


def test_what_feeds_the_page_is_guarded_like_it(ask):
    """By admission: no session is opened for anybody else."""
    assert ask(LINE).open()["upgrades"] == ["websocket"]
    assert ask(LINE, address="203.0.113.5").status == 403
    assert ask(LINE, **{"X-Forwarded-For": "127.0.0.1"}).status == 403


def test_the_token_is_shown_at_the_handshake(ask):
    """In a header, from wherever."""
    shown = {"Authorization": f"Bearer {TOKEN}"}
    answer = ask(LINE, AccessControl(TOKEN), "203.0.113.5", **shown)
    assert answer.open()["sid"]
    assert ask(LINE, AccessControl(TOKEN)).status == 401
    assert ask(LINE + f"&token={TOKEN}", AccessControl(TOKEN)).status == 401


def test_those_who_look_are_not_among_the_sessions(service, counters):
    """What is shown is the server that is looked at."""
    watch(service)
    assert counters.sessions == {}


def test_it_ends_with_its_service(service, clock):
    """No sample is taken any more, and nobody is left looking."""
    told = watch(service)
    stopped = []
    service.stopService().addCallback(stopped.append)
    clock.pump([0, 0, 0.1])
    assert stopped == [None]
    assert service.server.sessions == {}
    assert clock.getDelayedCalls() == []
    assert len(told.all) == 1

"""What the server logs, and what a client can make it log."""

from __future__ import annotations

import pytest
from fakes import Browser, RecordingTransport, join
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.web.resource import Resource

from twisted_engineio import EngineIOSite, Reject

POLLING = "EIO=4&transport=polling"


@pytest.fixture
def events():
    """What reaches Twisted's log at level info and above."""
    seen = []

    def observe(event):
        if event["log_level"] >= LogLevel.info:
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def texts(events):
    """Format each."""
    return [formatEvent(each) for each in events]


# Refusals.


def test_a_refusal_says_who_what_and_why(server, browse, events):
    """At level info, with what an operator needs to find the client."""
    browse(server).get("EIO=4&transport=tobi", User_Agent="curl/8", Origin="http://a")
    assert texts(events) == [
        "refused GET /engine.io/ from 203.0.113.5: 400 Transport unknown (the transport"
        " is not known), code 0; transport 'tobi', origin 'http://a', agent 'curl/8'"
    ]


@pytest.mark.parametrize(
    ("query", "headers", "fields"),
    [
        (
            POLLING,
            {"Origin": "https://evil.example"},
            {"status": 403, "code": 4, "origin": "https://evil.example"},
        ),
        (
            f"{POLLING}&sid=SECRETSECRETSECRET",
            {},
            {"status": 400, "code": 1, "sid": "SECRET"},
        ),
        ("EIO=9&transport=polling", {}, {"status": 400, "code": 5, "agent": ""}),
        ("EIO=4&transport=", {"User_Agent": "x"}, {"code": 0, "transport": ""}),
    ],
)
def test_a_refusal_has_fields(server, browse, events, query, headers, fields):
    """The keys of the event, for whoever collects them; no session's id as a whole."""
    browse(server).get(query, **headers)
    (event,) = events
    assert {name: event[name] for name in fields} == fields
    assert event["address"] == "203.0.113.5"
    assert (event["method"], event["path"]) == ("GET", "/engine.io/")
    assert event["log_level"] is LogLevel.info
    assert "SECRETS" not in repr(event)


def test_what_the_application_refuses_is_logged_too(
    make_server, listener, browse, events
):
    """With its words, and its status."""

    def refuse(handshake):
        raise Reject(401, "Sign in first")

    listener.on_admit = refuse
    browse(make_server()).get(POLLING)
    (event,) = events
    assert (event["status"], event["error"]) == (401, "Sign in first")
    assert event["context"] == "the application refused"


def test_a_websocket_that_is_refused_at_the_door_is_logged_once(server, browse, events):
    """The door leaves it to twisted.web, which says so."""
    browse(server).upgrade("EIO=4&transport=websocket&sid=nobody")
    browse(server).upgrade("EIO=4&transport=websocket", Origin="https://evil.example")
    assert [(each["code"], each["transport"]) for each in events] == [
        (1, "websocket"),
        (4, "websocket"),
    ]


def test_a_session_that_cannot_open_behind_the_door_is_logged(
    make_server, browse, events
):
    """Its place is gone by the time that its WebSocket is open."""
    server = make_server(max_sessions=1)
    browser = Browser(browse(server).site)
    first = "EIO=4&transport=websocket"
    lines = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    browser.send(
        f"GET /engine.io/?{first} HTTP/1.1\r\nHost: x\r\n{lines}"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUser-Agent: y\r\n\r\n".encode()
    )
    join(server, RecordingTransport())
    browser.turns()
    browser.lose()
    refused = [each for each in events if "agent" in each]
    assert [(each["status"], each["path"], each["agent"]) for each in refused] == [
        (503, "/engine.io/", "y")
    ]


def test_a_flood_of_refusals_is_ten_lines_a_second_and_a_count(
    server, browse, events, clock
):
    """From one connection or many, of one kind or of all."""
    browser = browse(server)
    for number in range(200):
        browser.get(f"EIO=4&transport=t{number}", Origin="https://" + "x" * 8000)
        browser.get(POLLING, Origin="https://" + "y" * 8000)
    assert len(events) == 10
    clock.advance(1)
    assert texts(events[10:]) == ["further requests refused: 390"]
    assert events[10]["count"] == 390
    assert sum(map(len, texts(events))) < 10_000


@pytest.mark.parametrize(
    "header", ["Origin", "User_Agent"], ids=["an origin", "an agent"]
)
@pytest.mark.parametrize(
    "value", ["x" * 10_000, "a\x1b[2J\x07b", "\x85\xa0" * 3000, "'\"\\" * 1000, "\t\t"]
)
def test_a_client_s_text_is_cut_and_stays_on_its_line(
    server, browse, events, header, value
):
    """Whatever it puts into a header."""
    browse(server).get("EIO=4&transport=x", **{header: value})
    (line,) = texts(events)
    assert len(line) < 600
    assert line.isprintable()


@pytest.mark.parametrize(
    "query",
    [
        "transport=" + "x" * 9000,
        "transport=%0A2026-01-01+[fake]+line",
        "transport=%E2%80%A8",
    ],
)
def test_a_query_is_cut_and_stays_on_its_line(server, browse, events, query):
    """Decoded as it is."""
    browse(server).get(query)
    (line,) = texts(events)
    assert len(line) < 400
    assert line.isprintable()


def test_a_stopped_server_has_said_every_count(server, browse, events, clock):
    """And leaves no timer."""
    for _ in range(15):
        browse(server).get("transport=x")
    server.stop()
    clock.advance(0)
    clock.advance(0.1)
    assert texts(events)[-1] == "further requests refused: 5"
    assert clock.getDelayedCalls() == [] or all(
        each.getTime() > 10 for each in clock.getDelayedCalls()
    )


# What the application's failures, Twisted and Autobahn say.


@pytest.mark.parametrize(
    "fail_with", [KeyError, ValueError, lambda data: RuntimeError(f"\n[fake]{data}")]
)
def test_a_failing_application_writes_no_message_into_the_log(
    server, listener, open_session, logged, fail_with
):
    """A KeyError of a message of 100 kB is a line like any other."""

    def fail(session, data):
        raise fail_with(data)

    listener.on_message = fail
    open_session(server).receive("m" * 100_000)
    event = logged.take()
    said = event["log_failure"].getTraceback().splitlines()[-1]
    assert len(said) < 500
    assert "m" * 401 not in event["log_failure"].getTraceback()
    assert "[fake]" not in event["log_failure"].getTraceback().splitlines()


def test_failures_are_limited_too(server, listener, open_session, logged, clock):
    """A client that has found one can't fill the disk with tracebacks."""

    def fail(session, data):
        raise ZeroDivisionError(data)

    listener.on_message = fail
    for _ in range(30):
        open_session(server).receive("x")
    assert len(logged) == 10
    clock.advance(1)
    assert formatEvent(logged[-1]).startswith("lines left out: 20, like: the applica")
    logged.clear()


def test_slow_clients_are_a_line_each_and_then_a_count(server, browse, events, clock):
    """Which twisted.web writes."""
    for _ in range(25):
        browse(server).send(b"GET")
    clock.advance(server.config.request_timeout)
    lines = texts(events)
    assert len(lines) == 10
    assert lines[0].startswith("Timing out client: IPv4Address(")
    clock.advance(1)
    assert texts(events)[10:] == ["lines left out: 15, like: Timing out client: {peer}"]


@pytest.mark.parametrize(
    "query", ["sid=Zm9vYmFyYmF6cXV4", "x" * 9000, "s%69d=Zm9vYmFyYmF6cXV4&x=%0A"]
)
def test_a_head_request_is_described_without_what_it_holds(
    server, house, events, query
):
    """Twisted writes the request itself, with its URI, into a warning."""
    root = Resource()
    root.putChild(b"page", Page())
    browser = Browser(EngineIOSite(root, server, "/engine.io"))
    house.append(browser)
    browser.send(f"HEAD /page?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    (line,) = texts(events)
    assert line.startswith("Warning: HEAD request <EngineIORequest at ")
    assert "Zm9vYmF" not in line
    assert len(line) < 400


@pytest.mark.parametrize("byte", [b"\x80", b"\x87", b"\x80\x99"])
def test_a_request_of_any_bytes_can_stand_in_a_line(server, house, byte):
    """Twisted's own text of a request fails beyond ASCII, with a traceback."""
    said = []
    root, page = Resource(), Resource()
    page.render_GET = lambda request: said.append(repr(request)) or b""
    root.putChild(b"page", page)
    browser = Browser(EngineIOSite(root, server, "/engine.io"))
    house.append(browser)
    browser.send(b"GET /page?%b HTTP/1.1\r\nHost: x\r\n\r\n" % byte)
    (line,) = said
    assert line.startswith("<EngineIORequest at 0x")
    assert " GET /page?" in line
    assert line.isprintable()


def test_a_request_that_has_not_come_can_stand_in_a_line(server, house):
    """It has no method yet."""
    site = EngineIOSite(Resource(), server, "/engine.io")
    browser = Browser(site)
    house.append(browser)
    browser.send(b"GET /page HTTP/1.1\r\n")
    (request,) = browser.wire.protocol._channel.requests
    assert repr(request).endswith("(no method yet) (no uri yet) (no clientproto yet)>")


class Page(Resource):
    """Answers to HEAD with a body, which twisted.web warns of."""

    isLeaf = True

    def render_HEAD(self, request):
        return b"a body"


@pytest.mark.parametrize("deflate", [True, False], ids=["plain", "lean"])
def test_autobahn_s_lines_are_limited(make_server, browse, events, clock, deflate):
    """Whatever it logs of a connection, of either class of ours, and of all of them."""
    server = make_server(per_message_deflate=deflate)
    for _ in range(25):
        browse(server).upgrade("EIO=4&transport=websocket")
    for session in server.sessions.values():
        session.transport.log.warn("broken by {peer}", peer="x" * 500)
    assert texts(events) == [f"broken by {'x' * 120}..."] * 10
    clock.advance(1)
    assert "lines left out: 15, like: broken by" in texts(events)[-1]

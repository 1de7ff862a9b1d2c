"""Every metric tells what was done, in Prometheus's words, and nothing of anybody."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest
from fakes import PONG, PROBE_PING, UPGRADE, Browser, RecordingTransport, handshake
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from twisted.web.resource import Resource

from benchmarks import wire
from benchmarks.micro.calls import calls_of
from benchmarks.micro.wired import Echo, House, Silent
from twisted_engineio import (
    CloseReason,
    EngineIOResource,
    EngineIOSite,
    ErrorCode,
    PayloadTooLarge,
    Reject,
)
from twisted_engineio.monitoring.access import AccessControl
from twisted_engineio.monitoring.counters import Counters
from twisted_engineio.monitoring.metrics import Metrics, MetricsResource
from twisted_engineio.monitoring.status import StatusPage

TOKEN = "a-token-of-27-characters-xx"
HERE = {"Host": "localhost"}


@pytest.fixture
def metrics(clock):
    """Give metrics with the test's time, in a registry of their own."""
    return Metrics(CollectorRegistry(), clock=clock)


@pytest.fixture
def watched(make_server, metrics):
    """Give a server that they observe."""
    return make_server(observers=[metrics], transports=["polling", "websocket"])


@pytest.fixture
def value(metrics):
    """Read a series as it is now."""

    def read(name, **labels):
        labels = {each.rstrip("_"): labels[each] for each in labels}
        return metrics.registry.get_sample_value(f"engineio_{name}", labels)

    return read


def upgrade(session):
    """Move a session to a WebSocket."""
    candidate = RecordingTransport("websocket")
    assert session.upgrade(candidate)
    candidate.receiver.receive_packet(PROBE_PING)
    candidate.receiver.receive_packet(UPGRADE)


def test_sessions(watched, open_session, value):
    """How many are open, how many were opened."""
    session = open_session(watched)
    open_session(watched)
    upgrade(session)
    assert value("sessions", transport="polling", revision="4") == 1
    assert value("sessions", transport="websocket", revision="4") == 1
    assert value("sessions_opened_total", transport="polling", revision="4") == 2
    assert value("handshakes_total", outcome="opened") == 2
    session.fail(CloseReason.PARSE_ERROR)
    assert value("sessions", transport="websocket", revision="4") == 0


def test_ends(watched, open_session, value, clock):
    """Why sessions ended, and how long they had lasted."""
    assert value("sessions_closed_total", reason="slow_client") == 0
    session = open_session(watched)
    clock.advance(7)
    session.fail(CloseReason.PARSE_ERROR)
    assert value("sessions_closed_total", reason="parse_error") == 1
    assert value("session_duration_seconds_count") == 1
    assert value("session_duration_seconds_sum") == 7
    assert value("session_duration_seconds_bucket", le="5.0") == 0
    assert value("session_duration_seconds_bucket", le="15.0") == 1


def test_refusals(watched, browse, value):
    """By code and status; how many of them were handshakes."""
    assert value("refusals_total", code="forbidden", status="403") == 0
    browser = browse(watched)
    browser.get("EIO=4&transport=pigeon")
    browser.get("EIO=4&transport=polling&sid=nobody")
    watched.application.on_admit = reject
    browser.get("EIO=4&transport=polling")
    assert value("refusals_total", code="unknown_transport", status="400") == 1
    assert value("refusals_total", code="unknown_sid", status="400") == 1
    assert value("refusals_total", code="forbidden", status="429") == 1
    assert value("handshakes_total", outcome="refused") == 2


def reject(handshake):
    """Refuse a client, as an application does."""
    raise Reject(429, "Later")


def test_upgrades(watched, open_session, value, clock):
    """Tried, done, and how long after the handshake."""
    session = open_session(watched)
    clock.advance(0.04)
    upgrade(session)
    open_session(watched).upgrade(RecordingTransport("websocket"))
    way = {"from_": "polling", "to": "websocket"}
    assert value("upgrades_tried_total", **way) == 2
    assert value("upgrades_total", **way) == 1
    assert value("handshake_to_upgrade_seconds_sum") == pytest.approx(0.04)
    assert value("handshake_to_upgrade_seconds_bucket", le="0.025") == 0
    assert value("handshake_to_upgrade_seconds_bucket", le="0.05") == 1


def test_messages(watched, open_session, value):
    """Both ways, by kind, with their bytes."""
    session = open_session(watched)
    session.receive("äb")
    session.receive(b"123")
    session.send("hello")
    session.send(b"12")
    session.send(b"34")
    assert value("messages_received_total", kind="text") == 1
    assert value("messages_received_total", kind="binary") == 1
    assert value("messages_sent_total", kind="text") == 1
    assert value("messages_sent_total", kind="binary") == 2
    assert value("received_bytes_total", kind="text") == 3
    assert value("received_bytes_total", kind="binary") == 3
    assert value("sent_bytes_total", kind="text") == 5
    assert value("sent_bytes_total", kind="binary") == 4


def test_buffered_bytes(watched, open_session, value):
    """The sum over all sessions, as it is when somebody asks."""
    one, other = open_session(watched), open_session(watched)
    assert value("buffered_bytes") == 0
    one.transport.writable = other.transport.writable = False
    one.send("x" * 100)
    other.send(b"x" * 11)
    assert value("buffered_bytes") == 111
    one.transport.ready()
    assert value("buffered_bytes") == 11


def test_ping_round_trips(watched, open_session, value, clock):
    """By the transport that they went over."""
    session = open_session(watched)
    for seconds in (0.3, 0.02):
        clock.advance(25)
        clock.advance(seconds)
        session.receive_packet(PONG)
    name = "ping_round_trip_seconds"
    assert value(f"{name}_count", transport="polling") == 2
    assert value(f"{name}_sum", transport="polling") == pytest.approx(0.32)
    assert value(f"{name}_bucket", transport="polling", le="0.025") == 1
    assert value(f"{name}_bucket", transport="polling", le="0.5") == 2


def test_payloads_and_limits(watched, metrics, value):
    """What was too large, and what was reached."""
    assert value("payloads_refused_total") == 0
    watched.too_large(PayloadTooLarge(9, 8))
    metrics.limit_reached("max_sessions", handshake())
    assert value("payloads_refused_total") == 1
    assert value("limits_reached_total", limit="max_sessions") == 1


def test_every_code_and_reason_is_there_from_the_beginning(value):
    """Or the first of its kind would be no change that an alert can see."""
    for code in ErrorCode:
        status = "403" if code is ErrorCode.FORBIDDEN else "400"
        assert value("refusals_total", code=code.name.lower(), status=status) == 0
    for reason in CloseReason:
        assert value("sessions_closed_total", reason=reason.name.lower()) == 0


def test_nobody_is_named(watched, metrics, browse):
    """No id, no address and nothing that a client says becomes a label."""
    sid = browse(watched).get("EIO=4&transport=polling").answer.open()["sid"]
    browse(watched).get("EIO=4&transport=polling", Origin="http://evil")
    browse(watched).get("EIO=4&transport=polling&sid=<i>", User_Agent="me")
    browse(watched).get(f"EIO=4&transport=no-way&sid={sid}")
    labels = {
        text
        for family in metrics.registry.collect()
        for sample in family.samples
        for text in sample.labels.values()
    }
    known = {"text", "binary", "opened", "refused", "polling", "4", "400", "403"}
    known |= {each.name.lower() for each in (*ErrorCode, *CloseReason)}
    assert {each for each in labels - known if not is_number(each)} == set()


def is_number(text):
    """Tell whether a label is a bucket's."""
    return text.replace(".", "").replace("Inf", "1").lstrip("+").isdigit()


def test_a_registry_of_its_own_has_the_process_too():
    """One that is given is whoever gave it's affair, and takes these metrics once."""
    own = Metrics().registry
    assert own is not REGISTRY
    assert own.get_sample_value("process_open_fds") > 0
    assert own.get_sample_value("process_start_time_seconds") > 0
    given = CollectorRegistry(auto_describe=True)
    assert Metrics(given).registry is given
    assert given.get_sample_value("process_open_fds") is None
    with pytest.raises(ValueError, match="engineio_sessions"):
        Metrics(given)


# What it costs.


def calls(application, observers):
    """Count the Python calls of a message in, and of one out."""
    house = House(application, observers=observers)
    connection, session = house.websocket()
    frame = wire.client_frame(wire.TEXT, b"4" + b"x" * 32)
    into = calls_of(connection.protocol.dataReceived, frame)
    return len(into), len(calls_of(session.send, "x" * 32))


def test_a_message_costs_two_calls_more():
    """The session's that tells, and the tally's that counts: no lock, no lookup."""
    plain = calls(Silent(), [])
    watched = calls(Silent(), [Metrics(CollectorRegistry())])
    assert watched == (plain[0] + 2, plain[1] + 2)


# The page.


@pytest.fixture
def ask(watched, metrics, house):
    """Ask for the metrics, with other guards and headers."""

    def get(*guards, path="/metrics", **headers):
        root = Resource()
        root.putChild(b"metrics", MetricsResource(metrics.registry, *guards))
        browser = Browser(EngineIOSite(root, watched, "/engine.io"))
        house.append(browser)
        lines = [f"GET {path} HTTP/1.1", *map(": ".join, headers.items())]
        browser.send("\r\n".join([*lines, "", ""]).encode())
        return browser.answer

    return get


def test_the_page_is_prometheus_s_text(ask, browse, watched):
    """Readable by its own parser, which finds what was counted."""
    browse(watched).get("EIO=4&transport=polling")
    answer = ask(**HERE)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {
        each.name: each for each in text_string_to_metric_families(answer.body.decode())
    }
    (sample,) = families["engineio_sessions"].samples
    assert sample.value == 1


def test_openmetrics_is_there_for_who_asks(ask):
    """As Prometheus does."""
    answer = ask(**HERE, Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


def test_without_a_guard_anybody_may_read(ask):
    """Where an operator chose an endpoint for it, who reaches that may."""
    assert ask(Host="example.com").status == 200


def test_a_guard_is_asked(ask):
    """A browser of the tests comes from elsewhere; the token opens."""
    answer = ask(AccessControl(), **HERE)
    assert answer.status == 403
    assert answer.body == b"Allowed from this machine only, without a proxy\n"
    assert b"engineio" not in answer.body
    answer = ask(AccessControl(TOKEN), **HERE)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    answer = ask(AccessControl(TOKEN), **HERE, Authorization=f"Bearer {TOKEN}")
    assert answer.status == 200


def test_behind_a_proxy_the_answer_says_that_a_token_is_needed(ask):
    """Whether or not it says for whom it asks."""
    access = AccessControl(trusted_proxies=["203.0.113.5"])
    for said in ({}, {"X-Forwarded-For": "127.0.0.1"}):
        answer = ask(access, **HERE, **said)
        assert answer.status == 403
        assert answer.body.startswith(b"A token is required, and none is set: behind a")


def test_what_the_docs_mount_runs():
    """The page of the docs shows lines that work."""
    page = (Path(__file__).parent.parent.parent / "docs" / "metrics.rst").read_text(
        "utf-8"
    )
    shown = r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)"
    for block, name, resource in zip(
        re.findall(shown, page, re.M),
        (b"metrics", b"status"),
        (MetricsResource, StatusPage),
        strict=True,
    ):
        names = {"root": Resource()}
        exec(compile(dedent(block), "metrics.rst", "exec"), names)
        children = names["root"].children
        assert isinstance(children[b"engine.io"], EngineIOResource)
        assert isinstance(children[name], resource)
        (observer,) = names["server"].observers
        assert isinstance(observer, Counters)
    names["status"].stopService()


def test_an_echo_with_metrics_still_echoes():
    """What is counted is what is carried."""
    metrics = Metrics(CollectorRegistry())
    house = House(Echo(), observers=[metrics])
    connection, _session = house.websocket()
    connection.feed(wire.client_frame(wire.TEXT, b"4hello"))
    house.turn()
    assert connection.take() == wire.server_frame(wire.TEXT, b"4hello")
    assert metrics.received_text.bytes == metrics.sent_text.bytes == 5

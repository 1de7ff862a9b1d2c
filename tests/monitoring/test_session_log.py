"""Sessions in the log, for those who ask for them."""

from __future__ import annotations

import pytest
from fakes import PROBE_PING, UPGRADE, RecordingTransport, join
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from twisted_engineio import CloseReason, SessionLog

POLLING = "EIO=4&transport=polling"


@pytest.fixture
def events():
    """What is logged of sessions."""
    seen = []

    def observe(event):
        if "session_log" in event["log_namespace"]:
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_nothing_is_logged_of_sessions_by_default(server, open_session, clock):
    """A line would cost more than their messages."""
    seen = []
    globalLogPublisher.addObserver(seen.append)
    open_session(server).close()
    clock.advance(0)
    globalLogPublisher.removeObserver(seen.append)
    assert seen == []


def test_a_session_s_life_is_three_lines(make_server, browse, events, clock):
    """With its short id, its client, its transport, how long, and why."""
    server = make_server(observers=[SessionLog()])
    sid = browse(server).get(POLLING).answer.open()["sid"]
    session = server.sessions[sid]
    clock.advance(1.5)
    candidate = RecordingTransport("websocket")
    session.upgrade(candidate)
    candidate.receiver.receive_packet(PROBE_PING)
    candidate.receiver.receive_packet(UPGRADE)
    clock.advance(0.25)
    session.close()
    clock.advance(0)
    short = sid[:6]
    assert [formatEvent(each) for each in events] == [
        f"session {short}... opened on polling from 203.0.113.5",
        f"session {short}... upgraded to websocket, from 203.0.113.5",
        f"session {short}... closed on websocket from 203.0.113.5 after 1.750 s:"
        " forced close",
    ]
    assert sid not in repr([formatEvent(each) for each in events])


@pytest.mark.parametrize("reason", list(CloseReason))
def test_the_fields_of_an_end(make_server, events, clock, reason):
    """The keys of the event; the reason is a word of the table."""
    server = make_server(observers=[SessionLog()])
    session = join(server, RecordingTransport("websocket"))
    clock.advance(2)
    session.abort(reason)
    clock.advance(0)
    event = events[-1]
    fields = ("sid", "address", "transport", "event", "duration", "reason")
    assert {name: event[name] for name in fields} == {
        "sid": session.sid[:6],
        "address": None,
        "transport": "websocket",
        "event": "closed",
        "duration": 2.0,
        "reason": reason.value,
    }
    assert event["log_level"] is LogLevel.info


def test_nothing_is_kept_of_sessions_that_are_over(make_server, clock):
    """However many there were."""
    log = SessionLog()
    server = make_server(observers=[log])
    for _ in range(20):
        join(server, RecordingTransport()).abort()
    clock.advance(0)
    assert log._opened == {}


def test_a_flood_of_sessions_is_counted(make_server, events, clock):
    """A client causes these lines, so they have a rate, too."""
    server = make_server(observers=[SessionLog(lines_per_second=5)])
    for _ in range(20):
        join(server, RecordingTransport()).abort()
    clock.advance(0)
    assert len(events) == 10
    clock.advance(1)
    assert [formatEvent(each) for each in events[10:]] == [
        "15 more sessions opened",
        "15 more sessions closed",
    ]


def test_its_sessions_requests_stay_lean(make_server):
    """It reads no headers, so none are kept for it."""
    server = make_server(observers=[SessionLog()])
    assert not server.hooks.whole_requests
    assert not server.hooks.packet_received

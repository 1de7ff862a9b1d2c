"""What a server does is counted, and nothing else is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fakes import (
    PONG,
    PROBE_PING,
    UPGRADE,
    RecordingTransport,
    handshake,
    join,
)

from twisted_engineio import (
    CloseReason,
    Encoded,
    ErrorCode,
    Observer,
    PayloadTooLarge,
    Refused,
    Reject,
)
from twisted_engineio.monitoring.counters import Counters

POLLING = "EIO=4&transport=polling"


@pytest.fixture
def counters(clock):
    """Give a tally with the test's time."""
    return Counters(clock=clock)


@pytest.fixture
def watched(make_server, counters):
    """Give a server that it observes."""
    return make_server(observers=[counters], transports=["polling", "websocket"])


def upgrade(session):
    """Move a session to a WebSocket."""
    candidate = RecordingTransport("websocket")
    assert session.upgrade(candidate)
    candidate.receiver.receive_packet(PROBE_PING)
    candidate.receiver.receive_packet(UPGRADE)


def test_sessions_are_counted_where_they_are(watched, counters, open_session):
    """By the transport that carries them now, and where they began."""
    one, other = open_session(watched), open_session(watched, "websocket")
    assert counters.carried == {("polling", 4): 1, ("websocket", 4): 1}
    upgrade(one)
    assert counters.carried == {("polling", 4): 0, ("websocket", 4): 2}
    assert counters.opened == {("polling", 4): 1, ("websocket", 4): 1}
    assert set(counters.sessions) == {one, other}
    one.fail(CloseReason.PARSE_ERROR)
    assert counters.carried == {("polling", 4): 0, ("websocket", 4): 1}
    assert set(counters.sessions) == {other}


def test_ends_are_counted_by_reason(watched, counters, open_session):
    """Every reason is known from the beginning."""
    assert counters.closed == dict.fromkeys(CloseReason, 0)
    open_session(watched).fail(CloseReason.PARSE_ERROR)
    open_session(watched).fail(CloseReason.PING_TIMEOUT)
    open_session(watched).fail(CloseReason.PING_TIMEOUT)
    assert counters.closed[CloseReason.PARSE_ERROR] == 1
    assert counters.closed[CloseReason.PING_TIMEOUT] == 2
    assert counters.closed.total() == 3


def test_a_session_that_never_opened_is_not_left_behind(make_server, counters):
    """An observer may end it first; it was opened and closed all the same."""

    class Bouncer(Observer):
        def session_opened(self, session):
            session.close()

    server = make_server(observers=[counters, Bouncer()])
    join(server, RecordingTransport())
    assert counters.sessions == {}
    assert counters.carried == {("polling", 4): 0}
    assert counters.closed[CloseReason.FORCED_CLOSE] == 1


def test_upgrades_are_counted_as_tried_and_as_done(watched, counters, open_session):
    """A try that came to nothing is the difference."""
    upgrade(open_session(watched))
    session = open_session(watched)
    assert session.upgrade(RecordingTransport("websocket"))
    session.probe.fail(CloseReason.TRANSPORT_CLOSE)
    way = ("polling", "websocket")
    assert counters.upgrades_tried == {way: 2}
    assert counters.upgrades == {way: 1}


def test_a_try_makes_what_was_done_known(watched, counters, open_session):
    """So that the first upgrade of a kind is a change from nought."""
    open_session(watched).upgrade(RecordingTransport("websocket"))
    assert dict(counters.upgrades) == {("polling", "websocket"): 0}


def test_messages_are_counted_with_their_bytes(watched, counters, open_session):
    """Each way, by kind; text as UTF-8; an Encoded by what is in it; no packet else."""
    session = open_session(watched)
    opening = counters.sent_text.messages
    assert opening == 0
    session.receive("abc")
    session.receive("äöü")
    session.receive(b"\x00\x01")
    session.receive_packet(PONG)
    session.send("hello")
    session.send("ä", compress=False)
    session.send(Encoded(b"four"))
    session.send_many([b"x", "y"])
    assert (counters.received_text.messages, counters.received_text.bytes) == (2, 9)
    assert (counters.received_binary.messages, counters.received_binary.bytes) == (1, 2)
    assert (counters.sent_text.messages, counters.sent_text.bytes) == (3, 8)
    assert (counters.sent_binary.messages, counters.sent_binary.bytes) == (2, 5)


def test_a_ping_s_round_trip_is_measured(watched, counters, open_session, clock):
    """From its sending to its answer; the last one is kept."""
    took = []
    counters.ping_took = lambda session, seconds: took.append(seconds)
    session = open_session(watched)
    clock.advance(25)
    assert counters.sessions[session].pinged == 25
    clock.advance(0.5)
    session.receive_packet(PONG)
    assert counters.sessions[session].round_trip == 0.5
    assert counters.sessions[session].pinged is None
    assert took == [0.5]


def test_a_ping_of_the_client_s_has_no_round_trip(watched, counters, open_session):
    """Revision 3: the client asks, and only it knows how long that took."""
    session = open_session(watched)
    counters.heartbeat(session)
    assert counters.sessions[session].round_trip is None


def test_a_clock_that_is_set_back_makes_nothing_negative(
    watched, counters, open_session
):
    """A session lasts no less than nothing."""
    lasted = []
    counters.session_lasted = lambda session, seconds: lasted.append(seconds)
    counters.seconds = lambda: 100.0
    session = open_session(watched)
    counters.seconds = lambda: 50.0
    session.fail(CloseReason.PARSE_ERROR)
    assert lasted == [0.0]


def test_how_long_things_took_is_told(watched, counters, open_session, clock):
    """A session's life, and its way to another transport."""
    told = []
    counters.session_lasted = lambda session, seconds: told.append(("lasted", seconds))
    counters.upgrade_took = lambda session, seconds: told.append(("upgrade", seconds))
    session = open_session(watched)
    clock.advance(0.25)
    upgrade(session)
    clock.advance(2)
    session.fail(CloseReason.PARSE_ERROR)
    assert told == [("upgrade", 0.25), ("lasted", 2.25)]


def test_who_wants_no_more_is_told_nothing(watched, open_session, counters, clock):
    """A plain tally has no use for each time that something took."""
    session = open_session(watched)
    assert counters.session_lasted(session, 1) is None
    assert counters.upgrade_took(session, 1) is None
    assert counters.ping_took(session, 1) is None


REFUSALS = [
    (Refused(ErrorCode.UNKNOWN_TRANSPORT, ""), {}, True),
    (Refused(ErrorCode.UNKNOWN_SID, ""), {"sid": "x"}, False),
    (Refused(ErrorCode.UNKNOWN_SID, ""), {}, False),
    (Refused(ErrorCode.BAD_REQUEST, ""), {"sid": "x"}, False),
    (Refused(ErrorCode.FORBIDDEN, ""), {}, True),
    (Reject(429, "Later"), {}, True),
]


@pytest.mark.parametrize(("error", "query", "of_handshake"), REFUSALS)
def test_refusals_are_counted_and_remembered(
    watched, counters, clock, error, query, of_handshake
):
    """By code and status; a session's request is no handshake."""
    assert counters.refused.total() == 0
    request = handshake(**query)
    clock.advance(3)
    watched.refused(error, SimpleNamespace(view=request))
    assert counters.refused[error.code, error.status] == 1
    assert counters.refused.total() == 1
    assert counters.handshakes_refused == of_handshake
    (refusal,) = counters.refusals
    assert refusal == (3.0, error, request)


def test_every_code_is_known_from_the_beginning(counters):
    """With the status that it usually has."""
    assert dict(counters.refused.keys()) == {
        code: 403 if code is ErrorCode.FORBIDDEN else 400 for code in ErrorCode
    }


def test_only_the_last_refusals_are_remembered(watched, counters):
    """Whoever is refused without end fills no memory."""
    for status in range(400, 500):
        watched.refused(Reject(status), SimpleNamespace(view=handshake()))
    assert [each.error.status for each in counters.refusals] == [*range(485, 500)]


def test_payloads_and_limits_are_counted(watched, counters, open_session):
    """What was too large, and what was reached, by its name."""
    watched.too_large(PayloadTooLarge(9, 8))
    counters.limit_reached("max_sessions", handshake())
    counters.limit_reached("max_messages", open_session(watched))
    counters.limit_reached("max_sessions", handshake())
    assert counters.payloads_refused == 1
    assert counters.limits == {"max_sessions": 2, "max_messages": 1}


def test_a_real_handshake_is_counted(watched, counters, browse):
    """Through the resource, as a client comes."""
    browse(watched).get(POLLING)
    browse(watched).get("EIO=4&transport=pigeon")
    assert counters.opened == {("polling", 4): 1}
    assert counters.refused[ErrorCode.UNKNOWN_TRANSPORT, 400] == 1
    assert counters.handshakes_refused == 1

"""A session's table of states and events, cell by cell, and its heartbeat."""

from __future__ import annotations

import pytest
from fakes import (
    CLOSE,
    GOODBYE,
    NOOP,
    PING,
    PONG,
    UPGRADE,
    RecordingTransport,
    handshake,
    join,
)

from twisted_engineio import (
    CloseReason,
    Packet,
    PacketType,
    Session,
    SessionClosed,
    State,
)
from twisted_engineio.session.interfaces import Admission
from twisted_engineio.session.revision import REVISION_4

OPENING, OPEN, CLOSING, CLOSED = State

EVENTS = {
    "open": lambda session: session.open(Packet(PacketType.OPEN, "{}")),
    "message": lambda session: session.receive("hello"),
    "message packet": lambda session: session.receive_packet(
        Packet(PacketType.MESSAGE, b"hello")
    ),
    "pong": lambda session: session.receive_packet(PONG),
    "close packet": lambda session: session.receive_packet(CLOSE),
    "ping": lambda session: session.receive_packet(PING),
    "open packet": lambda session: session.receive_packet(Packet(PacketType.OPEN)),
    "upgrade packet": lambda session: session.receive_packet(UPGRADE),
    "noop": lambda session: session.receive_packet(NOOP),
    "fail": lambda session: session.fail(CloseReason.PARSE_ERROR),
    "close": lambda session: session.close(),
    "close, as a server does": lambda session: session.close(CloseReason.SERVER_CLOSE),
    "abort": lambda session: session.abort(),
    "transport ready": lambda session: session.transport.ready(),
    "pause": lambda session: session.pause_reading(),
    "resume": lambda session: session.resume_reading(),
    "expect client": lambda session: session.expect_client(),
    "client resumed": lambda session: session.client_resumed(),
    "limit reached": lambda session: session.limit_reached("max_packets"),
    "time": lambda session: session.server.clock.advance(1000),
}

# What each event leads to from each state: a state where nothing is told to the
# application, a reason where the session ends with it. What a session does besides has
# tests of its own below, or in the files beside this one.
FORCED, ERROR = CloseReason.FORCED_CLOSE, CloseReason.TRANSPORT_ERROR
GONE, PARSE = CloseReason.TRANSPORT_CLOSE, CloseReason.PARSE_ERROR
SERVER, TIMEOUT = CloseReason.SERVER_CLOSE, CloseReason.PING_TIMEOUT
TABLE = {
    # event                     OPENING  OPEN     CLOSING  CLOSED
    "open": (OPEN, None, None, None),
    "message": (ERROR, OPEN, CLOSING, CLOSED),
    "message packet": (ERROR, OPEN, CLOSING, CLOSED),
    "pong": (ERROR, OPEN, CLOSING, CLOSED),
    "close packet": (GONE, GONE, FORCED, CLOSED),
    "ping": (ERROR, ERROR, CLOSING, CLOSED),
    "open packet": (OPENING, OPEN, CLOSING, CLOSED),
    "upgrade packet": (OPENING, OPEN, CLOSING, CLOSED),
    "noop": (OPENING, OPEN, CLOSING, CLOSED),
    "fail": (PARSE, PARSE, FORCED, CLOSED),
    "close": (FORCED, CLOSING, CLOSING, CLOSED),
    "close, as a server does": (SERVER, CLOSING, CLOSING, CLOSED),
    "abort": (FORCED, CLOSING, CLOSING, CLOSED),
    "transport ready": (OPENING, OPEN, FORCED, CLOSED),
    "pause": (OPENING, OPEN, CLOSING, CLOSED),
    "resume": (OPENING, OPEN, CLOSING, CLOSED),
    "expect client": (OPENING, OPEN, CLOSING, CLOSED),
    "client resumed": (OPENING, OPEN, CLOSING, CLOSED),
    "limit reached": (OPENING, OPEN, CLOSING, CLOSED),
    "time": (OPENING, None, FORCED, CLOSED),
}
CELLS = [
    (event, state, outcome)
    for event, outcomes in TABLE.items()
    for state, outcome in zip(State, outcomes, strict=True)
    if outcome is not None  # "--": it can't happen, or it is more than one step
]


@pytest.fixture
def in_state(server, listener, open_session):
    """Bring sessions into a state; their transport is not writable."""

    def bring(state):
        if state is OPENING:
            transport = RecordingTransport(writable=False)
            session = Session(
                "a-sid", handshake(), REVISION_4, transport, server, Admission()
            )
            transport.receiver = session
            server._sessions["a-sid"] = session  # as Server.open has it
            return session
        session = open_session(server)
        session.transport.writable = False
        if state is CLOSING:
            session.close()
            server.clock.advance(0)
        elif state is CLOSED:
            session.fail(CloseReason.SLOW_CLIENT)
        listener.closed.clear()
        assert session.state is state
        return session

    return bring


@pytest.mark.parametrize(("event", "state", "outcome"), CELLS)
def test_every_cell_of_the_table(in_state, listener, server, event, state, outcome):
    """Each event, in each state, leads where the table says."""
    session = in_state(state)
    EVENTS[event](session)
    ends = isinstance(outcome, CloseReason)
    assert session.state is (CLOSED if ends else outcome)
    if ends:
        assert session.reason is outcome
        assert session.sid == "a-sid" or session.sid not in server.sessions
    told = [(session, outcome)] if ends and state is not OPENING else []
    assert listener.closed == told
    session.abort()


@pytest.mark.parametrize("state", [OPENING, CLOSING, CLOSED])
def test_only_an_open_session_sends(in_state, state):
    """Sending raises SessionClosed in every other state, and says why."""
    session = in_state(state)
    with pytest.raises(SessionClosed) as caught:
        session.send("late")
    with pytest.raises(SessionClosed):
        session.send_many(["late"])
    reasons = {CLOSING: FORCED, CLOSED: CloseReason.SLOW_CLIENT}
    assert caught.value.reason is reasons.get(state)
    assert caught.value.sid == session.sid
    session.abort()


@pytest.mark.parametrize("state", [OPENING, CLOSING, CLOSED])
def test_only_an_open_session_delivers(in_state, listener, state):
    """A message in any other state reaches nobody."""
    session = in_state(state)
    session.receive("hello")
    assert listener.received == []
    session.abort()


def test_messages_are_delivered_as_they_came(session, listener):
    """Text and bytes, empty ones too, from either door, in order."""
    session.receive("text")
    session.receive(b"bytes")
    session.receive_packet(Packet(PacketType.MESSAGE, ""))
    session.receive_packet(Packet(PacketType.MESSAGE, b""))
    assert listener.received == ["text", b"bytes", "", b""]


def test_an_open_session_has_said_so(server, listener):
    """The open packet is written before the application is told."""
    written = []
    listener.on_opened = lambda session: written.extend(session.transport.written)
    session = join(server, RecordingTransport())
    assert [each.type for each in written] == [PacketType.OPEN]
    assert listener.opened == [session]
    assert session.protocol == 4
    assert session.data is None


def test_a_session_s_repr_shows_the_beginning_of_its_id(session):
    """Whoever reads a log cannot take a session over."""
    assert repr(session) == f"<Session {session.sid[:6]}... open on polling>"
    assert session.sid not in repr(session)


def test_a_dead_session_holds_nothing(session, clock):
    """No timer, no queue, no probe, whatever it had."""
    session.transport.writable = False
    session.send("queued")
    session.upgrade(RecordingTransport("websocket"))
    session.fail(CloseReason.TRANSPORT_ERROR)
    assert clock.getDelayedCalls() == []
    assert session.buffered == 0
    assert session.probe is None
    assert session.transport.calls == [CloseReason.TRANSPORT_ERROR]


def test_a_session_ends_once(session, listener):
    """Whatever happens afterwards, the application has been told."""
    session.fail(CloseReason.PARSE_ERROR)
    session.fail(CloseReason.TRANSPORT_ERROR)
    session.receive_packet(CLOSE)
    assert listener.closed == [(session, CloseReason.PARSE_ERROR)]


# Closing.


def test_close_flushes_says_goodbye_and_ends(session, clock, listener):
    """What was queued leaves first, then the close packet, then the session is over."""
    session.transport.writable = False
    session.send("last words")
    session.close(CloseReason.SERVER_CLOSE)
    clock.advance(0)
    assert session.state is CLOSING
    session.transport.ready()
    assert session.transport.written == ["last words", GOODBYE]
    assert listener.closed == [(session, CloseReason.SERVER_CLOSE)]


def test_a_goodbye_that_is_leaving_keeps_the_session(session, clock, listener):
    """Until the transport says that it has left, whatever else makes it ready."""
    session.transport.close_pending = True
    session.close()
    clock.advance(0)
    session.transport.ready()
    assert session.transport.written == [GOODBYE]
    assert session.state is CLOSING
    session.transport.close_pending = False
    session.transport.ready()
    assert listener.reasons == [FORCED]


def test_close_on_a_writable_transport_ends_in_the_next_turn(session, clock, listener):
    """Rule 4: closing calls nobody back; the goodbye leaves a turn later."""
    session.close()
    assert (session.state, session.reason) == (CLOSING, FORCED)
    assert session.transport.written == []
    assert listener.closed == []
    clock.advance(0)
    assert session.transport.written == [GOODBYE]
    assert listener.reasons == [FORCED]


def test_a_goodbye_that_nobody_fetches_is_given_up(session, clock, listener):
    """It lingers for close_timeout, and no longer."""
    session.transport.writable = False
    session.close(CloseReason.SERVER_CLOSE)
    clock.advance(0)
    clock.advance(session.server.config.close_timeout - 0.125)
    assert listener.closed == []
    clock.advance(0.125)
    assert listener.reasons == [CloseReason.SERVER_CLOSE]


def test_the_first_close_counts(session, clock, listener):
    """A second one changes neither the reason nor the timer."""
    session.transport.writable = False
    session.close(CloseReason.SERVER_CLOSE)
    clock.advance(10)
    session.close(CloseReason.FORCED_CLOSE)
    clock.advance(session.server.config.close_timeout - 10)
    assert listener.closed == []
    clock.advance(10)
    assert listener.reasons == [CloseReason.SERVER_CLOSE]


def test_abort_loses_what_is_queued(session, clock, listener):
    """Nothing more is written, and the session is over a turn later."""
    session.transport.writable = False
    session.send("lost")
    session.abort()
    assert session.buffered == 0
    assert listener.closed == []
    clock.advance(0)
    assert listener.reasons == [FORCED]
    assert session.transport.written == []


def test_an_abort_has_the_reason_that_it_is_given(session, clock, listener):
    """Unless the session was closing for one already."""
    other = join(session.server, RecordingTransport())
    other.transport.writable = False
    other.close(CloseReason.SLOW_CLIENT)
    for each in (session, other):
        each.abort(CloseReason.SERVER_CLOSE)
    with pytest.raises(SessionClosed, match="server close"):
        session.send("late")
    clock.advance(0)
    assert listener.reasons == [CloseReason.SERVER_CLOSE, CloseReason.SLOW_CLIENT]


def test_an_abort_before_the_opening_has_it_too(in_state):
    """There is nothing to wait for."""
    session = in_state(OPENING)
    session.abort(CloseReason.SERVER_CLOSE)
    assert session.reason is CloseReason.SERVER_CLOSE


def test_abort_cuts_a_goodbye_short(session, clock, listener):
    """A session that lingers is ended at once, for the reason that it had."""
    session.transport.writable = False
    session.close(CloseReason.SERVER_CLOSE)
    clock.advance(1)
    session.abort()
    clock.advance(0)
    assert listener.reasons == [CloseReason.SERVER_CLOSE]


# Heartbeat.


def test_a_ping_goes_out_when_it_is_due(session, clock):
    """ping_interval after the opening, no sooner."""
    clock.advance(session.server.config.ping_interval - 0.125)
    assert session.transport.written == []
    clock.advance(0.125)
    assert session.transport.written == [PING]


def test_pong_due_when_open(session, clock, listener):
    """A client that leaves a ping unanswered for ping_timeout is gone."""
    clock.advance(session.server.config.ping_interval)
    clock.advance(session.server.config.ping_timeout - 0.125)
    assert listener.closed == []
    clock.advance(0.125)
    assert listener.closed == [(session, CloseReason.PING_TIMEOUT)]


def test_a_pong_keeps_a_session_alive(session, clock, listener):
    """The next ping is due ping_interval after the pong."""
    for _ in range(5):
        clock.advance(25)
        clock.advance(19)
        session.receive_packet(PONG)
    clock.advance(24.875)
    assert session.transport.written == [PING] * 5
    clock.advance(0.125)
    assert session.transport.written == [PING] * 6
    assert listener.closed == []


def test_messages_are_no_pongs(session, clock, listener):
    """A client that talks but does not answer is gone all the same."""
    clock.advance(25)
    for _ in range(19):
        clock.advance(1)
        session.receive("still here")
    clock.advance(1)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


def test_a_ping_waits_its_turn(session, clock):
    """Behind what is queued; the pong is due all the same."""
    session.transport.writable = False
    session.send("first")
    clock.advance(25)
    session.transport.ready()
    assert session.transport.written == ["first", PING]


def test_pongs_that_nobody_asked_for_cost_nothing(session, clock):
    """CVE-2026-48802: a hundred thousand of them make no delayed call."""
    for _ in range(100_000):
        session.receive_packet(PONG)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(25)
    for _ in range(1000):
        session.receive_packet(PONG)
    assert len(clock.getDelayedCalls()) == 1


def test_a_session_has_one_timer_whatever_it_waits_for(session, clock):
    """Ping due, pong due, linger: one after the other."""
    session.transport.writable = False
    assert len(clock.getDelayedCalls()) == 1
    for step in (
        lambda: clock.advance(25),
        lambda: session.receive_packet(PONG),
        session.close,
        lambda: clock.advance(0),
        session.abort,
    ):
        step()
        assert len(clock.getDelayedCalls()) == 1
    clock.advance(0)
    assert clock.getDelayedCalls() == []


def test_a_late_ping_does_not_put_off_the_pong(session, clock, listener):
    """The pong is due when the ping should have gone out, plus the timeout."""
    clock.advance(25 + 4)  # the reactor was busy for four seconds
    clock.advance(15.875)
    assert listener.closed == []
    clock.advance(0.125)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


def test_a_server_that_was_busy_for_long_does_not_blame_its_client(
    session, clock, listener
):
    """Half the timeout is the client's, however late the ping went out."""
    clock.advance(25 + 100)
    clock.advance(9.875)
    assert listener.closed == []
    clock.advance(0.125)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


def test_a_session_whose_pong_is_overdue_has_expired(session, clock, listener):
    """Whoever looks for it before its timer has fired finds it ended."""
    assert not session.expired()
    clock.advance(25)
    assert not session.expired()
    clock.rightNow += 20  # time passes, but the reactor reads sockets first
    assert session.expired()
    assert listener.reasons == [CloseReason.PING_TIMEOUT]
    assert session.expired()


# Waiting for the end.


def test_whoever_waits_for_the_end_hears_the_reason(session, listener):
    """All of them, after the application, and at once if it is over already."""
    heard = []
    listener.on_closed = lambda *_: heard.append("the application")
    for _ in range(2):
        session.ended().addCallback(heard.append)
    assert heard == []
    session.fail(GONE)
    session.ended().addCallback(heard.append)
    assert heard == ["the application", GONE, GONE, GONE]


def test_a_session_that_never_opened_ends_too(in_state, listener):
    """The application was never told of it, but who waits is."""
    heard = []
    session = in_state(OPENING)
    session.ended().addCallback(heard.append)
    session.close()
    assert heard == [FORCED]
    assert listener.closed == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.OPENING, "is opening: send once session_opened is called"),
        (State.CLOSING, r"is closing \(forced close\)"),
        (State.CLOSED, r"is closed \(forced close\)"),
    ],
)
@pytest.mark.parametrize("send", ["send", "send_many"])
def test_a_message_that_cannot_be_sent_says_why(session, state, words, send):
    """Where the session is in its life: too early is another mistake than too late."""
    if state is State.OPENING:
        session.state, session.reason = state, None
    else:
        session.close()
    if state is State.CLOSED:
        session._finish(CloseReason.FORCED_CLOSE)
    with pytest.raises(SessionClosed, match=words):
        getattr(session, send)("hello")
    session.state = State.OPEN if state is State.OPENING else session.state

"""A session and its application: async methods, exceptions, and who calls whom."""

from __future__ import annotations

import pytest
from fakes import CLOSE, GOODBYE, PONG, RecordingTransport, join
from twisted.internet.defer import Deferred, fail, succeed

from twisted_engineio import CloseReason, SessionClosed, State


class Busy:
    """An application's work that a test finishes when it wants."""

    def __init__(self):
        self.waiting = []

    def __call__(self, *args):
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def done(self):
        self.waiting.pop(0).callback("what it gives back counts for nothing")


@pytest.fixture
def busy(listener):
    """Make the application's message_received take its time."""
    listener.on_message = Busy()
    return listener.on_message


# Async methods.


def test_reading_waits_for_an_async_message_received(session, listener, busy):
    """While it is busy the transport is paused, and nothing else is delivered."""
    session.receive("one")
    assert session.transport.calls == ["pause"]
    session.receive("two")
    session.receive(b"three")
    assert listener.received == ["one"]
    busy.done()
    assert listener.received == ["one", "two"]
    busy.done()
    assert listener.received == ["one", "two", b"three"]
    busy.done()
    assert session.transport.calls == ["pause", "pause", "pause", "resume"]


def test_packets_wait_their_turn_behind_a_message(session, listener, busy):
    """A close packet that came behind messages ends the session after them."""
    session.receive("one")
    session.receive("two")
    session.receive_packet(CLOSE)
    busy.done()
    assert listener.received == ["one", "two"]
    assert listener.closed == []
    busy.done()
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]


def test_what_comes_while_held_ones_are_read_goes_behind_them(session, listener):
    """Order is kept through any number of waits."""
    listener.on_message = Busy()
    for number in range(5):
        session.receive(str(number))
    while len(listener.received) < 8:
        session.receive(str(len(listener.received) + 4))
        listener.on_message.done()
    assert listener.received == [str(number) for number in range(8)]


def test_a_coroutine_is_awaited(session, listener):
    """Async def does what a Deferred does."""
    gate, steps = Deferred(), []

    async def work(_, data):
        steps.append(f"begin {data}")
        await gate
        steps.append(f"end {data}")

    listener.on_message = work
    session.receive("a")
    session.receive("b")
    assert steps == ["begin a"]
    gate.callback(None)
    assert steps == ["begin a", "end a", "begin b", "end b"]
    assert session.transport.calls[-1] == "resume"


def test_a_deferred_that_has_fired_delays_nothing(session, listener):
    """The next message is delivered as if the method had not been async."""
    listener.on_message = lambda *_: succeed(None)
    session.receive("one")
    session.receive("two")
    assert listener.received == ["one", "two"]
    assert session.transport.calls == []


@pytest.mark.parametrize("result", [0, "", "text", True, [], object()])
def test_what_a_method_gives_back_counts_for_nothing(session, listener, result):
    """Only what can be awaited is awaited."""
    listener.on_message = lambda *_: result
    session.receive("one")
    assert session.transport.calls == []


def test_an_async_session_opened_comes_before_the_first_message(server, listener):
    """Nothing is delivered before the greeting is done."""
    greeting = Deferred()
    listener.on_opened = lambda _: greeting
    session = join(server, RecordingTransport())
    session.receive("early")
    assert listener.received == []
    greeting.callback(None)
    assert listener.received == ["early"]


def test_other_sessions_do_not_wait(server, open_session, listener, busy):
    """A busy session holds nobody else up."""
    one, two = open_session(server), open_session(server)
    one.receive("one")
    two.receive("two")
    assert listener.received == ["one", "two"]
    assert one.transport.calls == two.transport.calls == ["pause"]


def test_a_pong_behind_a_long_job_is_no_ping_timeout(session, clock, listener, busy):
    """While the application is busy the pong cannot be seen: the deadline moves."""
    session.receive("work")
    clock.advance(25)
    session.receive_packet(PONG)
    clock.advance(20)
    clock.advance(20)
    assert listener.closed == []
    busy.done()
    clock.advance(24.5)
    assert listener.closed == []


def test_a_client_that_vanished_during_a_long_job_times_out_after_it(
    session, clock, listener, busy
):
    """Once the application is done, a pong that never came is missed."""
    session.receive("work")
    clock.advance(25)
    clock.advance(20)
    assert not session.expired()
    busy.done()
    clock.advance(20)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


def test_an_overdue_pong_behind_a_long_job_has_not_expired(
    session, clock, listener, busy
):
    """Whoever looks for the session still finds it."""
    session.receive("work")
    clock.advance(25)
    clock.rightNow += 20
    assert not session.expired()
    assert listener.closed == []


def test_a_session_that_ends_while_its_application_is_busy(session, listener, busy):
    """What was held is dropped, and the transport is not asked to read on."""
    session.receive("one")
    session.receive("two")
    session.fail(CloseReason.TRANSPORT_ERROR)
    busy.done()
    assert listener.received == ["one"]
    assert session.transport.calls == ["pause", CloseReason.TRANSPORT_ERROR]


def test_a_session_that_the_held_packets_end_reads_no_further(session, listener, busy):
    """What stood behind a close packet is dropped."""
    session.receive("one")
    session.receive_packet(CLOSE)
    session.receive("after the end")
    busy.done()
    assert listener.received == ["one"]
    assert session.transport.calls == ["pause", CloseReason.TRANSPORT_CLOSE]


# Pausing.


def test_a_pause_holds_what_comes(session, listener, clock):
    """Until it is resumed, in a later turn; once is enough for each."""
    session.pause_reading()
    session.pause_reading()
    assert session.transport.calls == ["pause"]
    session.receive("one")
    session.receive_packet(PONG)
    assert listener.received == []
    session.resume_reading()
    session.resume_reading()
    assert listener.received == []
    clock.advance(0)
    assert listener.received == ["one"]
    assert session.transport.calls == ["pause", "resume"]


def test_a_pause_outlasts_a_busy_application(session, listener, busy, clock):
    """And the other way round: reading goes on when nothing holds it."""
    session.receive("one")
    session.pause_reading()
    session.receive("two")
    busy.done()
    assert listener.received == ["one"]
    session.resume_reading()
    clock.advance(0)
    assert listener.received == ["one", "two"]
    session.pause_reading()
    session.resume_reading()
    clock.advance(0)
    assert "resume" not in session.transport.calls
    busy.done()
    assert session.transport.calls[-1] == "resume"


def test_a_pause_right_after_a_resume_counts(session, listener, clock):
    """The last word does."""
    session.pause_reading()
    session.receive("one")
    session.resume_reading()
    session.pause_reading()
    clock.advance(1)
    assert listener.received == []


def test_an_application_may_pause_at_each_message(session, listener, clock):
    """What has come already waits, and is read one by one."""
    listener.on_message = lambda session, _: session.pause_reading()
    for data in ("one", "two", "three"):
        session.receive(data)
    assert listener.received == ["one"]
    for count in (2, 3):
        session.resume_reading()
        clock.advance(0)
        assert len(listener.received) == count


def test_resuming_what_is_not_paused_does_nothing(session, busy, clock):
    """Not even if the application is busy."""
    session.resume_reading()
    session.receive("one")
    session.resume_reading()
    clock.advance(0)
    assert session.busy
    assert session.transport.calls == ["pause"]


def test_a_paused_session_is_not_given_up_for_silence(session, clock, listener):
    """What its client says is not read."""
    session.pause_reading()
    clock.advance(25)
    clock.advance(20)
    clock.advance(20)
    assert listener.closed == []
    session.receive_packet(PONG)
    session.resume_reading()
    clock.advance(0)
    clock.advance(24)
    assert listener.closed == []


def test_a_session_that_ends_while_it_resumes_leaves_no_timer(session, clock):
    """There is nothing to read on."""
    session.pause_reading()
    session.resume_reading()
    session.fail(CloseReason.TRANSPORT_ERROR)
    assert clock.getDelayedCalls() == []
    session.pause_reading()
    session.resume_reading()
    assert clock.getDelayedCalls() == []


# Exceptions.

OUTCOMES = {
    "raises": lambda *_: 1 / 0,
    "gives back a failure": lambda *_: fail(ZeroDivisionError()),
}


async def raise_in_coroutine(*_):
    """Fail as an async def does."""
    return 1 / 0


OUTCOMES["raises in a coroutine"] = raise_in_coroutine


@pytest.mark.parametrize("fault", OUTCOMES.values(), ids=OUTCOMES)
def test_a_message_that_cannot_be_handled_ends_its_session(
    server, open_session, listener, logged, fault
):
    """It is logged, that session ended, all others go on."""
    one, other = open_session(server), open_session(server)
    listener.on_message = fault
    one.receive("boom")
    assert listener.closed == [(one, CloseReason.APPLICATION_ERROR)]
    event = logged.take(ZeroDivisionError)
    assert event["sid"] == one.sid[:6]
    listener.on_message = lambda *_: None
    one.receive("after the end")
    other.receive("fine")
    assert listener.received == ["boom", "fine"]
    assert list(server.sessions) == [other.sid]


@pytest.mark.parametrize("fault", OUTCOMES.values(), ids=OUTCOMES)
def test_a_greeting_that_fails_ends_its_session(server, listener, logged, fault):
    """session_closed comes for certain, also when session_opened raised."""
    listener.on_opened = fault
    session = join(server, RecordingTransport())
    assert session.state is State.CLOSED
    assert listener.reasons == [CloseReason.APPLICATION_ERROR]
    logged.take(ZeroDivisionError)


@pytest.mark.parametrize("fault", OUTCOMES.values(), ids=OUTCOMES)
def test_a_goodbye_that_fails_is_logged(session, server, listener, logged, fault):
    """The session is over all the same."""
    listener.on_closed = fault
    session.fail(CloseReason.TRANSPORT_ERROR)
    assert server.sessions == {}
    event = logged.take(ZeroDivisionError)
    assert event["sid"] == session.sid[:6]


def test_a_job_that_fails_later_ends_its_session(session, listener, logged, busy):
    """As if it had failed at once; what was held is dropped."""
    session.receive("one")
    session.receive("two")
    busy.waiting.pop().errback(ZeroDivisionError())
    assert listener.received == ["one"]
    assert listener.reasons == [CloseReason.APPLICATION_ERROR]
    assert session.transport.calls == ["pause", CloseReason.APPLICATION_ERROR]
    logged.take(ZeroDivisionError)


def test_a_job_that_fails_after_its_session_ended_is_logged(
    session, listener, logged, busy
):
    """Nothing is unhandled, and the application is not told twice."""
    session.receive("one")
    session.fail(CloseReason.TRANSPORT_ERROR)
    busy.waiting.pop().errback(ZeroDivisionError())
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]
    logged.take(ZeroDivisionError)


# Rule 4: nothing that the application calls calls the application back.

CALLS = {
    "send": lambda session: session.send("x"),
    "send, far too much": lambda session: session.send("x" * 20_000_000),
    "send_many": lambda session: session.send_many(["x", "y"]),
    "close": lambda session: session.close(),
    "abort": lambda session: session.abort(),
    "drained": lambda session: session.drained(),
    "broadcast": lambda session: session.server.broadcast("x"),
    "stop": lambda session: session.server.stop() and None,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("writable", [True, False])
def test_what_the_application_calls_never_calls_it_back(
    session, listener, clock, call, writable
):
    """An application needs no guard against being entered again."""
    session.transport.writable = writable
    inside = []

    def never_within(*_):
        assert inside == []

    def work(*_):
        inside.append(True)
        call(session)
        inside.clear()

    listener.on_message = work
    listener.on_closed = never_within
    session.receive("go")
    clock.advance(0)
    assert listener.received == ["go"]


def test_a_farewell_cannot_be_sent_to_who_has_gone(session, listener):
    """In session_closed the session is over: send raises, close does nothing."""
    seen = []

    def farewell(session, reason):
        seen.append(
            (session.state, session.reason, session.sid in session.server.sessions)
        )
        session.close()
        session.abort()
        with pytest.raises(SessionClosed):
            session.send("bye")

    listener.on_closed = farewell
    session.fail(CloseReason.PARSE_ERROR)
    assert seen == [(State.CLOSED, CloseReason.PARSE_ERROR, False)]


def test_an_application_may_close_in_its_greeting(server, listener, clock):
    """What it sent before leaves first."""

    def greet(session):
        session.send("hello")
        session.close()

    listener.on_opened = greet
    transport = RecordingTransport()
    join(server, transport)
    clock.advance(0)
    assert transport.written[1:] == ["hello", GOODBYE]
    assert listener.reasons == [CloseReason.FORCED_CLOSE]

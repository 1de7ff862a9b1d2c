"""Clients that leave while their application is busy, and endless handlers."""

from __future__ import annotations

import pytest
from fakes import (
    BINARY,
    CLOSE,
    CLOSE_FRAME,
    PING,
    PING_FRAME,
    PONG,
    Browser,
    RecordingTransport,
    frame,
    handshake,
    join,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.web.resource import Resource

from twisted_engineio import CloseReason, Config, EngineIOResource, EngineIOSite, State
from twisted_engineio.exceptions import Refused
from twisted_engineio.protocol.packet import Packet, PacketType
from twisted_engineio.server.server import Entry
from twisted_engineio.session.interfaces import READ_AHEAD, Admission
from twisted_engineio.session.revision import REVISION_3

HANGUP = frame(b"\x03\xe8", CLOSE_FRAME)
GONE = CloseReason.TRANSPORT_CLOSE


class Work:
    """What the application is at: one Deferred for each message, and who cancelled."""

    def __init__(self):
        self.jobs, self.cancelled = [], 0

    def __call__(self, *_):
        self.jobs.append(Deferred(self.cancel))
        return self.jobs[-1]

    def cancel(self, _):
        self.cancelled += 1


@pytest.fixture
def work(listener):
    """Make every message take for ever."""
    listener.on_message = Work()
    return listener.on_message


@pytest.fixture
def ahead(server, open_session):
    """Give a session on a transport that reads on while it is paused."""
    session = open_session(server)
    session.transport.reads_ahead = True
    return session


@pytest.fixture
def websocket(make_server, browse):
    """Open WebSockets on a server with options."""

    def connect(**options):
        browser = browse(make_server(**options)).upgrade("EIO=4&transport=websocket")
        [browser.session] = browser.site.server.sessions.values()
        return browser

    return connect


# Handlers.


@pytest.mark.parametrize("seconds", [30.0, 2.0, 0.5])
def test_a_handler_that_never_finishes_is_cancelled(
    make_server, open_session, listener, clock, work, seconds
):
    """So long after the end of its session, which comes at once: nothing waits."""
    session = open_session(make_server(handler_timeout=seconds))
    session.receive("one")
    session.fail(GONE)
    assert listener.reasons == [GONE]
    clock.advance(seconds * 0.99)
    assert work.cancelled == 0
    clock.advance(seconds * 0.01)
    assert work.cancelled == 1
    assert clock.getDelayedCalls() == []


def test_a_coroutine_that_never_finishes_is_cancelled(session, listener, clock):
    """It can clean up behind itself, and what it raises for that counts for nothing."""
    steps = []

    async def wait(*_):
        try:
            await Deferred()
        except CancelledError:
            steps.append("cancelled")
            raise

    listener.on_message = wait
    session.receive("one")
    session.abort()
    clock.advance(0)
    clock.advance(30)
    assert steps == ["cancelled"]


def test_a_handler_that_fails_when_it_is_cancelled_is_logged(
    session, listener, clock, logged
):
    """That is a fault of its own."""
    known = Deferred(lambda it: it.errback(ValueError()))
    listener.on_message = lambda *_: known
    session.receive("one")
    session.fail(GONE)
    clock.advance(30)
    logged.take(ValueError)


def test_a_handler_that_nobody_can_finish_is_not_waited_for(session, listener, clock):
    """Nothing but the session knew its Deferred, so nothing can happen to it."""
    listener.on_message = lambda *_: Deferred()
    session.receive("one")
    session.fail(GONE)
    assert clock.getDelayedCalls() == []


def test_a_handler_that_finishes_in_time_is_left_alone(session, clock, work):
    """And no timer is left."""
    session.receive("one")
    session.fail(GONE)
    clock.advance(29)
    work.jobs[0].callback(None)
    assert work.cancelled == 0
    assert clock.getDelayedCalls() == []


def test_a_handler_that_cancels_itself_has_failed(session, listener, logged, work):
    """While the client is there a CancelledError is an error as any other."""
    session.receive("one")
    work.jobs[0].cancel()
    assert listener.reasons == [CloseReason.APPLICATION_ERROR]
    logged.take(CancelledError)


@pytest.mark.parametrize("hook", ["on_opened", "on_message", "on_closed"])
def test_every_hook_is_bounded(server, listener, clock, hook):
    """The greeting and the goodbye may wait for ever, too."""
    work = Work()
    setattr(listener, hook, work)
    session = join(server, RecordingTransport())
    if hook != "on_opened":
        session.receive("one")
    session.fail(GONE)
    clock.advance(30)
    assert work.cancelled == 1
    assert listener.reasons == [GONE]
    assert clock.getDelayedCalls() == []


def test_a_handler_may_end_its_session_and_go_on(session, listener, clock):
    """It has its time as any other."""
    work = Work()

    def leave(session, data):
        session.fail(CloseReason.TRANSPORT_ERROR)
        return work()

    listener.on_message = leave
    session.receive("one")
    clock.advance(30)
    assert work.cancelled == 1


def test_a_server_that_has_stopped_waits_for_no_handler(server, session, clock, work):
    """What is left is cancelled at once: the reactor may be as clean as before."""
    session.receive("one")
    server.stop()
    clock.advance(0)
    assert work.cancelled == 0
    clock.advance(0.1)
    assert work.cancelled == 1
    assert clock.getDelayedCalls() == []


# Messages that came before the end.


ENDS = {
    "a close packet": lambda session: session.receive_packet(CLOSE),
    "a lost connection": lambda session: session.fail(GONE),
    "a lost poll": lambda session: session.fail(CloseReason.TRANSPORT_ERROR),
    "nonsense": lambda session: session.fail(CloseReason.PARSE_ERROR),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_came_before_the_end_is_delivered(ahead, server, listener, work, end):
    """In order; the transport is free at once, and no client finds the session."""
    for data in ("one", "two", "three"):
        ahead.receive(data)
    end(ahead)
    assert listener.received == ["one"]
    assert ahead.transport.calls[0] == "pause"
    assert isinstance(ahead.transport.calls[1], CloseReason)
    with pytest.raises(Refused):
        server.find(ahead.sid)
    work.jobs[0].callback(None)
    work.jobs[1].callback(None)
    assert listener.received == ["one", "two", "three"]
    assert listener.reasons == []
    work.jobs[2].callback(None)
    assert len(listener.reasons) == 1


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_end_of_a_busy_application_s_session_is_bounded(
    ahead, listener, clock, work, end
):
    """Its messages are delivered, and each handler cancelled that does not finish."""
    for number in range(2000):  # more than Python has frames for
        ahead.receive(str(number))
    end(ahead)
    clock.advance(29.9)
    assert listener.received == ["0"]
    clock.advance(0.1)
    assert listener.received == [str(number) for number in range(2000)]
    assert work.cancelled == 2000
    assert len(listener.reasons) == 1
    assert clock.getDelayedCalls() == []


def test_a_handler_that_ignores_being_cancelled_holds_nothing(ahead, listener, clock):
    """What it does later is its own affair."""
    gates = []

    async def stubborn(*_):
        for _ in range(3):
            gates.append(Deferred())
            try:
                await gates[-1]
            except CancelledError:
                continue
            return

    listener.on_message = stubborn
    ahead.receive("one")
    ahead.receive("two")
    ahead.fail(GONE)
    clock.advance(30)
    assert listener.received == ["one", "two"]
    assert listener.reasons == [GONE]
    for each in gates:
        if not each.called:
            each.callback(None)
    clock.advance(30)


def test_a_late_finish_does_not_stand_for_another_s(ahead, listener, clock):
    """Only the handler that the session waits for lets it read on."""
    gates = []

    async def stubborn(*_):
        gates.append(Deferred())
        try:
            await gates[-1]
        except CancelledError:
            gates.append(Deferred())
            await gates[-1]

    listener.on_message = stubborn
    ahead.receive("one")
    ahead.pause_reading()
    ahead.receive("two")
    ahead.fail(GONE)
    clock.advance(30)  # "one" is given up, and the pause goes on
    gates[1].callback(None)
    assert listener.received == ["one"]
    ahead.resume_reading()
    clock.advance(0)
    assert listener.received == ["one", "two"]
    assert listener.reasons == [GONE]


def test_a_handler_that_fails_when_cancelled_ends_the_session(
    ahead, listener, clock, logged
):
    """What waits behind it is dropped, as behind any that fails."""
    listener.on_message = lambda *_: Deferred(lambda it: it.errback(ValueError()))
    ahead.receive("one")
    ahead.receive("two")
    ahead.fail(GONE)
    clock.advance(30)
    assert listener.received == ["one"]
    assert listener.reasons == [CloseReason.APPLICATION_ERROR]
    logged.take(ValueError)


def test_slow_handlers_have_their_time_together(ahead, listener, clock, work):
    """Those that finish in it are not cancelled."""
    for data in "abcdef":
        ahead.receive(data)
    ahead.fail(GONE)
    for number in range(5):
        clock.advance(5)
        work.jobs[number].callback(None)
    assert listener.received == list("abcdef")
    clock.advance(5)
    assert work.cancelled == 1
    assert listener.reasons == [GONE]


def test_an_end_is_seen_once(ahead, clock, listener, work):
    """Neither the heartbeat nor anything else ends it again while messages wait."""
    ahead.receive("one")
    ahead.receive("two")
    ahead.fail(GONE)
    assert ahead.transport.receiver.room == READ_AHEAD  # nobody: it feeds no more
    clock.advance(29)
    assert listener.reasons == []
    work.jobs[0].callback(None)
    work.jobs[1].callback(None)
    assert listener.reasons == [GONE]


def test_an_upgrade_ends_with_its_client(server, listener, clock, work):
    """The candidate is not left behind."""
    session = join(server, RecordingTransport())
    candidate = RecordingTransport("websocket")
    assert session.upgrade(candidate)
    session.receive("one")
    session.receive("two")
    session.fail(GONE)
    assert candidate.calls == [GONE]
    clock.advance(30)
    assert listener.reasons == [GONE]


# Pauses.


def test_a_paused_session_whose_client_is_gone_ends(ahead, listener, clock):
    """What waits is dropped then: nobody takes it."""
    limits = []
    ahead.server.notify = lambda event: limits.append(event)
    ahead.pause_reading()
    ahead.receive("one")
    ahead.fail(GONE)
    clock.advance(299)
    assert listener.reasons == []
    clock.advance(1)
    assert listener.reasons == [GONE]
    assert listener.received == []
    assert clock.getDelayedCalls() == []


def test_a_paused_session_whose_client_said_that_it_closes_ends(
    make_server, open_session, listener, clock
):
    """Likewise, however it left."""
    session = open_session(make_server(paused_timeout=5))
    session.pause_reading()
    session.receive("one")
    session.receive_packet(CLOSE)
    clock.advance(5)
    assert listener.reasons == [GONE]


def test_a_paused_session_without_messages_ends_with_its_client(ahead, listener):
    """There is nothing to wait for."""
    ahead.pause_reading()
    ahead.receive_packet(CLOSE)
    assert listener.reasons == [GONE]


def test_a_pause_that_is_over_in_time_loses_nothing(ahead, listener, clock, work):
    """Then a handler has its time as if the client had just left."""
    ahead.pause_reading()
    ahead.receive("one")
    ahead.receive("two")
    ahead.fail(GONE)
    clock.advance(100)
    ahead.resume_reading()
    clock.advance(0)
    assert listener.received == ["one"]
    clock.advance(29)
    assert work.cancelled == 0
    clock.advance(1)
    assert listener.received == ["one", "two"]
    assert work.cancelled == 2
    assert listener.reasons == [GONE]


def test_a_pause_within_the_time_of_a_handler_is_its_own(ahead, listener, clock, work):
    """The handler has finished; the next one is not judged by the pause."""
    ahead.receive("one")
    ahead.receive("two")
    ahead.fail(GONE)
    ahead.pause_reading()
    work.jobs[0].callback(None)
    clock.advance(60)
    ahead.resume_reading()
    clock.advance(0)
    assert listener.received == ["one", "two"]
    clock.advance(29)
    assert work.cancelled == 0
    work.jobs[1].callback(None)
    assert listener.reasons == [GONE]


def test_slow_progress_never_ends_a_session(ahead, listener, clock):
    """Each message that is taken begins the time again, and None is for ever."""
    listener.on_message = lambda session, _: session.pause_reading()
    ahead.pause_reading()
    for data in "abcd":
        ahead.receive(data)
    ahead.fail(GONE)
    for _ in "abcd":
        clock.advance(299)
        ahead.resume_reading()
        clock.advance(0)
    assert listener.received == list("abcd")
    clock.advance(299)
    assert listener.reasons == []
    clock.advance(1)
    assert listener.reasons == [GONE]


def test_any_time_may_be_allowed(make_server, open_session, listener, clock):
    """With None a pause is bounded by nothing."""
    session = open_session(make_server(paused_timeout=None))
    session.transport.reads_ahead = True
    session.pause_reading()
    session.receive("one")
    session.fail(GONE)
    clock.advance(1e6)
    assert listener.reasons == []
    session.resume_reading()
    clock.advance(0)
    assert listener.received == ["one"]
    assert listener.reasons == [GONE]


@pytest.mark.parametrize("overdue", ["1", "2", "4"])
@pytest.mark.parametrize("seconds", [300.0, 7.0])
@pytest.mark.parametrize("waits", [True, False])
def test_a_pause_is_bounded_though_the_time_of_handlers_is_over(
    websocket, listener, clock, overdue, seconds, waits
):
    """Whichever handler pauses: what it holds for ever ends with paused_timeout."""

    def work(session, data):
        if data == overdue:
            session.pause_reading()
        return Deferred() if waits or data != overdue else None

    listener.on_message = work
    browser = websocket(paused_timeout=seconds, handler_timeout=5)
    browser.send(b"".join(frame(f"4{number}") for number in range(6)) + HANGUP)
    clock.advance(5)
    assert listener.received == [str(number) for number in range(int(overdue) + 1)]
    clock.advance(seconds - 1)
    assert listener.reasons == []
    clock.advance(1)
    assert listener.reasons == [GONE]
    assert browser.site.server.sessions == {}


@pytest.mark.parametrize("paused", ["0", "1", "3"])
def test_a_handler_may_pause_while_it_is_cancelled(ahead, listener, clock, paused):
    """Nothing is delivered before the application resumes."""

    def work(session, data):
        if data == paused:
            return Deferred(lambda _: session.pause_reading())
        return Deferred()

    listener.on_message = work
    for number in range(5):
        ahead.receive(str(number))
    ahead.fail(GONE)
    clock.advance(30)
    assert listener.received == [str(number) for number in range(int(paused) + 1)]
    clock.advance(200)
    assert listener.reasons == []
    ahead.resume_reading()
    clock.advance(0)
    assert listener.received == list("01234")
    assert listener.reasons == [GONE]
    assert clock.getDelayedCalls() == []


def test_a_pause_does_not_begin_again_when_its_handler_is_cancelled(
    ahead, listener, clock
):
    """No message was taken since."""

    def work(session, _):
        session.pause_reading()
        return Deferred()

    listener.on_message = work
    ahead.receive("one")
    ahead.receive("two")
    ahead.fail(GONE)
    clock.advance(299)
    assert listener.reasons == []
    clock.advance(1)
    assert listener.reasons == [GONE]


# What is sent to a client that is gone.


@pytest.fixture
def stuck(ahead):
    """Give a session whose transport is full, and holds much."""
    ahead.transport.writable = False
    ahead.transport.buffered = 500_000
    return ahead


@pytest.mark.parametrize("how", ["send", "send_many", "broadcast", "volatile"])
@pytest.mark.parametrize("corked", [False, True])
def test_what_is_sent_to_who_is_gone_is_dropped(stuck, listener, clock, how, corked):
    """However much it is: the messages that it sent are delivered all the same."""

    def reply(session, data):
        jobs.append(Deferred())
        for _ in range(30):
            if how == "send":
                assert session.send("x" * 100_000)
            elif how == "send_many":
                assert session.send_many(["x" * 100_000])
            elif how == "broadcast":
                session.server.broadcast("x" * 100_000)
            else:
                assert not session.send("x", volatile=True)
        assert session.buffered == 0
        return jobs[-1]

    jobs = [Deferred()]
    listener.on_message = lambda *_: jobs[0]
    for number in range(5):
        stuck.receive(str(number))
    stuck.transport.abandon = lambda _: setattr(stuck.transport, "corked", corked)
    stuck.fail(GONE)
    listener.on_message = reply
    for number in range(5):
        jobs[number].callback(None)
        clock.advance(0.1)
    assert listener.received == list("01234")
    assert listener.reasons == [GONE]


@pytest.mark.parametrize("wait", ["drained", "flushed"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_who_waits_for_the_outbox_of_who_is_gone_goes_on(
    stuck, listener, clock, wait, end
):
    """Nothing is buffered any more, so a handler finishes as it would have."""

    async def reply(session, data):
        session.send(data * 1000)
        await getattr(session, wait)()
        done.append(data)

    done = []
    listener.on_message = reply
    for data in "abcd":
        stuck.receive(data)
    assert done == []
    assert stuck.buffered > 500_000
    end(stuck)
    assert done == listener.received == list("abcd")
    assert len(listener.reasons) == 1
    assert clock.getDelayedCalls() == []


def test_an_application_that_pauses_until_it_is_drained_loses_nothing(
    stuck, listener, clock
):
    """As the documentation shows it."""

    def reply(session, data):
        session.send(data * 1000)
        session.pause_reading()
        session.drained().addCallback(lambda _: session.resume_reading())

    listener.on_message = reply
    for data in "abcd":
        stuck.receive(data)
    stuck.fail(GONE)
    clock.pump([0.0] * 4)
    assert listener.received == list("abcd")
    assert listener.reasons == [GONE]


def test_a_websocket_that_is_full_when_its_client_leaves_is_no_hindrance(
    websocket, listener, clock
):
    """The socket that was full is gone, too."""

    async def reply(session, data):
        if not session.send(data * 1000):
            await session.drained()
            done.append(data)

    done = []
    listener.on_message = reply
    browser = websocket(high_water_mark=1000, low_water_mark=1000, max_buffered=2500)
    browser.wire.fill()
    browser.send(frame("4aa") + frame("4bb") + frame("4cc"))
    assert done == []
    browser.lose()
    clock.advance(0)
    assert done == ["aa"]  # nobody reads the others, so they need not wait
    assert listener.received == ["aa", "bb", "cc"]
    assert listener.reasons == [GONE]


def test_an_error_behind_the_wait_of_who_is_gone_is_still_an_error(
    stuck, listener, logged
):
    """It ends the session, as any."""

    async def reply(session, data):
        session.send(data * 1000)
        await session.drained()
        raise ValueError

    listener.on_message = reply
    stuck.receive("a")
    stuck.receive("b")
    stuck.fail(GONE)
    assert listener.received == ["a"]
    assert listener.reasons == [CloseReason.APPLICATION_ERROR]
    logged.take(ValueError)


# Heartbeats while the application holds the reading.


@pytest.mark.parametrize("hold", ["busy", "paused"])
def test_a_client_that_answers_is_kept_and_pinged(ahead, listener, clock, work, hold):
    """Its pongs are read, though its messages wait: it hears pings, and stays."""
    ahead.receive("one") if hold == "busy" else ahead.pause_reading()
    for _ in range(10):
        clock.advance(25)
        assert ahead.transport.written.pop() == PING
        ahead.receive_packet(PONG)
    assert listener.reasons == []
    assert not ahead.busy


@pytest.mark.parametrize("hold", ["busy", "paused"])
def test_a_client_that_vanishes_is_noticed(ahead, listener, clock, work, hold):
    """Without FIN or RST: no pong comes, and pongs would be read."""
    ahead.receive("one") if hold == "busy" else ahead.pause_reading()
    clock.advance(25)
    clock.advance(20)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


def test_a_client_that_vanishes_behind_messages_is_noticed(
    ahead, listener, clock, work
):
    """They are delivered first."""
    ahead.receive("one")
    ahead.receive("two")
    clock.advance(25)
    clock.advance(20)
    assert listener.reasons == []
    assert CloseReason.PING_TIMEOUT in ahead.transport.calls
    work.jobs[0].callback(None)
    work.jobs[1].callback(None)
    assert listener.received == ["one", "two"]
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


def test_the_pings_of_revision_3_are_answered(server, listener, work):
    """They come from the client there."""
    transport = RecordingTransport()
    transport.reads_ahead = True
    entry = Entry(handshake(), REVISION_3, "sid", Admission())
    session = server.open(entry, transport)
    session.receive("one")
    session.receive_packet(PING)
    assert transport.written[-1] == PONG


def test_an_observer_sees_a_pong_when_it_counts(make_server, clock, listener, work):
    """And a close packet when its turn comes; each once."""
    from fakes import Onlooker

    seen = Onlooker()
    session = join(make_server(observers=[seen]), transport := RecordingTransport())
    transport.reads_ahead = True
    session.receive("one")
    clock.advance(25)
    session.receive_packet(PONG)
    session.receive("two")
    session.receive_packet(CLOSE)
    kinds = [each[2] for each in seen.events if each[0] == "packet_received"]
    assert kinds == ["one", ""]
    assert ("heartbeat",) in seen.events
    work.jobs[0].callback(None)
    work.jobs[1].callback(None)
    kinds = [each[2] for each in seen.events if each[0] == "packet_received"]
    assert kinds == ["one", "", "two", ""]


def test_beats_count_against_a_rate_though_messages_wait(
    make_server, open_session, clock, listener, work
):
    """Else a busy application would let its client send without limit."""
    session = open_session(make_server(max_messages_per_second=3))
    session.transport.reads_ahead = True
    session.receive("one")
    session.receive_packet(PONG)
    session.receive_packet(PONG)
    assert session.room > 0
    session.receive_packet(PONG)
    assert session.room == 0  # one too many: nothing more is read
    session.receive_packet(CLOSE)
    assert listener.reasons == []  # what is too fast stays in order
    clock.advance(1)
    assert session.room > 0
    assert session.transport.calls == ["pause", "pause"]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("before", [0, 3, 4, 5, 9])
@pytest.mark.parametrize(
    "beat", [frame("3"), frame("3") * 3, frame(b"", PING_FRAME) + frame("3")]
)
def test_who_answers_is_kept_though_its_answer_is_one_too_many(
    websocket, listener, clock, together, before, beat
):
    """Behind an application that is busy, with whatever came before, as it came."""
    listener.on_message = lambda _, data: Deferred() if data == "slow" else None
    browser = websocket(max_messages_per_second=5)
    pings, burst = 0, frame("4quick") * before + frame("4slow") + frame("4next")
    for _ in range(110):
        clock.advance(1)
        if browser.texts.count("2") > pings:
            pings += 1
            for data in [burst + beat] if together else [burst, beat]:
                browser.send(data)
            burst = b""
    assert listener.reasons == []
    assert pings == 4
    assert not browser.session.is_over()
    assert "next" not in listener.received


@pytest.fixture
def pinging(make_server, work):
    """Open a session of revision 3 with limits, whose application is busy."""

    def make(**limits):
        transport = RecordingTransport()
        transport.reads_ahead = True
        entry = Entry(handshake(), REVISION_3, "sid", Admission())
        session = make_server(**limits).open(entry, transport)
        session.receive("one")
        transport.written.clear()
        return session

    return make


def test_pings_of_revision_3_are_answered_though_they_are_too_many(pinging, clock):
    """Each costs, so the client is read as late as it must."""
    session = pinging(max_messages_per_second=2)
    for _ in range(7):  # with the message 8: 6 too many
        session.receive_packet(PING)
    assert len(session.transport.written) == 7
    for _ in range(3):
        assert session.room == 0
        clock.advance(1)
    assert session.room > 0


def test_the_bytes_of_pings_are_paid_for_by_the_next(pinging, clock):
    """So what came in one read is the most that a client is ahead."""
    session = pinging(max_bytes_per_second=10)
    session.receive_packet(Packet(PacketType.PING, "x" * 17))  # 10 too many
    assert session.room == 0
    session.receive_packet(Packet(PacketType.PING, "x" * 10))
    assert len(session.transport.written) == 2
    clock.advance(1)
    assert session.room > 0
    session.receive_packet(PING)  # it has no bytes
    assert session.room > 0
    session.receive_packet(Packet(PacketType.PING, "x" * 10))
    clock.advance(1.9)
    assert session.room == 0
    clock.advance(0.1)
    assert session.room > 0


@pytest.mark.parametrize("over_rate", ["pause", "close"])
def test_a_large_message_makes_no_flood_of_what_has_no_bytes(
    websocket, listener, work, over_rate
):
    """It is paid for with the next bytes: a pong, or a control frame, is read."""
    browser = websocket(max_bytes_per_second=10, over_rate=over_rate)
    browser.send(frame("4" + "x" * 500))
    browser.send(frame("3") + frame(b"ka", PING_FRAME))
    assert listener.reasons == []
    assert browser.session.room > 0


def test_beats_that_are_too_many_end_a_session_where_the_operator_wants_it_so(
    make_server, open_session, listener, work
):
    """A busy application excuses no flood."""
    session = open_session(make_server(max_messages_per_second=3, over_rate="close"))
    session.receive("one")
    for _ in range(3):
        session.receive_packet(PONG)
    assert listener.reasons == [CloseReason.RATE_EXCEEDED]


def test_a_pong_that_comes_while_the_session_closes_costs_nothing(
    make_server, open_session, listener, work
):
    """Nothing is read on afterwards."""
    session = open_session(make_server(max_messages_per_second=1, over_rate="close"))
    session.transport.writable = False
    session.receive("one")
    session.close()
    for _ in range(3):
        session.receive_packet(PONG)
    assert listener.reasons == []
    session.abort()


def test_a_flood_of_pongs_is_told_once(make_server, browse, clock, work):
    """And is paid for at the rate, however much came in one read."""
    from fakes import Onlooker

    seen = Onlooker()
    server = make_server(max_messages_per_second=10, observers=[seen])
    browser = browse(server).upgrade("EIO=4&transport=websocket")
    browser.send(frame("4one"))
    browser.send(frame("3") * 109)
    told = [each[1] for each in seen.events if each[0] == "limit_reached"]
    assert told == ["max_messages_per_second"]
    clock.pump([0.5] * 19)
    assert browser.wire.producerState == "paused"
    clock.pump([0.5] * 2)
    assert browser.wire.producerState == "producing"


def test_a_pong_that_was_under_way_when_reading_stopped_counts(
    websocket, listener, clock, work
):
    """It was read before the socket was not."""
    browser = websocket()
    browser.send(frame("4one") + frame(bytes(40_000), BINARY))
    clock.advance(25)
    browser.send(frame(bytes(40_000), BINARY))
    assert browser.wire.producerState == "paused"
    browser.send(frame("3"))
    work.jobs[0].callback(None)  # there is room again, so silence is no excuse
    for _ in range(3):
        clock.advance(20)
        browser.send(frame("3"))
    assert listener.reasons == []


# WebSockets, which read on.


def test_a_paused_websocket_reads_64_kib_and_no_more(websocket, listener, work):
    """In any mixture of frames; TCP holds the rest back."""
    browser = websocket()
    browser.send(frame("4one"))
    sent = 0
    while browser.wire.producerState == "producing":
        browser.send(frame(bytes(1000), BINARY))
        sent += 1000
        assert sent < READ_AHEAD + 2000
    assert sent >= READ_AHEAD - 1000
    assert browser.session.busy


def test_a_message_that_is_not_whole_counts(websocket, work):
    """It is held in memory as others are, be it of one frame or of many."""
    for begun in (
        frame(bytes(500_000), BINARY),
        b"\x02" + frame(bytes(500_000), BINARY)[1:],
    ):
        browser = websocket()
        browser.send(frame("4one"))
        sent = 0
        while browser.wire.producerState == "producing":
            browser.send(begun[sent : sent + 1000])
            sent += 1000
            assert sent <= READ_AHEAD + 1000


def test_pings_of_websocket_count(websocket, work):
    """A client that says nothing else is not read without end either."""
    browser = websocket()
    browser.send(frame("4one"))
    pings = 0
    while browser.wire.producerState == "producing":
        browser.send(frame(bytes(100), PING_FRAME))
        pings += 106
        assert pings <= READ_AHEAD + 106


def test_empty_messages_count(websocket, work):
    """Each takes room, if little."""
    browser = websocket()
    browser.send(frame("4one"))
    count = 0
    while browser.wire.producerState == "producing":
        browser.send(frame("4") * 100)
        count += 100
        assert count <= READ_AHEAD + 100


@pytest.mark.parametrize("size", [0, 1, 30_000])
@pytest.mark.parametrize("how", ["close frame", "lost"])
def test_a_websocket_that_ends_while_it_is_paused_is_noticed(
    websocket, listener, clock, work, size, how
):
    """Its descriptor is free at once, and what it said is delivered."""
    browser = websocket()
    browser.send(frame("4one"))
    browser.send(frame("4" + "x" * size))
    browser.send(HANGUP) if how == "close frame" else browser.lose()
    assert browser.wire.disconnecting or not browser.wire.connected
    assert listener.reasons == []
    clock.advance(30)
    assert listener.received == ["one", "x" * size]
    assert listener.reasons == [GONE]
    assert browser.site.server.sessions == {}


def test_a_websocket_reads_on_when_there_is_room(websocket, listener, work, clock):
    """A message that is taken makes room, and begins the time again."""
    browser = websocket(paused_timeout=10, ping_interval=1000)
    browser.send(frame("4one"))
    for _ in range(2):
        browser.send(frame(bytes(40_000), BINARY))
    assert browser.wire.producerState == "paused"
    clock.advance(9)
    work.jobs[0].callback(None)
    assert browser.wire.producerState == "producing"
    clock.advance(50)  # it is read: there is no hurry
    browser.send(frame(bytes(40_000), BINARY))
    assert browser.wire.producerState == "paused"
    browser.send(frame(bytes(40_000), BINARY))  # what was under way
    clock.advance(9)
    work.jobs[1].callback(None)
    assert browser.wire.producerState == "paused"
    clock.advance(9)
    assert listener.reasons == []
    clock.advance(1)
    assert listener.reasons == [CloseReason.APPLICATION_ERROR]
    assert len(listener.received) == 3


def test_a_websocket_that_is_too_fast_is_not_read_ahead(websocket, listener, clock):
    """What is over the rate stays in the socket, also behind a busy application."""
    job = Deferred()
    listener.on_message = lambda _, data: job if data == "two" else None
    browser = websocket(max_messages_per_second=2)
    browser.send(frame("4one") + frame("4two"))
    assert browser.wire.producerState == "producing"
    browser.send(frame("3") * 3)
    assert browser.wire.producerState == "paused"
    clock.advance(1)
    assert browser.wire.producerState == "paused"  # pongs do not wait, but cost
    clock.advance(0.5)
    assert browser.wire.producerState == "producing"
    job.callback(None)


# Polling and server-sent events.


@pytest.fixture
def site(make_server, house):
    """Make a site, and browsers that talk to it."""

    def make(**options):
        server = make_server(**options)
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(server))
        made = EngineIOSite(root, server)

        def connect():
            house.append(Browser(made))
            return house[-1]

        return server, connect

    return make


@pytest.mark.parametrize("transport", ["polling", "sse"])
def test_a_post_that_closes_ends_a_busy_session(site, listener, clock, work, transport):
    """Both requests are answered at once, and what it said is delivered."""
    server, connect = site(transports=("polling", "sse"))
    listening = connect().get(f"EIO=4&transport={transport}")
    [sid] = server.sessions
    query = f"EIO=4&transport={transport}&sid={sid}"
    if transport == "polling":
        listening = connect().get(query)
    posted = connect().post(query, b"4one\x1e4two\x1e1\x1e4behind the end")
    assert posted.answer.body == b"ok"
    clock.advance(0)
    if transport == "polling":
        assert listening.answer.body == b"6"
    else:
        assert b"data: 1\n" in listening.wire.value()
    assert listener.reasons == []
    assert connect().get(query).answer.status == 400
    clock.advance(30)
    assert listener.received == ["one", "two"]
    assert listener.reasons == [GONE]


def test_a_poll_that_is_lost_ends_a_busy_session(site, listener, clock, work):
    """What it posted was acknowledged: so it is delivered."""
    server, connect = site()
    connect().get("EIO=4&transport=polling")
    [sid] = server.sessions
    query = f"EIO=4&transport=polling&sid={sid}"
    poll = connect().get(query)
    assert connect().post(query, b"4one\x1e4two").answer.body == b"ok"
    poll.lose()
    work.jobs[0].callback(None)
    assert listener.received == ["one", "two"]
    work.jobs[1].callback(None)
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


POST = "POST /engine.io/?{} HTTP/1.1\r\nHost: example.com\r\nContent-Length: {}\r\n\r\n"


@pytest.mark.parametrize("begun", [b"", b"4", b"4three\x1e4fou", b"1"])
@pytest.mark.parametrize("end", ["lost", "silent"])
def test_a_post_that_is_whole_too_late_is_not_acknowledged(
    site, listener, clock, work, begun, end
):
    """What it says is dropped, so its client must not be told that it was taken."""
    server, connect = site()
    connect().get("EIO=4&transport=polling")
    [sid] = server.sessions
    query = f"EIO=4&transport=polling&sid={sid}"
    poll = connect().get(query)
    assert connect().post(query, b"4one\x1e4two").answer.body == b"ok"
    late = connect().send(POST.format(query, len(begun) + 1).encode() + begun)
    if end == "lost":
        poll.lose()
    else:
        clock.advance(25)
        clock.advance(20)
    assert late.answers == []
    late.send(b"x")
    assert late.answer.status == 400
    assert late.answer.json() == {"code": 1, "message": "Session ID unknown"}
    clock.advance(30)
    assert listener.received == ["one", "two"]
    assert len(listener.reasons) == 1


@pytest.mark.parametrize("transport", ["polling", "sse"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_second_post_beside_another_is_not_acknowledged(
    site, listener, clock, work, transport, whole
):
    """It ends the session, behind the messages that wait."""
    server, connect = site(transports=("polling", "sse"))
    connect().get(f"EIO=4&transport={transport}")
    [sid] = server.sessions
    query = f"EIO=4&transport={transport}&sid={sid}"
    assert connect().post(query, b"4one\x1e4two").answer.body == b"ok"
    first = connect().send(POST.format(query, 2).encode())
    second = connect().send(POST.format(query, 2).encode() + b"4b" * whole)
    assert second.answer.status == 400
    assert second.answer.json() == {"code": 1, "message": "Session ID unknown"}
    first.send(b"4a")
    assert first.answer.status == 400
    clock.advance(30)
    assert listener.received == ["one", "two"]
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


def test_who_is_gone_does_not_come_back_by_an_upgrade(server, listener, work):
    """A WebSocket that opens late finds nobody, though messages wait."""
    session = join(server, RecordingTransport())
    session.receive("one")
    session.receive("two")
    session.fail(GONE)
    assert not session.upgrade(RecordingTransport("websocket"))
    work.jobs[0].callback(None)
    assert not session.upgrade(RecordingTransport("websocket"))
    work.jobs[1].callback(None)
    assert listener.reasons == [GONE]


@pytest.mark.parametrize("transport", ["polling", "sse"])
def test_a_client_that_posts_may_be_pinged_while_its_application_is_busy(
    site, listener, clock, work, transport
):
    """Its pongs are posts, and they are not held."""
    server, connect = site(transports=("polling", "sse"), sse_max_age=1e6)
    connect().get(f"EIO=4&transport={transport}")
    [sid] = server.sessions
    query = f"EIO=4&transport={transport}&sid={sid}"
    assert connect().post(query, b"4one\x1e4two").answer.body == b"ok"
    for _ in range(5):
        poll = connect().get(query) if transport == "polling" else None
        clock.advance(25)
        assert poll is None or poll.answer.body == b"2"
        assert connect().post(query, b"3").answer.body == b"ok"
    assert listener.reasons == []
    clock.advance(25)
    clock.advance(20)  # it has vanished
    clock.advance(30)
    assert listener.received == ["one", "two"]
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


def test_a_post_that_is_held_for_ever_ends_its_session(site, listener, clock, work):
    """paused_timeout after the application took its last message."""
    server, connect = site(paused_timeout=100)
    connect().get("EIO=4&transport=polling")
    [sid] = server.sessions
    query = f"EIO=4&transport=polling&sid={sid}"
    held = connect().post(
        query, b"4one\x1e4" + b"x" * 70_000 + b"\x1e4" + b"y" * 70_000
    )
    assert held.answers == []
    clock.advance(99)
    work.jobs[0].callback(None)
    assert held.answers == []
    clock.advance(99)
    assert listener.reasons == []
    clock.advance(1)
    assert listener.reasons == [CloseReason.APPLICATION_ERROR]
    assert held.answer.body == b"ok"


# Options.


@pytest.mark.parametrize("name", ["handler_timeout", "paused_timeout"])
@pytest.mark.parametrize("value", [0, -1, True, "9", float("inf"), float("nan")])
def test_a_time_is_above_0(name, value):
    """A mistake shows when the Config is made."""
    with pytest.raises(ValueError, match=f"^{name}: must be a number of seconds"):
        Config(**{name: value})


def test_only_one_time_may_be_none():
    """A handler is always bounded."""
    assert Config(paused_timeout=None).paused_timeout is None
    with pytest.raises(ValueError, match="handler_timeout"):
        Config(handler_timeout=None)


def test_the_state_is_open_until_the_last_message(ahead, work):
    """The application may still send, if in vain."""
    ahead.receive("one")
    ahead.receive("two")
    ahead.fail(GONE)
    assert ahead.state is State.OPEN
    ahead.send("nobody reads this")
    ahead.abort()

"""How a server ends: spread over a time, in good order, and for certain."""

from __future__ import annotations

from itertools import pairwise

import pytest
from fakes import GOODBYE, RecordingTransport, join
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from twisted_engineio import Application, CloseReason, Config, Server, Unavailable
from twisted_engineio.server.shutdown import Shutdown, ShutdownStage

SERVING, DRAINING, CUT_OFF, OVER = ShutdownStage


class Draining:
    """A server that is nothing else."""

    def __init__(self, clock):
        self.clock = clock
        self.sessions = {}
        self.connected = 0


@pytest.fixture
def serving(clock):
    """Give what is drained."""
    return Draining(clock)


@pytest.fixture
def drain(serving):
    """Give a drain that has not begun, and whose random number is always one half."""
    return Shutdown(serving, lambda: 0.5)


EVENTS = {
    "begin": lambda drain: drain.begin(5.0),
    "settle": lambda drain: drain.settle(),
    "cut off": lambda drain: drain.cut_off(),
    "all gone": lambda drain: (setattr(drain._server, "connected", 0), drain.settle()),
    "time": lambda drain: drain._server.clock.advance(5.0),
}
TABLE = {
    #            SERVING   DRAINING  CUT_OFF  OVER
    "begin": (DRAINING, DRAINING, CUT_OFF, OVER),
    "settle": (SERVING, DRAINING, CUT_OFF, OVER),
    "cut off": (SERVING, CUT_OFF, CUT_OFF, OVER),
    "all gone": (SERVING, OVER, CUT_OFF, OVER),
    "time": (SERVING, CUT_OFF, OVER, OVER),
}
CELLS = [
    (event, stage, outcome)
    for event, outcomes in TABLE.items()
    for stage, outcome in zip(ShutdownStage, outcomes, strict=True)
]


@pytest.mark.parametrize(("event", "stage", "outcome"), CELLS)
def test_every_cell_of_the_table(serving, drain, clock, event, stage, outcome):
    """A WebSocket and a goodbye are left, and each event leads where it says."""
    serving.connected = 1
    goodbye = Deferred()
    if stage is not SERVING:
        drain.begin(5.0)
    if stage is not DRAINING or event != "all gone":
        drain.wait_for(goodbye)
    if stage in (CUT_OFF, OVER):
        drain.cut_off()
    if stage is OVER:
        clock.advance(1)
    assert drain.stage is stage
    EVENTS[event](drain)
    assert drain.stage is outcome
    clock.advance(0.1)  # the last words leave
    if outcome is not DRAINING and outcome is not CUT_OFF:
        assert clock.getDelayedCalls() == []


def test_nothing_to_drain_is_over_at_once(drain, clock):
    """Whoever waits is told when the last words have left, or at once after that."""
    told = []
    drain.over().addCallback(told.append)
    drain.begin(5.0)
    assert drain.stage is OVER
    drain.over().addCallback(told.append)
    assert told == []
    clock.advance(0.1)
    drain.over().addCallback(told.append)
    assert told == [None, None, None]
    assert clock.getDelayedCalls() == []


def test_a_websocket_is_waited_for(serving, drain):
    """Until its client has closed it there may be bytes under way."""
    serving.connected = 1
    drain.begin(5.0)
    drain.settle()
    assert drain.stage is DRAINING
    serving.connected = 0
    drain.settle()
    assert drain.stage is OVER


def test_a_goodbye_has_a_little_more_time_and_no_more(drain, clock):
    """The process ends, whatever an application does."""
    drain.wait_for(Deferred())
    drain.begin(5.0)
    clock.advance(5)
    assert drain.stage is CUT_OFF
    clock.advance(0.5)
    assert drain.stage is CUT_OFF
    clock.advance(0.5)
    assert drain.stage is OVER
    clock.advance(0.1)
    assert clock.getDelayedCalls() == []


def test_a_goodbye_that_is_said_is_not_waited_for(drain):
    """Many an async session_closed does nothing slow."""
    drain.wait_for(succeed(None))
    drain.begin(5.0)
    assert drain.stage is OVER


# With sessions.


def crowd(server, count):
    """Open sessions, and give their transports."""
    transports = [RecordingTransport() for _ in range(count)]
    for each in transports:
        join(server, each)
    return transports


def test_few_sessions_end_at_once(make_server, clock, listener):
    """Ten clients that come back are nothing to spread."""
    server = make_server()
    crowd(server, 10)
    server.stop()
    clock.advance(0)
    assert listener.reasons == [CloseReason.SERVER_CLOSE] * 10
    clock.advance(0.1)
    assert clock.getDelayedCalls() == []


def test_many_are_spread_no_longer_than_need_be(make_server, clock, listener):
    """A hundred a second, the oldest first."""
    server = make_server(random=lambda: 0.5)
    opened = [server.sessions[sid] for sid in (crowd(server, 210), server.sessions)[1]]
    server.stop(timeout=60)
    clock.pump([0.01] * 100)
    assert 100 <= len(listener.closed) <= 115
    clock.pump([0.01] * 110)
    clock.advance(0.1)
    assert [session for session, _ in listener.closed] == opened
    assert clock.getDelayedCalls() == []


def test_very_many_are_spread_over_most_of_the_time(make_server, clock, listener):
    """Evenly over three quarters of it; the rest is for last words."""
    server = make_server(random=lambda: 0.5)
    crowd(server, 600)
    server.stop(timeout=1)
    counts = []
    for _ in range(4):
        before = len(listener.closed)
        clock.pump([0.01] * 25)
        counts.append(len(listener.closed) - before)
    assert counts[3] == 0
    assert all(170 <= count <= 230 for count in counts[:3])


def test_the_times_have_jitter(make_server, clock, listener):
    """Two servers that stop together do not close their sessions in step."""
    chances = iter([0.0, 1.0] * 100)
    server = make_server(random=lambda: next(chances))
    crowd(server, 14)
    chances = iter([0.0, 1.0] * 100)
    server.stop()
    steps = []
    while clock.getDelayedCalls():
        steps.append(min(each.getTime() for each in clock.getDelayedCalls()))
        clock.advance(steps[-1] - clock.seconds())
        if not server.sessions:
            break
    clock.advance(0.1)
    gaps = {round(b - a, 4) for a, b in pairwise(steps)}
    assert {0.005, 0.015} <= gaps


def test_what_is_queued_leaves_first(make_server, clock, listener):
    """Then the goodbye; a client that reads neither is cut off at the end."""
    server = make_server()
    ready, stuck = crowd(server, 2)
    for each in (ready, stuck):
        each.writable = False
        each.receiver.send("last words")
    stopped = []
    server.stop(timeout=5).addCallback(stopped.append)
    clock.advance(1)
    ready.ready()
    assert ready.written[1:] == ["last words", GOODBYE]
    clock.advance(3.9)
    assert len(listener.closed) == 1
    clock.advance(0.1)
    clock.advance(0.1)
    assert listener.reasons == [CloseReason.SERVER_CLOSE] * 2
    assert stopped == [None]


def test_sessions_not_closed_yet_are_cut_off_too(make_server, clock, listener):
    """Whose turn did not come, for there was no time at all."""
    server = make_server()
    crowd(server, 50)
    stopped = []
    server.stop(timeout=0).addCallback(stopped.append)
    clock.advance(0)
    assert stopped == []
    clock.advance(0.1)
    assert listener.reasons == [CloseReason.SERVER_CLOSE] * 50
    assert stopped == [None]
    assert clock.getDelayedCalls() == []


def test_a_session_that_waits_for_its_turn_serves_on(make_server, clock, listener):
    """Until then it is open."""
    server = make_server()
    last = crowd(server, 30)[-1]
    server.stop()
    clock.advance(0)
    last.receiver.receive("still here")
    assert listener.received == ["still here"]
    assert last.receiver.send("so am I")
    clock.pump([0.01] * 100)


def test_who_comes_meanwhile_is_told_when_to_come_back(server, session):
    """503, and Retry-After."""
    server.stop()
    with pytest.raises(Unavailable) as caught:
        server.refuse_when_stopped()
    assert caught.value.status == 503
    assert caught.value.headers == {"Retry-After": "5"}
    assert caught.value.limit is None
    assert caught.value.context == "the server is stopping"


def test_cutting_off_before_a_stop_does_nothing(server, session, clock, listener):
    """There is nothing to cut short."""
    server.cut_off()
    clock.advance(0)
    assert listener.closed == []


@given(
    st.lists(st.sampled_from(["ready", "stuck", "gone"]), max_size=40),
    st.floats(0, 10),
    st.lists(st.floats(0, 1), min_size=1),
)
def test_it_always_ends_in_time(kinds, timeout, chances):
    """Whatever clients do, each session ends once, and no timer is left."""
    clock, ends = Clock(), []

    class Told(Application):
        def session_closed(self, session, reason):
            ends.append(session)

    rolls = iter(chances * 1000)
    server = Server(Told(), Config(), clock=clock, random=lambda: next(rolls))
    for kind, transport in zip(kinds, crowd(server, len(kinds)), strict=True):
        transport.writable = kind == "ready"
        if kind == "gone":
            clock.callLater(0.02, transport.receiver.fail, CloseReason.TRANSPORT_CLOSE)
    stopped = []
    server.stop(timeout).addCallback(stopped.append)
    clock.pump([0.005] * 20 + [0.1] * 110)
    assert stopped == [None]
    assert len(ends) == len(set(ends)) == len(kinds)
    assert clock.getDelayedCalls() == []

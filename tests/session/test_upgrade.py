"""A probe's table of states and events, cell by cell."""

from __future__ import annotations

import pytest
from fakes import (
    CLOSE,
    NOOP,
    PING,
    PONG,
    PROBE_PING,
    PROBE_PONG,
    UPGRADE,
    RecordingTransport,
)
from twisted.internet.task import Clock

from twisted_engineio import CloseReason, Config, Packet, PacketType
from twisted_engineio.session.upgrade import Probe, ProbeState

AWAITING_PROBE, AWAITING_UPGRADE, DONE = ProbeState


class Upgradable:
    """A session that writes down what its probe asks of it."""

    def __init__(self):
        self.calls = []
        self.busy = False

    def transport_ready(self):
        self.calls.append("let the GET go")

    def swap(self, candidate):
        self.calls.append(("swap", candidate))

    def probe_failed(self):
        self.calls.append("go on as before")

    def limit_reached(self, limit):
        self.calls.append(("limit reached", limit))


class Trial:
    """A probe with everything around it."""

    def __init__(self, state):
        self.clock = Clock()
        self.session = Upgradable()
        self.candidate = RecordingTransport("websocket")
        self.probe = Probe(self.session, self.candidate, self.clock, Config())
        if state is not AWAITING_PROBE:
            self.probe.receive_packet(PROBE_PING)
        if state is DONE:
            self.probe.receive_packet(UPGRADE)
        self.session.calls.clear()
        self.candidate.written.clear()
        assert self.probe.state is state


def test_a_candidate_is_as_busy_as_its_session():
    """It may wait for its client as long as that waits for the application."""
    trial = Trial(AWAITING_PROBE)
    assert not trial.probe.busy
    trial.session.busy = True
    assert trial.probe.busy


EVENTS = {
    "2probe": lambda trial: trial.probe.receive_packet(PROBE_PING),
    "5": lambda trial: trial.probe.receive_packet(UPGRADE),
    "a message": lambda trial: trial.probe.receive("hello"),
    "a bare ping": lambda trial: trial.probe.receive_packet(PING),
    "a pong": lambda trial: trial.probe.receive_packet(PONG),
    "3probe": lambda trial: trial.probe.receive_packet(PROBE_PONG),
    "a close packet": lambda trial: trial.probe.receive_packet(CLOSE),
    "a noop": lambda trial: trial.probe.receive_packet(NOOP),
    "2Probe": lambda trial: trial.probe.receive_packet(
        Packet(PacketType.PING, "Probe")
    ),
    "5probe": lambda trial: trial.probe.receive_packet(
        Packet(PacketType.UPGRADE, "probe")
    ),
    "a bad packet": lambda trial: trial.probe.fail(CloseReason.PARSE_ERROR),
    "candidate lost": lambda trial: trial.probe.fail(CloseReason.TRANSPORT_CLOSE),
    "upgrade timer": lambda trial: trial.clock.advance(10),
    "session over": lambda trial: trial.probe.cancel(),
}

STEPS = {("2probe", AWAITING_PROBE): "answer", ("5", AWAITING_UPGRADE): "swap"}
CELLS = [
    (event, state, STEPS.get((event, state), "end"))
    for event in EVENTS
    for state in (AWAITING_PROBE, AWAITING_UPGRADE)
]


@pytest.mark.parametrize(("event", "state", "outcome"), CELLS)
def test_every_cell_of_the_table(event, state, outcome):
    """One event in each state leads on; anything else ends the candidate only."""
    trial = Trial(state)
    EVENTS[event](trial)
    if outcome == "answer":
        assert trial.probe.state is AWAITING_UPGRADE
        assert trial.candidate.written == [PROBE_PONG]
        assert trial.session.calls == ["let the GET go"]
        assert len(trial.clock.getDelayedCalls()) == 1
    elif outcome == "swap":
        assert trial.probe.state is DONE
        assert trial.session.calls == [("swap", trial.candidate)]
        assert trial.candidate.calls == []
        assert trial.clock.getDelayedCalls() == []
    else:
        assert trial.probe.state is DONE
        assert trial.session.calls == ["go on as before"]
        assert trial.candidate.calls == [CloseReason.TRANSPORT_CLOSE]
        assert trial.candidate.written == []
        assert trial.clock.getDelayedCalls() == []


@pytest.mark.parametrize("event", [each for each in EVENTS if each != "5"])
def test_a_probe_that_is_done_does_nothing_more(event):
    """Whatever still comes from the candidate, the session hears nothing of it."""
    trial = Trial(DONE)
    EVENTS[event](trial)
    assert trial.session.calls == []
    assert trial.candidate.calls == []


def test_the_candidate_feeds_its_probe():
    """Until it is chosen it is not the session that hears it."""
    trial = Trial(AWAITING_PROBE)
    assert trial.candidate.receiver is trial.probe


def test_a_candidate_that_becomes_writable_is_given_nothing():
    """The queue stays the old transport's until the swap."""
    trial = Trial(AWAITING_UPGRADE)
    trial.probe.transport_ready()
    assert trial.candidate.written == []
    assert trial.session.calls == []


@pytest.mark.parametrize(
    ("state", "awaits_upgrade"),
    [(AWAITING_PROBE, False), (AWAITING_UPGRADE, True), (DONE, False)],
)
def test_polls_are_let_go_between_3probe_and_5(state, awaits_upgrade):
    """Then the client pauses its polling, and waits for its GET."""
    assert Trial(state).probe.awaits_upgrade is awaits_upgrade


def test_upgrade_timeout_counts_from_the_beginning():
    """2probe does not give a client more time."""
    trial = Trial(AWAITING_PROBE)
    trial.clock.advance(9)
    trial.probe.receive_packet(PROBE_PING)
    trial.clock.advance(0.5)
    assert trial.probe.state is AWAITING_UPGRADE
    trial.clock.advance(0.5)
    assert trial.probe.state is DONE


@pytest.mark.parametrize("state", [AWAITING_PROBE, AWAITING_UPGRADE])
def test_a_candidate_is_not_judged_by_time_that_the_server_slept(state):
    """Its next step may wait in the socket: the upgrade timer begins anew."""
    trial = Trial(state)
    trial.clock.advance(60)
    assert trial.probe.state is state
    trial.clock.advance(9.5)
    assert trial.probe.state is state
    trial.clock.advance(0.5)
    assert trial.probe.state is DONE


def test_a_limit_that_the_candidate_hits_is_its_session_s():
    """Whoever watches the limits hears which session it was."""
    trial = Trial(AWAITING_PROBE)
    trial.probe.limit_reached("max_fragments")
    assert trial.session.calls == [("limit reached", "max_fragments")]
    assert trial.probe.state is AWAITING_PROBE
    trial.probe.cancel()

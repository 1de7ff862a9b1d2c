"""What holds a session's reading, and how it goes on."""

from __future__ import annotations

import pytest
from fakes import RecordingTransport, join
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_engineio import Application, CloseReason, Config, Server
from twisted_engineio.protocol.packet import Packet, PacketType
from twisted_engineio.session.receive_queue import PauseReason, ReceiveQueue


@pytest.fixture
def inbox(clock):
    """Give an empty one."""
    return ReceiveQueue(clock)


def test_it_waits_until_nothing_holds_it(inbox):
    """Each reason counts once, however often it was given."""
    for why in PauseReason:
        inbox.pause(why)
        inbox.pause(why)
        assert inbox.is_paused_by(why)
    *others, last = PauseReason
    for why in others:
        assert not inbox.resume(why)
        assert not inbox.is_paused_by(why)
    assert inbox.resume(last)
    assert inbox.resume(last)


def test_a_reason_may_let_go_after_a_time(inbox, clock):
    """Or sooner; then its timer is gone."""
    fired = []
    inbox.pause_for(
        PauseReason.RATE, 2.0, lambda: fired.append(inbox.resume(PauseReason.RATE))
    )
    clock.advance(2)
    assert fired == [True]
    inbox.pause_for(PauseReason.RATE, 2.0, lambda: fired.append("too late"))
    assert inbox.resume(PauseReason.RATE)
    assert clock.getDelayedCalls() == []


def test_the_last_word_on_a_reason_counts(inbox, clock):
    """A new time replaces the old one; no time at all replaces both."""
    inbox.pause_for(PauseReason.PAUSED, 1.0, lambda: 1 / 0)
    inbox.pause_for(PauseReason.PAUSED, 2.0, lambda: 1 / 0)
    assert [each.getTime() for each in clock.getDelayedCalls()] == [2.0]
    inbox.pause(PauseReason.PAUSED)
    assert clock.getDelayedCalls() == []
    assert inbox.is_paused_by(PauseReason.PAUSED)


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ("", 1),
        (b"", 1),
        ("abc", 4),
        ("é€😀", 10),
        ("\ud800", 4),
        (b"\xff" * 9, 10),
        (Packet(PacketType.PING, "é"), 3),
        (CloseReason.PING_TIMEOUT, 0),
    ],
)
def test_bytes_are_counted_as_on_the_wire(inbox, item, size):
    """And one for a packet's type; an end is none of the client's words."""
    inbox.append(item)
    assert inbox.size == size
    assert inbox.popleft() == item
    assert inbox.size == 0


def test_the_end_cancels_every_timer(inbox, clock):
    """A session that is over waits for nothing."""
    for why in PauseReason:
        inbox.pause_for(why, 1.0, lambda: 1 / 0)
    inbox.cancel()
    assert clock.getDelayedCalls() == []
    assert not any(map(inbox.is_paused_by, PauseReason))


class Working(Application):
    """Takes its time with some messages, and may pause while it does."""

    def __init__(self):
        self.received, self.jobs = [], []
        self.pauses = self.paused = False

    def message_received(self, session, data):
        self.received.append(data)
        if self.pauses:
            session.pause_reading()
            self.paused = True
        if data.endswith("slow"):
            self.jobs.append(Deferred())
            return self.jobs[-1]
        return None


def test_an_inbox_goes_on_as_another_that_came_after_it(clock):
    """What came to the other stands first; what that waits for, it waits for now."""
    older, newer = ReceiveQueue(clock), ReceiveQueue(clock)
    older.extend(["c", "d"])
    newer.extend(["a", "b"])
    newer.pause_for(PauseReason.RATE, 1.0, lambda: None)
    older.merge(newer)
    assert list(older) == ["a", "b", "c", "d"]
    assert older.is_paused_by(PauseReason.RATE)
    assert older.resume(PauseReason.RATE)
    assert clock.getDelayedCalls() == []


class Pausing(RuleBasedStateMachine):
    """An async application, an explicit pause and a rate, in any interleaving."""

    def __init__(self):
        super().__init__()
        self.clock, self.application = Clock(), Working()
        config = Config(max_messages_per_second=3.0, ping_interval=3600.0)
        self.server = Server(self.application, config, clock=self.clock)
        self.transport = RecordingTransport()
        self.session = join(self.server, self.transport)
        self.sent = []

    @rule(slow=st.booleans(), count=st.integers(1, 5))
    def send(self, slow, count):
        """Let messages come, also while the transport is paused: they were read."""
        for _ in range(count):
            self.sent.append(f"{len(self.sent)} {'slow' if slow else 'quick'}")
            self.session.receive(self.sent[-1])

    @rule()
    def pause(self):
        self.session.pause_reading()
        self.application.paused = True

    @rule()
    def resume(self):
        before = list(self.application.received)
        self.session.resume_reading()
        assert self.application.received == before  # never at once
        self.application.paused = False

    @rule(pauses=st.booleans())
    def let_the_application_pause(self, pauses):
        self.application.pauses = pauses

    @precondition(lambda self: self.application.jobs)
    @rule()
    def finish_a_job(self):
        self.application.jobs.pop().callback(None)

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.4, 2.0]))
    def let_time_pass(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def nothing_is_lost_doubled_or_reordered(self):
        received = self.application.received
        assert received == self.sent[: len(received)]

    @invariant()
    def one_job_at_a_time(self):
        assert len(self.application.jobs) <= 1

    @invariant()
    def the_transport_is_paused_while_something_holds(self):
        last = self.transport.calls[-1] if self.transport.calls else "resume"
        assert last == ("pause" if self.session._inbox is not None else "resume")
        if self.application.jobs or self.application.paused:
            assert self.session.busy
        if self.session.busy:
            assert last == "pause"

    def teardown(self):
        """When nothing holds it any more, all comes through, and no timer is left."""
        self.application.pauses = False
        self.session.resume_reading()
        for _ in range(2 * len(self.sent) + 2):
            self.clock.advance(0.5)
            while self.application.jobs:
                self.application.jobs.pop().callback(None)
        assert self.application.received == self.sent
        assert not self.session.busy
        self.session.fail(CloseReason.TRANSPORT_ERROR)
        assert self.clock.getDelayedCalls() == []


TestPausing = Pausing.TestCase
TestPausing.settings = settings(deadline=None, stateful_step_count=30)

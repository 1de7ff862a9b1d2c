"""A session's one timer, and the two ways in which a heart can beat."""

from __future__ import annotations

import pytest
from fakes import PING, PONG, PROBE_PING, RecordingTransport, handshake
from twisted.internet.task import Clock

from twisted_engineio import CloseReason, Packet, PacketType
from twisted_engineio.server.server import Entry
from twisted_engineio.session.heartbeat import (
    ClientPings,
    Heartbeat,
    ServerPings,
    Waiting,
    was_stalled,
)
from twisted_engineio.session.interfaces import Admission
from twisted_engineio.session.revision import REVISION_3, REVISION_4, revision_of


class Body:
    """A session that writes down what its heart asks of it."""

    def __init__(self):
        self.busy = False
        self.written = []
        self.failed = []
        self.limits = []

    def write(self, packet):
        self.written.append(packet)

    def fail(self, reason):
        self.failed.append(reason)

    def limit_reached(self, limit):
        self.limits.append(limit)


@pytest.fixture
def body():
    """Give what a heart beats in."""
    return Body()


@pytest.fixture
def make_heart(body, clock):
    """Make a heart of a kind, pinging each 25 s and patient for 20 s."""
    return lambda kind: kind(body, clock, 25.0, 20.0)


def test_a_heart_must_say_which_way_it_beats(make_heart):
    """The class that both ways share is no heart of its own."""
    heart = make_heart(Heartbeat)
    for beat in (heart.begin, heart.pong, lambda: heart.ping(PING)):
        with pytest.raises(NotImplementedError):
            beat()


def test_arming_cancels_what_was_waited_for(make_heart, clock):
    """One timer at a time; it says what for."""
    heart, fired = make_heart(ServerPings), []
    heart.arm(Waiting.LINGER, 1.0, lambda: fired.append("first"))
    heart.arm(Waiting.PENDING_CLOSE, 2.0, lambda: fired.append("second"))
    assert heart.waiting is Waiting.PENDING_CLOSE
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(2)
    assert fired == ["second"]
    heart.cancel()
    assert heart.waiting is Waiting.IDLE


def test_a_server_that_pings_expects_pongs(make_heart, body, clock):
    """Revision 4; a ping from the client is the wrong way."""
    heart = make_heart(ServerPings)
    heart.begin(early=5.0)
    assert not heart.pong()
    clock.advance(20)
    assert body.written == [PING]
    assert heart.pong()
    assert heart.waiting is Waiting.PING_DUE
    assert not heart.ping(PING)
    assert body.failed == [CloseReason.TRANSPORT_ERROR]


def test_a_client_that_pings_is_answered(make_heart, body, clock):
    """Revision 3: with the same data; it has ping_interval + ping_timeout each time."""
    heart = make_heart(ClientPings)
    heart.begin()
    clock.advance(44)
    assert heart.ping(PROBE_PING)
    assert heart.ping(PING)
    assert body.written == [Packet(PacketType.PONG, "probe"), PONG]
    clock.advance(44)
    assert body.failed == []
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(1)
    assert body.failed == [CloseReason.PING_TIMEOUT]


def test_a_client_that_pongs_goes_the_wrong_way(make_heart, body):
    """A pong from a client of revision 3 ends the session."""
    heart = make_heart(ClientPings)
    assert not heart.pong()
    assert body.failed == [CloseReason.TRANSPORT_ERROR]


@pytest.mark.parametrize("waiting", [Waiting.PENDING_CLOSE, Waiting.LINGER])
def test_a_ping_puts_off_nothing_but_its_own_deadline(make_heart, clock, waiting):
    """A slow client's verdict falls due when it does."""
    heart, fired = make_heart(ClientPings), []
    heart.begin()
    heart.arm(waiting, 0.0, lambda: fired.append(waiting))
    heart.ping(PING)
    clock.advance(0)
    assert fired == [waiting]


@pytest.mark.parametrize("kind", [ServerPings, ClientPings])
def test_silence_behind_a_busy_application_is_no_silence(make_heart, body, clock, kind):
    """What the client says may wait behind the message that the application has."""
    heart = make_heart(kind)
    heart.begin()
    body.busy = True
    clock.advance(25)
    for _ in range(10):
        clock.advance(20)
        heart.check()
    assert body.failed == []
    body.busy = False
    clock.advance(20)
    assert body.failed == [CloseReason.PING_TIMEOUT]
    heart.cancel()


# A server that sleeps: its reactor is blocked, its machine suspended, its clock set.

KINDS = pytest.mark.parametrize("kind", [ServerPings, ClientPings])


@pytest.fixture
def listening(make_heart, clock):
    """Make a heart whose client has ten seconds left to be heard."""

    def make(kind):
        heart = make_heart(kind)
        heart.begin()
        clock.advance(25)
        clock.advance(10)
        return heart

    return make


@KINDS
@pytest.mark.parametrize("slept", [11.5, 60.0, 31_536_000.0])
def test_a_client_is_not_judged_by_time_that_the_server_slept(
    listening, body, clock, kind, slept
):
    """A timer that is late fires before the sockets are read: it lets them be read."""
    heart = listening(kind)
    clock.advance(slept)
    assert body.failed == []
    if kind is ServerPings:
        assert heart.pong()
    else:
        assert heart.ping(PING)
    clock.advance(25)
    clock.advance(19)
    assert body.failed == []
    heart.cancel()


@KINDS
def test_a_client_that_says_nothing_after_a_sleep_is_gone(listening, body, clock, kind):
    """It has ping_timeout once more, and no longer."""
    listening(kind)
    clock.advance(60)
    clock.advance(19.5)
    assert body.failed == []
    clock.advance(0.5)
    assert body.failed == [CloseReason.PING_TIMEOUT]


@KINDS
@pytest.mark.parametrize(("slept", "failed"), [(10.9, 1), (11.1, 0)])
def test_what_is_read_after_a_sleep_is_read_before_the_verdict(
    listening, body, clock, kind, slept, failed
):
    """Who is overdue by a moment has expired; by more, its pong may be what is read."""
    heart = listening(kind)
    clock.rightNow += slept  # time passes, but the reactor reads sockets first
    heart.check()
    assert len(body.failed) == failed
    heart.cancel()


@KINDS
def test_a_client_that_resumes_has_its_time_anew(listening, body, clock, kind):
    """It is there, and what it is to answer may reach it only now."""
    heart = listening(kind)
    clock.advance(9)
    heart.client_resumed()
    clock.advance(heart.timeout - 0.1)
    assert body.failed == []
    clock.advance(0.1)
    assert body.failed == [CloseReason.PING_TIMEOUT]


def test_a_client_that_resumes_owes_nothing_more(make_heart, body, clock):
    """The next ping is due when it was."""
    heart = make_heart(ServerPings)
    heart.begin()
    clock.advance(24)
    heart.client_resumed()
    assert body.written == []
    clock.advance(1)
    assert body.written == [PING]
    heart.cancel()


@KINDS
def test_a_reactor_that_is_merely_busy_puts_nothing_off(listening, body, clock, kind):
    """A timer that is late by less than a second judges."""
    listening(kind)
    clock.advance(10.9)
    assert body.failed == [CloseReason.PING_TIMEOUT]


@KINDS
def test_a_clock_set_back_puts_a_verdict_off(listening, body, clock, kind):
    """Twisted's timers are set by the wall clock: nobody is dropped for it."""
    heart = listening(kind)
    clock.rightNow -= 3600
    heart.check()
    clock.advance(3600)
    assert body.failed == []
    clock.advance(10)
    assert body.failed == [CloseReason.PING_TIMEOUT]


@KINDS
def test_who_was_to_come_back_is_not_judged_by_it_either(make_heart, body, clock, kind):
    """Its first request may wait in the socket: it has ping_timeout to show."""
    heart = make_heart(kind)
    heart.begin()
    heart.expect_client(10.0)
    clock.advance(60)
    clock.advance(19.5)
    assert body.failed == []
    clock.advance(0.5)
    assert body.failed == [CloseReason.PING_TIMEOUT]


@pytest.mark.parametrize(("patience", "late"), [(20.0, 1.0), (0.5, 0.25)])
def test_a_sleep_is_a_second_or_half_of_a_short_patience(clock, patience, late):
    """Less than that is what a busy reactor does."""
    due = clock.seconds() + patience
    clock.rightNow = due + late
    assert not was_stalled(clock, due, patience)
    clock.rightNow += 0.125
    assert was_stalled(clock, due, patience)


def test_a_session_of_revision_3_beats_its_way(make_server, listener):
    """From its open packet to its end."""
    server = make_server(allow_eio3=True)
    clock: Clock = server.clock
    transport = RecordingTransport()
    entry = Entry(handshake(EIO="3"), REVISION_3, "a-sid", Admission())
    session = server.open(entry, transport)
    assert session.protocol == 3
    clock.advance(40)
    session.receive_packet(PING)
    clock.advance(40)
    assert transport.written[1:] == [PONG]
    clock.advance(5)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


@pytest.mark.parametrize(
    ("query", "off", "on"),
    [
        ({"EIO": "4"}, REVISION_4, REVISION_4),
        ({"EIO": "3"}, None, REVISION_3),
        ({}, None, REVISION_3),
        ({"EIO": ""}, None, None),
        ({"EIO": "2"}, None, None),
        ({"EIO": "\u0664"}, None, None),
    ],
)
def test_a_query_tells_its_revision(make_server, query, off, on):
    """Where revision 3 is served, a client that says nothing means it."""
    assert revision_of(query, make_server().config) is off
    assert revision_of(query, make_server(allow_eio3=True).config) is on


# Whether the client comes at all.


@pytest.mark.parametrize("kind", [ServerPings, ClientPings])
def test_a_client_that_never_comes_back_is_not_waited_for_long(
    make_heart, body, clock, kind
):
    """Not until a ping would be overdue; and it is told as the limit that it is."""
    heart = make_heart(kind)
    heart.begin()
    heart.expect_client(10.0)
    clock.advance(9.9)
    assert body.failed == []
    clock.advance(0.1)
    assert body.failed == [CloseReason.PING_TIMEOUT]
    assert body.limits == ["first_poll_timeout"]
    assert body.written == []


def test_nor_is_it_waited_for_longer_than_for_a_pong(make_heart, body, clock):
    """A patience beyond the heartbeat's own changes nothing."""
    heart = make_heart(ServerPings)
    heart.begin()
    heart.expect_client(1000.0)
    clock.advance(45)
    assert body.failed == [CloseReason.PING_TIMEOUT]


def test_a_client_that_comes_back_is_pinged_as_ever(make_heart, body, clock):
    """When it would have been without the wait, jitter and all."""
    heart = make_heart(ServerPings)
    heart.begin(early=3.0)
    heart.expect_client(10.0)
    clock.advance(9)
    heart.client_returned()
    assert heart.waiting is Waiting.PING_DUE
    clock.advance(12.9)
    assert body.written == []
    clock.advance(0.1)
    assert body.written == [PING]
    heart.client_returned()
    assert heart.waiting is Waiting.PONG_DUE


def test_a_client_that_comes_back_when_its_ping_is_due_is_pinged(
    make_heart, body, clock
):
    """At once, where the patience is longer than ping_interval."""
    heart = make_heart(ServerPings)
    heart.begin()
    heart.expect_client(30.0)
    clock.advance(28)
    heart.client_returned()
    clock.advance(0)
    assert body.written == [PING]


def test_a_client_of_revision_3_that_comes_back_has_its_time(make_heart, body, clock):
    """When it pings is its affair."""
    heart = make_heart(ClientPings)
    heart.begin()
    heart.expect_client(10.0)
    clock.advance(9)
    heart.client_returned()
    clock.advance(44)
    assert body.failed == []
    clock.advance(1)
    assert body.failed == [CloseReason.PING_TIMEOUT]
    assert body.limits == []


def test_a_heart_that_does_not_beat_expects_nobody(make_heart, clock):
    """A session that is closing has another timer."""
    heart = make_heart(ServerPings)
    heart.expect_client(10.0)
    assert heart.waiting is Waiting.IDLE
    heart.arm(Waiting.LINGER, 30.0, lambda: None)
    heart.expect_client(10.0)
    heart.client_returned()
    assert heart.waiting is Waiting.LINGER
    heart.cancel()

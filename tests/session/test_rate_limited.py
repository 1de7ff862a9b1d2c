"""Sessions that may send only so much a second."""

from __future__ import annotations

import pytest
from fakes import CLOSE, CLOSE_FRAME, PONG, Onlooker, frame
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_engineio import (
    Application,
    CloseReason,
    Config,
    Packet,
    PacketType,
    Server,
)
from twisted_engineio.session.observed import ObservedSession
from twisted_engineio.session.rate_limited import (
    ObservedRateLimitedSession,
    RateLimitedSession,
    session_class,
)
from twisted_engineio.session.session import Session

MESSAGES, BYTES = "max_messages_per_second", "max_bytes_per_second"


@pytest.fixture
def limited(make_server, open_session):
    """Open a session with limits, and give it with what is told of limits."""

    def make(**options):
        onlooker = Onlooker()
        session = open_session(make_server(observers=[onlooker], **options))
        onlooker.events.clear()

        def told():
            events = [each for each in onlooker.events if each[0] == "limit_reached"]
            assert all(each[2] is session for each in events)
            return [each[1] for each in events]

        return session, told

    return make


@pytest.mark.parametrize(
    ("observed", "limits", "kind"),
    [
        (False, {}, Session),
        (True, {}, ObservedSession),
        (False, {MESSAGES: 1.0}, RateLimitedSession),
        (False, {BYTES: 1.0}, RateLimitedSession),
        (True, {MESSAGES: 1.0, BYTES: 1.0}, ObservedRateLimitedSession),
    ],
)
def test_only_who_is_limited_pays_for_it(
    make_server, open_session, observed, limits, kind
):
    """A server without such limits makes sessions that know of none."""
    observers = [Onlooker()] if observed else []
    session = open_session(make_server(observers=observers, **limits))
    assert type(session) is kind
    assert session_class(observed=observed, limited=bool(limits)) is kind


def test_a_session_without_these_limits_has_no_receive_of_its_own():
    """The message path is the plain session's."""
    assert ObservedSession.__mro__[1] is Session
    assert Session not in RateLimitedSession.__bases__[1:]
    assert "receive" not in vars(Session)


def test_what_is_too_much_waits(limited, listener, clock):
    """Nothing is lost or reordered; the client is read more slowly."""
    session, told = limited(max_messages_per_second=2)
    for number in range(5):
        session.receive(str(number))
    assert listener.received == ["0", "1"]
    assert session.transport.calls == ["pause"]
    clock.advance(0.5)
    assert listener.received == ["0", "1", "2"]
    clock.advance(0.5)
    assert listener.received == ["0", "1", "2", "3"]
    assert "resume" not in session.transport.calls
    clock.advance(0.5)
    assert listener.received == ["0", "1", "2", "3", "4"]
    assert session.transport.calls[-1] == "resume"
    assert told() == [MESSAGES] * 3


def test_what_waits_is_not_copied_for_each_that_comes_through(limited, listener, clock):
    """Else those that wait would cost the square of their number."""
    session, _ = limited(max_messages_per_second=2)
    for number in range(10):
        session.receive(str(number))
    inbox = session._inbox
    for count in range(3, 10):
        clock.advance(0.5)
        assert len(listener.received) == count
        assert session._inbox is inbox
    clock.advance(0.5)
    assert session._inbox is None
    assert listener.received == [str(number) for number in range(10)]


def test_or_ends_its_session(limited, listener):
    """Where the operator wants it so."""
    session, told = limited(max_messages_per_second=2, over_rate="close")
    for number in range(5):
        session.receive(str(number))
    assert listener.received == ["0", "1"]
    assert listener.closed == [(session, CloseReason.RATE_EXCEEDED)]
    assert told() == [MESSAGES]


@pytest.mark.parametrize("last", ["two", Packet(PacketType.NOOP)])
def test_what_ends_its_session_is_not_told(make_server, open_session, last):
    """An observer hears of nothing after the end."""
    onlooker = Onlooker()
    server = make_server(
        observers=[onlooker], max_messages_per_second=1, over_rate="close"
    )
    session = open_session(server)
    onlooker.events.clear()
    session.receive("one")
    if isinstance(last, Packet):
        session.receive_packet(last)
    else:
        session.receive(last)
    assert [each[0] for each in onlooker.calm] == [
        "packet_received",
        "limit_reached",
        "session_closed",
    ]


def test_bytes_count_as_utf_8(limited, listener, clock):
    """Of text and binary, messages and other packets."""
    session, told = limited(max_bytes_per_second=10)
    session.receive("\u20ac")
    session.receive(b"1234")
    session.receive_packet(Packet(PacketType.NOOP, "123"))
    session.receive(b"")
    assert listener.received == ["\u20ac", b"1234", b""]
    session.receive("x")
    assert listener.received[3:] == []
    clock.advance(0.1)
    assert listener.received[3:] == ["x"]
    assert told() == [BYTES]


def test_a_message_larger_than_a_second_s_worth_is_paid_for_later(
    limited, listener, clock
):
    """It comes through, once all of a second is there, and others wait for it."""
    session, _ = limited(max_bytes_per_second=10)
    session.receive(b"x" * 35)
    session.receive(b"y")
    assert len(listener.received) == 1
    clock.advance(2.5)
    assert len(listener.received) == 1
    clock.advance(0.1)
    assert listener.received[1:] == [b"y"]


def test_the_tighter_of_two_limits_holds(limited, listener, clock):
    """Both are told of, and the longer wait is waited."""
    session, told = limited(max_messages_per_second=1, max_bytes_per_second=10)
    session.receive(b"x" * 40)
    session.receive(b"y")
    assert told() == [MESSAGES, BYTES]
    clock.advance(1)
    assert len(listener.received) == 1
    clock.advance(2.1)
    assert listener.received[1:] == [b"y"]


def test_packets_that_are_no_messages_count_too(limited, clock):
    """A flood of pongs is a flood; one that waits does not end its session."""
    session, told = limited(max_messages_per_second=2)
    session.receive_packet(PONG)
    session.receive_packet(PONG)
    assert told() == []
    session.receive_packet(PONG)
    assert told() == [MESSAGES]
    clock.advance(0.5)
    assert session.transport.calls == ["pause", "resume"]


def test_a_message_counts_once(limited, listener):
    """Also one that comes as a packet, and one that waited for the application."""
    job = Deferred()
    listener.on_message = lambda *_: None if job.called else job
    session, told = limited(max_messages_per_second=3)
    session.receive_packet(Packet(PacketType.MESSAGE, "one"))
    session.receive_packet(Packet(PacketType.MESSAGE, "two"))
    session.receive("three")
    job.callback(None)
    assert listener.received == ["one", "two", "three"]
    assert told() == []


def test_what_an_observer_hears_it_hears_in_its_turn(limited, listener, clock):
    """A message that waits is not told before it is delivered."""
    session, _ = limited(max_messages_per_second=1)
    (onlooker,) = session.server.observers
    for data in ("one", "two"):
        session.receive(data)
    messages = [each for each in onlooker.events if each[0] == "packet_received"]
    assert [each[2] for each in messages] == ["one"]
    clock.advance(1)
    messages = [each for each in onlooker.events if each[0] == "packet_received"]
    assert [each[2] for each in messages] == ["one", "two"]


def test_a_session_that_ends_while_it_waits_leaves_no_timer(limited, listener, clock):
    """What waited is dropped."""
    session, _ = limited(max_messages_per_second=1)
    session.receive("one")
    session.receive("two")
    session.fail(CloseReason.TRANSPORT_ERROR)
    assert clock.getDelayedCalls() == []
    session.receive("three")
    assert listener.received == ["one"]


@pytest.mark.parametrize(
    "reason", [CloseReason.TRANSPORT_CLOSE, CloseReason.PARSE_ERROR]
)
def test_who_is_gone_is_not_read_at_its_rate(limited, listener, clock, reason):
    """A minute's worth of messages would keep its session for a minute."""
    session, _ = limited(max_messages_per_second=1)
    for number in range(60):
        session.receive(str(number))
    session.fail(reason)
    assert listener.received == ["0"]
    assert listener.closed == [(session, reason)]
    assert clock.getDelayedCalls() == []


def test_who_left_a_busy_application_is_not_read_at_its_rate(limited, listener, clock):
    """The end stood behind what came before it, which turns out to be too much."""
    job = Deferred()
    listener.on_message = lambda *_: None if job.called else job
    session, _ = limited(max_messages_per_second=2)
    for number in range(60):
        session.receive(str(number))
    session.fail(CloseReason.TRANSPORT_CLOSE)
    assert listener.closed == []
    job.callback(None)
    assert listener.received == ["0", "1"]
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]
    assert clock.getDelayedCalls() == []


def test_who_said_goodbye_to_a_busy_application_is_not_read_at_its_rate(
    limited, listener, clock
):
    """The same of a close packet as of a connection that is lost."""
    job = Deferred()
    listener.on_message = lambda *_: None if job.called else job
    session, _ = limited(max_messages_per_second=2)
    for number in range(60):
        session.receive(str(number))
    session.receive_packet(CLOSE)
    assert listener.closed == []
    job.callback(None)
    assert listener.received == ["0", "1"]
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]
    assert clock.getDelayedCalls() == []


def test_who_is_too_fast_and_silent_is_gone_in_time(limited, listener, clock):
    """That it is not read is its own doing, and excuses nothing."""
    session, _ = limited(max_messages_per_second=1)
    for number in range(60):
        session.receive(str(number))
    assert not session.busy
    clock.pump([1.0] * 45)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


def test_an_application_that_pauses_who_is_too_fast_excuses_it(
    limited, listener, clock
):
    """What is paused is not read, whatever else holds it."""
    session, _ = limited(max_messages_per_second=1)
    session.receive("one")
    session.receive("two")
    session.pause_reading()
    assert session.busy
    clock.pump([1.0] * 60)
    assert listener.closed == []
    assert listener.received == ["one"]


def test_a_post_that_is_too_fast_is_answered_late(make_server, browse, clock, listener):
    """On polling that is what holds a client back."""
    server = make_server(max_messages_per_second=1)
    sid = browse(server).get("EIO=4&transport=polling").answer.open()["sid"]
    query = f"EIO=4&transport=polling&sid={sid}"
    post = browse(server).post(query, b"4one\x1e4two\x1e4three")
    assert post.answers == []
    clock.advance(1)
    assert listener.received == ["one", "two"]
    clock.advance(1)
    assert listener.received == ["one", "two", "three"]
    assert post.answer.body == b"ok"


def test_a_websocket_that_is_too_fast_is_not_read(make_server, browse, clock, listener):
    """Its socket is paused, so TCP holds the client back."""
    server = make_server(max_messages_per_second=1)
    browser = browse(server).upgrade("EIO=4&transport=websocket")
    browser.send(frame("4one") + frame("4two"))
    assert browser.wire.producerState == "paused"
    clock.advance(1)
    assert browser.wire.producerState == "producing"
    assert listener.received == ["one", "two"]


class Counting(Application):
    """Writes down when each message came."""

    def __init__(self, clock):
        self.clock, self.came = clock, []

    def message_received(self, session, data):
        self.came.append((self.clock.seconds(), data))


@given(
    st.sampled_from([0.5, 3.0, 10.0]),
    st.lists(st.tuples(st.integers(1, 8), st.floats(0, 3)), max_size=15),
)
def test_the_rate_holds_and_nothing_is_lost(rate, bursts):
    """Whatever comes when: all is delivered, in order, never faster than allowed."""
    from fakes import RecordingTransport, join

    clock = Clock()
    application = Counting(clock)
    server = Server(
        application,
        Config(max_messages_per_second=rate, ping_interval=3600.0),
        clock=clock,
    )
    session = join(server, RecordingTransport())
    number = 0
    for count, gap in bursts:
        for _ in range(count):
            session.receive(str(number))
            number += 1
        clock.advance(gap)
    clock.pump([1 / rate] * (number + 1))
    assert [data for _, data in application.came] == [str(n) for n in range(number)]
    most = max(rate, 1.0)
    for at, (end, _) in enumerate(application.came):
        for start, _ in application.came[: at + 1]:
            within = [t for t, _ in application.came if start <= t <= end]
            assert len(within) <= most + rate * (end - start) + 1e-6
    session.abort()
    clock.advance(0)


def test_a_websocket_that_floods_is_not_waited_for(make_server, browse, listener):
    """It is told why, and its connection is closed: it may never answer."""
    server = make_server(max_messages_per_second=1, over_rate="close")
    browser = browse(server).upgrade("EIO=4&transport=websocket")
    browser.send(frame("4one") + frame("4two") + frame("4three"))
    assert browser.frames[-1] == (CLOSE_FRAME, (1008).to_bytes(2, "big"))
    assert browser.wire.disconnecting
    assert listener.received == ["one"]
    assert listener.reasons == [CloseReason.RATE_EXCEEDED]


@pytest.mark.parametrize("deflate", [True, False])
def test_it_is_told_why_before_its_connection_is_closed(make_server, browse, deflate):
    """TLS drops what is written after loseConnection."""
    server = make_server(
        max_messages_per_second=1, over_rate="close", per_message_deflate=deflate
    )
    browser = browse(server).upgrade("EIO=4&transport=websocket")
    written = []
    lose = browser.wire.loseConnection

    def lose_connection():
        written.append(browser.wire.value())
        lose()

    browser.wire.loseConnection = lose_connection
    browser.send(frame("4one") + frame("4two") + frame("4three"))
    assert written[0].endswith(b"\x88\x02\x03\xf0")

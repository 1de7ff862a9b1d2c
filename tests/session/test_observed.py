"""A session that somebody watches does the same, and tells of it."""

from __future__ import annotations

import pytest
from fakes import (
    CLOSE,
    GOODBYE,
    NOOP,
    PING,
    PONG,
    PROBE_PING,
    UPGRADE,
    Onlooker,
    RecordingTransport,
    join,
)
from twisted.internet.defer import Deferred

from twisted_engineio import (
    CloseReason,
    Encoded,
    Observer,
    Packet,
    PacketType,
    SessionClosed,
)
from twisted_engineio.session.observed import ObservedSession, ObserverHooks
from twisted_engineio.session.session import Session, State

MESSAGE = PacketType.MESSAGE


@pytest.fixture
def onlooker():
    """Give an observer that writes down every event."""
    return Onlooker()


@pytest.fixture
def session(make_server, open_session, onlooker):
    """Give an open session that the onlooker watches, its opening forgotten."""
    session = open_session(make_server(observers=[onlooker]))
    onlooker.events.clear()
    return session


def test_only_who_is_watched_pays_for_it(make_server, open_session, onlooker):
    """A server without observers makes plain sessions."""
    assert type(open_session(make_server())) is Session
    watched = open_session(make_server(observers=[onlooker]))
    assert type(watched) is ObservedSession


def test_an_opening_is_told_before_the_application_is(make_server, onlooker, listener):
    """First the session, then its open packet, then what the application sends."""
    listener.on_opened = lambda session: session.send("hello")
    server = make_server(observers=[onlooker])
    transport = RecordingTransport()
    join(server, transport)
    assert onlooker.calm == [
        ("session_opened",),
        ("packet_sent", transport.written[0]),
        ("packet_sent", "hello"),
    ]


def test_an_end_is_told_after_the_application_was(session, onlooker, listener):
    """With the reason."""
    listener.on_closed = lambda *_: onlooker.events.append("the application")
    session.fail(CloseReason.PARSE_ERROR)
    assert onlooker.calm == [
        "the application",
        ("session_closed", CloseReason.PARSE_ERROR),
    ]


def test_messages_and_packets_are_told_as_they_come(session, onlooker):
    """Each once, from whichever door it came."""
    session.receive("text")
    session.receive_packet(Packet(MESSAGE, b"bytes"))
    session.receive_packet(NOOP)
    assert onlooker.calm == [
        ("packet_received", MESSAGE, "text"),
        ("packet_received", MESSAGE, b"bytes"),
        ("packet_received", PacketType.NOOP, ""),
    ]


def test_what_waits_for_the_application_is_told_in_its_turn(
    session, onlooker, listener
):
    """Once, when the session acts on it; a pong does not wait."""
    job = Deferred()
    listener.on_message = lambda *_: job if not job.called else None
    session.receive("one")
    session.receive("two")
    session.receive_packet(Packet(MESSAGE, b"three"))
    session.receive_packet(PONG)
    session.receive_packet(Packet(PacketType.NOOP))
    assert onlooker.events == [
        ("packet_received", MESSAGE, "one"),
        ("packet_received", PacketType.PONG, ""),
    ]
    job.callback(None)
    assert onlooker.events[2:] == [
        ("packet_received", MESSAGE, "two"),
        ("packet_received", MESSAGE, b"three"),
        ("packet_received", PacketType.NOOP, ""),
    ]


def test_what_waits_behind_an_end_is_not_told(session, onlooker, listener, logged):
    """The application failed at what came before it."""
    job = Deferred()
    answers = iter([job])
    listener.on_message = lambda *_: next(answers)
    for each in ("one", "two", "three"):
        session.receive(each)
    job.callback(None)
    logged.take(StopIteration)
    assert listener.received == ["one", "two"]
    assert onlooker.calm == [
        ("packet_received", MESSAGE, "one"),
        ("packet_received", MESSAGE, "two"),
        ("session_closed", CloseReason.APPLICATION_ERROR),
    ]


def test_what_is_sent_is_told(session, onlooker):
    """Sent at once or queued, one by one or many; not what was dropped."""
    shared = Encoded(b"shared")
    session.send("one")
    session.transport.writable = False
    session.send("two", volatile=True)
    session.send(shared)
    session.send_many(iter(["three", "four"]))
    sent = [("packet_sent", each) for each in ("one", shared, "three", "four")]
    assert onlooker.calm == sent


def test_a_buffer_that_is_sent_is_told_as_it_was(session, onlooker):
    """What changes it later changes neither what is sent nor what is told."""
    data = bytearray(b"one")
    session.send(data)
    session.send_many([data])
    data[:] = b"two"
    assert onlooker.calm == [("packet_sent", b"one")] * 2


def test_a_volatile_message_that_goes_is_told(session, onlooker):
    """Only dropping it is silent."""
    session.send("now", volatile=True)
    assert onlooker.calm == [("packet_sent", "now")]


def test_a_volatile_message_that_fills_the_socket_is_told(session, onlooker):
    """It went, and send says so, though it is too much."""
    session.transport.room = 1
    session.transport.buffered = 70_000
    assert session.send("now", volatile=True)
    assert onlooker.calm == [("packet_sent", "now")]


def test_what_is_sent_above_the_high_water_mark_is_told(session, onlooker):
    """Send advises against more, and takes it."""
    session.transport.writable = False
    assert not session.send(b"x" * 70_000)
    assert onlooker.calm == [("packet_sent", b"x" * 70_000)]


def test_what_cannot_be_sent_is_not_told(session, onlooker):
    """Sending raises as ever."""
    session.fail(CloseReason.PARSE_ERROR)
    onlooker.events.clear()
    with pytest.raises(SessionClosed):
        session.send("late")
    with pytest.raises(SessionClosed):
        session.send_many(["late"])
    assert onlooker.events == []


def test_a_heartbeat_is_a_ping_that_was_answered(session, onlooker, clock):
    """A pong that nobody asked for is none."""
    session.receive_packet(PONG)
    clock.advance(25)
    session.receive_packet(PONG)
    pong = ("packet_received", PacketType.PONG, "")
    assert onlooker.calm == [pong, ("packet_sent", PING), pong, ("heartbeat",)]


def test_an_upgrade_is_told_at_its_beginning_and_its_end(session, onlooker):
    """What the probe itself says is the candidate's, not the session's."""
    candidate = RecordingTransport("websocket")
    assert session.upgrade(candidate)
    candidate.receiver.receive_packet(PROBE_PING)
    candidate.receiver.receive_packet(UPGRADE)
    assert ("upgrading", "websocket") in onlooker.events
    assert onlooker.events[-1] == ("upgraded", "websocket")


def test_an_upgrade_of_a_session_that_is_over_is_not_told(session, onlooker, clock):
    """It was closed meanwhile: its goodbye left by the new way, and it ended."""
    candidate = RecordingTransport("websocket")
    assert session.upgrade(candidate)
    candidate.receiver.receive_packet(PROBE_PING)
    session.transport.writable = False
    session.close()
    clock.advance(0)
    candidate.receiver.receive_packet(UPGRADE)
    assert candidate.written[-1] == GOODBYE
    assert onlooker.calm[-1] == ("session_closed", CloseReason.FORCED_CLOSE)


def test_an_upgrade_that_is_not_taken_is_not_told(session, onlooker):
    """Nothing began."""
    assert not session.upgrade(RecordingTransport("polling"))
    assert onlooker.events == []


def test_a_close_packet_from_the_client_is_told(session, onlooker):
    """Before the end that it brings."""
    session.receive_packet(CLOSE)
    assert onlooker.events == [
        ("packet_received", PacketType.CLOSE, ""),
        ("session_closed", CloseReason.TRANSPORT_CLOSE),
    ]


def test_what_goes_at_once_is_flushed_at_once(make_server):
    """As in the reference: every write is told, whether it was queued or not."""
    onlooker = Onlooker()
    transport = RecordingTransport(writable=True)
    session = join(make_server(observers=[onlooker]), transport)
    onlooker.events.clear()
    session.send("now")
    assert onlooker.events == [("flushing",), ("packet_sent", "now"), ("flushed",)]
    session.abort()


# What is not overridden.


class Hears(Observer):
    """An observer that hears of messages that come in, and of nothing else."""

    def __init__(self):
        self.heard = []

    def packet_received(self, session, kind, data):
        self.heard.append(data)


class Greets(Observer):
    """An observer that hears of no event that comes often."""

    def session_opened(self, session):
        """Hear of it."""


def test_what_nobody_overrides_costs_nothing(make_server, open_session):
    """Whoever only counts sessions leaves them plain."""
    server = make_server(observers=[Observer(), Greets()])
    assert type(open_session(server)) is Session
    assert server.hooks == ObserverHooks()


@pytest.mark.parametrize(
    "event",
    [
        *("packet_received", "packet_sent", "flushing", "flushed"),
        *("heartbeat", "upgrading", "upgraded"),
    ],
)
def test_whatever_a_session_does_makes_it_watched(make_server, open_session, event):
    """One event is enough."""
    observer = Observer()
    setattr(observer, event, lambda *_: None)
    session = open_session(make_server(observers=[observer]))
    assert type(session) is ObservedSession


def test_only_who_overrides_is_called(make_server, open_session):
    """Each event has those that hear it, in their order."""
    one, other = Hears(), Hears()
    server = make_server(observers=[one, Greets(), other])
    assert server.hooks == ObserverHooks(
        packet_received=(one.packet_received, other.packet_received)
    )
    session = open_session(server)
    session.receive("hello")
    session.send("unheard")
    assert one.heard == other.heard == ["hello"]


def test_a_method_of_an_instance_counts(make_server):
    """It may have been put there before the server was made."""
    observer = Observer()
    observer.packet_sent = lambda *_: None
    server = make_server(observers=[observer])
    assert server.hooks.packet_sent == (observer.packet_sent,)


class Half(Observer):
    """An observer that hears only one half of a write."""

    def __init__(self):
        self.heard = []


class Begins(Half):
    def flushing(self, session):
        self.heard.append("flushing")


class Ends(Half):
    def flushed(self, session):
        self.heard.append("flushed")


@pytest.mark.parametrize(
    ("kind", "heard"), [(Begins, ["flushing"]), (Ends, ["flushed"])]
)
def test_half_of_a_write_may_be_heard(make_server, open_session, kind, heard):
    """Its beginning or its end."""
    observer = kind()
    session = open_session(make_server(observers=[observer]))
    observer.heard.clear()
    session.send("now")
    assert observer.heard == heard
    session.write(PING)
    assert observer.heard == heard * 2


@pytest.mark.parametrize(
    ("event", "do"),
    [
        ("packet_received", lambda session: session.receive("x")),
        ("packet_received", lambda session: session.receive_packet(NOOP)),
        ("packet_sent", lambda session: session.send("x")),
        ("packet_sent", lambda session: session.send_many(["x"])),
        ("flushed", lambda session: session.send("x")),
    ],
)
def test_one_that_raises_is_logged_wherever_it_does(
    make_server, open_session, logged, event, do
):
    """The next is told all the same, and the session goes on."""
    raising, onlooker = make_raising(event), Onlooker()
    session = open_session(make_server(observers=[raising, onlooker]))
    onlooker.events.clear()
    logged.clear()
    do(session)
    assert event in {name for name, *_ in onlooker.events}
    assert session.state is State.OPEN
    failure = logged.take(ZeroDivisionError)
    assert failure["observer"] == getattr(raising, event)


def make_raising(event):
    """Make an observer that raises when it hears of an event."""

    def fail(*_):
        raise ZeroDivisionError

    observer = Observer()
    setattr(observer, event, fail)
    return observer

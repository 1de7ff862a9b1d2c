"""What a session still has to send: the queue, its water marks, and slow clients."""

from __future__ import annotations

import pytest
from fakes import GOODBYE, NOOP, PROBE_PING, UPGRADE, Onlooker, RecordingTransport
from twisted.internet.defer import Deferred

from twisted_engineio import CloseReason, Encoded, SessionClosed

HIGH = 65_536


@pytest.fixture
def held(session):
    """Give a session whose transport is not writable."""
    session.transport.writable = False
    return session


def outcome_of(deferred):
    """Tell what a Deferred has come to: nothing yet, None, or an exception."""
    results = []
    deferred.addBoth(results.append)
    return results


def test_a_message_goes_at_once_if_it_can(session):
    """Nothing is queued on a writable transport."""
    assert session.send("text")
    assert session.send(b"bytes")
    assert session.transport.written == ["text", b"bytes"]
    assert session.buffered == 0


def test_messages_wait_in_order(held):
    """What cannot go now goes when the transport is ready, in the order it was sent."""
    for data in ("one", b"two", Encoded("three")):
        assert held.send(data)
    assert held.buffered == 11
    held.transport.ready(room=2)
    assert held.transport.written == ["one", b"two"]
    held.transport.ready()
    assert [getattr(each, "data", each) for each in held.transport.written] == [
        "one",
        b"two",
        "three",
    ]


def test_a_message_never_overtakes_the_queue(held):
    """While something is queued a writable transport is no shortcut."""
    held.send("one")
    held.transport.writable = True
    held.send("two")
    assert held.transport.written == []
    held.transport.ready()
    assert held.transport.written == ["one", "two"]


@pytest.mark.parametrize("kind", [bytearray, lambda data: memoryview(bytearray(data))])
@pytest.mark.parametrize("compress", [True, False])
def test_a_buffer_is_sent_as_it_is_now(session, kind, compress):
    """It is copied, wherever the message waits: what changes later is not sent."""
    data = kind(b"one")
    session.send(data, compress=compress)
    session.transport.writable = False
    session.send(data, compress=compress)
    session.send_many([data, "text", data])
    data[:] = b"two"
    session.transport.ready()
    written = [getattr(each, "data", each) for each in session.transport.written]
    assert written == [b"one", b"one", b"one", "text", b"one"]
    assert {type(each) for each in written} == {bytes, str}


@pytest.mark.parametrize("data", [None, 4, ["x"], {"a": 1}])
def test_what_is_no_message_is_refused(session, data):
    """The sentence says what it was instead of str or bytes."""
    with pytest.raises(TypeError, match=f"not {type(data).__name__}: encode it first"):
        session.send(data)
    assert session.transport.written == []


def test_a_message_that_must_not_be_compressed_says_so(session):
    """The wish travels with the message; one that is encoded has its own."""
    session.send("small", compress=False)
    shared = Encoded("shared")
    session.send(shared, compress=False)
    wrapped, same = session.transport.written
    assert (wrapped.data, wrapped.compress) == ("small", False)
    assert same is shared


def test_a_volatile_message_goes_now_or_never(session):
    """It is sent if the transport can take it, and dropped if not."""
    assert session.send("now", volatile=True)
    session.transport.writable = False
    assert not session.send("never", volatile=True)
    session.transport.ready()
    assert session.transport.written == ["now"]


def test_a_volatile_message_that_fills_the_transport_was_not_dropped(session):
    """True says that it went: who takes it for dropped sends its number again."""
    session.transport.room = 1
    session.transport.buffered = HIGH + 1
    assert session.send("now", volatile=True)
    assert session.transport.written == ["now"]
    assert not session.send("never", volatile=True)


def test_a_volatile_message_that_is_far_too_much_ends_a_slow_client(session, server):
    """It went, and yet it counts: max_buffered holds whatever is sent."""
    session.transport.room = 1
    session.transport.buffered = server.config.max_buffered + 1
    assert session.send("now", volatile=True)
    server.clock.advance(0)
    assert session.reason is CloseReason.SLOW_CLIENT


def test_a_volatile_message_goes_with_what_is_held_back(held):
    """It will go at the end of the turn, unless there is much to go already."""
    held.transport.corked = True
    assert held.send("now", volatile=True)
    held.send(b"x" * HIGH)
    assert not held.send("never", volatile=True)
    held.transport.ready()
    assert held.transport.written == ["now", b"x" * HIGH]


def test_a_volatile_message_that_would_end_its_session_is_dropped(
    make_server, open_session, clock, listener
):
    """Nor does one go that finds it ending: True says that it is written."""
    session = open_session(make_server(max_buffered=100))
    session.transport.writable = False
    session.transport.corked = True
    assert not session.send("x" * 101, volatile=True)
    assert session.send("x" * 99, volatile=True)
    session.send("far too much")
    assert not session.send("", volatile=True)
    clock.advance(0)
    assert listener.reasons == [CloseReason.SLOW_CLIENT]


def test_send_many_leaves_in_one_flush(session):
    """Together, in order, behind what is queued."""
    session.transport.writable = False
    session.send("zero")
    assert session.send_many(iter(["one", b"two"]))
    session.transport.ready()
    assert session.transport.written == ["zero", "one", b"two"]
    assert session.send_many(["three"])
    assert session.transport.written[-1] == "three"
    assert session.send_many([])


def test_send_says_when_the_queue_is_high(held):
    """False above high_water_mark bytes, not at it."""
    assert held.send(b"x" * HIGH)
    assert not held.send("one")
    assert held.buffered == HIGH + 3


def test_send_many_says_when_the_queue_is_high(held):
    """As send does, for all of them together."""
    assert not held.send_many([b"x" * HIGH, "y"])


def test_drained_fires_at_once_below_the_low_water_mark(held):
    """Nobody waits who does not have to."""
    held.send(b"x" * 16_384)
    assert outcome_of(held.drained()) == [None]


def test_drained_fires_when_the_queue_is_low_again(held):
    """At low_water_mark bytes, for everyone who waits."""
    held.send_many([b"x" * 16_385, b"y" * 16_385, b"z" * 16_384])
    first, second = outcome_of(held.drained()), outcome_of(held.drained())
    held.transport.ready(room=1)
    assert first == second == []
    held.transport.ready(room=1)
    assert first == second == [None]


def test_a_goodbye_that_is_left_is_nothing_to_flush(held, clock):
    """It was not sent by anybody: what was has left, whenever that is asked."""
    held.send("one")
    held.send("last")
    flushed = outcome_of(held.flushed())
    held.close()
    clock.advance(0)
    held.transport.ready(room=1)
    assert flushed == []
    held.transport.ready(room=1)
    assert held.transport.written == ["one", "last"]
    assert flushed == [None]
    assert outcome_of(held.flushed()) == [None]


def test_drained_may_send_again(held):
    """Whoever waited goes on sending from the callback."""
    held.send_many([b"x" * 20_000, "y"])
    held.drained().addCallback(lambda _: held.send("more"))
    held.transport.ready()
    assert held.transport.written[1:] == ["y", "more"]


def test_drained_fails_if_the_session_ends_first(held):
    """Nobody waits for ever."""
    held.send(b"x" * 20_000)
    waiting = outcome_of(held.drained())
    held.fail(CloseReason.TRANSPORT_ERROR)
    (failure,) = waiting
    assert failure.check(SessionClosed)
    assert failure.value.reason is CloseReason.TRANSPORT_ERROR


def test_drained_fails_at_once_on_a_session_that_is_over(session):
    """There is nothing to wait for."""
    session.fail(CloseReason.TRANSPORT_ERROR)
    (failure,) = outcome_of(session.drained())
    assert failure.check(SessionClosed)


def test_flushed_fires_when_all_has_left(held):
    """At once if nothing is queued; what is sent later is not waited for."""
    assert outcome_of(held.flushed()) == [None]
    held.send_many(["one", "two"])
    waiting = outcome_of(held.flushed())
    held.transport.ready(room=1)
    assert waiting == []
    held.transport.ready()
    assert waiting == [None]


def test_flushed_fails_if_the_session_ends_first(held):
    """And at once on one that is over."""
    held.send("one")
    waiting = outcome_of(held.flushed())
    held.fail(CloseReason.TRANSPORT_ERROR)
    (failure,) = waiting
    assert failure.check(SessionClosed)
    (failure,) = outcome_of(held.flushed())
    assert failure.value.reason is CloseReason.TRANSPORT_ERROR


# A slow reader.


def test_a_slow_client_is_ended(make_server, open_session, listener, clock):
    """Above max_buffered queued bytes the session ends, a turn later."""
    server = make_server(max_buffered=100_000)
    session, other = open_session(server), open_session(server)
    session.transport.writable = False
    assert not session.send(b"x" * 100_000)
    clock.advance(0)
    assert listener.closed == []
    assert not session.send("y")
    clock.advance(0)
    assert listener.closed == [(session, CloseReason.SLOW_CLIENT)]
    assert session.buffered == 0
    assert other.send("unharmed")


def test_what_is_sent_to_a_lost_cause_is_not_kept(
    make_server, open_session, listener, clock
):
    """Between the verdict and the end nothing more is queued."""
    server = make_server(max_buffered=100_000)
    session = open_session(server)
    session.transport.writable = False
    session.send(b"x" * 100_001)
    for _ in range(100):
        assert not session.send(b"y" * 100_000)
    assert session.buffered == 100_001
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(0)
    assert listener.reasons == [CloseReason.SLOW_CLIENT]


def test_a_slow_client_that_is_closed_meanwhile_ends_once(
    make_server, open_session, listener, clock
):
    """The application closes a session whose verdict is out: it ends, once."""
    session = open_session(make_server(max_buffered=70_000))
    session.transport.writable = False
    session.send(b"x" * 70_001)
    session.close()
    clock.advance(0)
    clock.advance(30)
    assert listener.closed[0][0] is session
    assert len(listener.closed) == 1


@pytest.mark.parametrize("data", ["", "x" * 1000])
def test_a_client_that_pings_and_reads_nothing_is_ended(
    make_server, browse, listener, clock, data
):
    """Revision 3, polling: its pongs are weighed as messages are."""
    server = make_server(allow_eio3=True, max_buffered=100_000)
    query = "EIO=3&transport=polling"
    browse(server).get(query)
    (sid,) = server.sessions
    ping = f"2{data}"
    body = f"{len(ping)}:{ping}".encode() * 200
    for _ in range(200):
        if not listener.closed:
            browse(server).post(f"{query}&sid={sid}", body)
            clock.advance(0)
    assert listener.reasons == [CloseReason.SLOW_CLIENT]


def test_a_ping_that_is_one_byte_too_much_ends_its_session(
    make_server, open_session, listener, clock
):
    """The verdict stands, though the heart has beaten."""
    session = open_session(make_server(max_buffered=100_000))
    session.transport.writable = False
    session.send("x" * 100_000)
    clock.advance(25)
    clock.advance(0)
    assert listener.reasons == [CloseReason.SLOW_CLIENT]


def test_a_slow_client_is_told_to_observers(make_server, open_session, clock):
    """As a limit that was reached."""
    onlooker = Onlooker()
    session = open_session(make_server(max_buffered=100_000, observers=[onlooker]))
    session.transport.writable = False
    session.send(b"x" * 100_001)
    clock.advance(0)
    assert ("limit_reached", "max_buffered", session) in onlooker.events


# What the transport still holds.


@pytest.fixture
def full(session):
    """Give a session whose transport takes a message, is full then, and holds it."""
    transport = session.transport
    take = transport.send

    def send(item):
        take(item)
        transport.buffered += len(item)
        transport.writable = transport.buffered <= 16_384

    def drain(size=0):
        """Let the socket take bytes; Twisted says so when none are left."""
        transport.buffered = size
        if not size:
            transport.ready()

    transport.send, transport.drain = send, drain
    return session


def test_what_the_transport_holds_is_buffered(full):
    """With what is queued behind it."""
    assert full.send(b"x" * 20_000)
    assert full.buffered == 20_000
    assert full.send(b"y" * 5_000)
    assert full.buffered == 25_000
    full.transport.buffered = 12_000
    assert full.buffered == 17_000


def test_one_message_may_be_too_much(full):
    """Send says so though nothing is queued."""
    assert full.send(b"x" * HIGH)
    full.transport.drain()
    assert not full.send(b"x" * (HIGH + 1))
    assert full._outbox is None


def test_drained_waits_for_the_transport_too(full):
    """Until little is buffered in both together."""
    full.send(b"x" * 20_000)
    waiting = outcome_of(full.drained())
    assert waiting == []
    full.transport.buffered = 16_384
    assert outcome_of(full.drained()) == [None]
    assert waiting == []
    full.transport.drain()
    assert waiting == [None]
    assert full._outbox is None


def test_drained_waits_while_the_queue_moves_into_the_transport(full):
    """What has left the queue is not out yet."""
    full.send(b"x" * 20_000)
    full.send(b"y" * 30_000)
    waiting = outcome_of(full.drained())
    full.transport.drain()
    assert full.transport.written == [b"x" * 20_000, b"y" * 30_000]
    assert full.buffered == 30_000
    assert waiting == []
    assert full.send("z")  # behind what the transport holds, not before it
    full.transport.drain()
    assert waiting == [None]
    assert full.transport.written[2:] == ["z"]


def test_flushed_does_not_wait_for_the_transport(full):
    """The queue is empty: what was sent is on its way to the socket."""
    full.send(b"x" * 20_000)
    assert outcome_of(full.flushed()) == [None]
    waiting = outcome_of(full.drained())
    assert outcome_of(full.flushed()) == [None]
    full.send("y")
    flushed = outcome_of(full.flushed())
    assert flushed == waiting == []
    full.transport.drain()
    assert flushed == waiting == [None]


def test_a_transport_that_is_writable_holds_little(full):
    """Nobody waits for what no event would tell."""
    full.send(b"x" * 10_000)
    assert full.transport.writable
    assert outcome_of(full.drained()) == [None]


def test_who_waits_for_the_transport_hears_of_the_end(full):
    """Though nothing is queued."""
    full.send(b"x" * 20_000)
    waiting = outcome_of(full.drained())
    full.fail(CloseReason.TRANSPORT_ERROR)
    (failure,) = waiting
    assert failure.check(SessionClosed)


def test_a_session_that_waits_only_for_its_transport_can_close(full, clock, listener):
    """An empty queue that is waited for holds no goodbye up."""
    full.send(b"x" * 20_000)
    waiting = outcome_of(full.drained())
    full.close()
    clock.advance(0)
    full.transport.send = full.transport.written.append
    full.transport.drain()
    assert full.transport.written[1:] == [GOODBYE]
    assert waiting == [None]
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


@pytest.mark.parametrize("queued", [True, False])
def test_a_slow_client_is_one_whose_transport_holds_too_much(
    make_server, open_session, listener, clock, queued
):
    """max_buffered counts both."""
    session = open_session(make_server(max_buffered=100_000))
    session.transport.room = 0 if queued else 1
    session.transport.writable = not queued
    session.transport.buffered = 90_000
    assert not session.send(b"x" * 10_000)
    assert listener.closed == []
    session.transport.buffered = 100_001
    assert not session.send(b"")
    clock.advance(0)
    assert listener.reasons == [CloseReason.SLOW_CLIENT]


def test_a_session_that_a_write_ends_is_not_judged(session, clock):
    """There is nobody left to be too slow, and no timer for it."""
    transport = session.transport

    def break_down(item):
        transport.buffered = 100_000_000
        session.fail(CloseReason.TRANSPORT_ERROR)

    transport.send = break_down
    session.send("x")
    assert session.buffered == 0
    assert clock.getDelayedCalls() == []


# The queue and the upgrade.


def test_the_queue_moves_to_the_new_transport(held):
    """It is flushed there at once, in order, and the old one is retired."""
    old, new = held.transport, RecordingTransport("websocket")
    held.send("one")
    assert held.upgrade(new)
    new.receiver.receive_packet(PROBE_PING)
    held.send("two")
    new.receiver.receive_packet(UPGRADE)
    assert held.transport is new
    assert new.written[1:] == ["one", "two"]
    assert old.calls == ["retire"]
    assert held.probe is None
    assert new.receiver is held


def test_a_poll_during_the_probe_is_let_go(session):
    """From 3probe on a GET is answered at once: with a noop if nothing is queued."""
    candidate = RecordingTransport("websocket")
    session.upgrade(candidate)
    session.transport.ready()
    assert session.transport.written == []
    candidate.receiver.receive_packet(PROBE_PING)
    assert session.transport.written == [NOOP]
    session.transport.ready()
    assert session.transport.written == [NOOP, NOOP]
    session.transport.writable = False
    session.send("queued")
    session.transport.ready()
    assert session.transport.written == [NOOP, NOOP, "queued", NOOP]


def test_a_session_paused_by_its_application_stays_paused_after_the_move(
    session, listener
):
    """The new transport is paused too, until the application is done."""
    job = Deferred()
    listener.on_message = lambda *_: job
    candidate = RecordingTransport("websocket")
    session.upgrade(candidate)
    candidate.receiver.receive_packet(PROBE_PING)
    session.receive("work")
    candidate.receiver.receive_packet(UPGRADE)
    assert candidate.calls == ["pause"]
    job.callback(None)
    assert candidate.calls == ["pause", "resume"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"allow_upgrades": False}, "websocket"),
        ({"transports": ["polling"]}, "websocket"),
        ({}, "polling"),
    ],
)
def test_an_upgrade_that_is_not_offered_is_refused(
    make_server, open_session, options, name
):
    """What the open packet does not list is not taken."""
    session = open_session(make_server(**options))
    assert not session.upgrade(RecordingTransport(name))
    assert session.probe is None


def test_only_one_upgrade_at_a_time(session):
    """A second candidate is refused, and the first goes on."""
    first, second = RecordingTransport("websocket"), RecordingTransport("websocket")
    assert session.upgrade(first)
    assert not session.upgrade(second)
    assert session.probe is first.receiver
    assert second.calls == []


def test_a_session_on_a_websocket_moves_no_more(server, open_session):
    """There is nothing to upgrade to."""
    session = open_session(server, "websocket")
    assert not session.upgrade(RecordingTransport("websocket"))


def test_only_an_open_session_upgrades(session, clock):
    """Neither one that closes nor one that is over."""
    session.transport.writable = False
    session.close()
    assert not session.upgrade(RecordingTransport("websocket"))
    session.abort()
    clock.advance(0)
    assert not session.upgrade(RecordingTransport("websocket"))


def test_a_goodbye_may_leave_by_the_new_transport(held, clock, listener):
    """A session closed during its upgrade says goodbye where its client went."""
    new = RecordingTransport("websocket")
    held.upgrade(new)
    new.receiver.receive_packet(PROBE_PING)
    held.send("last words")
    held.close(CloseReason.SERVER_CLOSE)
    clock.advance(0)
    new.receiver.receive_packet(UPGRADE)
    assert new.written[1:] == ["last words", GOODBYE]
    assert listener.reasons == [CloseReason.SERVER_CLOSE]


@pytest.mark.parametrize("bad", [None, ["x"], 1, "\ud800"])
def test_of_many_messages_all_go_or_none(session, bad):
    """What is no message is refused before anything is queued."""
    with pytest.raises((TypeError, UnicodeEncodeError)):
        session.send_many([b"good", bad])
    assert session.buffered == 0

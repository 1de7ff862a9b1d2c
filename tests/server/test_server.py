"""The registry: ids, admission, broadcasts and the end of all sessions."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest
from fakes import GOODBYE, PING, PONG, Onlooker, RecordingTransport, handshake, join
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    fail,
    maybeDeferred,
    succeed,
)
from twisted.internet.task import Clock
from twisted.logger import formatEvent

from twisted_engineio import (
    Admission,
    Application,
    CloseReason,
    Encoded,
    ErrorCode,
    Observer,
    PayloadTooLarge,
    Refused,
    Reject,
    Server,
    State,
)
from twisted_engineio.server.server import Entry
from twisted_engineio.session.revision import REVISION_4


def outcome_of(deferred):
    """Tell what a Deferred has come to, its failure taken."""
    results = []
    deferred.addBoth(results.append)
    return results


# Admission.


def admission_of(server, shake):
    """Tell what a server says to a client, if it says so by now."""
    return outcome_of(maybeDeferred(server.admit, shake))


@pytest.mark.parametrize("result", [None, True, succeed(None), succeed(True)])
def test_who_is_not_rejected_is_admitted(server, listener, result):
    """An admit that says nothing says yes, and so does one that says so."""
    listener.on_admit = lambda _: result
    (entry,) = admission_of(server, handshake())
    assert entry.admission == Admission()
    assert len(listener.admitted) == 1
    assert server.sessions == {}


@pytest.mark.parametrize("result", [False, 0, 1, "no", {}, Reject()])
@pytest.mark.parametrize("later", [False, True])
def test_an_answer_that_is_no_yes_refuses(server, listener, logged, result, later):
    """False refuses in python-engineio: whoever says it must not let everybody in."""
    listener.on_admit = lambda _: succeed(result) if later else result
    (failure,) = admission_of(server, handshake())
    assert failure.check(Refused)
    assert failure.value.status == 403
    assert formatEvent(logged.take()) == (
        f"Application.admit returned {result!r}; the client was refused. Return"
        " None, True or an Admission to admit it, raise Reject to refuse it"
    )


async def reject(_):
    """Refuse as an async admit does."""
    raise Reject(401, "Who are you?")


def reject_at_once(_):
    """Refuse as a plain admit does."""
    raise Reject(401, "Who are you?")


@pytest.mark.parametrize("admit", [reject, reject_at_once])
def test_who_is_rejected_is_refused_in_the_application_s_words(server, listener, admit):
    """Sync or async."""
    listener.on_admit = admit
    (failure,) = admission_of(server, handshake())
    assert failure.check(Reject)
    assert failure.value.status == 401


@pytest.mark.parametrize(
    "admit", [lambda _: 1 / 0, lambda _: fail(ZeroDivisionError())]
)
def test_an_admit_that_fails_refuses(server, listener, logged, admit):
    """It is logged, and the client told no more than "Bad request"."""
    listener.on_admit = admit
    (failure,) = admission_of(server, handshake())
    assert failure.check(Refused)
    assert failure.value.code is ErrorCode.BAD_REQUEST
    logged.take(ZeroDivisionError)


def test_a_client_that_leaves_cancels_its_admission(server, listener):
    """The application's Deferred is cancelled, and nothing is logged."""
    listener.on_admit = lambda _: Deferred()
    admitted = server.admit(handshake())
    results = outcome_of(admitted)
    assert results == []
    admitted.cancel()
    assert results[0].check(CancelledError)


@pytest.mark.parametrize("revision", ["3", "5", ""])
def test_a_revision_that_is_not_spoken_is_refused(server, listener, revision):
    """After the application was asked."""
    (failure,) = admission_of(server, handshake(EIO=revision))
    assert failure.value.code is ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
    assert len(listener.admitted) == 1


def test_the_application_may_say_more_of_who_it_admits(server, listener, clock):
    """Its data, and a heartbeat of its own."""
    admission = Admission(data="a user", ping_interval=5.0, ping_timeout=2.0)
    listener.on_admit = lambda _: admission
    (entry,) = admission_of(server, handshake())
    transport = RecordingTransport()
    session = server.open(entry, transport)
    assert session.data == "a user"
    assert session.intervals == (5.0, 2.0)
    assert '"pingInterval":5000,"pingTimeout":2000' in transport.written[0].data
    clock.advance(5)
    clock.advance(2)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


@pytest.mark.parametrize("first", ["hello", b"hello", bytearray(b"hello")])
def test_an_initial_packet_follows_the_open_packet(make_server, first):
    """In the same payload, before the application's greeting."""
    transport = RecordingTransport()
    join(make_server(initial_packet=first), transport)
    assert transport.written[1:] == [first]
    assert type(transport.written[1]) in (str, bytes)


def test_jitter_brings_the_first_ping_early(make_server, clock):
    """By at most ping_jitter, at random; the next ones come as ever."""
    server = make_server(ping_jitter=4.0, random=lambda: 0.5)
    transport = RecordingTransport()
    session = join(server, transport)
    clock.advance(22.5)
    assert PING not in transport.written
    clock.advance(0.5)
    assert transport.written[1:] == [PING]
    session.receive_packet(PONG)
    clock.advance(24.5)
    assert transport.written[1:] == [PING]
    clock.advance(0.5)
    assert transport.written[1:] == [PING, PING]


# Sessions and their ids.


def test_a_session_is_found_by_its_id(server):
    """From its opening on, with the transport feeding it."""
    transport = RecordingTransport()
    session = join(server, transport)
    assert server.find(session.sid) is session
    assert server.sessions == {session.sid: session}
    assert transport.receiver is session


@pytest.mark.parametrize("sid", ["", "x" * 8192, "__proto__", "__class__", "\x00"])
def test_an_unknown_id_is_refused(server, session, sid):
    """Whatever a client says its id is."""
    with pytest.raises(Refused) as caught:
        server.find(sid)
    assert caught.value.code is ErrorCode.UNKNOWN_SID


def test_a_session_that_has_expired_is_not_found(server, session, clock, listener):
    """A pong that is overdue is missed, though the timer has not fired yet."""
    clock.advance(25)
    clock.rightNow += 20
    with pytest.raises(Refused):
        server.find(session.sid)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


def test_the_registry_is_read_only(server, session):
    """Sessions come by open and go by their end."""
    with pytest.raises(TypeError):
        server.sessions["mine"] = session


def test_a_session_is_gone_when_its_application_hears_it(server, session, listener):
    """Nobody finds a session that is over."""
    listener.on_closed = lambda session, _: seen.append(session.sid in server.sessions)
    seen = []
    session.fail(CloseReason.TRANSPORT_ERROR)
    assert seen == [False]


def test_ids_cannot_be_guessed(server):
    """120 random bits, URL-safe, never twice."""
    sids = {join(server, RecordingTransport()).sid for _ in range(100)}
    assert len(sids) == 100
    assert all(len(base64.urlsafe_b64decode(sid)) == 15 for sid in sids)


def test_make_sid_makes_the_ids(make_server):
    """From the handshake."""
    server = make_server(make_sid=lambda handshake: handshake.query["t"])
    (entry,) = admission_of(server, handshake(t="mine"))
    assert server.open(entry, RecordingTransport()).sid == "mine"


def test_make_sid_may_be_async(make_server):
    """The client waits for its id."""
    waiting = Deferred()
    entries = admission_of(make_server(make_sid=lambda _: waiting), handshake())
    assert entries == []
    waiting.callback("late")
    assert entries[0].sid == "late"


@pytest.mark.parametrize("sid", [None, "", 4, b"bytes", "in use"])
def test_an_id_that_is_none_or_in_use_is_refused(make_server, logged, sid):
    """The session that has it is unharmed, the operator told."""
    sids = ["in use", sid]
    server = make_server(make_sid=lambda _: sids.pop(0))
    (entry,) = admission_of(server, handshake())
    session = server.open(entry, RecordingTransport())
    (failure,) = admission_of(server, handshake())
    assert failure.value.code is ErrorCode.BAD_REQUEST
    assert server.find("in use") is session
    assert "no unused session id" in logged.take()["log_format"]


def test_a_make_sid_that_fails_refuses(make_server, logged):
    """It is logged; there is no session."""
    server = make_server(make_sid=lambda _: 1 / 0)
    (failure,) = admission_of(server, handshake())
    assert failure.value.code is ErrorCode.BAD_REQUEST
    assert server.sessions == {}
    logged.take(ZeroDivisionError)


# Broadcasts.


@pytest.mark.parametrize("data", ["text", b"bytes", ""])
def test_a_broadcast_reaches_every_open_session(server, open_session, clock, data):
    """Encoded once, for all of them; not those that are closing."""
    sessions = [open_session(server, name) for name in ("polling", "websocket")]
    closing = open_session(server)
    closing.transport.writable = False
    closing.close()
    server.broadcast(data)
    clock.advance(0)
    (one,), (two,) = (each.transport.written for each in sessions)
    assert one is two
    assert (one.data, one.compress) == (data, True)


def test_a_broadcast_to_nobody_does_nothing(server, clock):
    """Without sessions as well: not even a turn is waited for."""
    server.broadcast("anyone?")
    assert clock.getDelayedCalls() == []


def test_a_broadcast_says_whether_to_compress(session, clock):
    """As send does."""
    session.server.broadcast("x", compress=False)
    assert not session.transport.written[0].compress
    clock.advance(0)


def test_only_messages_are_broadcast(session):
    """The mistake shows before anybody was sent anything."""
    with pytest.raises(TypeError):
        session.server.broadcast({"not": "a message"})
    assert session.transport.written == []


def test_a_slow_client_holds_no_broadcast_up(make_server, open_session, clock):
    """The others get theirs; the slow one ends a turn later."""
    server = make_server(max_buffered=70_000)
    slow, quick = open_session(server), open_session(server)
    slow.transport.writable = False
    server.broadcast(b"x" * 70_001)
    clock.advance(0)
    assert slow.state is State.CLOSED
    assert isinstance(quick.transport.written[0], Encoded)


@pytest.mark.parametrize("kind", [bytearray, lambda data: memoryview(bytearray(data))])
def test_a_buffer_is_broadcast_as_it_is_now(server, open_session, clock, kind):
    """It is copied once, for all sessions."""
    session = open_session(server)
    session.transport.writable = False
    data = kind(b"one")
    server.broadcast(data)
    data[:] = b"two"
    session.transport.ready()
    assert [each.data for each in session.transport.written] == [b"one"]
    clock.advance(0)


@pytest.mark.parametrize("kind", ["session", "sid", "sessions", "sids", "generator"])
def test_a_broadcast_leaves_some_out(server, open_session, clock, kind):
    """Sessions or ids, one or several; an id that is unknown is nobody's."""
    first, second, third = (open_session(server) for _ in range(3))
    some = {
        "session": first,
        "sid": first.sid,
        "sessions": [first, second],
        "sids": {first.sid, second.sid, "unknown"},
        "generator": (each for each in (first, second.sid)),
    }
    server.broadcast("x", except_=some[kind])
    clock.advance(0)
    several = kind not in ("session", "sid")
    assert first.transport.written == []
    assert bool(second.transport.written) is not several
    assert len(third.transport.written) == 1


def test_an_open_session_is_found_by_its_id(server, open_session, clock):
    """One that is closing is still in ``sessions``, but can't be sent to."""
    session = open_session(server)
    assert server.session(session.sid) is session
    assert server.session("unknown") is None
    session.close()
    assert session.sid in server.sessions
    assert server.session(session.sid) is None
    clock.advance(0)
    assert session.sid not in server.sessions
    assert server.session(session.sid) is None


# Stopping.


def test_stop_closes_every_session(server, open_session, listener, clock):
    """With the reason "server close"; the Deferred fires when the last has ended."""
    quick, slow = open_session(server), open_session(server)
    slow.transport.writable = False
    stopped = outcome_of(server.stop())
    clock.advance(0)
    assert listener.closed == [(quick, CloseReason.SERVER_CLOSE)]
    assert stopped == []
    slow.transport.ready()
    assert listener.closed[1:] == [(slow, CloseReason.SERVER_CLOSE)]
    assert stopped == []
    clock.advance(0.1)  # the last words leave
    assert stopped == [None]
    assert clock.getDelayedCalls() == []


def test_stop_of_an_empty_server_takes_a_moment(server, clock):
    """For what it has just told whom it refused."""
    stopped = outcome_of(server.stop())
    assert stopped == []
    clock.advance(0.1)
    assert stopped == [None]
    assert clock.getDelayedCalls() == []


def test_stop_may_be_called_again(server, session, clock):
    """Everyone who calls is told, before and after."""
    session.transport.writable = False
    first, second = outcome_of(server.stop()), outcome_of(server.stop())
    assert first == second == []
    session.transport.ready()
    third = outcome_of(server.stop())
    assert third == []
    clock.advance(0.1)
    assert first == second == third == [None]
    assert outcome_of(server.stop()) == [None]


def test_stop_has_an_end(server, session, clock):
    """Sessions that nobody fetches the last words of are cut off."""
    session.transport.writable = False
    stopped = outcome_of(server.stop(timeout=5))
    clock.advance(0)
    clock.advance(4.5)
    assert stopped == []
    clock.advance(0.5)
    clock.advance(0.1)
    assert stopped == [None]
    assert clock.getDelayedCalls() == []


def test_stop_waits_for_drain_timeout_if_it_is_not_told(
    make_server, open_session, clock
):
    """However long last words may wait otherwise."""
    server = make_server(drain_timeout=7.0)
    open_session(server).transport.writable = False
    stopped = outcome_of(server.stop())
    clock.advance(6.5)
    assert stopped == []
    clock.advance(0.5)
    clock.advance(0.1)
    assert stopped == [None]


def test_a_server_that_stops_lets_nobody_in(server):
    """503, before and after the application was asked."""
    server.stop()
    (failure,) = admission_of(server, handshake())
    assert failure.check(Reject)
    assert failure.value.status == 503
    with pytest.raises(Reject, match="503"):
        join(server, RecordingTransport())


# What else it hears.


def test_refusals_are_told_to_observers(make_server):
    """With everything that the operator may want to know."""
    onlooker = Onlooker()
    server = make_server(observers=[onlooker])
    refused = Refused(ErrorCode.FORBIDDEN, "the origin")
    asked = SimpleNamespace(view=handshake())
    server.refused(refused, asked)
    server.too_large(PayloadTooLarge(9, 8))
    assert onlooker.events == [
        ("connection_refused", refused),
        ("payload_refused", 9, 8),
    ]


def test_without_a_clock_time_is_the_reactor_s():
    """Whoever gives no clock means Twisted's reactor; no options are the defaults."""
    from twisted.internet import reactor

    server = Server(Application())
    assert server.clock is reactor
    assert server.config.ping_interval == 25.0


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((Application,), "an Application, not the class Application: use Applica"),
        ((Application(), {"ping_interval": 1}), "a Config, not {'ping_interval': 1}"),
    ],
)
def test_what_a_server_cannot_use_is_refused(given, wanted):
    """At once: every client would be refused later."""
    with pytest.raises(TypeError) as caught:
        Server(*given)
    assert str(caught.value).startswith(f"Server takes {wanted}")


def test_two_servers_know_nothing_of_each_other(make_server, open_session):
    """A session of one is unknown to the other."""
    one, other = make_server(), Server(Application(), clock=Clock())
    session = open_session(one)
    with pytest.raises(Refused):
        other.find(session.sid)


def test_an_id_given_twice_is_refused_the_second_time(server):
    """Also if both were admitted before either was opened."""
    shake = handshake()
    entry = Entry(shake, REVISION_4, "same", Admission())
    server.open(entry, RecordingTransport())
    with pytest.raises(Refused, match="another session took the id"):
        server.open(entry, RecordingTransport())
    assert list(server.sessions) == ["same"]


def test_a_session_that_fails_to_open_is_forgotten(server):
    """Whatever it was that failed."""
    transport = RecordingTransport()

    def fail_to_send(item):
        raise ZeroDivisionError

    transport.send = fail_to_send
    with pytest.raises(ZeroDivisionError):
        join(server, transport)
    assert server.sessions == {}


@pytest.mark.parametrize("end", ["close", "abort"])
def test_an_observer_may_end_a_session_at_its_open_packet(
    make_server, listener, clock, end
):
    """As whoever ends it later: nothing is left that keeps it."""

    class Ender(Observer):
        def packet_sent(self, session, item):
            if session.state is State.OPEN:
                getattr(session, end)()

    transport = RecordingTransport()
    session = join(make_server(observers=[Ender()]), transport)
    assert session.state is State.CLOSING
    clock.advance(0)
    clock.advance(0)
    assert listener.closed == [(session, CloseReason.FORCED_CLOSE)]
    assert (GOODBYE in transport.written) is (end == "close")
    assert clock.getDelayedCalls() == []


def test_a_stop_at_a_session_s_opening_is_over_with_it(make_server, clock):
    """An observer that is told of the first session stops the server."""
    stopped = []

    class Stopper(Observer):
        def session_opened(self, session):
            session.server.stop().addCallback(stopped.append)

    server = make_server(observers=[Stopper()])
    join(server, RecordingTransport())
    clock.advance(0.1)
    assert stopped == [None]
    assert clock.getDelayedCalls() == []


def test_an_observer_may_end_a_session_before_it_opens(make_server, listener):
    """Then the application is never told of it, but every observer is of its end."""

    class Bouncer(Observer):
        def session_opened(self, session):
            session.close()

    onlooker = Onlooker()
    server = make_server(observers=[Bouncer(), onlooker])
    assert join(server, RecordingTransport()).state is State.CLOSED
    assert server.sessions == {}
    assert listener.opened == listener.closed == []
    assert onlooker.events == [
        ("session_opened",),
        ("session_closed", CloseReason.FORCED_CLOSE),
    ]


def test_a_stop_waits_for_the_application_s_goodbyes(server, clock, listener):
    """An async session_closed may write to a database."""
    writing = Deferred()
    listener.on_closed = lambda *_: writing
    join(server, RecordingTransport())
    stopped = []
    server.stop().addCallback(stopped.append)
    clock.advance(0)
    assert server.sessions == {}
    assert stopped == []
    writing.callback(None)
    clock.advance(0.1)
    assert stopped == [None]

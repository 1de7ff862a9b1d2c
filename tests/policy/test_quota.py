"""Who may come in: limits on sessions and on handshakes, and who hears of them."""

from __future__ import annotations

import pytest
from fakes import Onlooker, RecordingTransport, handshake, join
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from twisted_engineio import Config, Handshake, Reject, Unavailable
from twisted_engineio.policy.quota import Quota

HOME, NEIGHBOUR = "203.0.113.5", "203.0.113.6"
POLLING, WEBSOCKET = "EIO=4&transport=polling", "EIO=4&transport=websocket"


def quota(**options):
    """Make a quota, at time 0; ``made.clock`` is its time."""
    clock = Clock()
    made = Quota(Config(**options), clock.seconds)
    made.clock = clock
    return made


def refused(function, *args):
    """Tell what somebody is refused with: status, limit and when to come back."""
    with pytest.raises(Unavailable) as caught:
        function(*args)
    error = caught.value
    assert error.headers == {"Retry-After": str(error.retry_after)}
    return error.status, error.limit, error.retry_after


def test_a_quota_without_limits_lets_everybody_in():
    """And counts no addresses."""
    made = quota(max_sessions=None)
    for _ in range(10_000):
        made.begin_handshake(HOME)
        made.acquire(HOME)
    made.release(HOME)
    assert not made._per_address


def test_a_full_server_is_503():
    """One more than max_sessions is refused, until somebody leaves."""
    made = quota(max_sessions=2)
    made.reserve(HOME)
    made.acquire(None)
    assert refused(made.begin_handshake, HOME) == (503, "max_sessions", 5)
    assert refused(made.acquire, HOME) == (503, "max_sessions", 5)
    made.release(None)
    made.begin_handshake(HOME)


def test_one_address_too_often_is_429():
    """Others come in all the same."""
    made = quota(max_sessions_per_address=1)
    made.reserve(HOME)
    limit = "max_sessions_per_address"
    assert refused(made.begin_handshake, HOME) == (429, limit, 5)
    assert refused(made.acquire, HOME) == (429, limit, 5)
    made.begin_handshake(NEIGHBOUR)
    made.release(HOME)
    made.begin_handshake(HOME)


def test_clients_without_an_address_are_counted_together_only():
    """A UNIX socket tells none, and a proxy that nobody listed isn't one client."""
    made = quota(max_sessions_per_address=1, max_sessions=3)
    for _ in range(3):
        made.acquire(None)
    assert refused(made.begin_handshake, None)[1] == "max_sessions"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:0:0:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:203.0.113.5", HOME, True),
        ("::ffff:203.0.113.5", "::ffff:203.0.113.6", False),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("no:address", "no:address", True),
        ("no:address", "nor:this", False),
    ],
)
def test_what_counts_as_one_address(one, other, same):
    """An IPv4 address; of IPv6 a /64; and what is neither as it stands."""
    made = quota(max_sessions_per_address=1)
    made.acquire(one)
    if same:
        assert refused(made.begin_handshake, other)[0] == 429
    else:
        made.begin_handshake(other)


def test_handshakes_have_a_rate():
    """As many at once as in a second, then one for each part of it."""
    made = quota(max_handshakes_per_second=2)
    made.begin_handshake(HOME)
    made.begin_handshake(HOME)
    assert refused(made.begin_handshake, HOME) == (503, "max_handshakes_per_second", 1)
    made.acquire(HOME)  # it has knocked already
    made.clock.advance(0.5)
    made.begin_handshake(HOME)
    assert refused(made.begin_handshake, HOME)[0] == 503


def test_who_is_refused_costs_nothing():
    """A client that is one too many takes nobody's handshake away."""
    made = quota(max_handshakes_per_second=2, max_sessions=1)
    made.begin_handshake(HOME)
    made.acquire(HOME)
    for _ in range(10):
        assert refused(made.begin_handshake, HOME)[1] == "max_sessions"
    made.release(HOME)
    made.begin_handshake(HOME)


def test_who_is_refused_is_told_when_to_come_back():
    """In whole seconds, rounded up."""
    made = quota(max_handshakes_per_second=0.1)
    made.begin_handshake(HOME)
    assert refused(made.begin_handshake, HOME)[2] == 10
    made.clock.advance(0.5)
    assert refused(made.begin_handshake, HOME)[2] == 10
    made.clock.advance(1)
    assert refused(made.begin_handshake, HOME)[2] == 9


@given(st.lists(st.tuples(st.sampled_from([HOME, NEIGHBOUR, None]), st.booleans())))
def test_nobody_is_counted_who_has_left(steps):
    """Whoever comes and goes, the count is that of who is in."""
    made, inside = quota(max_sessions=5, max_sessions_per_address=2), []
    for address, comes in steps:
        full = len(inside) >= 5
        often = address is not None and inside.count(address) >= 2
        if not comes:
            if address in inside:
                inside.remove(address)
                made.release(address)
        elif full or often:
            assert refused(made.acquire, address)[0] == (503 if full else 429)
        else:
            made.acquire(address)
            inside.append(address)
    for address in inside:
        made.release(address)
    assert (made._count, dict(made._per_address)) == (0, {})


# At the server.


def come(server, address=HOME):
    """Ask to be admitted."""
    results = []
    shake = Handshake("polling", {"EIO": "4"}, {}, address)
    maybeDeferred(server.admit, shake).addBoth(results.append)
    return results


def test_a_session_counts_until_it_ends(make_server, clock):
    """However it ends, and only once."""
    server = make_server(max_sessions=1)
    for end in ("abort", "close"):
        (entry,) = come(server)
        session = server.open(entry, RecordingTransport())
        assert come(server)[0].value.status == 503
        getattr(session, end)()
        clock.advance(0)
    assert len(come(server)) == 1


def test_a_session_that_an_observer_ends_at_once_does_not_count(make_server):
    """It was never open."""

    class Hostile(Onlooker):
        def session_opened(self, session):
            session.close()

    server = make_server(max_sessions=1, observers=[Hostile()])
    for _ in range(3):
        (entry,) = come(server)
        server.open(entry, RecordingTransport())
        assert server.sessions == {}


def test_who_waits_for_admit_counts(make_server, listener):
    """A slow admit lets no more in than a quick one, and a client that left none."""
    listener.on_admit = lambda _: Deferred()
    server = make_server(max_sessions=1)
    waiting = server.admit(handshake())
    assert come(server)[0].value.limit == "max_sessions"
    assert len(listener.admitted) == 1
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    assert come(server) == []


def test_who_is_rejected_does_not_count(make_server, listener):
    """The application has refused it: nobody came in."""

    def reject(_):
        raise Reject(401, "no")

    listener.on_admit = reject
    server = make_server(max_sessions=1)
    for _ in range(3):
        assert come(server)[0].value.status == 401


def test_two_that_were_admitted_for_one_place(make_server):
    """Who opens first has it; the other is refused, and observers are told whose."""
    onlooker = Onlooker()
    server = make_server(max_sessions=1, observers=[onlooker])
    ((one,), (other,)) = come(server), come(server, NEIGHBOUR)
    server.open(one, RecordingTransport())
    with pytest.raises(Unavailable):
        server.open(other, RecordingTransport())
    assert onlooker.calm[-1] == ("limit_reached", "max_sessions", other.handshake)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"max_sessions": 1}, 503),
        ({"max_sessions_per_address": 1}, 429),
        ({"max_handshakes_per_second": 0.001}, 503),
    ],
)
@pytest.mark.parametrize("transport", ["polling", "websocket", "sse", "jsonp"])
def test_a_refusal_is_answered_and_told(
    make_server, browse, options, status, transport
):
    """On every transport: with Retry-After, JSON where it is read, told once."""
    onlooker = Onlooker()
    everything = ("polling", "sse", "websocket")
    server = make_server(
        observers=[onlooker], transports=everything, jsonp=True, **options
    )
    browse(server).get(POLLING)
    onlooker.events.clear()
    if transport == "websocket":
        answer = browse(server).upgrade(WEBSOCKET).answer
    else:
        query = "polling&j=0" if transport == "jsonp" else transport
        answer = browse(server).get(f"EIO=4&transport={query}").answer
        assert answer.json()["code"] == 4
        assert set(answer.json()) == {"code", "message"}
    assert answer.status == status
    assert int(answer.headers["retry-after"]) >= 1
    (limit,) = options
    told, refusal = onlooker.calm
    assert told[:2] == ("limit_reached", limit)
    assert told[2].client_address == HOME
    assert refusal[1].context == f"{limit} was reached"
    assert len(server.sessions) == 1


def test_a_proxy_s_clients_are_counted_by_their_own_addresses(make_server, browse):
    """If the proxy is trusted; else it is one client."""
    for trusted, status in (["203.0.113.0/24"], 200), ([], 429):
        server = make_server(max_sessions_per_address=1, trusted_proxies=trusted)
        browse(server).get(POLLING, X_Forwarded_For="192.0.2.1")
        second = browse(server).get(POLLING, X_Forwarded_For="192.0.2.2")
        assert second.answer.status == status


@pytest.fixture
def warnings():
    """Write down what the log is told at level warn."""
    events = []

    def observe(event):
        if event["log_level"] is LogLevel.warn:
            events.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


def test_a_full_server_says_so_once_a_minute(make_server, clock, warnings):
    """At once, and then how many were refused meanwhile; a flood fills no log."""
    server = make_server(max_sessions=1)
    join(server, RecordingTransport())
    line = "max_sessions is reached; clients refused since the last such line: {}"
    for seconds in (0, 1, 58.5, 0.5, 1):
        clock.advance(seconds)
        with pytest.raises(Unavailable):
            server.admit(handshake())
    assert warnings == [line.format(1), line.format(3)]
    server.flush_log()
    assert warnings[2:] == [line.format(1)]


def test_each_limit_of_the_whole_server_is_said_by_itself(server, warnings):
    """One client's own limits are its own affair."""
    for limit in (
        "max_sessions",
        "max_sessions_per_address",
        "max_handshakes_per_second",
    ):
        server._warn_operator(limit)
    said = [line.split()[0] for line in warnings]
    assert said == ["max_sessions", "max_handshakes_per_second"]

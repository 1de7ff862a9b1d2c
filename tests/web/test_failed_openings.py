"""A session that cannot be opened leaves nothing: no connection, timer or place."""

from __future__ import annotations

import pytest
from fakes import handshake

from twisted_engineio import Admission, Config, ConfigError
from twisted_engineio.transports.polling import PollingTransport

INFINITE = float("inf")
NUMBERS = [0, -1, True, "5", float("nan"), INFINITE, -INFINITE, 1j, [25]]
CONFIGS = {"Config": Config, "Admission": Admission}


def beyond(**given):
    """Make an Admission that was never checked, as a subclass may."""
    made = Admission()
    for name, value in given.items():
        object.__setattr__(made, name, value)
    return made


# Intervals.


@pytest.mark.parametrize("make", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("name", ["ping_interval", "ping_timeout"])
@pytest.mark.parametrize("value", NUMBERS)
def test_an_interval_is_a_number_of_seconds(make, name, value):
    """Wherever it is given, and in the same words."""
    with pytest.raises(ConfigError, match=f"^{name}: must be a number of sec"):
        make(**{name: value})


@pytest.mark.parametrize("make", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("name", ["ping_interval", "ping_timeout"])
@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (25_000, "25"),
        (20_000.0, "20"),
        (3601, "3.601"),
        (3_600_000, "3600"),
        (1e306, "25"),
        (10**400, "25"),
    ],
)
def test_milliseconds_are_told(make, name, value, meant):
    """As they are written in JavaScript, where a second is a thousand."""
    with pytest.raises(ConfigError, match=f"in seconds; did you mean {meant}\\?$"):
        make(**{name: value})


@pytest.mark.parametrize("make", CONFIGS.values(), ids=CONFIGS)
def test_an_hour_is_allowed(make):
    """And so is what is given as a whole number."""
    made = make(ping_interval=3600, ping_timeout=0.001)
    assert (made.ping_interval, made.ping_timeout) == (3600, 0.001)


# Openings.


FAULTS = {
    "infinite": beyond(ping_interval=INFINITE),
    "huge": beyond(ping_timeout=1e306),
    "no number": beyond(ping_interval="5"),
}
WAYS = {
    "polling": ("get", "EIO=4&transport=polling"),
    "sse": ("get", "EIO=4&transport=sse"),
    "WebSocket": ("upgrade", "EIO=4&transport=websocket"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_whatever_is_raised_leaves_nothing(
    make_server, browse, listener, logged, way, fault
):
    """Over twisted.web: it is refused or cut, and logged; the next one gets in."""
    server = make_server(transports=("polling", "sse", "websocket"), max_sessions=1)
    listener.on_admit = lambda _: fault
    method, query = way
    browser = browse(server)
    getattr(browser, method)(query)
    if method == "get":
        assert browser.answer.status == 400
    else:
        assert browser.wire.disconnecting or not browser.wire.connected
    assert server.sessions == {}
    while logged:
        logged.take()
    browser.lose()
    assert server.connected == 0
    listener.on_admit = lambda _: None
    assert browse(server).get("EIO=4&transport=polling").answer.status == 200


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whatever_is_raised_at_the_door_leaves_nothing(
    make_server, tcp_browse, listener, clock, logged, fault
):
    """Where a WebSocket is let in before twisted.web reads it."""
    server = make_server(max_sessions=1)
    listener.on_admit = lambda _: fault
    browser = tcp_browse(server)
    browser.upgrade("EIO=4&transport=websocket")
    clock.advance(0.01)
    assert server.sessions == {}
    assert server.connected == 0
    while logged:
        logged.take()
    listener.on_admit = lambda _: None
    assert server.admit(handshake())


class Breaks(Exception):
    """What nobody thought of."""


def breaks(*_, **__):
    """Raise it."""
    raise Breaks


@pytest.mark.parametrize(
    ("name", "status", "body"), [("poll", 400, b"Bad request"), ("flush", 200, b"1")]
)
def test_an_answer_that_cannot_be_made_ends_its_session(
    make_server, browse, logged, monkeypatch, name, status, body
):
    """Polling: it is refused, or closed where the request is the session's already."""
    monkeypatch.setattr(PollingTransport, name, breaks)
    server = make_server()
    answer = browse(server).get("EIO=4&transport=polling").answer
    assert answer.status == status
    assert body in answer.body
    assert server.sessions == {}
    while logged:
        logged.take(Breaks)


def test_an_upgrade_that_fails_is_cut(server, browse, monkeypatch, logged, clock):
    """The session goes on where it was."""
    first = browse(server).get("EIO=4&transport=polling")
    [session] = server.sessions.values()
    monkeypatch.setattr(type(session), "upgrade", breaks)
    other = browse(server).upgrade(f"EIO=4&transport=websocket&sid={session.sid}")
    assert other.wire.disconnecting or not other.wire.connected
    logged.take(Breaks)
    assert session.sid in server.sessions
    first.lose()
    other.lose()


def test_a_place_is_free_again(make_server, monkeypatch):
    """max_sessions does not count what was never opened."""
    from fakes import RecordingTransport, join

    server = make_server(max_sessions=1)
    kept, server._session_class = server._session_class, breaks
    for _ in range(3):
        with pytest.raises(Breaks):
            join(server, RecordingTransport())
    server._session_class = kept
    assert join(server, RecordingTransport())

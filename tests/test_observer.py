"""What an operator may watch."""

from __future__ import annotations

import inspect

import pytest
from fakes import PING, Onlooker, RecordingTransport, handshake, join
from twisted.web.http_headers import Headers

from twisted_engineio import (
    CloseReason,
    ErrorCode,
    Observer,
    PacketType,
    PayloadTooLarge,
    Refused,
)

EVENTS = {
    "session_opened": (None,),
    "session_closed": (None, CloseReason.SERVER_CLOSE),
    "connection_refused": (Refused(ErrorCode.FORBIDDEN, ""), handshake()),
    "limit_reached": ("max_sessions", handshake()),
    "payload_refused": (PayloadTooLarge(2, 1),),
    "headers": (Headers(), handshake(), None),
    "flushing": (None,),
    "flushed": (None,),
    "upgrading": (None, "websocket"),
    "upgraded": (None, "websocket"),
    "packet_received": (None, PacketType.PONG, ""),
    "packet_sent": (None, PING),
    "heartbeat": (None,),
}


@pytest.mark.parametrize(("event", "about"), EVENTS.items())
def test_an_observer_need_not_look(event, about):
    """Every method does nothing until it is overridden."""
    assert getattr(Observer(), event)(*about) is None


def test_no_event_is_forgotten():
    """The list above is all that there is, and what the tests' onlooker has."""
    for observer in (Observer, Onlooker):
        methods = inspect.getmembers(observer, inspect.isfunction)
        assert {name for name, _ in methods if name[0] != "_"} == set(EVENTS)


def test_observers_are_told_in_order(make_server):
    """The first that was given hears first."""
    heard = []

    class Named(Observer):
        def __init__(self, name):
            self.name = name

        def session_opened(self, session):
            heard.append(self.name)

    server = make_server(observers=[Named("first"), Named("second")])
    join(server, RecordingTransport())
    assert heard == ["first", "second"]


def test_an_observer_that_raises_changes_nothing(make_server, open_session, logged):
    """It is logged; the others are told, the session goes on."""

    class Broken(Observer):
        def session_opened(self, _):
            raise ZeroDivisionError

        def packet_received(self, *_):
            raise ZeroDivisionError

    onlooker = Onlooker()
    session = open_session(make_server(observers=[Broken(), onlooker]))
    logged.take(ZeroDivisionError)
    session.receive("hello")
    assert session.server.application.received == ["hello"]
    assert onlooker.events[-1] == ("packet_received", PacketType.MESSAGE, "hello")
    logged.take(ZeroDivisionError)

"""The four things that an application is told."""

from __future__ import annotations

import pytest
from fakes import RecordingTransport, handshake, join

from twisted_engineio import (
    Admission,
    Application,
    CloseReason,
    ConfigError,
    EchoApplication,
)


def test_an_application_that_overrides_nothing_serves(make_server, open_session):
    """Anybody may come, nothing happens, everybody may go."""
    server = make_server(Application())
    assert server.admit(handshake()).admission == Admission()
    session = open_session(server)
    session.receive("hello")
    session.fail(CloseReason.TRANSPORT_CLOSE)
    assert session.transport.written == []


def test_echo_sends_everything_back(make_server, open_session):
    """Text as text, bytes as bytes, exactly as they came."""
    session = open_session(make_server(EchoApplication()))
    sent = ["text", b"bytes", "", b"", "\u20ac", "\x00"]
    for data in sent:
        session.receive(data)
    assert session.transport.written == sent


def test_echo_survives_a_message_behind_its_own_goodbye(make_server, clock):
    """A session that is closing delivers nothing, so echo has nothing to raise."""
    server = make_server(EchoApplication())
    transport = RecordingTransport(writable=False)
    session = join(server, transport)
    session.close()
    session.receive("late")
    assert session.buffered > 0


@pytest.mark.parametrize("name", ["ping_interval", "ping_timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", float("nan")])
def test_an_admission_refuses_intervals_that_cannot_work(name, value):
    """It says which, when it is made, and not when a session fails to open."""
    with pytest.raises(ConfigError, match=name):
        Admission(**{name: value})

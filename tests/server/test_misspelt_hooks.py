"""Methods that look like hooks and are never called."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from twisted_engineio import Application, EchoApplication, Server
from twisted_engineio.application import HOOKS, misspelt_hooks


def made(*names, base=Application, **others):
    """Make an application with methods of these names."""
    hooks = {name: lambda *_: None for name in names}
    return type("Chat", (base,), {**hooks, **others})()


@pytest.fixture
def warnings():
    """Write down what is warned of."""
    lines = []

    def observe(event):
        if event["log_level"] is LogLevel.warn:
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("message_recieved", "message_received"),
        ("mesage_received", "message_received"),
        ("message_receive", "message_received"),
        ("messageReceived", "message_received"),
        ("on_session_opened", "session_opened"),
        ("messages_received", "message_received"),
        ("session_open", "session_opened"),
        ("sesion_opened", "session_opened"),
        ("sessionClosed", "session_closed"),
        ("session_close", "session_closed"),
        ("_session_closed", "session_closed"),
        ("admitt", "admit"),
        ("Admit", "admit"),
    ],
)
def test_a_near_name_is_told(name, hook, warnings):
    """Once, when the server is made: else nothing would happen, in silence."""
    Server(made(name), clock=Clock())
    assert warnings == [
        f"Chat defines methods that are never called: {name}: did you mean {hook}?"
    ]


def test_several_are_one_warning(warnings):
    """Also those of a base class, and whatever kind of method they are."""

    async def message_recieved(self, session, data):
        """Do nothing."""

    base = type(made("sesion_closed"))
    kinds = {
        "message_recieved": message_recieved,
        "admitt": staticmethod(lambda: None),
        "session_openend": classmethod(lambda cls: None),
    }
    Server(made(base=base, **kinds), clock=Clock())
    [warning] = warnings
    assert warning.count("did you mean") == 4


@pytest.mark.parametrize(
    "name",
    [
        "message_received_count",
        "session_opened_at",
        "admit_if",
        "session_closed_by",
        "sessions",
        "sessions_closed_today",
        "admin",
        "submit",
        "limit",
        "on_message",
        "message_sent",
        "session_renamed",
        "received",
        *HOOKS,
    ],
)
def test_other_names_are_an_application_s_own(name):
    """No false alarm."""
    assert misspelt_hooks(made(name)) == {}


def test_a_hook_that_is_there_is_not_meant_by_another():
    """A helper may be called nearly as it is."""
    assert misspelt_hooks(made("session_closed", "session_close")) == {}
    base = type(made("message_received"))
    assert misspelt_hooks(made("message_receive", base=base)) == {}
    assert misspelt_hooks(made("message_receive", base=EchoApplication)) == {}


def test_nothing_is_evaluated():
    """Neither a property nor what is no method at all."""

    def explode(self):
        raise AssertionError

    assert misspelt_hooks(made(message_recieved=property(explode))) == {}
    assert misspelt_hooks(made(session_openned=5, admitt="yes")) == {}

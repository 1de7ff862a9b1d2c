"""What twistd runs: its log, its end, and what a signal does."""

from __future__ import annotations

import signal

import pytest
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, globalLogPublisher

from twisted_engineio import Application, CloseReason, Server
from twisted_engineio.service import ServerService


@pytest.mark.usefixtures("observers")
def test_the_log_has_the_level_that_was_asked_for():
    """From the start on, for every observer that twistd has added."""
    events = []
    globalLogPublisher.addObserver(events.append)
    service = ServerService(Server(Application(), clock=Clock()), LogLevel.warn)
    log = Logger()
    log.info("before")
    service.startService()
    log.info("not heard")
    log.warn("heard")
    service.stopService()
    heard = [each["log_format"] for each in events if each["log_source"] is None]
    assert heard[0] == "before"
    assert heard[-1] == "heard"
    assert "not heard" not in heard


@pytest.mark.usefixtures("observers")
def test_a_service_that_stops_closes_its_sessions(server, clock, session, listener):
    """With "server close", and its last words have time to leave."""
    service = ServerService(server, LogLevel.info)
    service.startService()
    stopped = []
    service.stopService().addCallback(stopped.append)
    clock.advance(0)
    assert listener.reasons == [CloseReason.SERVER_CLOSE]
    assert stopped == []
    clock.advance(0.1)
    assert len(stopped) == 1


@pytest.mark.usefixtures("observers")
def test_a_service_does_not_wait_for_ever_for_its_clients(server, clock, session):
    """drain_timeout seconds, however long close_timeout is."""
    session.transport.writable = False
    service = ServerService(server, LogLevel.info)
    service.startService()
    stopped = []
    service.stopService().addCallback(stopped.append)
    clock.advance(4.5)
    assert stopped == []
    for _ in range(3):
        clock.advance(0.5)
    assert len(stopped) == 1


# SIGTERM.


class Reactor:
    """A reactor that writes down what it is told, and can be stopped once."""

    def __init__(self):
        self.when_running, self.turns = [], []
        self.stops = 0

    def callWhenRunning(self, function):
        self.when_running.append(function)

    def callFromThread(self, function):
        self.turns.append(function)

    def stop(self):
        if self.stops:
            raise ReactorNotRunning
        self.stops += 1

    def sigTerm(self, number, frame=None):
        raise AssertionError("the process would be ended by the signal")

    def run(self):
        """Begin to run."""
        for function in self.when_running:
            function()

    def turn(self):
        """Do what other threads, and signals, have asked for."""
        turns, self.turns = self.turns, []
        for function in turns:
            function()


@pytest.fixture
def sigterm():
    """Put the process's handler back, and let a test set one."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda handler: signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def reactor(sigterm):
    """Give a reactor that handles SIGTERM as Twisted's does."""
    made = Reactor()
    sigterm(made.sigTerm)
    return made


@pytest.mark.usefixtures("observers")
def test_sigterm_stops_the_reactor_and_nothing_remembers_it(server, reactor):
    """The reactor's own handler would have the process killed after an orderly end."""
    service = ServerService(server, LogLevel.info, reactor)
    service.startService()
    reactor.run()
    signal.raise_signal(signal.SIGTERM)
    assert reactor.stops == 0  # never in the middle of something
    reactor.turn()
    assert reactor.stops == 1


@pytest.mark.usefixtures("observers")
def test_a_second_sigterm_cuts_off_what_is_left(
    server, session, listener, clock, reactor
):
    """Whoever is in a hurry need not wait, and nothing is raised."""
    session.transport.writable = False
    service = ServerService(server, LogLevel.info, reactor)
    service.startService()
    reactor.run()
    signal.raise_signal(signal.SIGTERM)
    reactor.turn()
    stopped = []
    service.stopService().addCallback(stopped.append)
    clock.advance(0)
    assert listener.closed == []
    signal.raise_signal(signal.SIGTERM)
    reactor.turn()
    clock.advance(0)
    assert listener.reasons == [CloseReason.SERVER_CLOSE]
    clock.advance(0.1)
    assert len(stopped) == 1


@pytest.mark.usefixtures("observers")
@pytest.mark.parametrize("handler", [signal.SIG_DFL, lambda *_: None])
def test_somebody_s_own_handler_stays(server, reactor, sigterm, handler):
    """Who embeds the service decides what a signal does."""
    sigterm(handler)
    ServerService(server, LogLevel.info, reactor).startService()
    reactor.run()
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.usefixtures("observers")
def test_a_reactor_that_handles_no_signals_is_left_alone(server, clock, sigterm):
    """Not every reactor does."""
    sigterm(signal.SIG_DFL)
    clock.callWhenRunning = lambda function: function()
    ServerService(server, LogLevel.info, clock).startService()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("observers")
def test_a_service_that_has_stopped_takes_no_signal(server, clock, reactor):
    """It may have been stopped before the reactor ran."""
    service = ServerService(server, LogLevel.info, reactor)
    service.startService()
    service.stopService()
    clock.advance(0.1)
    reactor.run()
    assert signal.getsignal(signal.SIGTERM) == reactor.sigTerm

"""What twistd runs: its log, its end, and what a signal does."""

from __future__ import annotations

import signal
from functools import partial

import pytest
from twisted.internet.defer import fail
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent, globalLogPublisher
from twisted.scripts._twistd_unix import UnixAppLogger

from twisted_engineio import Application, CloseReason, Server, __version__
from twisted_engineio.cli.service import ServerService
from twisted_engineio.web.listening import CannotStart, ListeningService

SIGNALS = [signal.SIGTERM, signal.SIGINT]
ALL = [*SIGNALS, signal.SIGHUP]


@pytest.mark.usefixtures("observers")
def test_the_log_begins_with_what_runs(make_server, clock):
    """Once, when it starts: whoever reads a log knows what wrote it."""
    events = []
    service = ServerService(make_server(transports=("polling", "sse")), LogLevel.info)
    globalLogPublisher.addObserver(events.append)
    service.startService()
    service.stopService()
    clock.advance(0.1)
    lines = [formatEvent(each) for each in events]
    assert lines == [f"twisted_engineio {__version__}, transports polling, sse"]


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


def test_a_start_that_fails_names_the_command(server):
    """Standard error and the log may have lines of others."""

    class Endpoint:
        def listen(self, factory):
            return fail(OSError("in use"))

    service = ServerService(server, LogLevel.info)
    service.addService(ListeningService("tcp:1", Endpoint(), None))
    with pytest.raises(CannotStart) as caught:
        service.privilegedStartService()
    assert caught.value.code == "twistd engineio: Couldn't listen on tcp:1: in use"


# SIGTERM and SIGINT.


class Reactor:
    """A reactor that writes down what it is told, and can be stopped once."""

    def __init__(self):
        self.when_running, self.turns = [], []
        self.stops = 0
        self._exitSignal = None  # Twisted's own name

    def callWhenRunning(self, function):
        self.when_running.append(function)

    def callFromThread(self, function, *args):
        self.turns.append(partial(function, *args))

    def stop(self):
        if self.stops:
            raise ReactorNotRunning
        self.stops += 1

    def sigTerm(self, number, frame=None):
        raise AssertionError("the process would be ended by the signal")

    sigInt = sigTerm

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
def handle():
    """Let a test set handlers of signals; put the process's back."""
    before = {each: signal.getsignal(each) for each in (*ALL, signal.SIGUSR1)}
    yield signal.signal
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def reactor(handle):
    """Give a reactor that handles the signals as Twisted's does."""
    made = Reactor()
    handle(signal.SIGTERM, made.sigTerm)
    handle(signal.SIGINT, made.sigInt)
    handle(signal.SIGHUP, signal.SIG_DFL)
    return made


@pytest.mark.usefixtures("observers")
@pytest.mark.parametrize(
    ("number", "remembered"),
    [
        (signal.SIGTERM, None),
        (signal.SIGHUP, None),
        (signal.SIGINT, signal.SIGINT),
    ],
)
def test_a_signal_stops_the_reactor(server, reactor, number, remembered):
    """Of SIGTERM nothing is remembered: the process would be killed by it at last."""
    service = ServerService(server, LogLevel.info, reactor)
    service.startService()
    reactor.run()
    signal.raise_signal(number)
    assert reactor.stops == 0  # never in the middle of something
    reactor.turn()
    assert reactor.stops == 1
    assert reactor._exitSignal is remembered


@pytest.mark.usefixtures("observers")
@pytest.mark.parametrize("first", ALL)
@pytest.mark.parametrize("second", ALL)
def test_a_second_signal_cuts_off_what_is_left(
    server, session, listener, clock, reactor, first, second
):
    """Whoever is in a hurry need not wait; nothing is raised, and the log says how."""
    events = []
    session.transport.writable = False
    service = ServerService(server, LogLevel.info, reactor)
    service.startService()
    globalLogPublisher.addObserver(events.append)
    reactor.run()
    signal.raise_signal(first)
    reactor.turn()
    stopped = []
    service.stopService().addCallback(stopped.append)
    clock.advance(0)
    assert listener.closed == []
    signal.raise_signal(second)
    reactor.turn()
    clock.advance(0)
    assert listener.reasons == [CloseReason.SERVER_CLOSE]
    clock.advance(0.1)
    assert len(stopped) == 1
    assert [formatEvent(each) for each in events] == [
        f"received {first.name}: 1 session has 5 s to end; a second signal aborts them",
        f"received {second.name}: aborting the remaining sessions",
    ]


@pytest.mark.usefixtures("observers")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("handler", [signal.SIG_DFL, lambda *_: None])
def test_somebody_s_own_handler_stays(server, reactor, handle, number, handler):
    """Who embeds the service decides what a signal does."""
    handle(number, handler)
    ServerService(server, LogLevel.info, reactor).startService()
    reactor.run()
    assert signal.getsignal(number) is handler


@pytest.mark.usefixtures("observers")
def test_a_reactor_that_handles_no_signals_is_left_alone(server, clock, handle):
    """Not every reactor does."""
    for number in SIGNALS:
        handle(number, signal.SIG_DFL)
    clock.callWhenRunning = lambda function: function()
    ServerService(server, LogLevel.info, clock).startService()
    assert {signal.getsignal(number) for number in SIGNALS} == {signal.SIG_DFL}


@pytest.mark.usefixtures("observers")
def test_a_service_that_has_stopped_takes_no_signal(server, clock, reactor):
    """It may have been stopped before the reactor ran."""
    service = ServerService(server, LogLevel.info, reactor)
    service.startService()
    service.stopService()
    clock.advance(0.1)
    reactor.run()
    assert signal.getsignal(signal.SIGTERM) == reactor.sigTerm
    assert signal.getsignal(signal.SIGINT) == reactor.sigInt
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@pytest.mark.usefixtures("observers")
@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_a_hangup_that_is_ignored_stays_ignored(server, reactor, handle, handler):
    """Started by nohup, or by a program that has a handler of its own."""
    handle(signal.SIGHUP, handler)
    ServerService(server, LogLevel.info, reactor).startService()
    reactor.run()
    assert signal.getsignal(signal.SIGHUP) is handler


@pytest.mark.usefixtures("observers")
def test_a_hangup_is_left_where_sigterm_is(server, reactor, handle):
    """A program that ends in its own way must not end in ours."""
    handle(signal.SIGTERM, signal.SIG_DFL)
    ServerService(server, LogLevel.info, reactor).startService()
    reactor.run()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@pytest.mark.usefixtures("observers")
def test_a_log_file_that_was_renamed_is_opened_again(server, reactor, handle, tmp_path):
    """By its name, where twistd's own handler would go on in the old one."""
    handle(signal.SIGUSR1, signal.SIG_DFL)
    log = tmp_path / "log"
    observer = UnixAppLogger({"logfile": str(log)})._getLogObserver()
    globalLogPublisher.addObserver(observer)
    ServerService(server, LogLevel.info, reactor).startService()
    reactor.run()
    log.rename(tmp_path / "old")
    signal.raise_signal(signal.SIGUSR1)
    assert not log.exists()  # never in the middle of something
    reactor.turn()
    Logger().info("after")
    assert "after" not in (tmp_path / "old").read_text()
    assert "after" in log.read_text()
    observer._outFile.close()


@pytest.mark.usefixtures("observers")
@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN, None])
def test_sigusr1_reopens_what_else_there_is(server, reactor, handle, handler):
    """And calls a handler of somebody else's, as before."""
    called, told = [], []
    other = (lambda number, frame: told.append(number)) if handler is None else handler
    handle(signal.SIGUSR1, other)
    service = ServerService(server, LogLevel.info, reactor)
    service.on_rotate(lambda: called.append("reopened"))
    service.startService()
    reactor.run()
    signal.raise_signal(signal.SIGUSR1)
    assert called == []  # never in the middle of something
    reactor.turn()
    assert called == ["reopened"]
    assert told == [signal.SIGUSR1] * (handler is None)


@pytest.mark.usefixtures("observers")
def test_sigusr1_ends_no_process(server, reactor, handle):
    """Also where nothing is to be opened again: twistd takes it for a log only."""
    handle(signal.SIGUSR1, signal.SIG_DFL)
    ServerService(server, LogLevel.info, reactor).startService()
    reactor.run()
    signal.raise_signal(signal.SIGUSR1)
    assert reactor.stops == 0


@pytest.mark.usefixtures("observers")
@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_sigusr1_is_left_where_somebody_else_has_it(server, reactor, handle, handler):
    """Without a log file it is whatever it was."""
    handle(signal.SIGUSR1, handler)
    ServerService(server, LogLevel.info, reactor).startService()
    reactor.run()
    assert signal.getsignal(signal.SIGUSR1) is handler


@pytest.mark.usefixtures("observers")
def test_what_the_log_has_left_out_is_counted_at_the_end(server, clock):
    """Twisted's lines too: nothing is written once the process is gone."""
    events = []
    globalLogPublisher.addObserver(events.append)
    service = ServerService(server, LogLevel.info)
    service.startService()
    for _ in range(25):
        Logger("twisted.web.server").info("a line")
    service.stopService()
    clock.advance(5)
    clock.advance(1)
    clock.advance(1)
    assert any("lines suppressed: 15" in formatEvent(each) for each in events)
    assert clock.getDelayedCalls() == []

"""Connections that are watched together fare as the reactor would have them fare."""

from __future__ import annotations

import select
import socket
from asyncio import CancelledError
from contextlib import contextmanager
from copy import copy
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import (
    ConnectionDone,
    ConnectionFdescWentAway,
    ConnectionLost,
)
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IReactorTime,
    IReadDescriptor,
)
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.pollreactor import PollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from zope.interface import implementer, providedBy
from zope.interface.verify import verifyObject

from twisted_engineio.transports.descriptors import TWISTED, Descriptors

epollreactor = pytest.importorskip("twisted.internet.epollreactor")

BUG = ZeroDivisionError("in doRead")


class End(FileDescriptor):
    """
    One end of a connection: it writes down what the reactor does to it.

    Attributes:
        there: The other end.
        told: What it was told.
        says: What it answers to a call, by the method's name; an exception to raise
            is in a tuple.
        then: Called when it has been read from.

    """

    def __init__(self, reactor, told=None):
        super().__init__(reactor)
        self.here, self.there = socket.socketpair()
        for each in (self.here, self.there):
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        self.told = [] if told is None else told
        self.says = {}
        self.then = lambda: None
        self.connected = True

    def fileno(self):
        return self.here.fileno()

    def doRead(self):
        self.told.append(("read", self._take()))
        self.then()
        return self._say("read")

    def doWrite(self):
        self.told.append("write")
        return self._say("write")

    def _take(self):
        try:
            return self.here.recv(1)
        except OSError as error:
            return type(error)

    def _say(self, name):
        said = self.says.get(name)
        if type(said) is tuple:
            raise said[0]
        return said

    def connectionLost(self, reason):
        self.told.append(("lost", reason.type))
        assert self.disconnecting or watch(self, self.reactor) == (False, False)
        self.connected = False
        self.close()
        self._say("lost")

    def close(self):
        self.stopReading()
        self.stopWriting()
        self.here.close()
        self.there.close()


@implementer(IHalfCloseableDescriptor)
class HalfEnd(End):
    """An end that goes on when the other one only writes no more."""

    def readConnectionLost(self, reason):
        self.told.append(("half", reason.type))

    def writeConnectionLost(self, reason):
        """Never called by a reactor."""


@contextmanager
def new_reactor(kind=epollreactor.EPollReactor):
    """Make a reactor of its own that is turned by hand."""
    made = kind()
    yield made
    made.removeAll()
    made.waker.connectionLost(None)
    if kind is epollreactor.EPollReactor:
        made._poller.close()


@pytest.fixture
def reactor():
    """Give a reactor of the test's own."""
    with new_reactor() as made:
        yield made


@pytest.fixture
def descriptors(reactor):
    """Give what watches for it."""
    return Descriptors(reactor)


@pytest.fixture
def connect(reactor, descriptors):
    """Make connections that are watched together."""
    made = []

    def one(kind=End):
        end = kind(reactor)
        end.startReading()
        assert descriptors.take(end)
        made.append(end)
        return end

    yield one
    for each in made:
        each.close()


RAISED = (ZeroDivisionError, ConnectionDone, SystemExit, CancelledError)
ANSWERS = (None, CONNECTION_DONE, CONNECTION_LOST, BUG, *((each,) for each in RAISED))
STEPS = st.one_of(
    *(
        st.tuples(st.just(name), st.integers(0, 2))
        for name in (
            *("startReading", "stopReading", "startWriting", "stopWriting"),
            *("speak", "fill", "hang up", "close"),
        )
    ),
    st.tuples(st.just("read"), st.integers(0, 2), st.sampled_from(ANSWERS)),
    st.tuples(st.just("write"), st.integers(0, 2), st.sampled_from(ANSWERS)),
    st.tuples(st.just("turn")),
)


def play(steps, *, together):
    """Do the steps with three connections; tell what each was told."""
    with new_reactor() as reactor:
        ends = [End(reactor), HalfEnd(reactor), End(reactor)]
        descriptors = Descriptors(reactor)
        for each in ends:
            each.startReading()
            if together:
                assert descriptors.take(each)
        for name, *about in [*steps, ("turn",)]:
            if name == "turn":
                reactor.doIteration(0)
            elif ends[about[0]].connected:
                act(ends[about[0]], name, *about[1:])
        watched = [watch(each, reactor) for each in ends]
        if together:
            assert watched == [(False, False)] * 3
            watched = [watch(each, descriptors) for each in ends]
            assert (descriptors in reactor.getReaders()) is (
                watched != [(False, False)] * 3
            )
        for each in ends:
            each.close()
    return [each.told for each in ends], watched


def watch(end, by):
    """Tell whether somebody waits to read from it, and to write to it."""
    if isinstance(by, Descriptors):
        events = by._events.get(end.fileno(), 0)
        return bool(events & select.EPOLLIN), bool(events & select.EPOLLOUT)
    return end in by.getReaders(), end in by.getWriters()


def act(end, name, *about):
    """Tell it to watch or what to say, or let something happen to its socket."""
    if about:
        end.says[name] = about[0]
        return
    if hasattr(end, name) and name != "close":
        getattr(end, name)()
        return
    try:
        if name == "speak":
            end.there.send(b"x")
        elif name == "fill":
            end.here.send(b"x" * 1_000_000)
        elif name == "hang up":
            end.there.shutdown(socket.SHUT_WR)
        else:
            end.there.close()
    except OSError:
        pass  # it has hung up, or is full already


# What is logged is not looked at, only that it is: the last example's, then.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=30))
@example(steps=[("stopReading", 0), ("startWriting", 0), ("close", 0)])
@example(steps=[("read", 1, CONNECTION_DONE), ("hang up", 1)])
@example(steps=[("read", 0, CONNECTION_DONE), ("hang up", 0)])
@example(steps=[("startWriting", 1), ("speak", 1), ("write", 1, (ConnectionDone(),))])
def test_each_fares_as_with_the_reactor(logged, steps):
    """Whatever it waits for, gets, and answers: told the same, and watched the same."""
    assert play(steps, together=True) == play(steps, together=False)
    logged.clear()


def test_the_reactor_watches_one(reactor, descriptors, connect):
    """While there is a connection, and not for longer."""
    assert verifyObject(IReadDescriptor, descriptors)
    before = set(reactor.getReaders())
    first, second = connect(), connect()
    assert set(reactor.getReaders()) == {*before, descriptors}
    assert descriptors.connections == [first, second]
    assert repr(descriptors) == f"<Descriptors [{first!r}, {second!r}]>"
    assert descriptors.logPrefix() == "Engine.IO"
    first.stopReading()
    first.stopReading()
    assert descriptors in reactor.getReaders()
    second.stopReading()
    assert set(reactor.getReaders()) == before


@pytest.mark.parametrize("reads", [True, False])
def test_an_error_alone_is_the_end(reactor, descriptors, connect, reads):
    """Of a clean one it is only if somebody would have read what came before."""
    end = connect()
    if not reads:
        end.startWriting()
        end.stopReading()
    real, told = descriptors._epoll, [(end.fileno(), select.EPOLLERR)]
    descriptors._epoll = SimpleNamespace(
        poll=lambda timeout, _: [] if timeout else told,  # it never waits
        unregister=real.unregister,
        fileno=real.fileno,
    )
    descriptors.doRead()
    assert end.told == [("lost", ConnectionDone if reads else ConnectionLost)]


def test_it_is_the_reactor_in_all_else(reactor, descriptors, connect):
    """A connection that asks for time gets the reactor's."""
    assert connect().reactor is descriptors
    assert descriptors.callLater == reactor.callLater
    assert verifyObject(IReactorTime, descriptors)
    assert list(providedBy(descriptors)) == [IReadDescriptor, *providedBy(reactor)]
    assert copy(descriptors)._reactor is reactor


def test_who_is_stopped_by_another_is_not_read(reactor, connect):
    """In the same turn: what was ready a moment ago may be gone."""
    ends = [connect(), connect()]
    for one, other in (ends, ends[::-1]):
        one.there.send(b"x")
        one.then = other.stopReading
    reactor.doIteration(0)
    assert sorted(len(each.told) for each in ends) == [0, 1]


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("when", ["read", "lost"])
def test_what_one_raises_reaches_no_other(reactor, connect, logged, when, kind):
    """It is logged, and the others are read in the same turn."""
    ends = [connect() for _ in range(3)]
    for each in ends:
        each.there.send(b"x")
    ends[1].says = {"read": CONNECTION_LOST, when: (kind,)}
    reactor.doIteration(0)
    reason = kind if when == "read" else ConnectionLost
    assert ends[1].told == [("read", b"x"), ("lost", reason)]
    assert ends[0].told == ends[2].told == [("read", b"x")]
    logged.take(kind)


def test_all_end_with_the_reactor(reactor, descriptors, connect, logged):
    """Even if one of them fails over it."""
    ends = [connect() for _ in range(3)]
    for each in ends:
        each.disconnecting = True  # it does not mind being watched
        each.says["lost"] = (CancelledError,)
    assert descriptors in reactor.removeAll()
    descriptors.connectionLost(Failure(ConnectionDone()))
    assert [each.told for each in ends] == [[("lost", ConnectionDone)]] * 3
    assert not descriptors.connections
    for _ in ends:
        logged.take(CancelledError)


def test_who_comes_after_the_reactor_forgot_is_served(reactor, connect):
    """A test's fixture may have it forget all that it watches, and go on."""
    connect()
    reactor.removeAll()
    late = connect()
    late.there.send(b"x")
    reactor.doIteration(0)
    assert late.told == [("read", b"x")]


def test_who_has_lost_its_socket_is_lost(reactor, descriptors, connect):
    """Somebody has taken it from under the connection, and keeps it open."""
    end = connect()
    end.there.send(b"x")
    taken = socket.socket(fileno=end.here.detach())
    reactor.doIteration(0)
    assert end.told == [("lost", ConnectionFdescWentAway)]
    assert not descriptors.connections
    taken.close()


def test_who_is_not_there_any_more_is_forgotten(descriptors, connect):
    """If its socket was closed without a word, there is nothing to watch."""
    end, other = connect(), connect()
    end.here.close()
    end.stopReading()
    assert descriptors.connections == [other]
    end.stopReading()


def test_the_others_are_the_reactor_s(reactor, descriptors):
    """Whatever is no connection of ours is passed on."""
    end = End(reactor)
    for which in ("Reader", "Writer"):
        getattr(descriptors, f"add{which}")(end)
        assert end in getattr(reactor, f"get{which}s")()
        getattr(descriptors, f"remove{which}")(end)
        assert end not in getattr(reactor, f"get{which}s")()
    end.close()


def test_without_epoll_nobody_is_taken(reactor, monkeypatch):
    """It is Linux's."""
    monkeypatch.delattr(select, "epoll")
    stays(End(reactor), Descriptors(reactor))


@pytest.mark.parametrize("kind", [PollReactor, SelectReactor])
def test_other_reactors_connections_stay(kind):
    """Only of the one for epoll is it known that nobody sees a difference."""
    with new_reactor(kind) as reactor:
        stays(End(reactor), Descriptors(reactor))


def test_with_too_many_files_open_nobody_is_taken(reactor, monkeypatch):
    """A server that can't have a descriptor more does without."""

    def fail():
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(select, "epoll", fail)
    stays(End(reactor), Descriptors(reactor))


def test_a_clock_watches_nothing(reactor, clock):
    """Nor does it cost a descriptor."""
    descriptors = Descriptors(clock)
    stays(End(reactor), descriptors)
    assert descriptors._epoll is None


def test_who_waits_to_write_is_not_taken(reactor, descriptors):
    """The reactor is about to."""
    end = End(reactor)
    end.write(b"x")
    stays(end, descriptors)


def test_another_reactor_s_are_not_taken(reactor, descriptors):
    """Another server has it, or another loop."""
    with new_reactor() as another:
        stays(End(another), descriptors)


def stays(end, descriptors):
    """See that a connection stays where it is, and works as ever."""
    end.server = SimpleNamespace(transport=End)
    end.startReading()
    watched_by = end.reactor
    assert not descriptors.take(end)
    descriptors.take_all(end)
    assert end.reactor is watched_by
    assert end in watched_by.getReaders()
    assert end.server.transport is End
    end.close()


def test_who_is_here_is_taken_once(reactor, descriptors, connect):
    """A WebSocket that has come by the door is here already."""
    end = connect()
    assert descriptors.take(end)
    assert end.reactor is descriptors


def test_a_port_of_ours_makes_its_connections_here(reactor, descriptors):
    """From the first one on that it has accepted."""

    def make(*args):
        made.append(args)

    made, port = [], SimpleNamespace(transport=make)
    first = End(reactor)
    first.server = port
    descriptors.take_all(first)
    assert first.reactor is descriptors
    port.transport("socket", "protocol", "client", port, 1, reactor)
    assert made == [("socket", "protocol", "client", port, 1, descriptors)]
    changed = port.transport
    descriptors.take_all(first)
    assert port.transport is changed
    first.stopReading()
    first.close()


def test_a_connection_that_was_adopted_has_no_port(reactor, descriptors):
    """It is watched, and nobody else."""
    end = End(reactor)
    end.server = None
    descriptors.take_all(end)
    assert end.reactor is descriptors
    end.stopReading()
    end.close()


@pytest.mark.parametrize("name", TWISTED)
def test_what_is_known_of_twisted_still_exists(tcp_browse, server, name):
    """Private attributes may go; then this fails before anything else does."""
    assert hasattr(tcp_browse(server).wire, name)

"""What every unit test may ask for, and what every unit test must leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import Browser, Listener, RecordingTransport, join
from hypothesis import settings
from tcp_browser import TCPBrowser
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.web.resource import Resource

from twisted_engineio import Config, EngineIOResource, EngineIOSite, Server

HERE = Path(__file__).parent

# A machine that is busy is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


class Logged(list[dict[str, Any]]):
    """The events of level error and above that reached Twisted's log."""

    def __call__(self, event: dict[str, Any]) -> None:
        """Write down an event, as a log observer."""
        if event.get("log_level", LogLevel.info) >= LogLevel.error:
            self.append(event)

    def take(self, kind: type[BaseException] | None = None) -> dict[str, Any]:
        """Take the oldest event: the test expected it."""
        event = self.pop(0)
        if kind is not None:
            assert event["log_failure"].check(kind), event
        return event


@pytest.fixture(autouse=True)
def logged(request: pytest.FixtureRequest) -> Iterator[Logged]:
    """Fail a unit test that leaves a failure in Twisted's log."""
    events = Logged()
    globalLogPublisher.addObserver(events)
    yield events
    globalLogPublisher.removeObserver(events)
    if request.path.parent == HERE:
        assert list(events) == []


class House(list[Any]):
    """The servers and connections that a test made, to be taken down after it."""

    def take_down(self) -> None:
        """Lose every connection, abort every session."""
        for each in self:
            if isinstance(each, Server):
                for session in list(each.sessions.values()):
                    session.abort()
                each.flush_log()
            else:
                each.lose()


@pytest.fixture
def clock() -> Clock:
    """Give the test's time."""
    return Clock()


@pytest.fixture
def house(clock: Clock) -> Iterator[House]:
    """Take down what a test made, and find nothing left on its clock."""
    made = House()
    yield made
    made.take_down()
    clock.advance(0)
    clock.advance(0.1)  # the last words of a server that stops leave
    for each in made:
        if isinstance(each, Server):
            each.handlers.expire()  # of tests that leave their applications busy
    assert clock.getDelayedCalls() == []


@pytest.fixture
def listener() -> Listener:
    """Give an application that writes down what it is told."""
    return Listener()


@pytest.fixture
def make_server(
    clock: Clock, listener: Listener, house: House
) -> Callable[..., Server]:
    """Make servers: ``observers`` and ``make_sid`` go to Server, the rest to Config."""

    def make(application: Any = None, **options: Any) -> Server:
        given = {
            name: options.pop(name)
            for name in ("observers", "make_sid", "random")
            if name in options
        }
        made = Server(application or listener, Config(**options), clock=clock, **given)
        house.append(made)
        return made

    return make


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """Give a server with the default options."""
    return make_server()


@pytest.fixture
def open_session() -> Callable[..., Any]:
    """Open sessions on a RecordingTransport, the open packet thrown away."""

    def open_one(server: Server, name: str = "polling") -> Any:
        transport = RecordingTransport(name)
        session = join(server, transport)
        transport.written.clear()
        return session

    return open_one


@pytest.fixture
def session(server: Server, open_session: Callable[..., Any]) -> Any:
    """Give an open session on a transport that is always writable."""
    return open_session(server)


@pytest.fixture
def browse(house: House) -> Callable[..., Browser]:
    """Connect browsers to a server, each over a connection of its own."""
    sites: dict[Server, EngineIOSite] = {}

    def connect(server: Server, **options: Any) -> Browser:
        if server not in sites:
            root = Resource()
            root.putChild(b"engine.io", EngineIOResource(server))
            sites[server] = EngineIOSite(root, server)
        browser = Browser(sites[server], **options)
        house.append(browser)
        return browser

    return connect


@pytest.fixture
def tcp_browse(house: House) -> Callable[..., TCPBrowser]:
    """Connect to a server over TCP without a socket; ``early`` has been sent before."""

    def connect(server: Server, early: bytes | None = None) -> TCPBrowser:
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(server))
        browser = TCPBrowser(EngineIOSite(root, server), early=early)
        house.append(browser)
        return browser

    return connect


@pytest.fixture
def observers() -> Iterator[None]:
    """Put the log's observers back as they were."""
    before = list(globalLogPublisher._observers)
    yield before
    for each in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(each)
    for each in before:
        globalLogPublisher.addObserver(each)

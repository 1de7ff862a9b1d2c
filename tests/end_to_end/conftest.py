"""What the end-to-end tests stand on: servers on real ports, and a clean reactor."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from certificates import make_certificate
from stages import Logged, Serve, Stage, sockets, turn, until
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.logger import (
    eventAsText,
    globalLogBeginner,
    globalLogPublisher,
)
from twisted.web.client import Agent, HTTPConnectionPool

from twisted_engineio import Application, Config

LOCAL = "tcp:0:interface=127.0.0.1"


@pytest.fixture(scope="session")
def no_history() -> None:
    """Twisted's log keeps no events: until it is begun, it remembers the last ones."""
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)


@pytest.fixture(autouse=True)
def logged(no_history: None) -> Iterator[Logged]:
    """Nothing unhandled reaches the log."""
    logged = Logged()
    globalLogPublisher.addObserver(logged.observe)
    yield logged
    gc.collect()  # a Deferred tells of its error when it dies
    globalLogPublisher.removeObserver(logged.observe)
    assert not logged.events, "\n".join(map(eventAsText, logged.events))


@pytest.fixture(autouse=True)
def clean_reactor(logged: Logged) -> Iterator[None]:
    """No timer and no socket is left that was not there before."""
    before, timers = sockets(), set(reactor.getDelayedCalls())
    yield
    assert sockets() <= before
    assert set(reactor.getDelayedCalls()) <= timers


@pytest_twisted.async_yield_fixture
async def serve(clean_reactor: None) -> AsyncIterator[Serve]:
    """Start servers that live as long as the test."""
    stages: list[Stage] = []
    before = sockets()

    async def start(
        application: Application | None = None,
        config: Config | None = None,
        *,
        own_site: bool = True,
        endpoint: str = LOCAL,
        **options: Any,
    ) -> Stage:
        stage = Stage(application, config, **options)
        await stage.listen(endpoint, own_site=own_site)
        stages.append(stage)
        return stage

    yield start
    for stage in stages:
        await stage.close()
    await until(lambda: sockets() <= before)
    await turn()  # twisted.web's HTTP/2 looks once more whether there is data to send


@pytest_twisted.async_yield_fixture
async def http(clean_reactor: None) -> AsyncIterator[HTTPClient]:
    """treq, with connections that end with the test."""
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.retryAutomatically = False
    yield HTTPClient(Agent(reactor, pool=pool))
    await pool.closeCachedConnections()


@pytest.fixture(params=[True, False], ids=["own site", "plain site"])
def own_site(request: pytest.FixtureRequest) -> bool:
    """Whether the Site is one of ours, or twisted.web's."""
    return bool(request.param)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, signed by itself, and its key, in one file."""
    return make_certificate(tmp_path_factory.mktemp("tls") / "localhost.pem")

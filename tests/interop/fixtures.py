"""
What the interop tests stand on: Node, npm's packages, Chromium, and running servers.

The tests behind proxies stand on the same.

Nothing is skipped: what is missing fails the tests with a line that says what to run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from players import Player
from running import HERE, SSE_CLASS, Ours, Reference, Service, StartOurs, StartReference

Play = Callable[..., Any]


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the packages of package.json beside the tests."""
    found = shutil.which("node")
    if found is None:
        pytest.fail("node is missing: apt install nodejs npm", pytrace=False)
    for package in json.loads((HERE / "package.json").read_text())["dependencies"]:
        if not (HERE / "node_modules" / package / "package.json").is_file():
            pytest.fail(f"npm's {package} is missing: run `make test`", pytrace=False)
    # Our own class stands among npm's, to import the same engine.io-client.
    # Moved there as a whole: another process's client may be reading it.
    copy = HERE / "node_modules" / f"{os.getpid()}.mjs"
    shutil.copy(SSE_CLASS, copy)
    copy.replace(HERE / "node_modules" / SSE_CLASS.name)
    return found


@pytest.fixture(scope="session")
def chromium(node: str) -> str:
    """Debian's Chromium."""
    found = shutil.which("chromium")
    if found is None:
        pytest.fail(
            "chromium is missing: run `make test`, or apt install chromium",
            pytrace=False,
        )
    return found


@pytest.fixture(scope="session")
def browser(node: str, chromium: str) -> Iterator[Player]:
    """A headless Chromium that lives as long as the test run."""
    browser = Player(node, "browser.mjs", chromium)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def node_player(node: str) -> Iterator[Player]:
    """Npm's clients in Node, as long as the test run."""
    player = Player(node, "node_client.mjs")
    yield player
    player.close()


class Services:
    """The servers of a test run, each started when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Service] = {}

    def get(self, key: str, start: Callable[[Path], Service]) -> Service:
        """The server of that key, accepting connections."""
        if key not in self._running:
            log = self._folder / f"{len(self._running)}.log"
            self._running[key] = start(log)
            self._running[key].wait_until_it_accepts()
        self._running[key].check_it_runs()
        return self._running[key]

    def check_logs(self) -> None:
        """None of them has stumbled since the last time."""
        for service in self._running.values():
            service.check_log()

    def stop(self) -> None:
        """End them all, side by side, also when one of them fails to end well."""
        for service in self._running.values():
            service.tell_to_stop()
        with contextlib.ExitStack() as stack:
            for service in self._running.values():
                stack.callback(service.stop)


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Servers that live as long as the test run."""
    services = Services(tmp_path_factory.mktemp("servers"))
    yield services
    services.stop()


@pytest.fixture
def ours(services: Services) -> Iterator[StartOurs]:
    """Our server with these options of the command line; the same again if it runs."""

    def start(*options: str) -> Service:
        return services.get(f"ours {options}", lambda log: Ours(options, log))

    yield start
    services.check_logs()


@pytest.fixture
def reference(services: Services, node: str) -> StartReference:
    """The reference server with these options; the same again if it runs."""

    def start(**options: object) -> Service:
        key = f"reference {options}"
        return services.get(key, lambda log: Reference(options, log))

    return start


@pytest.fixture
def play(node_player: Player) -> Play:
    """Play a scenario of scenarios.mjs in Node, and give back its facts."""

    def play(
        scenario: str,
        service: Service,
        mode: str,
        revision: int = 4,
        url: str = "",
        **args: object,
    ) -> Any:
        ways = {"scenario": scenario, "mode": mode, "revision": revision}
        return node_player.run(
            "play", service, **ways, url=url or service.url, args=args
        )

    return play


@pytest.fixture
def play_in_page(browser: Player) -> Play:
    """Play a scenario of scenarios.mjs in a page, and give back its facts."""

    def play(
        scenario: str,
        service: Service,
        mode: str,
        revision: int = 4,
        home: str = "",
        **args: object,
    ) -> Any:
        ways = {"scenario": scenario, "mode": mode, "revision": revision}
        return browser.run("play", service, **ways, home=home or service.url, args=args)

    return play

"""
What the interop tests stand on: Node, npm's packages, Chromium, and running servers.

Nothing is skipped: what is missing fails the tests with a line that says what to run.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Browser
from running import HERE, Ours, Reference, Service

CLIENT_DEADLINE = 45.0
CHROMIUM = "/usr/bin/chromium"

APP = ("--app", "interop_app:App")
QUICK = ("--ping-interval", "0.3", "--ping-timeout", "0.2")
SMALL = ("--max-payload", "10000")

StartOurs = Callable[..., Service]
StartReference = Callable[..., Service]


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the packages of package.json beside the tests."""
    found = shutil.which("node")
    if found is None:
        pytest.fail("node is not installed: apt install nodejs npm", pytrace=False)
    for package in json.loads((HERE / "package.json").read_text())["dependencies"]:
        if not (HERE / "node_modules" / package / "package.json").is_file():
            pytest.fail(f"npm's {package} is missing: run `make test`", pytrace=False)
    return found


@pytest.fixture(scope="session")
def chromium(node: str) -> str:
    """Debian's Chromium."""
    if not Path(CHROMIUM).exists():
        pytest.fail(
            f"{CHROMIUM} is missing: run `make test`, or apt install chromium",
            pytrace=False,
        )
    return CHROMIUM


@pytest.fixture(scope="session")
def browser(node: str, chromium: str) -> Iterator[Browser]:
    """A headless Chromium that lives as long as the test run."""
    browser = Browser(node, chromium)
    yield browser
    browser.close()


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
        return self._running[key]

    def check_logs(self) -> None:
        """None of them has stumbled so far."""
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
def play(node: str) -> Callable[..., Any]:
    """Play a scenario of scenarios.mjs in Node, and give back its facts."""

    def play(scenario: str, service: Service, mode: str, **args: object) -> Any:
        script = str(HERE / "node_client.mjs")
        command = [node, script, scenario, service.url, mode, json.dumps(args)]
        return run_client(command, service)

    return play


def run_client(command: list[str], service: Service) -> Any:
    """Run a client to its end; its last line is what it found out."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=CLIENT_DEADLINE, check=False
        )
        output, status = done.stdout + done.stderr, f"status {done.returncode}"
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"") + (late.stderr or b"")
        status = f"no end within {CLIENT_DEADLINE} s"
    said = output.decode("utf-8", "replace")
    return service.fail(f"and {' '.join(command[1:])}: {status}\n{said}")

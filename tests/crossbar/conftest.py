"""
A real Crossbar node, npm's client, and a WAMP component, each a process of its own.

Nothing is skipped: what is missing fails the tests with a line that says what to run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.with_name("interop")))

from fixtures import Services, browser, chromium, node, services
from nodes import Errands, Node
from players import Player

__all__ = ["browser", "chromium", "node", "services"]

COMPONENT = Path(__file__).with_name("wamp_client.py")


@pytest.fixture(scope="session")
def crossbar(services: Services) -> Node:
    """The example's node, running."""
    return services.get("crossbar", lambda log: Node(log.parent))


@pytest.fixture(scope="session")
def wamp_player(node: str) -> Iterator[Player]:
    """Npm's client in Node, many times over, as long as the test run."""
    player = Player(node, "wamp_client.mjs")
    yield player
    player.close()


@pytest.fixture
def visitors(wamp_player: Player, crossbar: Node) -> Iterator[Errands]:
    """Engine.IO clients of the example's node, by name."""
    yield Errands(wamp_player, crossbar)
    crossbar.check_log()


@pytest.fixture(scope="session")
def component_player(crossbar: Node) -> Iterator[Player]:
    """A WAMP component, as long as the test run."""
    player = Player(sys.executable, str(COMPONENT), crossbar.router)
    yield player
    player.close()


@pytest.fixture
def component(component_player: Player, crossbar: Node) -> Iterator[Errands]:
    """A component that does what the test wants."""
    errands = Errands(component_player, crossbar)
    yield errands
    errands.forget()

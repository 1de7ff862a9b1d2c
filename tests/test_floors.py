"""The house has floors, and its imports point down."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import twisted_engineio

PACKAGE = Path(twisted_engineio.__file__).parent

FIRST = ("twisted.internet", "twisted.logger", "twisted.python")
SECOND = (*FIRST, "twisted.protocols", "twisted.web", "autobahn", "zope.interface")
THIRD = (*SECOND, "twisted.application")
WINGS = (*THIRD, "twisted.cred", "prometheus_client")
ROOF = (*WINGS, "twisted.scripts")

FLOORS = (
    (
        [
            "buckets",
            "quota",
            "exceptions",
            "packet",
            "codecs",
            "codecs.v3",
            "codecs.v4",
            "compression",
            "config",
            "cookie",
            "fields",
            "handshake",
            "origins",
            "proxies",
            "redact",
        ],
        (),
    ),
    (
        [
            "application",
            "conversation",
            "log_limit",
            "deadlines",
            "time_slices",
            "heartbeat",
            "inbox",
            "outbox",
            "probe",
            "reading",
            "revision",
            "sending",
            "session",
            "transport",
        ],
        FIRST,
    ),
    (
        [
            "answer",
            "flow",
            "limited",
            "observed",
            "observer",
            "session_log",
            "transports",
            "transports.backlog",
            "transports.bounded",
            "transports.descriptors",
            "transports.eventsource",
            "transports.eventstream",
            "transports.factory",
            "transports.fastlane",
            "transports.lean",
            "transports.held",
            "transports.jsonp",
            "transports.polling",
            "transports.posting",
            "transports.replay",
            "transports.takeover",
            "transports.websocket",
            "transports.websocket_handshake",
        ],
        SECOND,
    ),
    (
        [
            "__init__",
            "access_log",
            "admitting",
            "asked",
            "channel",
            "closing",
            "connections",
            "paced",
            "places",
            "protected",
            "target",
            "timed",
            "cors",
            "door",
            "drain",
            "request",
            "resource",
            "server",
            "site",
            "socketio_hint",
        ],
        THIRD,
    ),
    (
        # The wings: each imports the house, which knows nothing of it.
        [
            "descriptions",
            "endpoint",
            "stream",
            "streamed",
            "testing",
            "testing.carriers",
            "testing.client",
            "testing.connection",
            "testing.lines",
            "testing.server",
            "crossbar",
            "loading",
            "wamp",
            "wamp.bridge",
            "wamp.envelope",
            "wamp.link",
            "wamp.member",
            "wamp.topics",
            "guard",
            "metrics",
            "status",
            "tally",
        ],
        WINGS,
    ),
    (
        # The roof: the command line knows the house and its wings.
        [
            "idle",
            "listening",
            "log_output",
            "logfiles",
            "pages",
            "service",
            "tap",
            "watching",
        ],
        ROOF,
    ),
)
"""Each floor's modules, and what else in the world they may import."""

FLOOR_OF = {name: at for at, (names, _) in enumerate(FLOORS) for name in names}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports_of(name: str) -> set[str]:
    """Name what a module imports, anywhere in it, ours relative to the package."""
    here = name.split(".")
    if MODULES[name].name == "__init__.py" and name != "__init__":
        here = [*here, "__init__"]
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            folder = here[: len(here) - node.level]
            target = ".".join([*folder, *filter(None, [node.module])])
            found |= {
                f".{target}.{each.name}".replace("..", ".")
                if f"{target}.{each.name}".lstrip(".") in MODULES
                else f".{target or '__init__'}"
                for each in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{each.name}" for each in node.names}
    return found


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_floor(name):
    """A new module is put on a floor before it is used."""
    assert name in FLOOR_OF


@pytest.mark.parametrize("name", FLOOR_OF)
def test_every_floor_s_module_exists(name):
    """The plan of the house names nothing that is gone."""
    assert name in MODULES


@pytest.mark.parametrize("name", FLOOR_OF)
def test_imports_point_down(name):
    """A module imports from its own floor or below, also for types alone."""
    upwards = {
        each
        for each in imports_of(name)
        if each.startswith(".") and FLOOR_OF[each[1:]] > FLOOR_OF[name]
    }
    assert upwards == set()


@pytest.mark.parametrize("name", FLOOR_OF)
def test_a_floor_knows_no_more_of_the_world_than_it_needs(name):
    """The ground floor knows the standard library, the first no HTTP, and so on."""
    _, allowed = FLOORS[FLOOR_OF[name]]
    foreign = {
        each
        for each in imports_of(name)
        if not each.startswith(".")
        and each.split(".")[0] not in sys.stdlib_module_names
        and not each.startswith(allowed or "-")
    }
    assert foreign == set()


@pytest.mark.parametrize("name", sorted({*FLOOR_OF} - {"tap", "server"}))
def test_the_reactor_is_an_argument(name):
    """Only the command line, and a server that is given no clock, import it."""
    assert "twisted.internet.reactor" not in imports_of(name)


def test_imports_are_seen_wherever_they_stand():
    """An import for types alone, inside a function, or of a module counts."""
    assert ".application" in imports_of("session")
    assert "twisted.internet.reactor" in imports_of("tap")
    assert ".codecs.v4" in imports_of("revision")
    assert ".session" in imports_of("__init__")

"""A package is a floor, and imports point down."""

from __future__ import annotations

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import twisted_engineio

PACKAGE = Path(twisted_engineio.__file__).parent

FIRST = ("twisted.internet", "twisted.logger", "twisted.python")
HEADERS = ("twisted.web.http_headers",)
SECOND = (*FIRST, "twisted.protocols", "twisted.web", "autobahn", "zope.interface")
THIRD = (*SECOND, "twisted.application")
WINGS = (*THIRD, "twisted.cred", "prometheus_client")
ROOF = (*WINGS, "twisted.scripts", "twisted.copyright")

FLOORS = (
    (("exceptions", "cookie", "_version"), ()),
    (("protocol",), ()),
    (("policy",), (*FIRST, *HEADERS)),
    (("config",), ()),
    (("session", "application"), FIRST),
    (("observer",), (*FIRST, *HEADERS)),
    (("transports",), SECOND),
    (("server",), THIRD),
    (("web",), THIRD),
    # The wings: each imports the floors, which import none of it.
    (("crossbar", "monitoring", "stream", "testing", "wamp"), WINGS),
    # The roof: the command line, and what is public.
    (("cli", "tap", "__main__"), ROOF),
    (("__init__",), ()),
)
"""Each floor's packages and modules, and what else in the world they may import."""

FLOOR_OF = {name: at for at, (names, _) in enumerate(FLOORS) for name in names}
MOST_MODULES = 14
"""Modules of one package that a reader finds their way among."""

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def floor_of(name: str) -> int:
    """Return the floor of a module: its folder's."""
    return FLOOR_OF[name.partition(".")[0]]


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


def ours(name: str) -> set[str]:
    """Name the modules of ours that a module imports."""
    return {each[1:] for each in imports_of(name) if each.startswith(".")}


@pytest.mark.parametrize("name", FLOOR_OF)
def test_every_floor_has_modules(name):
    """The plan names nothing that is gone."""
    assert name in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    """A module imports from its own floor or below, also for types alone."""
    upwards = {each for each in ours(name) if floor_of(each) > floor_of(name)}
    assert upwards == set()


def test_no_imports_go_round_in_a_circle():
    """Not even for types alone."""
    TopologicalSorter({name: ours(name) for name in MODULES}).prepare()


@pytest.mark.parametrize("name", MODULES)
def test_a_floor_knows_no_more_of_the_world_than_it_needs(name):
    """The ground floor imports the standard library alone, a session no HTTP."""
    _, allowed = FLOORS[floor_of(name)]
    foreign = {
        each
        for each in imports_of(name)
        if not each.startswith(".")
        and each.split(".")[0] not in sys.stdlib_module_names
        and not each.startswith(allowed or "-")
    }
    assert foreign == set()


def test_a_package_is_small_enough_to_find_a_module_in():
    """More than fourteen names are searched, not read."""
    for folder in {path.parent for path in MODULES.values()}:
        count = len([*folder.glob("*.py")])
        assert count - 1 <= MOST_MODULES, folder  # besides __init__.py


@pytest.mark.parametrize("name", sorted({*MODULES} - {"cli.options", "server.server"}))
def test_the_reactor_is_an_argument(name):
    """Only the command line, and a server that is given no clock, import it."""
    assert "twisted.internet.reactor" not in imports_of(name)


def test_imports_are_seen_wherever_they_stand():
    """An import for types alone, inside a function, or of a module counts."""
    assert "session.session" in ours("application")
    assert "twisted.internet.reactor" in imports_of("cli.options")
    assert "protocol.codec_v4" in ours("session.revision")
    assert "session.session" in ours("__init__")

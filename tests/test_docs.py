"""The docs show code that runs, and forget no module and no public name."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from test_floors import FLOORS

import twisted_engineio

DOCS = Path(__file__).parent.parent / "docs"
PACKAGE = Path(twisted_engineio.__file__).parent
MODULES = [
    path.relative_to(PACKAGE).with_suffix("").as_posix()
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.stem != "__init__"
]
PACKAGES = {"__init__", "codecs", "transports"}
HOUSE = runpy.run_path(str(DOCS / "house.py"))


def text_of(name: str) -> str:
    """Read a page."""
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_explained(module):
    """The architecture page has a word on each module."""
    assert f"``{module}``" in text_of("architecture.rst")


def test_the_drawing_has_the_floors():
    """Each floor of the drawing holds the modules that test_floors knows there."""
    drawn = [set(modules.split()) for _, _, modules in reversed(HOUSE["FLOORS"])]
    known = [
        {name.replace(".", "/") for name in names} - PACKAGES for names, _ in FLOORS
    ]
    assert drawn == known


def test_the_drawing_is_fresh():
    """The picture is what docs/house.py draws."""
    assert HOUSE["svg"]() == text_of("house.svg")


def test_every_public_name_is_documented():
    """The API page lists what __all__ lists, and no more."""
    listed = re.findall(
        r"^\.\. auto(?:class|exception|function):: (\w+)$", text_of("api.rst"), re.M
    )
    assert sorted(listed) == sorted(twisted_engineio.__all__)

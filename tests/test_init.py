"""What the package shows to the world."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import twisted_engineio

MODULES = (
    "application",
    "config",
    "cookie",
    "exceptions",
    "monitoring.session_log",
    "observer",
    "protocol.handshake",
    "protocol.packet",
    "server.server",
    "session.interfaces",
    "session.session",
    "stream.consumer",
    "web.access_log",
    "web.listening",
    "web.resource",
    "web.service",
    "web.site",
    "web.site_limits",
)


@pytest.mark.parametrize("name", twisted_engineio.__all__)
def test_every_public_name_is_there(name):
    """What __all__ lists can be imported."""
    assert hasattr(twisted_engineio, name)


def test_every_public_name_comes_from_one_module():
    """And is public there too."""
    names = [
        name
        for module in MODULES
        for name in importlib.import_module(f"twisted_engineio.{module}").__all__
    ]
    assert len(set(twisted_engineio.__all__)) == len(twisted_engineio.__all__)
    assert set(twisted_engineio.__all__) <= set(names)


def test_the_package_is_typed():
    """PEP 561: type checkers of those who use it read its annotations."""
    assert Path(twisted_engineio.__file__).with_name("py.typed").exists()


def test_the_version_is_three_numbers():
    """Setuptools reads it from the source."""
    assert len([int(each) for each in twisted_engineio.__version__.split(".")]) == 3

"""The docs show code that runs, and forget no module and no public name."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

import twisted_engineio
from twisted_engineio.testing import HandshakeRefused, MemoryServer

DOCS = Path(__file__).parent.parent / "docs"
PACKAGE = Path(twisted_engineio.__file__).parent
MODULES = [
    path.relative_to(PACKAGE).with_suffix("").as_posix()
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.stem != "__init__"
]
HOUSE = runpy.run_path(str(DOCS / "house.py"))


def text_of(name: str) -> str:
    """Read a page."""
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_explained(module):
    """The architecture page has a word on each module."""
    assert f"``{module}``" in text_of("architecture.rst")


def test_the_drawing_is_fresh():
    """The picture is what docs/house.py draws."""
    assert HOUSE["svg"]() == text_of("house.svg")


def test_every_public_name_is_documented():
    """The API page lists what __all__ lists, and no more."""
    listed = re.findall(
        r"^\.\. auto(?:class|exception|function):: (\w+)$", text_of("api.rst"), re.M
    )
    assert sorted(listed) == sorted(twisted_engineio.__all__)


def test_the_test_that_waits_passes(tmp_path):
    """The one that the page on testing shows, under trial and under pytest."""
    page = text_of("tutorial/testing.rst")
    (block,) = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", page)
    (tmp_path / "test_library.py").write_text(dedent(block))
    for words in (["twisted.trial", "test_library"], ["pytest", "-c", "/dev/null"]):
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_site_for_members(monkeypatch):
    """What the page on streams shows: shouting.py in a site, and who may use it."""
    monkeypatch.syspath_prepend(DOCS / "stream")
    shown = runpy.run_path(str(DOCS / "stream" / "members.py"))
    assert set(shown["root"].children) == {b"shout"}
    server = MemoryServer(shown["server"].application)
    with pytest.raises(HandshakeRefused, match="401 Members only"):
        server.connect()
    client = server.connect(headers={"Authorization": "Bearer let me in"})
    client.send("hello\r\nquit\r\n")
    said = b"".join(client.received)
    assert said == b"Say something.\r\nHELLO\r\nQUIT\r\n"
    server.assert_nothing_left()


def test_the_page_on_streams_describes_endpoints():
    """Every description of one is read; and the snippet listens."""
    page = text_of("stream.rst")
    reactor = MemoryReactorClock()
    (long,) = re.findall(r"^    (engineio:\S+)$", page, re.M)
    with pytest.raises(ValueError, match=r"key\.pem"):
        serverFromString(reactor, long)  # all of it is right but that there is no key
    (block,) = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", page)
    exec(dedent(block), {"reactor": reactor, "factory": Factory()})
    assert reactor.tcpServers[0][0] == 3000

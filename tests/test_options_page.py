"""docs/options.rst is written from the options."""

from __future__ import annotations

import re
import runpy

import pytest
from doc_blocks import DOCS

from twisted_engineio.cli.arguments import ARGUMENTS, COMMAND_LINE
from twisted_engineio.config import OPTIONS

PAGE = (DOCS / "options.rst").read_text("utf-8")
TITLES = re.findall(r"^(\S.*)\n(?:=+|-+|~+)$", PAGE, re.M)


def anchor_of(title: str) -> str:
    """Return a section's anchor: docutils makes it of the title."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def test_the_page_is_fresh():
    """It is what docs/options.py writes."""
    assert runpy.run_path(str(DOCS / "options.py"))["page"]() + "\n" == PAGE


@pytest.mark.parametrize("option", [*COMMAND_LINE, *OPTIONS.values()])
def test_an_option_has_a_section(option):
    """With an anchor that no other section has, and its name on the command line."""
    title = f"``{'' if option.name in OPTIONS else '--'}{option.name}``"
    assert TITLES.count(title) == 1
    section = PAGE.partition(f"\n{title}\n")[2].partition("\n\n``")[0]
    assert f"| Default: {option.shown_default}\n" in section
    if option.argument in ARGUMENTS:
        assert f"| Command line: ``--{option.argument}" in section


def test_anchors_are_different():
    """A second one of the same name would get a number, which may change."""
    anchors = [anchor_of(title) for title in TITLES]
    assert sorted({*anchors}) == sorted(anchors)


def test_a_phone_shows_the_page():
    """No table is on it: each line breaks where the screen ends."""
    assert "table::" not in PAGE
    assert not re.search(r"^[=+-]{2,} ", PAGE, re.M)

"""The pages for who comes from elsewhere name what is there, on both sides."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import engineio
import pytest
from doc_blocks import DOCS

import twisted_engineio
from twisted_engineio import CloseReason, Config

PAGE = (DOCS / "from_python_engineio.rst").read_text("utf-8")
TXSOCKJS = (DOCS / "from_txsockjs.rst").read_text("utf-8")
THEIRS = engineio.AsyncServer


def table(title: str) -> dict[str, list[str]]:
    """Read a table: what theirs is, and the cells behind it."""
    text = re.split(rf"^{title}\n-+\n", PAGE, flags=re.M)[1]
    text = re.split(r"^[A-Z]\w+\n-+\n", text, flags=re.M)[0]
    rows = re.split(r"^   \* -", text, flags=re.M)[2:]
    cells = [
        [each.strip() for each in re.split(r"^     -", row, flags=re.M)] for row in rows
    ]
    return {row[0]: row[1:] for row in cells}


def names(text: str) -> set[str]:
    """Find what is quoted, without arguments."""
    return {re.match(r"[\w.]*", each)[0] for each in re.findall(r"``(.+?)``", text)}


def test_every_method_of_theirs_has_its_row():
    """And nothing is made up."""
    listed = set().union(*map(names, table("Methods")))
    public = {name for name in dir(THEIRS) if not name.startswith("_")}
    assert listed == public
    assert public >= {name for name in dir(engineio.Server) if not name.startswith("_")}


@pytest.mark.parametrize("event", THEIRS.event_names)
def test_every_event_of_theirs_has_its_row(event):
    """There are three."""
    assert f'``on("{event}")``' in table("Methods")


def test_every_option_of_theirs_has_its_row():
    """In the order of their signature; and ours is an option of ours."""
    listed = {
        name.strip("`"): cells[0].strip("`") for name, cells in table("Options").items()
    }
    parameters = [*inspect.signature(THEIRS.__init__).parameters][1:]
    assert [*listed] == parameters
    ours = {f"Config.{field.name}" for field in fields(Config)}
    assert {each for each in listed.values() if each} <= ours


def test_every_reason_of_theirs_has_its_row():
    """And becomes one of ours."""
    rows = table("Reasons")
    theirs = {name for name in vars(THEIRS.reason) if name.isupper()}
    assert {name.strip("`") for name in rows} == theirs
    for (cell,) in rows.values():
        named = {each for each in names(cell) if each.isupper()}
        assert named
        assert named <= {reason.name for reason in CloseReason}


@pytest.mark.parametrize("page", [PAGE, TXSOCKJS], ids=["python-engineio", "txsockjs"])
def test_what_is_named_of_ours_exists(page):
    """Every ``Class.attribute`` of the public classes."""
    found = 0
    for whole in names(page):
        owner, dot, attribute = whole.partition(".")
        if dot and owner in twisted_engineio.__all__:
            kind = getattr(twisted_engineio, owner)
            known = {*dir(kind), *re.findall(r"^        (\w+): ", kind.__doc__, re.M)}
            assert attribute in known, whole
            found += 1
    assert found or page is TXSOCKJS


def test_the_version_that_was_compared_is_installed():
    """A newer one is compared anew."""
    from importlib.metadata import version

    said = re.search(r"Compared with python-engineio (\d+\.\d+)\.", PAGE)[1]
    assert version("python-engineio").startswith(said + ".")


def test_options_that_txsockjs_s_become_are_options():
    """The ones that have a name of ours."""
    for theirs, ours in (
        ("websocket", "transports"),
        ("cookie_needed", "cookie"),
        ("heartbeat", "ping_interval"),
        ("timeout", "ping_timeout"),
        ("streaming_limit", "sse_max_bytes"),
        ("proxy_header", "trusted_proxies"),
    ):
        assert f"   * - option ``{theirs}``\n     - ``{ours}``" in TXSOCKJS
        assert ours in {field.name for field in fields(Config)}

"""README.rst says what is so: its code runs, and its options are the options."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from textwrap import dedent

import pytest
from twisted.web.resource import Resource

from twisted_engineio import Application, Config, EngineIOResource, Reject, tap
from twisted_engineio.handshake import Handshake

README = (Path(__file__).parent.parent / "README.rst").read_text(encoding="utf-8")
APPLICATION, MOUNTING, TESTING = (
    dedent(block)
    for block in re.findall(
        r"^\.\. code-block:: python\n\n(.+?)^(?=\S)", README, re.DOTALL | re.MULTILINE
    )
)
OF_TWISTED = {"--help", "--version"}
OTHERWISE_NAMED = {
    "--no-upgrades": "allow_upgrades",
    "--no-http-compression": "http_compression",
    "--trusted-proxy": "trusted_proxies",
}
"""Options that are not their field's name with dashes: what switches off a thing that
is on, and one of several."""


def rows_of_the_table() -> list[list[str]]:
    """The option table's rows: command line, Config, default, meaning."""
    table = README.partition("Options\n-------\n")[2].partition("\nMore\n")[0]
    rows = [
        [cell.strip().strip("`") for cell in re.split(r"^     -", row, flags=re.M)]
        for row in re.split(r"^   \* -", table, flags=re.M)[1:]
    ]
    assert all(len(row) == 4 for row in rows)
    return rows[1:]


ROWS = rows_of_the_table()
IN_CONFIG = {row[1]: row for row in ROWS if row[1]}


def test_two_commands_set_it_up():
    """The first code in the README is the two commands, and nothing else."""
    first = re.search(r"::\n\n((?:    .*\n)+)", README).group(1)
    assert first.split("\n") == ["    make run", "    make test", ""]


def test_the_application_is_short():
    """Fifteen lines, not counting empty ones, are promised and kept."""
    assert len([line for line in APPLICATION.splitlines() if line]) <= 15


def test_the_application_runs(tmp_path, monkeypatch, capsys):
    """What is shown can be saved and given to --app, as the README says."""
    (tmp_path / "readme_chat.py").write_text(APPLICATION)
    monkeypatch.syspath_prepend(tmp_path)
    options = tap.Options()
    options.parseOptions(["--app", "readme_chat:Chat"])
    chat = options["application"]
    assert isinstance(chat, Application)
    chat.admit(Handshake("polling", {"room": "open"}, {}))
    with pytest.raises(Reject):
        chat.admit(Handshake("polling", {"room": "closed"}, {}))


def test_the_mounting_runs():
    """The lines that mount a server into a site do so."""
    root = Resource()
    names = {"root": root, "Chat": Application}
    exec(compile(MOUNTING, "README.rst", "exec"), names)
    assert isinstance(root.children[b"engine.io"], EngineIOResource)
    assert names["server"].config.ping_interval == 10.0
    assert names["site"].engineio_places.server_at(b"/engine.io") is names["server"]


def test_the_testing_runs():
    """What is shown is true of the application that is shown."""
    names = {}
    exec(compile(APPLICATION + TESTING, "README.rst", "exec"), names)
    assert names["ada"].received == ["welcome", "hello"]


def test_the_table_has_every_option_of_the_command_line():
    """No option is missing from the table, and none is made up."""
    options = tap.Options()
    known = {f"--{name.rstrip('=')}" for name in options.longOpt}
    assert {row[0] for row in ROWS if row[0]} == known - OF_TWISTED


def test_the_table_has_every_field_of_config():
    """No field is missing from the table, and none is made up."""
    assert set(IN_CONFIG) == {field.name for field in fields(Config)}


@pytest.mark.parametrize("name", IN_CONFIG)
def test_a_default_is_what_the_table_says(name):
    """Config's default is the table's, written as on the command line."""
    default = getattr(Config(), name)
    if isinstance(default, tuple):
        default = ",".join(default)
    assert IN_CONFIG[name][2] == ("" if default is None else str(default))


@pytest.mark.parametrize("row", [row for row in ROWS if row[0]], ids=lambda row: row[0])
def test_an_option_is_named_as_in_config(row):
    """The command line's name is the field's, with dashes; its default is the same."""
    option, field, default, _ = row
    if field:
        usual = option.removeprefix("--").replace("-", "_")
        assert OTHERWISE_NAMED.get(option, usual) == field
    options = tap.Options()
    options.parseOptions([])
    if default and default not in ("True", "False"):
        assert str(options[option.removeprefix("--")]) == default

"""--help is complete, in groups; --version and python -m are ours."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest
from twisted.copyright import version

from twisted_engineio import __main__, __version__
from twisted_engineio.cli.arguments import ARGUMENTS, COMMAND_LINE
from twisted_engineio.cli.usage import on_command_line
from twisted_engineio.config import OPTIONS
from twisted_engineio.config.option import Kind
from twisted_engineio.tap import Options

HELP = Options().getUsage(width=80)
ENTRIES = {
    entry.split()[0]: " ".join(entry.split("\n", 1)[1].split("\n\n")[0].split())
    for entry in HELP.split("\n  --")[1:]
}
"""What is said of each option."""


@pytest.mark.parametrize("name", ARGUMENTS)
def test_help_has_every_option(name):
    """With what it does and its default, in the names of the command line."""
    option = ARGUMENTS[name]
    said = ENTRIES[name]
    assert said.startswith(on_command_line(option.inverse or option.help))
    default = on_command_line(option.shown_default)
    assert said.endswith(f" Default: {'off' if option.inverse else default}.")
    assert ("May be repeated." in said) is option.repeatable
    assert "``" not in said


def test_help_has_no_other_option():
    """But for Twisted's own two."""
    assert {*ENTRIES} - {*ARGUMENTS} == {"help", "version"}


def test_the_options_are_those_that_are_parsed():
    """The parser knows each option, and only those, and takes a value where it says."""
    known = {name.rstrip("="): name.endswith("=") for name in Options().longOpt}
    takes_value = {name: each.kind is not Kind.FLAG for name, each in ARGUMENTS.items()}
    assert known == {**takes_value, "help": False, "version": False}


def test_help_is_in_groups():
    """Each group has a heading, and an empty line before it."""
    headings = [each.group for each in ARGUMENTS.values() if each.group]
    assert len(headings) == len({*headings})
    for heading in headings:
        assert f"\n\n{heading}:\n  --" in HELP


@pytest.mark.parametrize("width", [40, 80, 120])
def test_help_fits_the_terminal(width):
    """No line is wider than it; none breaks inside an option's name."""
    text = Options().getUsage(width=width)
    longest = max(len(f"  --{name} NUMBER") for name in ARGUMENTS)
    assert max(map(len, text.splitlines())) <= max(width, longest)
    assert " ".join(text.split()) == " ".join(HELP.split())


def test_help_is_as_wide_as_columns_says(monkeypatch):
    """As in Twisted; 80 if it is not set."""
    monkeypatch.setenv("COLUMNS", "60")
    assert str(Options()).endswith(Options().getUsage(width=60))
    monkeypatch.delenv("COLUMNS")
    assert str(Options()).endswith(HELP)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("--ping-interval SECONDS", "the next ping. Default: 25 seconds."),
        ("--max-payload BYTES", "Default: 1000000 bytes."),
        ("--max-connections NUMBER", "Default: twice --max-sessions, plus 1000."),
        ("--no-upgrades", "Default: off."),
        ("--cors ORIGIN", "May be repeated. Default: none."),
        ("--app MODULE:NAME", "Default: an echo application."),
    ],
)
def test_an_option_has_a_placeholder(name, said):
    """After its name stands what kind of value it takes."""
    assert f"\n  {name}\n" in HELP
    assert ENTRIES[name.removeprefix("--").split()[0]].endswith(said)


@pytest.mark.parametrize("option", COMMAND_LINE, ids=lambda option: option.name)
def test_an_option_of_the_command_line_is_not_one_of_config(option):
    """Each option is described in one place."""
    assert option.name.replace("-", "_") not in OPTIONS
    assert option.default is not None or option.none


def test_a_name_that_is_no_option_stays():
    """Only options have another name on the command line."""
    text = "``max_sessions``, ``Session.send`` and ``cors_methods``"
    assert on_command_line(text) == "--max-sessions, Session.send and cors_methods"


def test_help_ends_the_process(capsys):
    """With status 0, and with the options on standard output."""
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(["--help"])
    assert caught.value.code == 0
    assert "--ping-interval SECONDS" in capsys.readouterr().out


def test_version_is_ours(capsys):
    """And Twisted's in a second line."""
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(["--version"])
    assert caught.value.code == 0
    lines = capsys.readouterr().out
    assert lines == f"twisted_engineio {__version__}\nTwisted {version}\n"


def test_python_m_is_twistd_n_engineio(monkeypatch):
    """With the same arguments after it."""
    ran = []
    monkeypatch.setattr("twisted.scripts.twistd.run", lambda: ran.append(sys.argv[1:]))
    monkeypatch.setattr(sys, "argv", ["", "--port", "5"])
    monkeypatch.delitem(sys.modules, "twisted_engineio.__main__")
    runpy.run_module("twisted_engineio", run_name="__main__")
    assert ran == [["-n", "engineio", "--port", "5"]]


def test_importing_the_main_module_runs_nothing():
    """Tools import every module that there is."""
    assert callable(__main__.main)


def test_python_m_runs():
    """A wrong value is one line there, too, and status 1."""
    command = (sys.executable, "-m", "twisted_engineio", "--port", "65536")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "twistd engineio: --port: 65536 is above 65535\n"

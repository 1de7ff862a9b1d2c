"""The operator's pages say what is so: no limit, reason or log line is missing."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path
from textwrap import dedent

import pytest

import twisted_engineio
from twisted_engineio import CloseReason, Config

PAGES = Path(__file__).parent.parent / "docs" / "operations"
PACKAGE = Path(twisted_engineio.__file__).parent
RUNNING = (PAGES / "running.rst").read_text("utf-8")
LIMITS = (PAGES / "limits.rst").read_text("utf-8")
LOG = " ".join((PAGES / "log.rst").read_text("utf-8").split())
UNITS = re.findall(r"code-block:: ini\n\n((?:    .*\n|\n)+)", RUNNING)


def analyze(*arguments):
    """Ask systemd about a unit."""
    command = shutil.which("systemd-analyze")
    assert command, "systemd-analyze is missing: run `make test`"
    return subprocess.run(
        [command, *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def units(tmp_path):
    """The unit and the socket, as files; the program is one that is there."""
    service, socket = (dedent(each) for each in UNITS)
    paths = tmp_path / "chat.service", tmp_path / "chat.socket"
    paths[0].write_text(service.replace("/srv/chat/venv/bin/twistd", "/bin/true"))
    paths[1].write_text(socket)
    return paths


def test_systemd_takes_the_units(units):
    """Every key is known, every value makes sense."""
    done = analyze("verify", "--man=no", *map(str, units))
    said = [line for line in done.stderr.splitlines() if "chat." in line]
    assert (done.returncode, said) == (0, [])


def test_a_unit_with_a_mistake_is_found(units):
    """Else the test above would say nothing."""
    units[0].write_text(units[0].read_text().replace("LimitNOFILE", "LimitFiles"))
    assert "LimitFiles" in analyze("verify", "--man=no", str(units[0])).stderr


def test_the_unit_is_as_closed_as_the_page_says(units):
    """By systemd's own rating: below 2, where 10 is a service without any of it."""
    done = analyze("security", "--offline=true", "--no-pager", str(units[0]))
    [exposure] = re.findall(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert float(exposure) < 2


def test_the_unit_outlasts_the_drain():
    """For systemd kills later than the server itself gives up."""
    [patience] = re.findall(r"^    TimeoutStopSec=(\d+)$", RUNNING, re.M)
    assert float(patience) > 2 * getattr(Config(), "drain_timeout", 5.0)


@pytest.mark.parametrize(
    "name",
    [
        each.name
        for each in fields(Config)
        if isinstance(getattr(Config(), each.name), (int, float))
        and not isinstance(getattr(Config(), each.name), bool)
    ],
)
def test_every_limit_is_explained(name):
    """Whatever is a number in Config has a word for the operator."""
    assert f"``{name}" in LIMITS


def log_lines():
    """Every line that the house logs, and the name of its level."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            function, text = node.func, node.args[0]
            of_a_log = isinstance(function, ast.Attribute) and re.search(
                r"\blog$", ast.unparse(function.value)
            )
            if of_a_log and isinstance(text, ast.Constant):
                level = {"failure": "critical"}.get(function.attr, function.attr)
                yield pytest.param(level, text.value, id=text.value[:40])


def test_the_log_has_lines():
    """The search above finds them."""
    assert len(list(log_lines())) > 8


@pytest.mark.parametrize(("level", "text"), list(log_lines()))
def test_every_line_of_the_log_is_explained(level, text):
    """With its level, and what to do."""
    assert f"* - {level} - ``{text}``" in LOG


@pytest.mark.parametrize("reason", CloseReason)
def test_every_reason_is_explained(reason):
    """The reasons for which sessions end stand among the log's lines."""
    assert f"``{reason.value}``" in LOG

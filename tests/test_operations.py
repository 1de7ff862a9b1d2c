"""The operator's pages say what is so: no limit, reason or log line is missing."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from certificates import make_certificate
from programs import free_port

import twisted_engineio
from twisted_engineio import CloseReason, Config

PAGES = Path(__file__).parent.parent / "docs" / "operations"
PACKAGE = Path(twisted_engineio.__file__).parent
RUNNING = (PAGES / "running.rst").read_text("utf-8")
LIMITS = (PAGES / "limits.rst").read_text("utf-8")
LOG = " ".join((PAGES / "log.rst").read_text("utf-8").split())
UNITS = PAGES.parent.parent / "examples" / "systemd"


def analyze(*arguments):
    """Ask systemd about a unit."""
    command = shutil.which("systemd-analyze")
    assert command, "systemd-analyze is missing: run `make test`"
    return subprocess.run(
        [command, *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def units(tmp_path):
    """The unit and the socket; the program is one that is there."""
    paths = []
    for name in ("chat.service", "chat.socket"):
        text = (UNITS / name).read_text("utf-8")
        paths.append(tmp_path / name)
        paths[-1].write_text(text.replace("/srv/chat/venv/bin/twistd", "/bin/true"))
    return paths


SERVICE = (UNITS / "chat.service").read_text("utf-8")


def number(pattern, text=SERVICE):
    """Read the one number that a pattern finds."""
    [found] = re.findall(pattern, text, re.M)
    return int(found)


@pytest.mark.external
def test_systemd_takes_the_units(units):
    """Every key is known, every value makes sense."""
    done = analyze("verify", "--man=no", *map(str, units))
    said = [line for line in done.stderr.splitlines() if "chat." in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.external
def test_a_unit_with_a_mistake_is_found(units):
    """Else the test above would say nothing."""
    units[0].write_text(units[0].read_text().replace("LimitNOFILE", "LimitFiles"))
    assert "LimitFiles" in analyze("verify", "--man=no", str(units[0])).stderr


@pytest.mark.external
def test_the_unit_is_as_closed_as_the_page_says(units):
    """By systemd's own rating: below 2, where 10 is a service without any of it."""
    done = analyze("security", "--offline=true", "--no-pager", str(units[0]))
    [exposure] = re.findall(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert float(exposure) < 2


def test_the_unit_outlasts_the_drain():
    """For systemd kills later than the server itself gives up."""
    assert number(r"^TimeoutStopSec=(\d+)$") > 2 * Config().drain_timeout


def test_the_unit_keeps_the_rule_for_descriptors():
    """Two for each session, and the process's own; with a socket, too."""
    sessions = number(r"--max-sessions (\d+)")
    assert number(r"^LimitNOFILE=(\d+)$") >= 2 * sessions + 1000
    drop_in = (UNITS / "chat.service.d" / "socket.conf").read_text("utf-8")
    assert number(r"--max-sessions (\d+)", drop_in) == sessions


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


# The command lines, run.

[TLS] = re.findall(r"^    twistd (.*--listen ssl:.*)$", RUNNING, re.M)
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]


@pytest.fixture
def started(tmp_path):
    """Start a command, wait for a line of its log, and end it after the test."""
    processes = []

    def start(command, line):
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        seen = []
        for each in process.stdout:
            seen.append(each)
            if line in each:
                return
        pytest.fail("".join(seen))

    yield start
    for process in processes:
        process.terminate()
        process.stdout.close()
        process.wait(30)


def visit(connection):
    """Open a session by polling, and end it: the open packet."""
    path = "/engine.io/?EIO=4&transport=polling"
    with closing(connection):
        connection.request("GET", path)
        opened = connection.getresponse().read()
        sid = json.loads(opened[1:])["sid"]
        # A server that stops waits for a session that its client has not ended.
        connection.request("POST", f"{path}&sid={sid}", "1")
        assert connection.getresponse().read() == b"ok"
    return opened


def test_it_speaks_tls(started, tmp_path):
    """With the page's endpoint, and files that are called so."""
    pem = make_certificate(tmp_path / "key.pem").read_bytes()
    for name in ("cert.pem", "chain.pem"):
        (tmp_path / name).write_bytes(pem)
    port = free_port()
    command = TLS.replace("ssl:3443:", f"ssl:{port}:interface=127.0.0.1:").split()
    started([*TWISTD, "--pidfile=", *command], "EngineIOSite (TLS) starting")
    trust = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    connection = HTTPSConnection("localhost", port, timeout=30, context=trust)
    assert visit(connection).startswith(b'0{"sid":')


# The log.


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

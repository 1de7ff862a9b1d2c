"""README.rst says what is so: code runs, options are options."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from textwrap import dedent
from urllib.request import urlopen

import pytest
from doc_blocks import DOCS, PROJECT, blocks_of
from programs import free_port, program, started

from twisted_engineio import Application, Reject, tap
from twisted_engineio.cli.arguments import ARGUMENTS
from twisted_engineio.config import OPTIONS
from twisted_engineio.protocol.handshake import Handshake

README = (PROJECT / "README.rst").read_text(encoding="utf-8")
APPLICATION, MOUNTING, TESTING = (
    dedent(block)
    for block in re.findall(
        r"^\.\. code-block:: python\n\n(.+?)^(?=\S)", README, re.DOTALL | re.MULTILINE
    )
)


def rows_of(table: str) -> list[list[str]]:
    """The option table's rows: command line, Config, default, meaning."""
    rows = [
        [" ".join(cell.split()) for cell in re.split(r"^     -", row, flags=re.M)]
        for row in re.split(r"^   \* -", table, flags=re.M)[1:]
    ]
    return [[*(cell.strip("`") for cell in row[:-1]), row[-1]] for row in rows]


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


def test_the_site_runs(tmp_path):
    """Saved and started as the README says, it serves a page, and Engine.IO beside."""
    (tmp_path / "chat.py").write_text(APPLICATION)
    port = free_port()
    assert MOUNTING.count("3000") == 1
    (tmp_path / "server.py").write_text(MOUNTING.replace("3000", str(port)))
    with started(tmp_path, sys.executable, "server.py", place=port):
        url = f"http://127.0.0.1:{port}"
        with urlopen(url) as answer:
            assert answer.read() == b"<h1>A page of yours</h1>"
        opening = f"{url}/engine.io/?EIO=4&transport=polling"
        with urlopen(opening) as answer:
            opened = json.loads(answer.read().decode().split("\x1e")[0][1:])
        assert opened["pingInterval"] == 10_000
        with urlopen(f"{opening}&sid={opened['sid']}", b"1"):
            pass
    assert "gone: transport close" in (tmp_path / "log").read_text()


FIGURES = README.partition("\nA small echo")[2].partition("\n\n")[0]
"""The paragraph on performance."""

ROWS_OF_RATIOS = {
    "echo 32 B, 100 sessions, 1 in flight": ("0.68", "0.16"),
    "echo 32 B, 10 sessions, 16 in flight": ("0.24", "0.05"),
    "polling round trip, 100 sessions": ("2.37", "0.70"),
}
"""What the README takes from the page on performance."""


@pytest.mark.parametrize("row", ROWS_OF_RATIOS)
def test_a_figure_is_what_was_measured(row):
    """Each ratio stands in the table that the benchmarks have written."""
    measured = (DOCS / "performance" / "ratios.rst").read_text("utf-8")
    line = next(each for each in measured.splitlines() if each.strip().startswith(row))
    ratios = re.findall(r"(\d\.\d\d)(?= |$)", re.sub(r"\(.*?\)", " ", line))
    assert tuple(ratios) == ROWS_OF_RATIOS[row]
    assert all(each in FIGURES for each in ratios)


def test_the_memory_is_what_was_measured():
    """Of an idle session, of each of the three servers."""
    measured = (DOCS / "performance" / "table.rst").read_text("utf-8")
    block = measured.partition("9,000 idle sessions  [")[2].partition("\n\n")[0]
    row = README.partition("An idle WebSocket session\n")[2].partition("   * -")[0]
    for server in ("twisted_engineio", "engine.io", "python-engineio"):
        line = re.search(rf"^ +{re.escape(server)} .*$", block, re.MULTILINE)[0]
        assert f"- {line.split()[7]} KiB\n" in row, server


def test_every_link_is_absolute():
    """A link works on PyPI; ``setup.py`` leaves the pictures out there."""
    targets = re.findall(r"<([^<>]+)>`_", README)
    assert targets
    assert all(each.startswith("https://") for each in targets)


PICTURES = re.findall(r"^\.\. (?:image|figure):: (\S+)", README, re.MULTILINE)


def test_the_readme_has_pictures():
    """Of the live page, and of what a message costs."""
    assert set(PICTURES) == {"docs/live-page.png", "docs/performance/cost.svg"}


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_is_there_and_small(picture):
    """A picture is not empty, and loads fast."""
    assert 1_000 < (DOCS.parent / picture).stat().st_size < 200_000


PYTHON_CLIENT = """
import sys, engineio
client = engineio.Client()
client.on("connect", lambda: client.send("hello"))
client.on("message", lambda data: print(data, flush=True))
client.connect(sys.argv[1])
client.wait()
"""
"""A client of python-engineio, as its own documentation shows it."""


@pytest.fixture
def port(tmp_path):
    """Serve the application that is shown, as it is said to be."""
    (tmp_path / "chat.py").write_text(APPLICATION)
    port = free_port()
    command = ("twistd", "-n", "engineio", "--app", "chat:Chat", "--port", port)
    with started(tmp_path, *command, place=port):
        yield port


def hear(*command: object) -> list[str]:
    """Run a client until it has printed two lines."""
    with subprocess.Popen(
        [str(each) for each in command], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            return [process.stdout.readline().strip() for _ in range(2)]
        finally:
            process.kill()


@pytest.mark.external
def test_the_client_runs(port, tmp_path):
    """With npm's client beside it; and it is the one that the other pages show."""
    [block] = [
        each for each in blocks_of(PROJECT / "README.rst") if each.kind == "javascript"
    ]
    assert block.text == (DOCS / "tutorial" / "client.mjs").read_text("utf-8")
    packages = PROJECT / "tests" / "interop" / "node_modules"
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "client.mjs").write_text(block.text.replace("3000", str(port)))
    assert hear(program("node"), tmp_path / "client.mjs") == ["welcome", "hello"]


def test_python_engineio_s_client_speaks_to_it(port):
    """As the README says."""
    url = f"http://127.0.0.1:{port}"
    heard = hear(sys.executable, "-c", PYTHON_CLIENT, url)
    assert heard == ["welcome", "hello"]


def test_the_testing_runs(tmp_path):
    """Saved beside the application, it is true of it."""
    (tmp_path / "chat.py").write_text(APPLICATION)
    (tmp_path / "test_chat.py").write_text(TESTING)
    command = [sys.executable, "test_chat.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_readme_shows_ten_options():
    """The most used, each with what the option itself says."""
    table = README.partition("Options\n-------\n")[2].partition("\nMore\n")[0]
    heading, *rows = rows_of(table)
    assert len(heading) == 4
    assert len(rows) == 10
    for argument, name, default, text in rows:
        option = ARGUMENTS[argument.removeprefix("--")]
        assert name == (option.name if option.name in OPTIONS else "")
        assert default == option.shown_default
        assert text == option.help

"""docs/crossbar.rst says what is so; what it shows by file is run by tests/crossbar."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from twisted.application.service import IServiceCollection
from twisted.internet.testing import MemoryReactorClock
from twisted.web.resource import IResource

from twisted_engineio import crossbar, wamp
from twisted_engineio.wamp.messages import Op, Problem, read

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "crossbar.rst").read_text(encoding="utf-8")
EXAMPLE = DOCS.parent / "examples" / "crossbar"
CONFIG = json.loads((EXAMPLE / ".crossbar" / "config.json").read_text())


def blocks(language):
    """Find the code blocks of a language."""
    found = re.findall(
        rf"^\.\. code-block:: {language}\n\n(.+?)^(?=\S)",
        TEXT,
        re.DOTALL | re.MULTILINE,
    )
    return [dedent(block) for block in found]


MOUNTED, AT_ROOT, TRANSPORT = map(json.loads, blocks("json"))


def test_the_services_are_made(monkeypatch, tmp_path):
    """Crossbar would call what they name with what they say."""
    (tmp_path / "chat.py").write_text("from fakes import Listener as Chat")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLE)
    services = [MOUNTED["realtime"], AT_ROOT["/"]]
    for service in services:
        package, _, name = service["classname"].rpartition(".")
        assert package == crossbar.__name__
        make = getattr(crossbar, name)
        made = make(service["extra"], reactor=MemoryReactorClock())
        assert IResource.providedBy(made)


def test_the_example_s_configuration_is_the_one_that_is_explained():
    """It is started by tests/crossbar; the page shows parts of it."""
    [worker] = CONFIG["workers"]
    assert TRANSPORT in worker["transports"]
    [web] = [each for each in worker["transports"] if each["type"] == "web"]
    shown = {**AT_ROOT["/"]["extra"], "static": "../web"}
    assert web["paths"]["/"]["extra"] == shown


def test_the_table_has_every_option():
    """None is missing, and none is made up."""
    table = TEXT.partition("and these:")[2].partition("\nAn unknown name")[0]
    names = re.findall(r"^   \* - ``(\w+)``", table, re.MULTILINE)
    assert names == [*crossbar._OURS, *crossbar._ROOTS]


def test_the_program_without_crossbar_runs():
    """It connects when its application starts."""
    [program] = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(program, "crossbar.rst", "exec"), names)
    assert type(names["server"].application) is wamp.WampApplication
    services = IServiceCollection(names["application"])
    assert list(services) == [names["link"]]


def test_every_request_that_is_shown_is_one():
    """And each kind is shown."""
    asked = TEXT.partition("Requests of the client")[2].partition("list-table")[0]
    requests = [read(each) for each in re.findall(r"\* - ``(.+?)``", asked)]
    assert {each.op for each in requests} == {*Op}


def test_every_answer_that_is_shown_is_json():
    """With an op of its own."""
    shown = re.findall(r"``(\{\"op\".+?\})``", TEXT)
    ops = {json.loads(each)["op"] for each in shown}
    answers = {"result", "published", "subscribed", "unsubscribed", "error"}
    assert ops - {each.value for each in Op} == answers | {
        "welcome",
        "event",
        "message",
    }


def test_every_error_is_explained():
    """None is missing, and none is made up."""
    table = TEXT.partition("the bridge's errors:")[2].partition("With npm's client")[0]
    names = re.findall(r"^   \* - ``([\w.]+)``", table, re.MULTILINE)
    assert sorted(names) == sorted(each.value for each in Problem)


@pytest.mark.parametrize("name", ["bridge.py", "backend.py", "crossbar/client.mjs"])
def test_what_is_shown_by_file_is_short_and_there(name):
    """What is included is run as it stands."""
    assert f"/{name}\n" in TEXT or f" {name}\n" in TEXT
    path = EXAMPLE / name if name.endswith(".py") else DOCS / name
    assert 15 <= len(path.read_text().splitlines()) <= 40

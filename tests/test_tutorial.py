"""The tutorial is followed, as a reader would."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import DOCS, blocks_of
from programs import free_port, started

from twisted_engineio import Application, tap

TUTORIAL = DOCS / "tutorial"


@pytest.mark.parametrize("name", ["shout:Shout", "chat:Chat"])
def test_the_tutorial_s_applications_load(name, monkeypatch):
    """What the tutorial gives to --app is an application."""
    monkeypatch.syspath_prepend(TUTORIAL)
    options = tap.Options()
    options.parseOptions(["--app", name])
    assert isinstance(options["application"], Application)


def test_the_tutorial_s_test_passes():
    """The test that the tutorial shows passes, run as a reader would."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", "."]
        + ["-p", "no:cacheprovider", "-q"],
        cwd=TUTORIAL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def transcript() -> list[tuple[str, str]]:
    """Give what the tutorial types into a shell, each line with what it prints."""
    blocks = [each for each in blocks_of(DOCS / "tutorial.rst") if each.run_by]
    lines = [line for each in blocks for line in each.text.splitlines()]
    typed: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("$ "):
            typed.append((line[2:], ""))
        else:
            command, printed = typed.pop()
            typed.append((command, printed + line))
    return typed


@pytest.mark.external
def test_the_tutorial_s_curl_lines_print_what_is_shown(tmp_path: Path):
    """Typed one after the other, with the id that was given."""
    shutil.copy(TUTORIAL / "shout.py", tmp_path)
    port = free_port()
    shown_sid, sid, shell = "hTIJ5X0RMIvPm5zBwKfF", "", ""
    command = ("twistd", "-n", "engineio", "--app", "shout:Shout", "--port", port)
    with started(tmp_path, *command, place=port):
        for typed, shown in transcript():
            line = typed.replace("3000", str(port)).replace(shown_sid, sid)
            if typed.startswith("URL="):
                shell = line + "; "
                continue
            line = (shell + line).replace("curl ", "curl -sS ")
            printed = subprocess.check_output(line, shell=True, text=True)
            pattern = re.escape(shown).replace(re.escape("..."), ".*")
            pattern = pattern.replace(shown_sid, '(?P<sid>[^"]+)')
            said = re.fullmatch(pattern, printed)
            assert said, f"{typed} printed {printed!r}"
            sid = said.groupdict().get("sid", sid)
        subprocess.check_output(f'{shell}curl -sS "$URL" --data 1', shell=True)
    assert len(transcript()) == 4

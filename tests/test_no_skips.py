"""The plugin that lets nothing be skipped in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent

STEPPING_ASIDE = {
    "a skip": "def test_it():\n    pytest.skip('no node')",
    "a mark": "@pytest.mark.skip(reason='no node')\ndef test_it(): pass",
    "a module": "pytest.importorskip('no_such_module_at_all')",
    "a fixture": (
        "@pytest.fixture\ndef node(): pytest.skip('no node')\ndef test_it(node): pass"
    ),
    "an expected failure": "@pytest.mark.xfail\ndef test_it(): assert False",
}


def run_pytest(folder: Path, source: str, *flags: str) -> tuple[int, str]:
    """Run ``source`` as a test file in a process of its own."""
    (folder / "test_sample.py").write_text(f"import pytest\n{source}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", folder]
        + ["-p", "no:cacheprovider", *flags, folder],
        cwd=PROJECT,
        # Without this project's plugins it starts in a tenth of the time.
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("source", STEPPING_ASIDE.values(), ids=STEPPING_ASIDE)
def test_stepping_aside_fails_the_run(tmp_path, source):
    """Whatever way a test steps aside, the run is red and says so."""
    status, output = run_pytest(tmp_path, source, "-p", "tests.no_skips")
    assert status != 0
    assert "nothing may be skipped here" in output


@pytest.mark.parametrize("source", STEPPING_ASIDE.values(), ids=STEPPING_ASIDE)
def test_stepping_aside_fails_a_worker(tmp_path, source):
    """Tests that run side by side don't step aside either."""
    xdist = ["-p", "xdist", "-n", "1"]
    status, output = run_pytest(tmp_path, source, "-p", "tests.no_skips", *xdist)
    assert status != 0
    assert "nothing may be skipped here" in output


def test_a_test_that_runs_passes(tmp_path):
    """The plugin leaves alone what has nothing to hide."""
    status, output = run_pytest(tmp_path, "def test_it(): pass", "-p", "tests.no_skips")
    assert status == 0
    assert "1 passed" in output


def test_a_person_may_skip(tmp_path):
    """Without the plugin a skip is what it always was."""
    status, output = run_pytest(tmp_path, STEPPING_ASIDE["a skip"])
    assert status == 0
    assert "1 skipped" in output

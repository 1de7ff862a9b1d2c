"""Programs that tests start hear signals, however the tests were started."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from programs import default_signals

ENDING = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"]


@pytest.mark.parametrize("name", ENDING)
def test_a_program_hears_what_its_parent_ignores(name):
    """As a shell has it that starts `make test` in the background, or nohup."""
    number = getattr(signal, name)
    program = f"import signal; print(signal.getsignal({number:d}) is signal.SIG_IGN)"
    before = signal.signal(number, signal.SIG_IGN)
    try:
        heard = [
            subprocess.run(
                [sys.executable, "-c", program],
                capture_output=True,
                text=True,
                check=True,
                preexec_fn=function,
            ).stdout.strip()
            for function in (None, default_signals)
        ]
    finally:
        signal.signal(number, before)
    assert heard == ["True", "False"]

"""A headless Chromium, in the hands of browser.mjs."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from running import HERE, Service

STOP_DEADLINE = 15.0


class Browser:
    """A browser that runs errands, one after the other."""

    def __init__(self, node: str, chromium: str) -> None:
        self._process = subprocess.Popen(
            [node, str(HERE / "browser.mjs"), chromium],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.version = self._reply()["facts"]

    def run(self, errand: str, service: Service, **request: object) -> Any:
        """Run an errand to a server, and give back its facts."""
        line = json.dumps({"errand": errand, "url": service.url, **request})
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        reply = self._reply()
        if "error" in reply:
            service.fail(f"and Chromium {self.version}, {request}:\n{reply['error']}")
        return reply["facts"]

    def _reply(self) -> Any:
        # browser.mjs has a deadline for everything, and answers when it is over.
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, said = self._process.communicate()
            pytest.fail(f"Chromium does not run:\n{said[-4000:]}", pytrace=False)
        return json.loads(line)

    def close(self) -> None:
        """Send it home."""
        self._process.communicate(timeout=STOP_DEADLINE)

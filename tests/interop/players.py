"""Processes that play scenarios: npm's clients in Node, and in Chromium."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from running import HERE, Service

STOP_DEADLINE = 15.0


class Player:
    """A script of errands.mjs, told its errands one after the other."""

    def __init__(self, node: str, script: str, *arguments: str) -> None:
        self._name = script
        self.process = subprocess.Popen(
            [node, str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, errand: str, service: Service, **request: object) -> Any:
        """Run an errand to a server, and give back its facts."""
        self.begin(errand, service, **request)
        reply = self.reply()
        if "error" in reply:
            service.fail(f"and {errand} of {self._name}, {request}:\n{reply['error']}")
        return reply["facts"]

    def begin(self, errand: str, service: Service, **request: object) -> None:
        """Send it on an errand."""
        line = json.dumps({"url": service.url, **request, "errand": errand})
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def reply(self) -> Any:
        """What it has to say next."""
        # The scripts have a deadline for every errand, and answer when it is over.
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, said = self.process.communicate()
            pytest.fail(f"{self._name} does not run:\n{said[-4000:]}", pytrace=False)
        return json.loads(line)

    def close(self) -> None:
        """Send it home."""
        self.process.communicate(timeout=STOP_DEADLINE)

    def kill(self) -> None:
        """End it, whatever it is at."""
        self.process.kill()
        self.process.communicate()

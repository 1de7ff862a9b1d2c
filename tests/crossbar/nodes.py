"""A real Crossbar node, set up as the example is, with a door for the tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from players import Player
from programs import free_port
from running import PROJECT, Service

CROSSBAR = Path(__file__).parent / ".venv" / "bin" / "crossbar"
EXAMPLE = PROJECT / "examples" / "crossbar"
START_DEADLINE = 120.0
"""Crossbar imports a great deal, and the first time it compiles all of it."""
STOP_DEADLINE = 40.0
READY = (
    "local node configuration ran successfully",
    "joined realm realm1 of the router",
)
"""What the log says when a client can be served."""

# The test's own role, for the component that it sends and for the router's meta API.
TESTER = {
    "name": "tester",
    "permissions": [
        {
            "uri": "",
            "match": "prefix",
            "allow": {
                "call": True,
                "register": True,
                "publish": True,
                "subscribe": True,
            },
        }
    ],
}
DOOR = {
    "type": "rawsocket",
    "endpoint": {"type": "unix", "path": "tester.sock"},
    "auth": {"anonymous": {"type": "static", "role": "tester"}},
}
BRIDGE = {"anonymous": {"type": "static", "role": "bridge"}}


def command() -> str:
    """Crossbar's own command."""
    if not CROSSBAR.is_file():
        pytest.fail("crossbar is missing: run `make test`", pytrace=False)
    return str(CROSSBAR)


class Node(Service):
    """``crossbar start`` of a copy of the example, at a free port."""

    name = "crossbar start"

    def __init__(self, folder: Path, **extra: str) -> None:
        """Start it; ``{port}`` in an option of ``extra`` is the node's own."""
        port = free_port()
        # A UNIX socket's path may be 100 characters long, and pytest's are.
        self.folder = folder / "node"
        shutil.copytree(EXAMPLE, self.folder)
        self.config_file = self.folder / ".crossbar" / "config.json"
        config = json.loads(self.config_file.read_text())
        [worker] = config["workers"]
        _, web = worker["transports"]
        web["endpoint"]["port"] = port
        web["endpoint"]["interface"] = "127.0.0.1"
        for name, value in extra.items():
            web["paths"]["/"]["extra"][name] = value.replace("{port}", str(port))
        web["paths"]["ws"] = {"type": "websocket", "auth": BRIDGE}
        worker["transports"].insert(1, DOOR)
        worker["realms"][0]["roles"].append(TESTER)
        self.config_file.write_text(json.dumps(config))
        self.router = f"rs://unix:{self.folder / '.crossbar' / 'tester.sock'}"
        start = [command(), "start", "--cbdir", str(self.config_file.parent)]
        super().__init__(start, port, folder / "node.log")

    def wait_until_it_accepts(self) -> None:
        """Wait until bridge and component are joined to the router."""
        end = time.monotonic() + START_DEADLINE
        while not all(each in self.log for each in READY):
            if time.monotonic() > end:
                self.fail(f"was not ready within {START_DEADLINE} s")
            self._still_starting()

    def check_log(self) -> None:
        """Nobody stumbled; Crossbar's libraries print tracebacks at imports."""
        news = self.log[self._checked :]
        self._checked += len(news)
        if "Unhandled" in news or "twisted_engineio/" in news:
            self.fail("has stumbled")

    def stop(self) -> None:
        """End it with SIGTERM, and see that it shut down in good order."""
        self.tell_to_stop()
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.fail(f"did not end within {STOP_DEADLINE} s of SIGTERM")
        self.check_log()
        # Its status is 1 whenever it is ended by a signal, whatever it runs.
        if "Node worker worker001 ended successfully" not in self.log:
            self.fail("did not end well")


class Errands:
    """What a player does for the tests, each errand a method."""

    def __init__(self, player: Player, service: Node) -> None:
        self._player = player
        self._service = service

    def __getattr__(self, errand: str) -> Any:
        return lambda **request: self._player.run(errand, self._service, **request)

"""python-engineio's client, against our server."""

from __future__ import annotations

import sys

import pytest
from running import APP, EIO3, HERE, QUICK, StartOurs, run_client


@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
def test_conversation(ours: StartOurs, mode: str) -> None:
    """Echoes before and after three heartbeats, and a close by the server."""
    service = ours(*APP, *EIO3, *QUICK)
    script = str(HERE / "python_client.py")
    facts = run_client([sys.executable, script, service.url, mode], service)
    assert facts == {
        "echoed": True,
        "pings": 3,
        "transport": "polling" if mode == "polling" else "websocket",
        "last": "so long",
        "closed": True,
        "server": "forced close",
        "client": [facts["client"][0]],
    }

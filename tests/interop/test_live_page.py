"""The live page of the built-in echo server, in a real Chromium."""

from __future__ import annotations

from conftest import StartOurs, run_client
from running import HERE, PROJECT


def test_visit(ours: StartOurs, node: str, browser: str) -> None:
    """It begins with polling, upgrades, shows what comes back, and stays at home."""
    service = ours("--ping-interval", "1")
    screenshot = PROJECT / "build" / "live-page.png"
    command = [node, str(HERE / "live_page.mjs"), browser, service.url, str(screenshot)]
    facts = run_client(command, service)
    assert facts == {
        "first": "polling",
        "last": {
            "state": "open",
            "transport": "websocket",
            "errors": 0,
            "unanswered": 0,
            "probeFailed": None,
        },
        "complaints": [],
        "foreign": [],
        "shown": True,
    }
    assert screenshot.stat().st_size > 10_000

"""The live page of the built-in echo server, in a real Chromium."""

from __future__ import annotations

from players import Player
from running import PROJECT, StartOurs


def test_visit(ours: StartOurs, browser: Player) -> None:
    """It begins with polling, upgrades, shows what comes back, and stays at home."""
    service = ours("--ping-interval", "0.4")
    screenshot = PROJECT / "build" / "live-page.png"
    facts = browser.run("visit", service, screenshot=str(screenshot))
    shown = facts.pop("shown")
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
    }
    assert "Hello from Chromium 😀" in shown
    assert screenshot.stat().st_size > 10_000

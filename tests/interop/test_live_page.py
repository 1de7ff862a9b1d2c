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


def test_a_stream_is_forced(ours: StartOurs, browser: Player) -> None:
    """Where it is offered, the page can be told to use server-sent events."""
    offered = ("--transports", "polling,sse,websocket")
    service = ours("--ping-interval", "0.4", *offered)
    screenshot = PROJECT / "build" / "live-page-sse.png"
    facts = browser.run("force", service, screenshot=str(screenshot))
    assert facts == {
        "last": {
            "state": "open",
            "transport": "sse",
            "errors": 0,
            "unanswered": facts["last"]["unanswered"],
            "probeFailed": None,
        },
        "again": "sse",
        "complaints": [],
        "foreign": [],
        "shown": "Connected over server\u2011sent events",
    }

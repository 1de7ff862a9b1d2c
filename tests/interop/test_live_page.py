"""The live page of the built-in echo server, in a real Chromium."""

from __future__ import annotations

import pytest
from certificates import make_certificate
from players import Player
from programs import free_port
from running import PROJECT, StartOurs


def test_visit(ours: StartOurs, browser: Player) -> None:
    """It begins with polling, upgrades, shows what comes back, and stays at home."""
    service = ours("--ping-interval", "0.4")
    screenshot = PROJECT / "build" / "live-page.png"
    facts = browser.run("visit", service, screenshot=str(screenshot))
    assert facts.pop("spoke") == ["http/1.1"]
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


def test_a_visit_over_http_2(
    ours: StartOurs, browser: Player, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Polls go over HTTP/2; the browser opens its WebSocket over HTTP/1.1 by itself."""
    pem = make_certificate(tmp_path_factory.mktemp("tls") / "localhost.pem")
    port = free_port()
    secure = f"ssl:{port}:privateKey={pem}:interface=127.0.0.1"
    service = ours("--ping-interval", "0.4", "--listen", secure)
    screenshot = PROJECT / "build" / "live-page-http2.png"
    url = f"https://localhost:{port}"
    facts = browser.run("visit", service, url=url, screenshot=str(screenshot))
    assert facts["spoke"] == ["h2"]
    assert facts["first"] == "polling"
    assert facts["last"]["transport"] == "websocket"
    assert facts["last"]["errors"] == 0
    assert facts["complaints"] == []

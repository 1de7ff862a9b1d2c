"""The status page, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures import Play
from players import Player
from running import APP, PROJECT, Service, StartOurs
from wire import Peer

TOKEN = "a-token-of-27-characters-xx"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def server(ours: StartOurs) -> Service:
    """Our server with every transport and its status page."""
    return ours(*APP, "--transports", "polling,sse,websocket", "--status", "/status")


@pytest.fixture
def peer(server: Service) -> Iterator[Peer]:
    """A client that is told what to do packet by packet."""
    peer = Peer(server.port)
    yield peer
    peer.close()


def test_an_operator_sees_what_happens(
    server: Service, browser: Player, play: Play, peer: Peer
) -> None:
    """Sessions, ends, who is slow, who was refused and why; and nothing of it acts."""
    play("carried", server, "upgrade")
    play("carried", server, "sse")
    sid = peer.open()
    peer.post(sid, b"4!numbers 100")  # and nobody fetches them
    peer.ask(peer.target(more=f"&deny={HOSTILE.replace(' ', '%20')}"))
    peer.ask(peer.target(), headers=[f"User-Agent: {HOSTILE}", "Origin: http://<b>"])
    screenshot = PROJECT / "build" / "status-page.png"
    sees = [f"{sid[:6]}…", HOSTILE, "the origin is not listed in cors"]
    facts = browser.run("look", server, screenshot=str(screenshot), sees=sees)
    shown = facts.pop("shown")
    assert facts == {"wide": [0, 0], "intruders": 0, "complaints": [], "foreign": []}
    assert "1\nopen session" in shown
    assert "transport close" in shown
    assert "100 % of 1" in shown
    assert "300 B" in shown
    assert "http://<b>" in shown
    assert sid not in shown
    assert screenshot.stat().st_size > 10_000


def test_a_token_opens_it(ours: StartOurs, browser: Player, tmp_path: Path) -> None:
    """The page asks for it, remembers it in its tab, and puts it into no URL."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    server = ours("--status", "/status", "--token-file", str(path))
    assert browser.run("unlock", server, token=TOKEN) == {
        "locked": False,
        "asked": False,
        "complaints": [],
        "foreign": [],
        "told": [],
    }
    assert TOKEN not in server.log


def test_through_a_proxy_nobody_is_this_machine(
    server: Service, browser: Player
) -> None:
    """Without a token only a request that comes straight from here is answered."""
    headers = {"X-Forwarded-For": "127.0.0.1"}
    facts = browser.run("stranger", server, headers=headers)
    assert facts["status"] == 403
    assert "Allowed from this machine only" in facts["shown"]

"""The live page of the built-in echo server, in a real Chromium."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from certificates import make_certificate
from players import Player
from programs import free_port
from running import HERE, PROJECT, StartOurs


def test_visit(ours: StartOurs, browser: Player) -> None:
    """It begins with polling, upgrades, shows what comes back, and stays at home."""
    service = ours("--ping-interval", "0.4")
    screenshot = PROJECT / "build" / "live-page.png"
    facts = browser.run("visit", service, screenshot=str(screenshot))
    assert facts.pop("spoke") == ["http/1.1"]
    assert "other clients upgrade at once" in facts.pop("explained")
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


ANSWERS = ("--app", "interop_app:App")
"""An application of one's own."""


@pytest.mark.parametrize(
    ("options", "page", "says"),
    [
        ((), "", "A client of your own"),
        (("--path", "/a/b"), "", "An application of your own"),
        (("--transports", "websocket"), "", "Opened directly"),
        ((*ANSWERS, "--live", "/ops/live"), "/ops/live", "A client of your own"),
        (ANSWERS, "", "--live /live"),
        ((*ANSWERS, "--path", "/x", "--live", "/live"), "", "at /x/, over"),
        ((*ANSWERS, "--transports", "websocket"), "", "over WebSocket."),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else each,
)
def test_a_page_can_be_read_and_its_examples_run(
    ours: StartOurs,
    browser: Player,
    node: str,
    tmp_path: Path,
    options: tuple[str, ...],
    page: str,
    says: str,
) -> None:
    """On a screen and a telephone, by day and by night; what is copied runs."""
    service = ours(*options)
    shot = str(PROJECT / "build" / f"page-{says.split()[-1].strip('/.')}.png")
    facts = browser.run("read", service, url=service.url + page, screenshot=shot)
    assert facts["wide"] == [0, 0, 0, 0]
    assert facts["papers"] == 2
    assert facts["complaints"] == facts["foreign"] == []
    assert says in facts["shown"]
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    for example in facts["examples"]:
        if "Socket" in example:
            assert first_line_of(example, tmp_path / "client.mjs", node) == "hello"
        elif "engineio.Client" in example:
            said = first_line_of(example, tmp_path / "client.py", sys.executable, "-u")
            assert said == "hello"
    assert any("Socket" in each for each in facts["examples"])


def first_line_of(example: str, path: Path, *command: str) -> str:
    """Save an example, run it, and return what it prints first."""
    path.write_text(example)
    with subprocess.Popen(
        [*command, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            return process.stdout.readline().strip()
        finally:
            process.kill()


def test_another_application_is_sent_what_is_typed_and_no_more(
    ours: StartOurs, browser: Player
) -> None:
    """The page does not probe it, and takes none of its answers for a wrong echo."""
    service = ours(*ANSWERS, "--live", "/live")
    url = f"{service.url}/live"
    facts = browser.run("say", service, url=url, text="!numbers 3", until="n2")
    assert facts == {
        "sent": 1,
        "received": 3,
        "errors": 0,
        "unanswered": 0,
        "compares": False,
        "complaints": [],
        "foreign": [],
    }

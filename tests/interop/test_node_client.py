"""npm's engine.io-client in Node, against our server."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running import APP, HERE, QUICK, SMALL, Ours, Service, StartOurs

MODES = ("polling", "fetch", "websocket", "upgrade")
Play = Callable[..., Any]

modes = pytest.mark.parametrize("mode", MODES)

Waiting = Callable[[Service, str], tuple[subprocess.Popen[str], str]]


@pytest.fixture
def waiting(node: str) -> Iterator[Waiting]:
    """Start a client that says its sid and waits for its end."""
    clients: list[subprocess.Popen[str]] = []

    def start(service: Service, mode: str) -> tuple[subprocess.Popen[str], str]:
        command = [node, str(HERE / "node_client.mjs"), "waits", service.url, mode]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        clients.append(client)
        assert client.stdout is not None
        return client, client.stdout.readline().strip()

    yield start
    for client in clients:
        client.kill()
        client.communicate()


@modes
@pytest.mark.parametrize("kind", ["text", "mixed"])
def test_echo(ours: StartOurs, play: Play, mode: str, kind: str) -> None:
    """Every message comes back as it was sent, in order, and nothing goes wrong."""
    assert play(kind, ours(*APP), mode) == {"errors": []}


def test_built_in_echo(ours: StartOurs, play: Play) -> None:
    """Without an application the server echoes by itself."""
    assert play("mixed", ours(), "upgrade") == {"errors": []}


def test_order_across_an_upgrade(ours: StartOurs, play: Play) -> None:
    """500 numbers each way, sent before, during and after it, lose no order."""
    journal = play("ordering", ours(*APP), "upgrade", count=500)
    assert journal["echoes"] == list(range(500))
    assert journal["numbers"] == list(range(500))
    assert 0 < journal["sentBefore"] <= 400


def test_a_crowd(ours: StartOurs, play: Play) -> None:
    """Thirty clients that upgrade at once each get what is theirs."""
    assert play("crowd", ours(*APP), "upgrade", count=30) == {"errors": 0}


@modes
def test_client_closes(ours: StartOurs, play: Play, mode: str) -> None:
    """A client's close is a transport close to the server."""
    ends = play("clientCloses", ours(*APP), mode)
    assert ends == {"client": "forced close", "server": "transport close"}


@modes
def test_server_closes(ours: StartOurs, play: Play, mode: str) -> None:
    """What was sent before the close arrives before it."""
    ends = play("serverCloses", ours(*APP), mode)
    assert ends["last"] == "so long 😀"
    assert ends["client"] == "transport close"
    assert ends["server"] == "forced close"


def test_server_closes_during_an_upgrade(ours: StartOurs, play: Play) -> None:
    """What was sent before the close arrives, also if a probe is under way."""
    ends = play("serverClosesDuringUpgrade", ours(*APP), "upgrade")
    assert ends["last"] == "early"
    assert ends["client"] == "transport close"
    assert ends["server"] == "forced close"


@modes
def test_ping_timeout(ours: StartOurs, play: Play, mode: str) -> None:
    """A client that answers no ping is closed."""
    ends = play("pingTimeout", ours(*APP, *QUICK), mode)
    assert ends == {"client": "transport close", "server": "ping timeout"}


@modes
def test_heartbeats(ours: StartOurs, play: Play, mode: str) -> None:
    """A client that answers its pings lives, and an upgrade changes nothing in that."""
    facts = play("heartbeats", ours(*APP, *QUICK), mode, count=4)
    last = "polling" if mode in {"polling", "fetch"} else "websocket"
    assert facts == {"transport": last}


@modes
def test_largest_payload(ours: StartOurs, play: Play, mode: str) -> None:
    """A payload of exactly max_payload passes, and clients learn the limit."""
    assert play("fits", ours(*APP, *SMALL), mode) == {"maxPayload": 10_000}


@pytest.mark.parametrize("mode", ["polling", "fetch"])
def test_too_large_for_polling(ours: StartOurs, play: Play, mode: str) -> None:
    """The POST is refused; it is the client that gives up then."""
    ends = play("tooLarge", ours(*APP, *SMALL), mode)
    assert ends["client"] == "transport error"
    assert ends["server"] == "transport close"


@pytest.mark.parametrize("mode", ["websocket", "upgrade"])
def test_too_large_for_websocket(ours: StartOurs, play: Play, mode: str) -> None:
    """The WebSocket is closed with 1009, and the session has its own reason."""
    ends = play("tooLarge", ours(*APP, *SMALL), mode)
    assert ends == {
        "client": "transport close",
        "code": 1009,
        "server": "payload too large",
    }


@modes
def test_refused_by_the_application(ours: StartOurs, play: Play, mode: str) -> None:
    """A client that isn't admitted gets an error, no session."""
    ends = play("refused", ours(*APP), mode, query={"deny": "no"})
    assert ends["client"] == "transport error"
    assert len(ends["errors"]) == 1


def test_no_upgrades(ours: StartOurs, play: Play) -> None:
    """With --no-upgrades a client stays where it began."""
    facts = play("transport", ours(*APP, "--no-upgrades"), "upgrade")
    assert facts == {"transport": "polling", "upgraded": False, "upgrades": []}


def test_websocket_disabled(ours: StartOurs, play: Play) -> None:
    """A client that tries all its transports finds the one that is enabled."""
    service = ours(*APP, "--transports", "polling")
    facts = play("transport", service, "websocket first")
    assert facts == {"transport": "polling", "upgraded": False, "upgrades": []}


@pytest.mark.parametrize(
    "options",
    [
        {"protocols": ["one", "two"]},
        {"extraHeaders": {"X-Own": "é", "Cookie": "a=b"}, "withCredentials": True},
        {"perMessageDeflate": {"threshold": 0}, "forceBase64": True},
        {"query": {"t": "mine", "b64": "1", "a b": "c&d=😀"}},
        {"addTrailingSlash": False, "timestampRequests": True},
    ],
    ids=lambda options: " ".join(options),
)
@pytest.mark.parametrize("mode", ["polling", "websocket"])
def test_options_of_the_client(
    ours: StartOurs, play: Play, mode: str, options: dict[str, object]
) -> None:
    """A client may ask for what we do not need, and is served all the same."""
    assert play("transport", ours(*APP), mode, options=options)["transport"] == mode


@pytest.mark.parametrize(
    ("mode", "reasons"),
    [
        ("polling", {"transport error"}),
        ("websocket", {"transport close", "transport error"}),
        ("upgrade", {"transport close", "transport error"}),
    ],
)
def test_client_killed(
    ours: StartOurs, play: Play, waiting: Waiting, mode: str, reasons: set[str]
) -> None:
    """A client that dies without a word is noticed at once, not by the heartbeat."""
    service = ours(*APP)
    client, sid = waiting(service, mode)
    client.kill()
    assert play("reasonOf", service, "polling", sid=sid)["server"] in reasons


def test_client_frozen(ours: StartOurs, play: Play, waiting: Waiting) -> None:
    """A client that stops answering, though its sockets stay, is given up."""
    service = ours(*APP, *QUICK)
    client, sid = waiting(service, "upgrade")
    client.send_signal(signal.SIGSTOP)
    assert play("reasonOf", service, "polling", sid=sid)["server"] == "ping timeout"


@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
def test_server_terminated(waiting: Waiting, tmp_path: Path, mode: str) -> None:
    """SIGTERM closes the sessions, which is no error to their clients."""
    service = Ours(APP, tmp_path / "server.log")
    service.wait_until_it_accepts()
    client, _ = waiting(service, mode)
    service.stop()
    output, _ = client.communicate(timeout=10)
    assert json.loads(output) == {"client": "transport close"}

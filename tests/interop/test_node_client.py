"""npm's engine.io-client in Node, against our server."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures import Play
from players import Player
from running import APP, EIO3, QUICK, SMALL, Ours, Service, StartOurs

MODES = ("polling", "fetch", "websocket", "upgrade")

modes = pytest.mark.parametrize("mode", MODES)

servers = pytest.mark.parametrize(
    "options", [APP, (*APP, *EIO3)], ids=["revision 4 only", "revision 3 too"]
)

Waiting = Callable[[Service, str], tuple[Player, str]]


@pytest.fixture
def waiting(node: str) -> Iterator[Waiting]:
    """Start a client that says its sid and waits for its end."""
    clients: list[Player] = []

    def start(service: Service, mode: str) -> tuple[Player, str]:
        client = Player(node, "node_client.mjs")
        clients.append(client)
        waits = {"scenario": "waits", "mode": mode, "revision": 4, "args": {}}
        client.begin("play", service, **waits)
        return client, client.reply()["sid"]

    yield start
    for client in clients:
        client.kill()


@servers
@modes
@pytest.mark.parametrize("kind", ["text", "mixed"])
def test_echo(
    ours: StartOurs, play: Play, options: tuple[str, ...], mode: str, kind: str
) -> None:
    """Every message comes back as it was sent, in order, and nothing goes wrong."""
    assert play(kind, ours(*options), mode) == {"errors": []}


def test_built_in_echo(ours: StartOurs, play: Play) -> None:
    """Without an application the server echoes by itself."""
    assert play("mixed", ours(), "upgrade") == {"errors": []}


@servers
def test_order_across_an_upgrade(
    ours: StartOurs, play: Play, options: tuple[str, ...]
) -> None:
    """500 numbers each way, sent before, during and after it, lose no order."""
    journal = play("ordering", ours(*options), "upgrade", count=500)
    assert journal["echoes"] == list(range(500))
    assert journal["numbers"] == list(range(500))
    assert 0 < journal["sentBefore"] <= 400


def test_a_crowd(ours: StartOurs, play: Play) -> None:
    """Thirty clients that upgrade at once each get what is theirs."""
    assert play("crowd", ours(*APP), "upgrade", count=30) == {"errors": 0}


@servers
@modes
def test_client_closes(
    ours: StartOurs, play: Play, options: tuple[str, ...], mode: str
) -> None:
    """A client's close is a transport close to the server."""
    ends = play("clientCloses", ours(*options), mode)
    assert ends == {"client": "forced close", "server": "transport close"}


@servers
@modes
def test_server_closes(
    ours: StartOurs, play: Play, options: tuple[str, ...], mode: str
) -> None:
    """What was sent before the close arrives before it."""
    ends = play("serverCloses", ours(*options), mode)
    assert ends["last"] == "so long 😀"
    assert ends["client"] == "transport close"
    assert ends["server"] == "forced close"


def test_server_closes_during_an_upgrade(ours: StartOurs, play: Play) -> None:
    """What was sent before the close arrives, also if a probe is under way."""
    ends = play("serverClosesDuringUpgrade", ours(*APP), "upgrade")
    assert ends["last"] == "early"
    assert ends["client"] == "transport close"
    assert ends["server"] == "forced close"


def test_ping_timeout(ours: StartOurs, play: Play) -> None:
    """A client that answers no ping is closed."""
    service = ours(*APP, *EIO3, *QUICK)
    each = {"each": "pingTimeout", "modes": MODES}
    ends = {"client": "transport close", "server": "ping timeout"}
    assert play("inEach", service, "polling", **each) == dict.fromkeys(MODES, ends)


def test_heartbeats(ours: StartOurs, play: Play) -> None:
    """A client that answers its pings lives, and an upgrade changes nothing in that."""
    service = ours(*APP, *EIO3, *QUICK)
    each = {"each": "heartbeats", "modes": MODES, "count": 4}
    facts = play("inEach", service, "polling", **each)
    last = ("polling", "polling", "websocket", "websocket")
    assert facts == {
        mode: {"transport": transport}
        for mode, transport in zip(MODES, last, strict=True)
    }


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
    client.process.kill()
    assert play("reasonOf", service, "polling", sid=sid)["server"] in reasons


def test_client_frozen(ours: StartOurs, play: Play, waiting: Waiting) -> None:
    """A client that stops answering, though its sockets stay, is given up."""
    service = ours(*APP, *EIO3, *QUICK)
    client, sid = waiting(service, "upgrade")
    client.process.send_signal(signal.SIGSTOP)
    assert play("reasonOf", service, "polling", sid=sid)["server"] == "ping timeout"


@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
def test_server_terminated(waiting: Waiting, tmp_path: Path, mode: str) -> None:
    """SIGTERM closes the sessions, which is no error to their clients."""
    service = Ours(APP, tmp_path / "server.log")
    service.wait_until_it_accepts()
    client, _ = waiting(service, mode)
    service.stop()
    assert client.reply() == {"facts": {"client": "transport close"}}

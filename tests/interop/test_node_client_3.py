"""npm's engine.io-client 3, which speaks revision 3, in Node."""

from __future__ import annotations

from functools import partial

import pytest
from fixtures import Play
from running import APP, EIO3, QUICK, Service, StartOurs

WAYS = ("polling", "websocket", "upgrade")
# Node's XMLHttpRequest has no binary: there, polling is in base64 by itself.
MODES = (*WAYS, "polling in base64", "websocket in base64", "upgrade in base64")

modes = pytest.mark.parametrize("mode", MODES)
ways = pytest.mark.parametrize("mode", WAYS)


@pytest.fixture
def play_3(play: Play) -> Play:
    """Play a scenario with the client of revision 3."""
    return partial(play, revision=3)


@pytest.fixture
def service(ours: StartOurs) -> Service:
    """A server that speaks both revisions."""
    return ours(*APP, *EIO3)


@modes
@pytest.mark.parametrize("kind", ["text", "mixed"])
def test_echo(service: Service, play_3: Play, mode: str, kind: str) -> None:
    """Every message comes back as it was sent, in order, and nothing goes wrong."""
    assert play_3(kind, service, mode) == {"errors": []}


def test_order_across_an_upgrade(service: Service, play_3: Play) -> None:
    """500 numbers each way, sent before, during and after it, lose no order."""
    journal = play_3("ordering", service, "upgrade", count=500)
    assert journal["echoes"] == list(range(500))
    assert journal["numbers"] == list(range(500))
    assert 0 < journal["sentBefore"] <= 400


def test_a_crowd(service: Service, play_3: Play) -> None:
    """Thirty clients that upgrade at once each get what is theirs."""
    assert play_3("crowd", service, "upgrade", count=30) == {"errors": 0}


@ways
def test_client_closes(service: Service, play_3: Play, mode: str) -> None:
    """A client's close is a transport close to the server."""
    ends = play_3("clientCloses", service, mode)
    assert ends == {"client": "forced close", "server": "transport close"}


@ways
def test_server_closes(service: Service, play_3: Play, mode: str) -> None:
    """What was sent before the close arrives before it."""
    ends = play_3("serverCloses", service, mode)
    assert ends["last"] == "so long 😀"
    assert (ends["client"], ends["server"]) == ("transport close", "forced close")


def test_server_closes_during_an_upgrade(service: Service, play_3: Play) -> None:
    """What was sent before the close arrives, also if a probe is under way."""
    ends = play_3("serverClosesDuringUpgrade", service, "upgrade")
    assert ends == {
        "last": "early",
        "client": "transport close",
        "server": "forced close",
    }


def test_heartbeats(ours: StartOurs, play_3: Play) -> None:
    """A client whose pings are answered lives, also across an upgrade."""
    service = ours(*APP, *EIO3, *QUICK)
    each = {"each": "heartbeats", "modes": WAYS, "count": 4}
    last = {"polling": "polling", "websocket": "websocket", "upgrade": "websocket"}
    facts = play_3("inEach", service, "polling", **each)
    assert facts == {mode: {"transport": transport} for mode, transport in last.items()}


def test_ping_timeout(ours: StartOurs, play_3: Play) -> None:
    """A client that does not ping is closed."""
    service = ours(*APP, *EIO3, *QUICK)
    each = {"each": "pingTimeout", "modes": WAYS}
    ends = {"client": "transport close", "server": "ping timeout"}
    facts = play_3("inEach", service, "polling", **each)
    assert facts == dict.fromkeys(WAYS, ends)


@ways
def test_refused_by_the_application(service: Service, play_3: Play, mode: str) -> None:
    """A client that isn't admitted gets an error, no session."""
    ends = play_3("refused", service, mode, query={"deny": "no"})
    assert ends["client"] == "transport error"
    assert len(ends["errors"]) == 1


@ways
def test_revision_3_is_off_by_default(ours: StartOurs, play_3: Play, mode: str) -> None:
    """Without --allow-eio3 such a client is refused, and knows it at once."""
    ends = play_3("refused", ours(*APP), mode, query={})
    assert ends["client"] == "transport error"

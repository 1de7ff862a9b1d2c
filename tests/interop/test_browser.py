"""engine.io-client's own bundle in a real Chromium, on a page from our server."""

from __future__ import annotations

import pytest
from fixtures import Play
from running import APP, EIO3, QUICK, SMALL, STEADY, Service, StartOurs

MODES = ("polling", "websocket", "upgrade")

modes = pytest.mark.parametrize("mode", MODES)


@modes
@pytest.mark.parametrize("kind", ["text", "mixed"])
def test_echo(ours: StartOurs, play_in_page: Play, mode: str, kind: str) -> None:
    """Every message comes back as it was sent, in order, and nothing goes wrong."""
    assert play_in_page(kind, ours(*APP), mode) == {"errors": []}


def test_order_across_an_upgrade(ours: StartOurs, play_in_page: Play) -> None:
    """500 numbers each way, sent before, during and after it, lose no order."""
    journal = play_in_page("ordering", ours(*APP), "upgrade", count=500)
    assert journal["echoes"] == list(range(500))
    assert journal["numbers"] == list(range(500))
    assert 0 < journal["sentBefore"] <= 400


@modes
def test_ends(ours: StartOurs, play_in_page: Play, mode: str) -> None:
    """Either side can close, and both know who did."""
    ends = play_in_page("clientCloses", ours(*APP), mode)
    assert ends == {"client": "forced close", "server": "transport close"}
    ends = play_in_page("serverCloses", ours(*APP), mode)
    assert ends["last"] == "so long 😀"
    assert (ends["client"], ends["server"]) == ("transport close", "forced close")


def test_heartbeats(ours: StartOurs, play_in_page: Play) -> None:
    """A client that answers its pings lives; one that doesn't is closed."""
    service = ours(*APP, *EIO3, *STEADY)
    each = {"each": "heartbeats", "modes": MODES, "count": 3}
    last = {"polling": "polling", "websocket": "websocket", "upgrade": "websocket"}
    facts = play_in_page("inEach", service, "polling", **each)
    assert facts == {mode: {"transport": transport} for mode, transport in last.items()}


def test_ping_timeout(ours: StartOurs, play_in_page: Play) -> None:
    """A client that answers no ping is closed."""
    service = ours(*APP, *EIO3, *QUICK)
    each = {"each": "pingTimeout", "modes": MODES}
    ends = {"client": "transport close", "server": "ping timeout"}
    facts = play_in_page("inEach", service, "polling", **each)
    assert facts == dict.fromkeys(MODES, ends)


def test_too_large(ours: StartOurs, play_in_page: Play) -> None:
    """A browser, too, reads 1009."""
    ends = play_in_page("tooLarge", ours(*APP, *SMALL), "upgrade")
    assert ends["code"] == 1009
    assert ends["server"] == "payload too large"


@modes
def test_foreign_page_allowed(ours: StartOurs, play_in_page: Play, mode: str) -> None:
    """A page of another origin that --cors names is served like our own."""
    home, service = _two_origins(ours, cors=True)
    facts = play_in_page("text", service, mode, home=home)
    assert facts == {"errors": []}


@modes
def test_foreign_page_refused(ours: StartOurs, play_in_page: Play, mode: str) -> None:
    """A page of another origin gets nothing when it isn't named."""
    home, service = _two_origins(ours, cors=False)
    ends = play_in_page("refused", service, mode, home=home, query={})
    assert ends["client"] == "transport error"


def _two_origins(ours: StartOurs, cors: bool) -> tuple[str, Service]:
    """Where a page is served, and a server to which it is foreign."""
    at_home = ours(*APP)
    return at_home.url, ours(
        *APP, "--cors", at_home.url if cors else "http://a.example"
    )

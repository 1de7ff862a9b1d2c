"""engine.io-client 3's own bundle in a real Chromium, JSONP included."""

from __future__ import annotations

from functools import partial

import pytest
from fixtures import Play
from running import APP, EIO3, JSONP, QUICK, STEADY, Service, StartOurs

WAYS = ("polling", "websocket", "upgrade", "JSONP", "upgrade from JSONP")
MODES = (*WAYS, "polling in base64", "websocket in base64", "upgrade in base64")

# Forms turn every line end into CR LF, so a CR passes to no server; and a body of
# everything at once, with its percents, is above max_payload.
NOT_IN_A_FORM = ["a\r\nb\nc", "😀" * 25_000, "x" * 100_000]

ways = pytest.mark.parametrize("mode", WAYS)


@pytest.fixture
def play_3(play_in_page: Play) -> Play:
    """Play a scenario with the client of revision 3."""
    return partial(play_in_page, revision=3)


@pytest.fixture
def service(ours: StartOurs) -> Service:
    """A server that speaks both revisions."""
    return ours(*APP, *EIO3, *JSONP)


# In base64 text goes the same way as without.
@pytest.mark.parametrize(
    ("mode", "kind"),
    [*((mode, "mixed") for mode in MODES), *((mode, "text") for mode in WAYS[:4])],
)
def test_echo(service: Service, play_3: Play, mode: str, kind: str) -> None:
    """Every message comes back as it was sent, in order, and nothing goes wrong."""
    without = NOT_IN_A_FORM if "JSONP" in mode else []
    assert play_3(kind, service, mode, without=without) == {"errors": []}


@pytest.mark.parametrize("mode", ["upgrade", "upgrade from JSONP"])
def test_order_across_an_upgrade(service: Service, play_3: Play, mode: str) -> None:
    """200 numbers each way, sent before, during and after it, lose no order."""
    journal = play_3("ordering", service, mode, count=200)
    assert journal["echoes"] == list(range(200))
    assert journal["numbers"] == list(range(200))
    assert 0 < journal["sentBefore"] <= 160


@ways
def test_ends(service: Service, play_3: Play, mode: str) -> None:
    """Either side can close, and both know who did."""
    ends = play_3("clientCloses", service, mode)
    assert ends == {"client": "forced close", "server": "transport close"}
    ends = play_3("serverCloses", service, mode)
    assert ends["last"] == "so long 😀"
    assert (ends["client"], ends["server"]) == ("transport close", "forced close")


def test_heartbeats(ours: StartOurs, play_3: Play) -> None:
    """A client whose pings are answered lives, on every transport."""
    service = ours(*APP, *EIO3, *JSONP, *STEADY)
    each = {"each": "heartbeats", "modes": WAYS, "count": 3}
    facts = play_3("inEach", service, "polling", **each)
    last = ("polling", "websocket", "websocket", "polling", "websocket")
    assert [facts[mode]["transport"] for mode in WAYS] == list(last)


def test_ping_timeout(ours: StartOurs, play_3: Play) -> None:
    """A client that does not ping is closed."""
    service = ours(*APP, *EIO3, *JSONP, *QUICK)
    each = {"each": "pingTimeout", "modes": WAYS}
    facts = play_3("inEach", service, "polling", **each)
    ends = {"client": "transport close", "server": "ping timeout"}
    assert facts == dict.fromkeys(WAYS, ends)


@pytest.mark.parametrize("mode", ["JSONP", "upgrade from JSONP"])
def test_jsonp_from_a_foreign_page(ours: StartOurs, play_3: Play, mode: str) -> None:
    """What JSONP is for: a page of another origin, if --cors names it."""
    home = ours(*APP)
    service = ours(*APP, *EIO3, *JSONP, "--cors", home.url)
    facts = play_3("mixed", service, mode, home=home.url, without=NOT_IN_A_FORM)
    assert facts == {"errors": []}


@ways
def test_foreign_page_refused(
    ours: StartOurs, service: Service, play_3: Play, mode: str
) -> None:
    """A page of another origin gets nothing in its user's name, by script neither."""
    theirs = {"home": ours(*APP).url, "cookie": "user=me"}
    ends = play_3("refused", service, mode, query={}, **theirs)
    assert ends["client"] == "transport error"


@pytest.mark.parametrize("mode", ["JSONP", "upgrade from JSONP"])
def test_foreign_page_without_a_cookie_refused(
    ours: StartOurs, service: Service, play_3: Play, mode: str
) -> None:
    """Nor does it get what its user's place in the network would."""
    ends = play_3("refused", service, mode, query={}, home=ours(*APP).url)
    assert ends["client"] == "transport error"

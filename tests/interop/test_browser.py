"""engine.io-client's own bundle in a real Chromium, on a page from our server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from browsing import Browser
from running import APP, HERE, QUICK, SMALL, Service, StartOurs

MODES = ("polling", "websocket", "upgrade")
PlayInPage = Callable[..., Any]

modes = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="session")
def pages(node: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options that serve a page with the client's bundle, and the scenarios."""
    folder = tmp_path_factory.mktemp("pages")
    bundle = HERE / "node_modules/engine.io-client/dist/engine.io.min.js"
    shutil.copy(bundle, folder)
    shutil.copy(HERE / "page.html", folder)
    shutil.copy(HERE / "scenarios.mjs", folder / "scenarios.js")
    return *APP, "--static", str(folder)


@pytest.fixture
def play_in_page(browser: Browser) -> PlayInPage:
    """Play a scenario of scenarios.mjs in a page, and give back its facts."""

    def play(
        scenario: str, service: Service, mode: str, home: str = "", **args: object
    ) -> Any:
        page = {"scenario": scenario, "mode": mode, "home": home or service.url}
        return browser.run("play", service, **page, args=args)

    return play


@modes
@pytest.mark.parametrize("kind", ["text", "mixed"])
def test_echo(
    ours: StartOurs,
    pages: tuple[str, ...],
    play_in_page: PlayInPage,
    mode: str,
    kind: str,
) -> None:
    """Every message comes back as it was sent, in order, and nothing goes wrong."""
    assert play_in_page(kind, ours(*pages), mode) == {"errors": []}


def test_order_across_an_upgrade(
    ours: StartOurs, pages: tuple[str, ...], play_in_page: PlayInPage
) -> None:
    """500 numbers each way, sent before, during and after it, lose no order."""
    journal = play_in_page("ordering", ours(*pages), "upgrade", count=500)
    assert journal["echoes"] == list(range(500))
    assert journal["numbers"] == list(range(500))
    assert 0 < journal["sentBefore"] <= 400


@modes
def test_ends(
    ours: StartOurs, pages: tuple[str, ...], play_in_page: PlayInPage, mode: str
) -> None:
    """Either side can close, and both know who did."""
    ends = play_in_page("clientCloses", ours(*pages), mode)
    assert ends == {"client": "forced close", "server": "transport close"}
    ends = play_in_page("serverCloses", ours(*pages), mode)
    assert ends["last"] == "so long 😀"
    assert (ends["client"], ends["server"]) == ("transport close", "forced close")


@modes
def test_heartbeats(
    ours: StartOurs, pages: tuple[str, ...], play_in_page: PlayInPage, mode: str
) -> None:
    """A client that answers its pings lives; one that doesn't is closed."""
    service = ours(*pages, *QUICK)
    facts = play_in_page("heartbeats", service, mode, count=3)
    assert facts["transport"] == ("polling" if mode == "polling" else "websocket")
    ends = play_in_page("pingTimeout", service, mode)
    assert ends == {"client": "transport close", "server": "ping timeout"}


def test_too_large(
    ours: StartOurs, pages: tuple[str, ...], play_in_page: PlayInPage
) -> None:
    """A browser, too, reads 1009."""
    ends = play_in_page("tooLarge", ours(*pages, *SMALL), "upgrade")
    assert ends["code"] == 1009
    assert ends["server"] == "payload too large"


@modes
def test_foreign_page_allowed(
    ours: StartOurs, pages: tuple[str, ...], play_in_page: PlayInPage, mode: str
) -> None:
    """A page of another origin that --cors names is served like our own."""
    home, service = _two_origins(ours, pages, cors=True)
    facts = play_in_page("text", service, mode, home=home)
    assert facts == {"errors": []}


@modes
def test_foreign_page_refused(
    ours: StartOurs, pages: tuple[str, ...], play_in_page: PlayInPage, mode: str
) -> None:
    """A page of another origin gets nothing when it isn't named."""
    home, service = _two_origins(ours, pages, cors=False)
    ends = play_in_page("refused", service, mode, home=home, query={})
    assert ends["client"] == "transport error"


def _two_origins(
    ours: StartOurs, pages: tuple[str, ...], cors: bool
) -> tuple[str, Service]:
    """Where a page is served, and a server to which it is foreign."""
    at_home = ours(*pages)
    return at_home.url, ours(
        *APP, "--cors", at_home.url if cors else "http://a.example"
    )

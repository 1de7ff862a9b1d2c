"""Our transport class for engine.io-client, in Node and in a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from between import BufferingProxy, CuttingProxy, LateProxy, Nginx, Proxy
from fixtures import Play
from running import APP, QUICK, Service, StartOurs

SSE = ("--transports", "polling,sse,websocket")
MODES = ("sse", "polling to sse", "sse to websocket")
LAST = {"sse": "sse", "polling to sse": "sse", "sse to websocket": "websocket"}
CUTS = 50

Meet: TypeAlias = Callable[..., Any]
modes = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(params=["node", "chromium"])
def meet(
    request: pytest.FixtureRequest,
    play: Callable[..., Any],
    play_in_page: Play,
) -> Meet:
    """Play a scenario, in Node and in Chromium."""

    def in_page(scenario: str, service: Any, mode: str, **args: object) -> Any:
        return play_in_page(scenario, service, mode, home=service.url, **args)

    return play if request.param == "node" else in_page


@pytest.fixture
def server(ours: StartOurs) -> Service:
    """Our server with all three transports, and the page."""
    return ours(*APP, *SSE)


@pytest.fixture
def between() -> Iterator[Callable[[Any], Any]]:
    """Close what stands between a client and its server after the test."""
    made: list[Proxy | Nginx] = []

    def add(proxy: Proxy | Nginx) -> Proxy | Nginx:
        made.append(proxy)
        return proxy

    yield add
    for each in made:
        each.close()


@pytest.fixture
def nginx(between: Callable[[Any], Any], tmp_path: Path) -> Callable[..., Any]:
    """Start Debian's nginx in front of a server."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if found is None:
        pytest.fail(
            "nginx is missing: run `make test`, or apt install nginx-light",
            pytrace=False,
        )

    def start(service: Service, more: str = "") -> Any:
        proxy = between(Nginx(found, service, tmp_path, more))
        proxy.wait_until_it_accepts()
        return proxy

    return start


@modes
def test_echo(meet: Meet, server: Service, mode: str) -> None:
    """Text with CR, LF, %, NUL, U+2028, and binary, come back as they were sent."""
    assert meet("mixed", server, mode) == {"errors": []}


@modes
def test_the_transport_is_the_one(meet: Meet, server: Service, mode: str) -> None:
    """It is a stream that carries the session, or a stream that it came from."""
    assert meet("carried", server, mode)["last"] == LAST[mode]


@pytest.mark.parametrize("mode", ["polling to sse", "sse to websocket"])
def test_order_across_an_upgrade(meet: Meet, server: Service, mode: str) -> None:
    """500 numbers each way, sent before, during and after it, lose no order."""
    journal = meet("ordering", server, mode, count=500)
    assert journal["echoes"] == list(range(500))
    assert journal["numbers"] == list(range(500))


@modes
def test_ends(meet: Meet, server: Service, mode: str) -> None:
    """Either side can close, and both know who did."""
    ends = meet("clientCloses", server, mode)
    assert ends == {"client": "forced close", "server": "transport close"}
    ends = meet("serverCloses", server, mode)
    assert ends["last"] == "so long 😀"
    assert (ends["client"], ends["server"]) == ("transport close", "forced close")


@modes
def test_heartbeats(meet: Meet, ours: StartOurs, mode: str) -> None:
    """A client that answers its pings lives; one that doesn't is closed."""
    service = ours(*APP, *SSE, *QUICK)
    assert meet("heartbeats", service, mode, count=3) == {"transport": LAST[mode]}
    ends = meet("pingTimeout", service, mode)
    assert ends == {"client": "transport close", "server": "ping timeout"}


@pytest.mark.parametrize("mode", ["sse", "polling to sse"])
@pytest.mark.parametrize("seed", [1])
def test_a_stream_that_is_cut(
    meet: Meet,
    server: Service,
    between: Callable[[Any], Any],
    mode: str,
    seed: int,
) -> None:
    """1000 numbers each way, 50 cuts: all arrive, in order, none twice."""
    proxy = between(CuttingProxy(server, CUTS, seed))
    journal = meet("numbered", proxy, mode, count=1000)
    assert proxy.left == 0
    assert journal == {
        "echoes": list(range(1000)),
        "numbers": list(range(1000)),
        "transport": "sse",
        "errors": [],
    }


def test_one_post_at_a_time(
    meet: Meet, server: Service, between: Callable[[Any], Any]
) -> None:
    """A probe is answered on the stream before its POST is: what follows waits."""
    proxy = between(LateProxy(server))
    journal = meet("numbered", proxy, "polling to sse", count=20)
    assert journal["echoes"] == list(range(20))
    assert not proxy.overlapped


@modes
def test_behind_nginx(
    meet: Meet, server: Service, nginx: Callable[..., Any], mode: str
) -> None:
    """With nginx's default buffering the headers alone keep the stream live."""
    proxy = nginx(server)
    if mode == "sse to websocket":  # it passes on no upgrade unless it is told to
        assert meet("stays", proxy, mode)["transport"] == "sse"
    else:
        assert meet("mixed", proxy, mode) == {"errors": []}
        assert meet("carried", proxy, mode)["last"] == "sse"


@pytest.mark.parametrize("how", ["nginx", "all", "the body"])
def test_behind_a_proxy_that_buffers(
    meet: Meet,
    server: Service,
    nginx: Callable[..., Any],
    between: Callable[[Any], Any],
    how: str,
) -> None:
    """In spite of the headers: the probe fails, polling goes on, nothing is lost."""
    if how == "nginx":
        proxy = nginx(server, "proxy_ignore_headers X-Accel-Buffering;")
    else:
        proxy = between(BufferingProxy(server, headers_too=how == "all"))
    facts = meet("stays", proxy, "polling to sse")
    assert facts == {"transport": "polling", "failed": True, "errors": []}


def test_all_three_on_offer(
    play: Callable[..., Any], server: Service, nginx: Callable[..., Any]
) -> None:
    """WebSocket is preferred where it comes through, and else the stream is taken."""
    assert play("carried", server, "all")["last"] == "websocket"
    assert play("carried", nginx(server), "all")["last"] == "sse"


def test_onward(play: Callable[..., Any], server: Service) -> None:
    """From polling to a stream, and from there to WebSocket, in one session."""
    facts = play("onward", server, "all")
    assert facts["transports"] == ["polling", "sse", "websocket"]
    assert facts["errors"] == []

"""A real Prometheus scrapes what real clients did."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from fixtures import Play, Services
from programs import free_port
from prometheus import Prometheus, promtool
from running import APP, EIO3, PROJECT, SMALL, Service, StartOurs
from wire import Peer

TOKEN = "a-token-of-27-characters-xx"
RULES = PROJECT / "docs" / "alerts.yml"
SEEN = ("--ping-interval", "0.3", "--ping-timeout", "60")
COUNT = 20
NUMBERS = sum(len(f"n{each}") for each in range(COUNT))
WAITING = sum(max(len(f"n{each}"), 3) for each in range(COUNT))  # 3 at least for each
ALL = '{__name__=~"engineio_.*",job="engineio"}'


@pytest.fixture(scope="module")
def scraped_port() -> int:
    """Where the metrics are, apart from the site."""
    return free_port()


@pytest.fixture
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that holds the token; the same one for every test."""
    path = tmp_path_factory.getbasetemp() / "metrics-token"
    path.write_text(TOKEN + "\n")
    return path


@pytest.fixture
def server(ours: StartOurs, scraped_port: int, token_file: Path) -> Service:
    """Our server with everything on, watched."""
    return ours(
        *APP,
        *EIO3,
        *SEEN,
        *SMALL,
        *("--transports", "polling,sse,websocket"),
        *("--metrics", "/metrics", "--token-file", str(token_file)),
        *("--metrics-listen", f"tcp:{scraped_port}:interface=127.0.0.1"),
    )


@pytest.fixture
def prometheus(
    services: Services, server: Service, scraped_port: int, token_file: Path
) -> Prometheus:
    """Debian's Prometheus, which scrapes it."""
    start = partial(Prometheus, scraped_port, token_file, RULES)
    found = services.get("prometheus", start)
    assert isinstance(found, Prometheus)
    return found


@pytest.fixture
def peer(server: Service) -> Iterator[Peer]:
    """A client that is told what to do packet by packet."""
    peer = Peer(server.port)
    yield peer
    peer.close()


@pytest.fixture
def scrape(server: Service, scraped_port: int) -> Callable[[], str]:
    """Read the page as Prometheus does."""

    def read(**headers: str) -> str:
        url = f"http://127.0.0.1:{scraped_port}/metrics"
        headers = {"Authorization": f"Bearer {TOKEN}", **headers}
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request) as answer:
            text: str = answer.read().decode()
            return text

    return read


def test_it_finds_what_the_clients_did(
    server: Service, prometheus: Prometheus, play: Play, peer: Peer
) -> None:
    """Sessions, messages, upgrades, refusals, ends: every number is the clients'."""
    # Each sends "!numbers 20" and then c0 to c19, and is sent n0 to n19 and the echoes.
    ways = [("polling", 4), ("polling", 3), ("websocket", 4), ("websocket", 3)]
    ways += [("upgrade", 4), ("sse", 4)]
    for mode, revision in ways:
        facts = play("numbered", server, mode, revision, count=COUNT)
        assert facts["errors"] == []
    # One text and one binary message, each way.
    play("carried", server, "upgrade")
    for mode in ("polling", "websocket"):
        play("refused", server, mode, query={"deny": "no"})
    # Not "unknown_sid": so is told, too, whoever closes while its poll is under way.
    peer.ask(f"{peer.path}?EIO=4&transport=pigeon&sid=nobody")
    prometheus.until(
        ALL,
        {
            "engineio_sessions{revision=3,transport=polling}": 0,
            "engineio_sessions{revision=4,transport=polling}": 0,
            "engineio_sessions{revision=4,transport=sse}": 0,
            "engineio_sessions{revision=4,transport=websocket}": 0,
            "engineio_sessions_opened_total{revision=3,transport=polling}": 1,
            "engineio_sessions_opened_total{revision=3,transport=websocket}": 1,
            "engineio_sessions_opened_total{revision=4,transport=polling}": 3,
            "engineio_sessions_opened_total{revision=4,transport=sse}": 1,
            "engineio_sessions_opened_total{revision=4,transport=websocket}": 1,
            "engineio_sessions_closed_total{reason=transport_close}": 7,
            "engineio_session_duration_seconds_count{}": 7,
            "engineio_handshakes_total{outcome=opened}": 7,
            "engineio_handshakes_total{outcome=refused}": 2,
            "engineio_refusals_total{code=forbidden,status=403}": 2,
            "engineio_refusals_total{code=unknown_transport,status=400}": 1,
            "engineio_upgrades_tried_total{from=polling,to=websocket}": 2,
            "engineio_upgrades_total{from=polling,to=websocket}": 2,
            "engineio_handshake_to_upgrade_seconds_count{}": 2,
            "engineio_messages_received_total{kind=text}": 6 * (1 + COUNT) + 1,
            "engineio_messages_received_total{kind=binary}": 1,
            "engineio_messages_sent_total{kind=text}": 6 * 2 * COUNT + 1,
            "engineio_messages_sent_total{kind=binary}": 1,
            "engineio_received_bytes_total{kind=text}": 6 * (11 + NUMBERS) + 5,
            "engineio_received_bytes_total{kind=binary}": 256,
            "engineio_sent_bytes_total{kind=text}": 6 * 2 * NUMBERS + 5,
            "engineio_sent_bytes_total{kind=binary}": 256,
        },
    )


def test_it_finds_who_is_there(prometheus: Prometheus, peer: Peer) -> None:
    """A client that fetches nothing has bytes waiting, until it leaves."""
    polling = "engineio_sessions{revision=4,transport=polling}"
    sid = peer.open()
    peer.post(sid, b"4!numbers %d" % COUNT)
    prometheus.until(ALL, {polling: 1, "engineio_buffered_bytes{}": WAITING})
    peer.post(sid, b"1")
    prometheus.until(ALL, {polling: 0, "engineio_buffered_bytes{}": 0})


def test_it_finds_heartbeats(
    server: Service, prometheus: Prometheus, play: Play
) -> None:
    """Pings that were answered, by the transport that carried them."""
    play("heartbeats", server, "websocket", count=3)
    prometheus.until(
        'engineio_ping_round_trip_seconds_count{transport="websocket"} >= bool 3',
        {"{transport=websocket}": 1},
    )


def test_it_finds_what_was_too_large(
    server: Service, prometheus: Prometheus, play: Play
) -> None:
    """The message, and the session that it ended."""
    play("tooLarge", server, "websocket")
    prometheus.until(
        ALL,
        {
            "engineio_payloads_refused_total{}": 1,
            "engineio_sessions_closed_total{reason=payload_too_large}": 1,
        },
    )


def test_it_finds_the_process(prometheus: Prometheus) -> None:
    """With the metrics that every process has."""
    up = "process_resident_memory_bytes > bool 10000000"
    prometheus.until(up, {"{}": 1})


def test_a_stranger_finds_nothing(prometheus: Prometheus) -> None:
    """Without the token the scrape fails."""
    prometheus.until("up{job='engineio'}", {"up{}": 1})
    prometheus.until("up{job='stranger'}", {"up{}": 0})


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
def test_promtool_has_no_complaints(
    server: Service, scrape: Callable[..., str], play: Play, accept: str
) -> None:
    """Of names, of helps, of anything else that it looks at."""
    play("carried", server, "upgrade")
    text = scrape(Accept=accept)
    assert "engineio_upgrades_total{" in text
    if accept:
        assert text.endswith("# EOF\n")
    else:
        assert promtool("check", "metrics", given=text) == ""


@pytest.fixture
def names(scrape: Callable[..., str]) -> set[str]:
    """Every metric that there is, by name."""
    found = set(re.findall(r"^# TYPE (\w+)", scrape(), re.M))
    return {name for name in found if not name.endswith("_created")}


def test_every_metric_is_explained_in_the_docs(names: set[str]) -> None:
    """By its name, and none is that there is not."""
    page = (PROJECT / "docs" / "metrics.rst").read_text("utf-8")
    explained = set(re.findall(r"^   \* - ``(engineio_\w+)``", page, re.M))
    assert explained == {name for name in names if name.startswith("engineio_")}


def test_the_alerts_of_the_docs_work(prometheus: Prometheus, names: set[str]) -> None:
    """Promtool accepts them, Prometheus evaluates them, and their metrics exist."""
    rules = RULES.read_text("utf-8")
    assert promtool("check", "rules", str(RULES)) == ""
    evaluated = prometheus.evaluated()
    assert len(evaluated) == rules.count("- alert:") > 5
    assert set(evaluated.values()) == {"ok"}
    named = set(re.findall(r"(?:engineio|process)_\w+", rules))
    assert {re.sub("_bucket$", "", name) for name in named} <= names

"""What an operator may look at, as the command line asks for it."""

from __future__ import annotations

import importlib.util

import pytest
from fakes import Browser
from twisted.internet.address import IPv4Address
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from twisted_engineio.cli import monitoring as watching
from twisted_engineio.monitoring.counters import Counters
from twisted_engineio.monitoring.metrics import Metrics
from twisted_engineio.monitoring.status import StatusService
from twisted_engineio.tap import Options, makeService

TOKEN = "a-token-of-27-characters-xx"
LOCAL, ELSEWHERE = "127.0.0.1", "203.0.113.5"


def make(*given):
    """Make the service that a command line describes."""
    options = Options()
    options.parseOptions(list(given))
    return makeService(options)


def sites_of(service):
    """Find the sites that listen, by their endpoints' order."""
    return [each.factory for each in service if hasattr(each, "factory")]


def fetch(site, path, address=LOCAL, **headers):
    """Get a page; the site's clock is the reactor's, so leave nothing on it."""
    browser = Browser(site, address=IPv4Address("TCP", address, 4711))
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        *map(": ".join, headers.items()),
    ]
    browser.send("\r\n".join([*lines, "", ""]).encode())
    answer = browser.answer
    browser.lose()
    return answer


@pytest.fixture
def token_file(tmp_path):
    """Give the name of a file that holds the token, and a line end."""
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return str(path)


def test_nothing_is_watched_unless_it_is_asked_for():
    """No observer, no page."""
    service = make()
    assert service.server.observers == ()
    (site,) = sites_of(service)
    assert fetch(site, "/metrics").status == fetch(site, "/status").status == 404


def test_metrics_stand_at_their_path():
    """For this machine; elsewhere is refused."""
    service = make("--metrics", "/ops/metrics")
    (site,) = sites_of(service)
    (observer,) = service.server.observers
    assert isinstance(observer, Metrics)
    assert b"\nengineio_buffered_bytes 0.0\n" in fetch(site, "/ops/metrics").body
    assert fetch(site, "/ops/metrics", ELSEWHERE).status == 403


def test_metrics_may_have_an_endpoint_of_their_own():
    """Then they are not in the site, and whoever reaches them may read them."""
    service = make("--metrics", "/metrics", "--metrics-listen", "9090")
    site, apart = sites_of(service)
    assert fetch(site, "/metrics").status == 404
    assert fetch(apart, "/metrics", ELSEWHERE).status == 200
    assert fetch(apart, "/engine.io/").status == 404


def test_a_token_is_asked_for_there_too(token_file):
    """From everybody, where there is one."""
    given = ("--metrics", "/metrics", "--token-file", token_file)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for more in ((), ("--metrics-listen", "9090")):
        site = sites_of(make(*given, *more))[-1]
        assert fetch(site, "/metrics").status == 401
        assert fetch(site, "/metrics", ELSEWHERE, **bearer).status == 200


def test_the_status_page_stands_at_its_path():
    """What feeds it runs as long as the server."""
    service = make("--status", "/ops/status")
    (site,) = sites_of(service)
    (observer,) = service.server.observers
    assert type(observer) is Counters
    assert fetch(site, "/ops/status").status == 200
    assert fetch(site, "/ops/status", ELSEWHERE).status == 403
    assert [each for each in service if isinstance(each, StatusService)]


def test_the_status_page_asks_for_the_token(token_file):
    """Where there is one."""
    (site,) = sites_of(make("--status", "/status", "--token-file", token_file))
    assert b'content="yes"' in fetch(site, "/status", ELSEWHERE).body
    line = "/status/engine.io/?EIO=4&transport=polling"
    assert fetch(site, line).status == 401


def post_too_much(site, line):
    """Announce half a gigabyte; give the answer."""
    browser = Browser(site, address=IPv4Address("TCP", ELSEWHERE, 4711))
    browser.send(f"POST {line} HTTP/1.1\r\nHost: x\r\n".encode())
    browser.send(b"Content-Length: 500000000\r\n\r\n")
    answer = browser.answer
    browser.lose()
    return answer


@pytest.mark.parametrize("place", ["/ops/status", "/ops/status/"])
def test_what_feeds_the_page_takes_no_large_bodies(place):
    """Whoever asks; its own server tells how large."""
    service = make("--status", place)
    (site,) = sites_of(service)
    (status,) = (each for each in service if isinstance(each, StatusService))
    path = "/ops/status/engine.io/"
    assert site.engineio_mounts.server_at(path.encode()) is status.server
    assert post_too_much(site, f"{path}?EIO=4&transport=polling").status == 413
    timeout = service.server.config.request_timeout
    assert site.engineio_mounts.request_timeout == timeout


def test_nothing_else_takes_large_bodies_either():
    """Neither in the site nor on the metrics' own endpoint."""
    for site in sites_of(make("--metrics", "/metrics", "--metrics-listen", "9090")):
        for path in ("/", "/metrics", "/nothing"):
            assert post_too_much(site, path).status == 413


def test_both_share_one_observer_and_may_share_a_folder():
    """Each event is counted once; neither page hides the other, nor the server."""
    service = make(
        *("--path", "/live/engine.io"),
        *("--metrics", "/live/metrics", "--status", "/live/status"),
    )
    (site,) = sites_of(service)
    (observer,) = service.server.observers
    assert isinstance(observer, Metrics)
    for page in ("/live/metrics", "/live/status"):
        assert fetch(site, page).status == 200
    assert fetch(site, "/live/engine.io/").json()["code"] == 0


def warnings_of(*given):
    """Make a service; give it, and what the log warned of."""
    events = []
    globalLogPublisher.addObserver(events.append)
    try:
        service = make(*given)
    finally:
        globalLogPublisher.removeObserver(events.append)
    warned = [each for each in events if each["log_level"] is LogLevel.warn]
    return service, [formatEvent(each) for each in warned]


PROXIED = ("--trusted-proxy", LOCAL, "--metrics", "/metrics")
STATUS = ("--status", "/status")


def test_behind_proxies_nobody_is_this_machine(token_file):
    """One that hands on without a word does not open; one line in the log says so."""
    service, [warning] = warnings_of(*PROXIED, *STATUS)
    assert warning.startswith("/metrics and /status: no client has access")
    assert "--token-file" in warning
    (site,) = sites_of(service)
    for page in ("/metrics", "/status", "/status/engine.io/?EIO=4&transport=polling"):
        assert fetch(site, page).status == 403
        assert fetch(site, page, **{"X-Forwarded-For": LOCAL}).status == 403
    service, warnings = warnings_of(*PROXIED, *STATUS, "--token-file", token_file)
    assert warnings == []
    (site,) = sites_of(service)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert fetch(site, "/metrics", **bearer).status == 200


def test_an_endpoint_of_its_own_is_nobody_s_to_guard():
    """Behind proxies too; nothing is warned of."""
    service, warnings = warnings_of(*PROXIED, "--metrics-listen", "9090")
    assert warnings == []
    assert fetch(sites_of(service)[-1], "/metrics", ELSEWHERE).status == 200


WRONG = {
    ("--metrics", "metrics"): "--metrics: 'metrics' must be a path like /metrics",
    ("--metrics", "/"): "--metrics: '/' must be a path like /metrics",
    ("--status", "status?"): "--status: 'status?' must be a path like /status",
    ("--metrics", "/engine.io"): "--metrics: '/engine.io' conflicts with --path",
    ("--metrics", "/engine.io/metrics/"): "conflicts with --path",
    ("--path", "/a/b", "--status", "/a"): "--status: '/a' conflicts with --path",
    ("--metrics", "/x", "--status", "/x/"): "'/x/' conflicts with --metrics",
    ("--metrics-listen", "9090"): "--metrics-listen: needs --metrics",
    ("--live", "live"): "--live: 'live' must be a path like /live",
    ("--live", "/engine.io/live"): "'/engine.io/live' conflicts with --path",
    ("--status", "/a", "--live", "/a/b"): "--live: '/a/b' conflicts with --st",
    ("--static", ".", "--live", "/"): "--live: '/' is used by --static; give a",
    ("--metrics", "/metrics", "--metrics-listen", "x:1"): "--metrics-listen: 'x:1': ",
    (
        "--metrics",
        "/metrics",
        "--metrics-listen",
        "99999",
    ): "--metrics-listen: 99999 is",
    ("--token-file", "/no/such/file"): "--token-file: '/no/such/file': ",
}


@pytest.mark.parametrize(("given", "line"), WRONG.items())
def test_a_wrong_value_is_one_clear_line(given, line):
    """Nothing listens yet."""
    with pytest.raises(SystemExit) as caught:
        make(*given)
    message = caught.value.code
    assert message.startswith("twistd engineio: ")
    assert line in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "content", [b"", b"short\n", b"\xff\xfe", b"two words of a token"]
)
def test_a_token_that_is_none_is_one_clear_line(tmp_path, content):
    """It names the file and never what is in it."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(SystemExit, match="--token-file: ") as caught:
        make("--status", "/status", "--token-file", str(path))
    assert "\n" not in caught.value.code
    assert "words" not in caught.value.code


def test_without_the_extra_the_line_says_what_to_install(monkeypatch):
    """The status page does without it."""
    real = importlib.util.find_spec

    def find(name):
        return None if name == "prometheus_client" else real(name)

    monkeypatch.setattr(watching, "find_spec", find)
    with pytest.raises(SystemExit) as caught:
        make("--metrics", "/metrics")
    assert caught.value.code == (
        "twistd engineio: --metrics: prometheus_client is missing;"
        " pip install prometheus-client"
    )
    make("--status", "/status")

"""The command line: every option, every wrong value, and the service they make."""

from __future__ import annotations

import sys
from dataclasses import fields, replace

import pytest
from fakes import Browser, Listener, RecordingTransport, join
from twisted.application.service import Application, MultiService
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from twisted.web.static import File

from twisted_engineio import (
    Config,
    Cookie,
    EchoApplication,
    SessionLog,
)
from twisted_engineio.cli.log_format import as_json
from twisted_engineio.tap import Options, makeService

MADE = Listener()
"""An application that is there already."""

ORIGIN = "https://example.com"
BOTH = ("websocket", "polling")


def make():
    """Make an application, as a factory does."""
    return MADE


def make_nothing():
    """Make what is no application."""
    return object()


def fail_to_make():
    """Make nothing at all."""
    raise ZeroDivisionError("no luck")


class Namespace:
    """Holds an application deeper down."""

    inner = MADE


@pytest.fixture
def warnings():
    """Write down what is warned of."""
    lines = []

    def observe(event):
        if event["log_level"] is LogLevel.warn:
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def parse(*given):
    """Read a command line."""
    options = Options()
    options.parseOptions(list(given))
    return options


# Options.


def test_the_defaults():
    """Without any option: port 3000, /engine.io, echo, and Config's own defaults."""
    options = parse()
    assert options["endpoints"] == ["tcp:3000"]
    assert options["path"] == "/engine.io"
    assert replace(options["config"], trusted_proxies=()) == Config()
    assert isinstance(options["application"], EchoApplication)
    assert options["level"] is LogLevel.info


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        (["--ping-interval", "0.3"], "ping_interval", 0.3),
        (["--ping-timeout=0.2"], "ping_timeout", 0.2),
        (["--upgrade-timeout", "7"], "upgrade_timeout", 7.0),
        (["--max-payload", "1234"], "max_payload", 1234),
        (["--transports", "websocket"], "transports", ("websocket",)),
        (["--transports", "websocket, polling"], "transports", BOTH),
        (["--transports=polling,polling"], "transports", ("polling",)),
        (["--cors", "null", "--cors=file://"], "cors", ("null", "file://")),
        (["--no-upgrades"], "allow_upgrades", False),
        (["--cors", "*"], "cors", ("*",)),
        (["--allow-eio3"], "allow_eio3", True),
        (["--jsonp"], "jsonp", True),
        ([], "jsonp", False),
        (["--no-http-compression"], "http_compression", False),
        (["--per-message-deflate"], "per_message_deflate", True),
        (["--max-fragments", "7"], "max_fragments", 7),
        (["--max-packets", "7"], "max_packets", 7),
        (["--max-upgrade-attempts", "7"], "max_upgrade_attempts", 7),
        (["--max-sessions", "7"], "max_sessions", 7),
        (["--max-connections", "7"], "max_connections", 7),
        (["--keep-alive-timeout", "7"], "keep_alive_timeout", 7.0),
        (["--max-sessions-per-address=7"], "max_sessions_per_address", 7),
        (["--max-handshakes-per-second=0.5"], "max_handshakes_per_second", 0.5),
        (["--max-messages-per-second", "7"], "max_messages_per_second", 7.0),
        (["--max-bytes-per-second", "7e6"], "max_bytes_per_second", 7e6),
        (["--over-rate", "close"], "over_rate", "close"),
        (["--first-poll-timeout", "7"], "first_poll_timeout", 7.0),
        (["--drain-timeout", "7"], "drain_timeout", 7.0),
        (["--max-buffered", "99999"], "max_buffered", 99999),
        (["--cors-credentials", "--cors", ORIGIN], "cors_credentials", True),
        (["--per-message-deflate-takeover"], "per_message_deflate_takeover", True),
        (["--cookie", "io"], "cookie", Cookie(name="io")),
        (["--cors", ORIGIN, "--cors=*"], "cors", (ORIGIN, "*")),
    ],
)
def test_an_option_reaches_the_config(given, name, value):
    """Under the same name, in seconds and bytes."""
    assert getattr(parse(*given)["config"], name) == value


def test_proxies_are_trusted_one_by_one():
    """The option is repeatable."""
    config = parse("--trusted-proxy", "10.0.0.0/8", "--trusted-proxy=::1")["config"]
    assert list(config.trusted_proxies) == ["10.0.0.0/8", "::1"]


@pytest.mark.parametrize(
    ("given", "endpoints"),
    [
        (["--port", "0"], ["tcp:0"]),
        (["--port", "65535"], ["tcp:65535"]),
        (["--port=tcp:80:interface=127.0.0.1"], ["tcp:80:interface=127.0.0.1"]),
        (["--listen", "unix:/run/x"], ["unix:/run/x"]),
        (["--listen", "tcp:1", "--listen", "2"], ["tcp:1", "tcp:2"]),
        (["--port", "3000", "--listen", "tcp:1"], ["tcp:3000", "tcp:1"]),
        (["--listen", "tcp:1", "--port=5"], ["tcp:5", "tcp:1"]),
        (["--listen", "tcp:1", "--por", "5"], ["tcp:5", "tcp:1"]),
        (["--po=3000", "--lis", "tcp:1"], ["tcp:3000", "tcp:1"]),
        (["--lis=tcp:1", "--path", "/--port"], ["tcp:1"]),
        (["--listen", "tcp:1", "--app", "test_options:MADE"], ["tcp:1"]),
    ],
)
def test_where_to_listen(given, endpoints):
    """--listen replaces the default of --port, but not a --port that was given."""
    assert parse(*given)["endpoints"] == endpoints


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error", "critical"])
def test_the_log_has_a_level(level):
    """One of Twisted's."""
    assert parse("--log-level", level)["level"] is LogLevel.levelWithName(level)


@pytest.mark.parametrize("name", ["MADE", "make", "Namespace.inner", "Listener"])
def test_an_application_is_found_by_its_name(name):
    """A class, an object, a factory, at any depth of its module."""
    application = parse("--app", f"{__name__}:{name}")["application"]
    assert isinstance(application, Listener)
    assert (application is MADE) is (name != "Listener")


@pytest.mark.parametrize("there", [True, False])
def test_an_application_is_looked_for_in_the_working_directory(
    tmp_path, monkeypatch, there
):
    """As python -m does, and twistd's own script does not."""
    (tmp_path / f"chat_{there}.py").write_text(
        "from twisted_engineio import Application\nclass Chat(Application): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    path = [each for each in sys.path if each]
    monkeypatch.setattr(sys, "path", ["", *path] if there else path)
    application = parse("--app", f"chat_{there}:Chat")["application"]
    assert type(application).__name__ == "Chat"
    assert sys.path.count("") == 1


WRONG = {
    ("--port", "65536"): "--port: 65536 is above 65535",
    ("--port", "http"): "--port: 'http': Unknown endpoint type: 'http'; give a port nu",
    ("--port", ""): "--port: '': ",
    ("--port", "-1"): "--port: '-1': ",
    ("--listen", "nonsense:1"): "--listen: 'nonsense:1': Unknown endpoint type",
    ("--listen", "tcp:port"): "--listen: 'tcp:port': invalid literal 'port': it must",
    ("--port", "tcp:65536"): "--port: 'tcp:65536': 65536 is above 65535",
    ("--port", "ssl:-1"): "--port: 'ssl:-1': -1 is below 0",
    ("--listen", "ssl:1:privatekey=k"): "no privatekey=; did you mean privateKey=?",
    ("--listen", "tcp:1:interfaces=::1"): "no interfaces=; did you mean interface=?",
    (
        "--listen",
        "unix:/s:perm=600",
    ): "no perm=; unix: takes mode=, backlog=, lockfile=",
    ("--listen", "tcp:1:2:3:4:5"): "tcp: takes interface=, backlog=",
    ("--listen", "unix"): "unix: takes mode=, backlog=, lockfile=",
    ("--listen", "fd:x"): "Unknown endpoint type",
    ("--listen", "engineio:tcp\\:x"): "is no endpoint: invalid literal",
    ("--listen", "engineio:ssl\\:1\\:certkey\\=x"): "did you mean certKey=?",
    ("--listen", "haproxy:tcp:1:x=1"): "there is no x=",
    ("--listen", f"ssl:1:privateKey={__file__}"): "OpenSSL cannot use the key or the",
    ("--listen", "ssl:1:privateKey=/"): "Is a directory: '/'",
    (
        "--metrics",
        "/m",
        "--metrics-listen",
        "tcp:1:backlogs=1",
    ): "did you mean backlog=",
    ("--cors-credentials",): "--cors-credentials: needs --cors, to say which",
    ("--cors-cred",): "--cors-credentials: needs --cors",
    ("--high-water-mark", "100"): "--high-water-mark: 100 is below low_water_mark, 163",
    (
        "--high-water-mark",
        "1",
        "--low-water-mark",
        "2",
    ): "--low-water-mark: must not be",
    ("--ping-interval", "25000"): "--ping-interval: 25000.0 is above 3600 and in secon",
    ("--ping-timeout", "20000"): "in seconds; did you mean 20?",
    ("--path", "engine.io"): "--path: 'engine.io' must be a path like /engine.io",
    ("--path", "/"): "--path: '/' must be a path like /engine.io, not the root",
    ("--path", "//"): "--path: '//' must be a path",
    ("--ping-interval", "x"): "--ping-interval: 'x' is not a number",
    ("--ping-interval", "0"): "--ping-interval: must be a number of seconds above 0",
    ("--ping-timeout", "-1"): "--ping-timeout: must be a number of seconds above 0",
    ("--ping-timeout", "nan"): "--ping-timeout: must be a number of seconds above 0",
    ("--upgrade-timeout", "inf"): "--upgrade-timeout: must be a number of seconds",
    ("--max-payload", "1.5"): "--max-payload: '1.5' is not a whole number",
    ("--max-payload", "٣"): "--max-payload: '٣' is not a whole number",
    ("--ping-interval", "1_0"): "--ping-interval: '1_0' is not a number",
    ("--drain-timeout", "²"): "--drain-timeout: '²' is not a number",
    ("--max-payload", "0"): "--max-payload: must be a whole number above 0",
    ("--max-sessions", "0"): "--max-sessions: must be a whole number above 0, not 0",
    ("--max-sessions-per-address", "-1"): "above 0, not -1; leave it out for no limit",
    ("--max-connections", "0"): "above 0, not 0; leave it out for twice --max-sessions",
    ("--ping-jitter", "30"): "--ping-jitter: must be from 0 to ping_interval",
    ("--low-water-mark", "99999"): "--low-water-mark: must not be above",
    ("--cors-credentials", "--cors", "*"): "--cors-credentials: name the origins",
    ("--listen", "systemd:domain=INET:index=0"): "systemd passed no such socket (list",
    ("--listen", "systemd:domain=INET:name=x"): "systemd passed no such socket ('x')",
    ("--listen", "ssl:1:privateKey=/no/key"): "No such file or directory: '/no/key'",
    ("3000",): "'3000' belongs to no option; --help lists them",
    ("--max-sessions", "many"): "--max-sessions: 'many' is not a whole number",
    ("--max-sessions-per-address", "0"): "--max-sessions-per-address: must be a whole",
    ("--max-bytes-per-second", "-1"): "--max-bytes-per-second: must be a number above",
    ("--over-rate", "drop"): "--over-rate: must be pause or close, not 'drop'",
    ("--drain-timeout", "0"): "--drain-timeout: must be a number of seconds above 0",
    ("--transports", "tcp"): "'tcp' is unknown; known are polling, sse, w",
    ("--transports", ""): "--transports: '' is unknown; known are",
    ("--cors", "example.com"): "--cors: 'example.com' is not an origin like",
    ("--cookie", "a b"): "--cookie: must be a name like 'io'",
    ("--trusted-proxy", "nowhere"): "--trusted-proxy: ",
    ("--static", "/no/such/place"): "--static: '/no/such/place' is not a directory",
    ("--log-level", "loud"): "--log-level: 'loud' is unknown; known are debug, info",
    ("--app", "chat"): "--app: 'chat' must be MODULE:NAME",
    ("--app", ":Chat"): "--app: ':Chat' must be MODULE:NAME",
    ("--app", "chat:"): "--app: 'chat:' must be MODULE:NAME",
    ("--app", "no_such_module:Chat"): "--app: no_such_module:Chat: ModuleNotFoundErr",
    ("--app", "sys:Chat"): "--app: sys:Chat: AttributeError: ",
    ("--app", "sys:version"): "--app: sys:version: TypeError: ",
    ("--app", "test_options:fail_to_make"): "fail_to_make: ZeroDivisionError: no luck",
    ("--app", "test_options:make_nothing"): "is a object, not an Application",
    ("--prot", "3000"): "option --prot not recognized",
    ("--app", "test_options:Namespace"): "is a Namespace, not an Application",
}


@pytest.mark.parametrize(
    "address", ["tcp:port", "systemd:domain=INET:index=0", "ssl:1:privateKey=/no/key"]
)
def test_an_endpoint_of_a_known_type_is_not_told_what_types_there_are(address):
    """What is wrong with it is said, and no more."""
    with pytest.raises(SystemExit) as caught:
        parse("--metrics", "/metrics", "--metrics-listen", address)
    assert caught.value.code.startswith(
        f"twistd engineio: --metrics-listen: {address!r}"
    )
    assert "give a port number" not in caught.value.code


def test_without_openssl_an_operator_is_told_what_to_install(monkeypatch):
    """In Twisted's ssl: endpoint it is imported when it is used."""
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    monkeypatch.delitem(sys.modules, "twisted.internet.ssl", raising=False)
    monkeypatch.delattr("twisted.internet.ssl", raising=False)
    with pytest.raises(SystemExit) as caught:
        parse("--listen", "ssl:3443")
    assert caught.value.code == (
        "twistd engineio: --listen: 'ssl:3443': OpenSSL is missing;"
        " pip install 'twisted[tls]'"
    )


@pytest.mark.parametrize("path", ["engine.io", "/", "/a//b"])
def test_only_the_root_is_called_the_root(path):
    """What else may be wrong with a path is something else."""
    with pytest.raises(SystemExit) as caught:
        parse("--path", path)
    assert caught.value.code.endswith("not the root") is (path == "/")


NUMBERS = [each for each in fields(Config) if str(each.type).startswith(("int", "flo"))]


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
def test_every_number_of_config_is_an_option(field):
    """And keeps its kind: none is left out of the command line."""
    number = 20_000  # between the water marks
    given = f"--{field.name.replace('_', '-')}={number}"
    if field.name.startswith("ping_"):
        number = 9
        given = f"--{field.name.replace('_', '-')}={number}"
    value = getattr(parse(given)["config"], field.name)
    assert value == number
    assert type(value).__name__ == str(field.type).split()[0]


@pytest.mark.parametrize(("given", "line"), WRONG.items())
def test_a_wrong_value_is_one_clear_line(given, line):
    """And exit status 1: SystemExit with a message is that."""
    with pytest.raises(SystemExit) as caught:
        parse(*given)
    message = caught.value.code
    assert message.startswith("twistd engineio: ")
    assert line in message
    assert "\n" not in message


IDLE = {
    ("--over-rate", "pause"): "--over-rate has no effect: it needs --max-messages-per-",
    ("--per-message-deflate-takeover",): "it needs --per-message-deflate",
    ("--per-message-deflate", "--transports", "polling"): "--transports with websocket",
    ("--http-compression-threshold", "1", "--no-http-compression"): "without --no-http",
    (
        "--upgrade-timeo=1",
        "--no-upgrades",
    ): "--upgrade-timeout has no effect: it needs a",
    ("--cors-max-age", "1"): "--cors-max-age has no effect: it needs --cors",
    (
        "--sse-ring-events",
        "8",
    ): "--sse-ring-events has no effect: it needs --transports",
}


@pytest.mark.parametrize(("given", "line"), IDLE.items())
def test_an_option_that_does_nothing_is_told(given, line, warnings):
    """Once; the server is what it is without it."""
    parse(*given)
    [warning] = warnings
    assert line in warning


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--over-rate", "close", "--max-messages-per-second", "7"),
        ("--per-message-deflate", "--per-message-deflate-takeover"),
        ("--transports", "sse", "--sse-max-age", "7"),
        ("--cors", "*", "--cors-max-age", "7"),
    ],
)
def test_an_option_that_does_something_is_not(given, warnings):
    """Nor is one that was not given."""
    parse(*given)
    assert warnings == []


# The service.


class Endpoint:
    """An endpoint that listens nowhere."""

    def __init__(self):
        self.listening = Deferred()
        self.stopped = False

    def listen(self, factory):
        self.factory = factory
        return self.listening

    def stopListening(self):
        self.stopped = True
        return succeed(None)


@pytest.fixture
def site():
    """Make the site that a command line describes."""

    def make_site(*given):
        (listener,) = makeService(parse(*given))
        return listener.factory

    return make_site


def fetch(site, path):
    """Get a page; the site's clock is the reactor's, so leave nothing on it."""
    browser = Browser(site)
    browser.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = browser.answer
    browser.lose()
    return answer


def test_every_endpoint_gets_the_site():
    """One site on all of them."""
    service = makeService(parse("--listen", "tcp:1", "--listen", "tcp:2"))
    one, two = service
    assert one.factory is two.factory
    assert service.server.config.max_payload == 1_000_000


def test_the_live_page_is_at_the_root(site):
    """Without --app; it connects to where the server stands."""
    page = fetch(site(), "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b'content="/engine.io/"' in page.body
    page = fetch(site("--path", "/a/b"), "/")
    assert b'content="/a/b/"' in page.body
    assert b'content="/engine.io/"' not in page.body


def test_the_live_page_knows_what_is_on_offer(site):
    """It shows a choice for server-sent events where they are switched on."""
    page = fetch(site(), "/")
    assert b'name="engineio-transports" content="polling,websocket"' in page.body
    page = fetch(site("--transports", "polling,sse"), "/")
    assert b'name="engineio-transports" content="polling,sse"' in page.body


def test_with_an_application_a_page_says_what_this_is(site):
    """Where the server stands, and how to come by the live page."""
    page = fetch(site("--app", f"{__name__}:MADE", "--path", "/a/b"), "/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b'<code id="place">/a/b/</code>' in page.body
    assert b"--live /live" in page.body


LIVE = b'<meta name="engineio-path" content="/engine.io/">'
"""What is in the live page, and in no other."""


@pytest.mark.parametrize("path", ["/live", "/ops/look/", "/a.b/c"])
@pytest.mark.parametrize("others", [(), ("--app", f"{__name__}:MADE"), ("--static",)])
def test_the_live_page_is_where_live_says(site, tmp_path, path, others):
    """Whatever is served at the root, with or without a slash."""
    if others == ("--static",):
        others = ("--static", str(tmp_path))
    served = site("--live", path, *others)
    for requested in (path.rstrip("/"), path.rstrip("/") + "/"):
        assert LIVE in fetch(served, requested).body
    assert fetch(served, path.rstrip("/") + "/more").status == 404
    if "--static" in others:
        assert isinstance(served.resource, File)
        assert served.resource.path == str(tmp_path)
        assert b"" not in served.resource.children
        return
    found = LIVE if not others else f'<a href="{path}">'.encode()
    assert found in fetch(served, "/").body


def test_the_live_page_may_have_the_root(site):
    """Of any application's server; and it knows whether that echoes."""
    page = fetch(site("--app", f"{__name__}:MADE", "--live", "/"), "/").body
    assert LIVE in page
    assert b'name="engineio-echo" content="no"' in page
    assert b'name="engineio-echo" content="yes"' in fetch(site(), "/").body


def test_static_serves_a_directory(site, tmp_path):
    """At the root, beside the server; the live page gives way."""
    served = site("--static", str(tmp_path))
    assert isinstance(served.resource, File)
    assert served.resource.path == str(tmp_path)
    assert fetch(served, "/engine.io/").json()["code"] == 0
    assert fetch(served, "/nothing").status == 404


@pytest.mark.parametrize("path", ["/engine.io", "/engine.io/", "/a/b/c", "/x"])
def test_the_server_stands_at_its_path(site, path):
    """Of any depth, with and without a trailing slash."""
    served = site("--path", path)
    for requested in (path.rstrip("/"), path.rstrip("/") + "/"):
        assert fetch(served, requested).json()["code"] == 0
    assert served.engineio_mounts.server_at(path.encode()) is served.server
    assert fetch(served, "/nothing").status == 404


@pytest.fixture
def service():
    """Make a service whose one endpoint listens nowhere."""
    made = makeService(parse())
    (listener,) = made
    listener.endpoint = made.endpoint = Endpoint()
    made.server.clock = Clock()
    return made


@pytest.mark.usefixtures("observers")
def test_a_service_listens_when_it_starts(service):
    """And not sooner; it listens until the last words are fetched, and no longer."""
    assert not hasattr(service.endpoint, "factory")
    service.privilegedStartService()
    service.startService()
    assert service.endpoint.factory.server is service.server
    service.endpoint.listening.callback(service.endpoint)
    join(service.server, RecordingTransport())
    service.stopService()
    assert not service.endpoint.stopped
    service.server.clock.advance(0)
    service.server.clock.advance(0.1)
    assert service.endpoint.stopped


def test_a_port_that_is_taken_is_one_line(service):
    """The operator knows at once, and twistd exits with status 1."""
    taken = CannotListenError("", 3000, OSError("in use"))
    service.endpoint.listening = fail(taken)
    with pytest.raises(SystemExit) as caught:
        service.privilegedStartService()
    assert caught.value.code.startswith("twistd engineio: Couldn't listen on ")
    assert "\n" not in caught.value.code


def test_a_session_of_the_command_line_s_server_echoes(clock):
    """What runs without --app sends every message back."""
    server = makeService(parse()).server
    server.clock = clock
    transport = RecordingTransport()
    session = join(server, transport)
    session.receive("hello")
    assert transport.written[-1] == "hello"
    session.abort()
    clock.advance(0)


# The log.


@pytest.mark.parametrize(
    ("given", "observed"), [([], False), (["--log-sessions"], True)]
)
def test_sessions_are_logged_where_that_is_asked_for(given, observed):
    """By an observer like any other."""
    server = makeService(parse(*given)).server
    assert [type(each) for each in server.observers] == [SessionLog] * observed


@pytest.mark.parametrize("given", [True, False])
def test_an_access_log_has_a_file_that_is_opened_again(tmp_path, given):
    """The service does that when a signal says so."""
    path = tmp_path / "access.log"
    service = makeService(parse(*(["--access-log", str(path)] if given else [])))
    (listener,) = service
    assert listener.factory.logPath == (str(path) if given else None)
    assert service._rotating == [listener.factory.reopen_log] * given


@pytest.mark.parametrize("twistd", [None, {"logfile": "-", "nodaemon": True}])
@pytest.mark.parametrize("name", ["text", "json"])
def test_json_is_for_the_application_of_twistd(twistd, name):
    """What makes the service without twistd has a log of its own."""
    options = Options()
    options.parent = twistd
    options.parseOptions(["--log-format", name])
    application = MultiService()
    parent = Application("engineio")
    service = makeService(options)
    service.setServiceParent(application)  # a service of somebody's program
    service.disownServiceParent()
    service.setServiceParent(parent)
    observer = parent.getComponent(ILogObserver)
    assert (observer is not None) is (twistd is not None and name == "json")
    assert observer is None or observer.formatEvent is as_json

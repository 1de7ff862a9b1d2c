"""The logs of real processes, run in each documented way, by whatever clients."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection

import pytest
from programs import EXAMPLES, PATIENCE, await_service, free_port

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
WEBSOCKET = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
APP = """
from twisted_engineio import Application

class Failing(Application):
    def message_received(self, session, data):
        print("printed by the application")
        raise KeyError(data)
"""


class Running:
    """A process that serves."""

    def __init__(self, process, port, folder):
        self.process = process
        self.port = port
        self.folder = folder

    @property
    def log(self):
        """What it has written to its standard output."""
        return (self.folder / "out").read_text()

    def ask(self, method, path, body=None, headers=()):
        """Send one request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def open(self, path="/engine.io/"):
        """Open a session: its URL and its id."""
        url = f"{path}?EIO=4&transport=polling"
        sid = json.loads(self.ask("GET", url)[1].split("\x1e")[0][1:])["sid"]
        return f"{url}&sid={sid}", sid

    def send(self, data, count=1):
        """Send bytes over connections of their own, and read what comes."""
        answers = b""
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                with suppress(OSError):
                    while piece := connection.recv(65536):
                        answers += piece
        return answers

    def stop(self):
        """Stop it in good order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


@contextmanager
def running(folder, *command, port=None, **environment):
    """Run a command that serves on a port."""
    port = port or free_port()
    words = [str(each).replace("PORT", str(port)) for each in command]
    with (
        (folder / "out").open("wb") as output,
        subprocess.Popen(
            words,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": f"{EXAMPLES}:{folder}",
                "PYTHONUNBUFFERED": "1",
                "LISTEN": f"tcp:{port}",
                **environment,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            await_service(process, port, folder / "out")
            yield Running(process, port, folder)
        finally:
            process.kill()


def wait_for(check):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < end, "it never was"
        time.sleep(0.05)


ENGINEIO = [*TWISTD, "-n", "--pidfile=", "engineio", "--port", "tcp:PORT"]
WAYS = {
    "twistd engineio --access-log": [*ENGINEIO, "--access-log", "access.log"],
    "twistd web": [
        *(*TWISTD, "-n", "--pidfile=", "web", "--listen", "tcp:PORT"),
        *("--class", "twistd_web.Root"),
    ],
    "twistd web --logfile": [
        *(*TWISTD, "-n", "--pidfile=", "web", "--listen", "tcp:PORT"),
        *("--class", "twistd_web.Root", "--logfile", "access.log"),
    ],
    "site.tac": [*TWISTD, "-n", "--pidfile=", "-y", EXAMPLES / "site.tac"],
    "protect(Site)": [sys.executable, EXAMPLES / "mounted_in_site.py", "PORT"],
    "EngineIOSite": [sys.executable, EXAMPLES / "echo.py", "PORT"],
}


@pytest.mark.parametrize("way", WAYS)
def test_no_log_has_a_session_s_id(tmp_path, way):
    """However it is run: the URI, the Referer, keys in any spelling, and refusals."""
    with running(tmp_path, *WAYS[way]) as server:
        url, sid = server.open()
        seen = {"Referer": f"http://127.0.0.1/page?{url.partition('?')[2]}"}
        assert server.ask("POST", url, "6", seen)[0] == 200
        assert server.ask("POST", url.replace("sid=", "s%69d="), "6")[0] == 200
        other = json.loads(server.ask("GET", url.replace("sid=", "SID="))[1][1:])["sid"]
        server.ask("GET", f"/engine.io/?EIO=4&transport=sse&lastEventId={sid}.1")
        server.ask("GET", f"/elsewhere?next=%2F%3Fsid%3D{sid}")
        server.ask("POST", url, "1")
        server.ask("POST", url.replace(sid, other), "1")
        server.stop()
        texts = [each.read_text() for each in tmp_path.glob("*") if each.is_file()]
        log = "".join(texts)
    assert sid[:7] not in log
    if "Site" not in way:
        assert f"sid={sid[:6]}..." in log
    assert "Traceback" not in log


def test_mounted_in_site_shows_refusals_and_errors(tmp_path):
    """An example that ends in reactor.run() has a log, else errors would vanish."""
    with running(tmp_path, *WAYS["protect(Site)"]) as server:
        server.ask("GET", "/engine.io/?EIO=4&transport=nothing")
        server.stop()
        assert "refused GET /engine.io/ from 127.0.0.1: 400" in server.log


HOSTILE = {
    "an origin": b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n"
    b"Origin: https://" + b"EVIL" * 3000 + b"\r\n\r\n",
    "a transport": b"GET /engine.io/?transport=" + b"EVIL" * 2000 + b" HTTP/1.1\r\n"
    b"Host: x\r\n\r\n",
    "a key": b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
    + WEBSOCKET.replace(b"dGhl", b"EVIL" * 2000)
    + b"\r\n",
    "a version": b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
    + WEBSOCKET.replace(b"13", b"EVIL" * 2000)
    + b"\r\n",
    "an extension": b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
    + WEBSOCKET
    + b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits="
    + b"EVIL" * 2000
    + b"\r\n\r\n",
    "a protocol": b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
    + WEBSOCKET
    + b"Sec-WebSocket-Protocol: EVIL,EVIL\r\n\r\n",
    "a frame": b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
    + WEBSOCKET
    + b"\r\n\x81\x04EVIL",
    "a range": b"GET /a.txt HTTP/1.1\r\nHost: x\r\nRange: bytes="
    + b"EVIL" * 3000
    + b"\r\n\r\n",
    "a range that is not text": b"GET /a.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=\xff"
    b"\r\n\r\n",
    "a path": b"GET /%ff" + b"EVIL" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path with nothing in it": b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method": b"HEAD /?sid=" + b"EVIL" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "an agent": b"GET /engine.io/ HTTP/1.1\r\nHost: x\r\nUser-Agent: \x1b[2J\x85EVIL"
    b"\r\n\r\n",
    "garbage": b"\x16\x03\x01EVIL\xff\xfe\r\n\r\n",
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A server with a page, which outlives all that is sent to it."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "static").mkdir()
    (folder / "static" / "a.txt").write_text("hello")
    with running(folder, *ENGINEIO, "--static", "static") as server:
        yield server
        server.stop()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_client_s_bytes_fill_no_log(attacked, kind):
    """A hundred times in a moment: few lines, and short ones."""
    before = len(attacked.log)
    begin = time.monotonic()
    attacked.send(HOSTILE[kind], 100)
    assert attacked.ask("GET", "/a.txt") == (200, "hello")
    seconds = time.monotonic() - begin
    log = attacked.log[before:]
    assert len(log) < (seconds + 2) * 25_000
    for line in log.splitlines():
        assert line.expandtabs().isprintable()
        assert line.count("EVIL") <= 64
        assert len(line) < 700
    # Of each kind ten in a second, and two lines for one handshake of Autobahn's.
    starts = [each for each in log.splitlines() if re.match(r"\d{4}-\d\d-", each)]
    assert len(starts) <= (seconds + 2) * 22 + 10


def test_a_failing_application_fills_no_log(tmp_path):
    """A message of 20 kB in a KeyError, and lines that look like a log's."""
    (tmp_path / "failing.py").write_text(APP)
    message = "4\n2026-01-01T00:00:00+0000 [fake] FORGED" + "EVIL" * 5000
    with running(tmp_path, *ENGINEIO, "--app", "failing:Failing") as server:
        for _ in range(30):
            url, _ = server.open()
            server.ask("POST", url, message)
        wait_for(lambda: "lines left out" in server.log)
        server.stop()
        log = server.log
    assert not any(each.startswith("2026-01-01T00:00:00") for each in log.splitlines())
    assert log.count("EVIL") <= 101 * 30
    assert log.count("Traceback") <= 22
    assert ", like: the application failed" in log


# --log-sessions.


@pytest.mark.parametrize("asked_for", [True, False])
def test_sessions_are_logged_where_they_are_asked_for(tmp_path, asked_for):
    """Opened and closed, with a short id, an address, a transport, a time, a reason."""
    options = ["--log-sessions"] if asked_for else []
    with running(tmp_path, *ENGINEIO, *options) as server:
        url, sid = server.open()
        server.ask("POST", url, "1")
        server.stop()
        log = server.log
    opened = f"session {sid[:6]}... opened on polling from 127.0.0.1"
    closed = rf"session {re.escape(sid[:6])}\.\.\. closed on polling from 127\.0\.0\.1"
    assert (opened in log) is asked_for
    assert bool(re.search(rf"{closed} after \d+\.\d+ s: transport close", log)) is (
        asked_for
    )
    assert sid not in log


# --log-format json.


def objects(text):
    """Read lines of JSON, all of them."""
    return [json.loads(each) for each in text.splitlines()]


def test_every_line_is_json_on_standard_output(tmp_path):
    """Twisted's own from the first on, tracebacks, and what the application prints."""
    (tmp_path / "failing.py").write_text(APP)
    options = ["--log-format", "json", "--log-sessions", "--app", "failing:Failing"]
    with running(tmp_path, *ENGINEIO, *options) as server:
        url, sid = server.open()
        server.ask("POST", url, "4two\nlines")
        server.ask("GET", "/engine.io/?EIO=4&transport=x", headers={"User-Agent": "me"})
        server.stop()
        lines = objects(server.log)
    assert all({"time", "level", "logger", "message"} <= set(each) for each in lines)
    messages = [each["message"] for each in lines]
    assert messages[0].startswith("twistd ")
    assert messages[-1] == "Server Shut Down."
    assert "printed by the application" in messages
    (failed,) = [each for each in lines if "traceback" in each]
    assert failed["exception"] == "builtins.KeyError"
    assert failed["level"] == "critical"
    (refused,) = [each for each in lines if "agent" in each]
    fields = {"address": "127.0.0.1", "path": "/engine.io/", "code": 0, "agent": "me"}
    assert fields.items() <= refused.items()
    (closed,) = [each for each in lines if each.get("event") == "closed"]
    assert (closed["sid"], closed["reason"]) == (sid[:6], "application error")
    assert closed["duration"] >= 0


def test_json_goes_into_a_file_that_rotates(tmp_path):
    """With --logfile, as a daemon; SIGUSR1 begins a new one, of JSON, too."""
    daemon = [
        *TWISTD,
        *("--pidfile", tmp_path / "pid", "--logfile", tmp_path / "server.log"),
        *("engineio", "--port", "tcp:PORT", "--log-format", "json"),
    ]
    port = free_port()
    words = [str(each).replace("PORT", str(port)) for each in daemon]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=PATIENCE)
    wait_for(lambda: (tmp_path / "pid").exists())
    pid = int((tmp_path / "pid").read_text())
    try:
        server = Running(None, port, tmp_path)
        wait_for(lambda: "twisted_engineio" in (tmp_path / "server.log").read_text())
        server.ask("GET", "/engine.io/?EIO=4&transport=first")
        (tmp_path / "server.log").rename(tmp_path / "server.log.old")
        (tmp_path / "server.log").touch()
        os.kill(pid, signal.SIGUSR1)
        wait_for(
            lambda: (
                server.ask("GET", "/engine.io/?EIO=4&transport=second"),
                any(
                    "second" in each.read_text()
                    for each in tmp_path.glob("server.log*")
                    if each.name != "server.log.old"
                ),
            )[1]
        )
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not (tmp_path / "pid").exists())
    for each in tmp_path.glob("server.log*"):
        objects(each.read_text())


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--log-format", "xml"],
            "--log-format: 'xml' is unknown; use one of text, json",
        ),
        (["--log-format", ""], "--log-format: '' is unknown; use one of text, json"),
        (
            ["--access-log", "/no/such/log"],
            "--access-log: '/no/such/log': No such file",
        ),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path, options, line):
    """And nothing listens."""
    done = subprocess.run(
        [*(each for each in ENGINEIO if "PORT" not in each), "0", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_json_is_not_written_to_syslog(tmp_path):
    """It has a form of its own."""
    words = [*TWISTD, "-n", "--syslog", "--pidfile=", "engineio", "--port", "0"]
    done = subprocess.run(
        [*words, "--log-format", "json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert "json does not work with twistd's --syslog" in done.stderr
    assert done.returncode == 1


# --access-log.

LINE = re.compile(
    r'"127\.0\.0\.1" - - \[[^\]]+\] "(GET|POST) (\S+) HTTP/1\.1" (\d+) (\d+|-)'
    r' "(.*?)" "(.*?)"'
)


@pytest.mark.parametrize("deflate", [False, True], ids=["door", "twisted.web"])
def test_an_access_log_has_every_request(tmp_path, deflate):
    """Polls, POSTs, WebSockets, refusals and pages, in the combined format."""
    options = ["--per-message-deflate"] if deflate else []
    with running(tmp_path, *ENGINEIO, "--access-log", "a.log", *options) as server:
        url, sid = server.open()
        server.ask("POST", url, "4hello", {"User-Agent": "me", "Referer": "http://r/"})
        server.ask("GET", url, headers={"User-Agent": "me"})
        server.ask("GET", "/engine.io/?EIO=4&transport=no")
        server.ask("GET", "/")
        server.send(
            b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
            b"User-Agent: ws\r\n" + WEBSOCKET + b"\r\n"
        )
        server.ask("POST", url, "1")
        server.stop()
        lines = (tmp_path / "a.log").read_text().splitlines()
    found = [LINE.fullmatch(each).groups() for each in lines]
    short = f"/engine.io/?EIO=4&transport=polling&sid={sid[:6]}..."
    assert found[1:4] == [
        ("POST", short, "200", "2", "http://r/", "me"),
        ("GET", short, "200", "6", "-", "me"),
        ("GET", "/engine.io/?EIO=4&transport=no", "400", "40", "-", "-"),
    ]
    assert found[4][1:3] == ("/", "200")
    target = "/engine.io/?EIO=4&transport=websocket"
    assert found[5] == ("GET", target, "101", "-", "-", "ws")
    assert found[6][:3] == ("POST", short, "200")
    assert len(found) == 7


def test_an_access_log_is_opened_again_by_its_name(tmp_path):
    """On SIGUSR1, after logrotate has renamed it; in the foreground, too."""
    log, old = tmp_path / "a.log", tmp_path / "a.log.1"
    with running(tmp_path, *ENGINEIO, "--access-log", "a.log") as server:
        server.ask("GET", "/first")
        log.rename(old)
        server.ask("GET", "/second")
        server.process.send_signal(signal.SIGUSR1)
        wait_for(log.exists)
        server.ask("GET", "/third")
        server.stop()
    assert [each in old.read_text() for each in ("/first", "/second", "/third")] == [
        True,
        True,
        False,
    ]
    assert "/third" in log.read_text()


def test_without_an_access_log_there_is_none(tmp_path):
    """A poll a second is no news."""
    with running(tmp_path, *ENGINEIO) as server:
        server.ask("GET", "/")
        server.stop()
        assert '"GET / HTTP' not in server.log

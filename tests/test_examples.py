"""The examples run as they stand: each is started, talked to, and stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from certificates import make_certificate
from programs import PATIENCE, free_port, program, started

EXAMPLES = Path(__file__).parent.parent / "examples"


class Visitor:
    """A client that polls, with nothing but the standard library."""

    def __init__(self, port: int, path: str = "/engine.io/") -> None:
        self.port = port
        self.path = path + "?EIO=4&transport=polling"
        hello, *self.packets = self.request("GET", self.path)[1].split("\x1e")
        self.path += "&sid=" + json.loads(hello[1:])["sid"]

    def request(self, method: str, path: str, body: str | None = None):
        """Send one request; return its answer's status and text."""
        connection = self.connect()
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def connect(self) -> HTTPConnection:
        """Make a connection for one request."""
        return HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def try_too_much(self) -> None:
        """Announce a body that is too large: it is refused before it is sent."""
        connection = self.connect()
        try:
            connection.putrequest("POST", self.path)
            connection.putheader("Content-Length", "1000001")
            connection.endheaders()
            assert connection.getresponse().status == 413
        finally:
            connection.close()

    def say(self, packet: str) -> None:
        """Send one packet."""
        assert self.request("POST", self.path, packet) == (200, "ok")

    def hear(self) -> str:
        """Wait for the next packet that arrives."""
        if not self.packets:
            status, text = self.request("GET", self.path)
            assert status == 200
            self.packets = text.split("\x1e")
        return self.packets.pop(0)

    def leave(self) -> None:
        """End the session; a server that stops waits for those that haven't."""
        self.say("1")

    def page(self, path: str) -> str:
        """Read a page of the site."""
        status, text = self.request("GET", path)
        assert status == 200
        return text


@contextmanager
def running(name: str) -> Iterator[int]:
    """Run an example on a free port, until SIGTERM stops it in good order."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, EXAMPLES / name, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            announced = process.stdout.readline()
            if not announced:
                pytest.fail(process.stderr.read())
            assert f"http://localhost:{port}/" in announced
            yield port
            process.send_signal(signal.SIGTERM)
            log, complaints = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert complaints == ""
    assert "Traceback" not in log
    assert process.returncode == 0


def test_every_example_is_tested():
    """No example stands in the folder without a test below."""
    tests = Path(__file__).read_text().partition("def test_an_example_is_short")[2]
    for path in (*EXAMPLES.glob("*.*"), *EXAMPLES.glob("*/*.s*")):
        assert path.name in tests or path.name == "chat.html"


PROGRAMS = [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.tac")]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_an_example_is_short(path):
    """An example is read in one look."""
    assert 15 <= len(path.read_text().splitlines()) <= 40


def test_echo():
    """Text and bytes come back as they were sent, and there is a page."""
    with running("echo.py") as port:
        visitor = Visitor(port)
        visitor.say("4hello")
        assert visitor.hear() == "4hello"
        visitor.say("bAAEC")
        assert visitor.hear() == "bAAEC"
        assert "<html" in visitor.page("/")
        visitor.leave()


def test_chat():
    """What one tab says, both hear; the one that stays hears the other leave."""
    with running("chat.py") as port:
        first = Visitor(port)
        assert first.hear() == "4Welcome, Guest 1"
        second = Visitor(port)
        assert second.hear() == "4Welcome, Guest 2"
        first.say("bAAEC")
        first.say("4hi")
        assert first.hear() == second.hear() == "4Guest 1: hi"
        second.leave()
        assert first.hear() == "4Guest 2 left (transport close)"
        assert "A minimal, complete Engine.IO client" in first.page("/")
        first.leave()


def test_mounted_in_site():
    """The site's own pages stay, and Engine.IO answers beside them."""
    with running("mounted_in_site.py") as port:
        visitor = Visitor(port)
        visitor.say("4quiet")
        assert visitor.hear() == "4QUIET"
        assert visitor.page("/count") == "1"
        assert "A page of the site" in visitor.page("/")
        visitor.try_too_much()
        visitor.leave()


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], None])
def test_amp_over_engineio(transports):
    """A procedure is called by python-engineio's client, and answers."""
    calling = """
import json, queue, sys, engineio
from twisted.internet.testing import StringTransport
from twisted.protocols.amp import AMP, Command, Integer

class Sum(Command):
    arguments = [(b"a", Integer()), (b"b", Integer())]
    response = [(b"total", Integer())]

client, amp, wire, heard = engineio.Client(), AMP(), StringTransport(), queue.Queue()
client.on("message", heard.put)
client.connect(sys.argv[1], transports=json.loads(sys.argv[2]))
amp.makeConnection(wire)
amp.callRemote(Sum, a=2, b=3).addCallback(lambda said: print(said["total"]))
client.send(wire.value())
amp.dataReceived(heard.get(timeout=20))
client.disconnect()
"""
    with running("amp_over_engineio.py") as port:
        url = f"http://127.0.0.1:{port}"
        done = subprocess.run(
            [sys.executable, "-c", calling, url, json.dumps(transports)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.stdout == "5\n", done.stderr


def test_klein():
    """Klein's routes stay, and Engine.IO answers beside them, with its limits."""
    with running("klein_site.py") as port:
        visitor = Visitor(port)
        visitor.say("4quiet")
        assert visitor.hear() == "4QUIET"
        assert visitor.page("/") == "<h1>A page of Klein's</h1>"
        visitor.try_too_much()
        visitor.leave()


def test_flask():
    """Flask's routes stay, and what a request says to them, sessions hear."""
    with running("flask_site.py") as port:
        visitor = Visitor(port)
        assert visitor.request("POST", "/say/hello") == (200, "said")
        assert visitor.hear() == "4hello"
        assert visitor.request("GET", "/nothing")[0] == 404
        visitor.try_too_much()
        visitor.leave()


def test_twistd_web(tmp_path):
    """Twistd makes the Site of ``twistd_web.py``."""
    port = free_port()
    command = ("twistd", "-n", "web", "--listen", f"tcp:{port}")
    with started(tmp_path, *command, "--class", "twistd_web.Root", place=port):
        visitor = Visitor(port)
        visitor.say("4quiet")
        assert visitor.hear() == "4QUIET"
        assert "A page of twistd's" in visitor.page("/")
        visitor.leave()


TAC = ("twistd", "-n", "-y", EXAMPLES / "site.tac")


def test_a_tac_on_a_port(tmp_path):
    """``site.tac`` serves where LISTEN says, with limits."""
    port = free_port()
    with started(tmp_path, *TAC, place=port, LISTEN=f"tcp:{port}"):
        visitor = Visitor(port)
        visitor.say("4quiet")
        assert visitor.hear() == "4QUIET"
        assert "A page of the site's" in visitor.page("/")
        visitor.try_too_much()
        visitor.leave()


@pytest.mark.external
def test_a_tac_with_tls(tmp_path):
    """An endpoint string is all there is to it; HTTP/2 is offered, and served."""
    port, pem = free_port(), make_certificate(tmp_path / "localhost.pem")
    url = f"https://localhost:{port}/engine.io/?EIO=4&transport=polling"
    curl = (
        program("curl"),
        "--http2",
        "-sS",
        "--cacert",
        pem,
        "-w",
        " %{http_version}",
    )

    def ask(url: str, *options: str) -> str:
        words = [*curl, "-w", " %{http_version}", *options, url]
        return subprocess.check_output(words, text=True)

    with started(tmp_path, *TAC, place=port, LISTEN=f"ssl:{port}:privateKey={pem}"):
        hello, _, version = ask(url).rpartition(" ")
        assert version == "2"
        url += "&sid=" + json.loads(hello[1:])["sid"]
        assert ask(url, "--data", "4quiet") == "ok 2"
        assert ask(url, "--http1.1") == "4QUIET 1.1"
        assert ask(url, "--data", "1") == "ok 2"


@pytest.mark.external
def test_a_unix_socket_behind_nginx(tmp_path):
    """What ``nginx_unix.conf`` passes on, with who the client is."""
    port, path = free_port(), tmp_path / "http.sock"
    pid, body = tmp_path / "pid", tmp_path / "body"
    server = (EXAMPLES / "nginx_unix.conf").read_text()
    server = server.replace("/run/chat/http.sock", str(path))
    server = server.replace("listen 80;", f"listen 127.0.0.1:{port};")
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {pid}; error_log stderr;\n"
        f"events {{}} http {{ access_log off; client_body_temp_path {body};\n"
        f"proxy_temp_path {body}; fastcgi_temp_path {body};\n"
        f"uwsgi_temp_path {body}; scgi_temp_path {body};\n{server} }}\n"
    )
    nginx = (program("nginx"), "-e", "stderr", "-c", config)
    (tmp_path / "behind").mkdir()
    ours = ("twistd", "-n", "engineio", "--trusted-proxy", "unix", "--listen")
    with (
        started(tmp_path / "behind", *ours, f"unix:{path}:mode=660", place=path),
        started(tmp_path, *nginx, place=port),
    ):
        visitor = Visitor(port)
        visitor.say("4hello")
        assert visitor.hear() == "4hello"
        visitor.leave()


@pytest.mark.external
def test_a_systemd_socket(tmp_path):
    """The socket that systemd keeps is ours to serve."""
    port = free_port()
    unit = (EXAMPLES / "systemd" / "chat.service.d" / "socket.conf").read_text()
    command = unit.replace("\\\n", "").rpartition("ExecStart=")[2].splitlines()[0]
    options = command.replace("INET6", "INET").split()[1:]
    activate = (program("systemd-socket-activate"), "-l", f"127.0.0.1:{port}")
    # systemd names every socket it passes on, and Twisted counts on that.
    names = ("--fdname=chat.socket", "-E", "PYTHONPATH", "-E", "PATH")
    tutorial = {"PYTHONPATH": str(EXAMPLES.parent / "docs" / "tutorial")}
    whole = (*activate, *names, "twistd", *options)
    with started(tmp_path, *whole, place=port, **tutorial):
        visitor = Visitor(port)
        assert visitor.hear().startswith("4")
        visitor.leave()


@pytest.mark.external
def test_systemd_s_units_are_units(tmp_path):
    """Systemd itself has nothing against them, and ``socket.conf`` is heeded."""
    shutil.copytree(EXAMPLES / "systemd", tmp_path, dirs_exist_ok=True)
    drop_in = tmp_path / "chat.service.d" / "socket.conf"
    for each in (tmp_path / "chat.service", drop_in):
        text = each.read_text().replace("/srv/chat/venv/bin/twistd", "/bin/true")
        each.write_text(text)
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "chat.socket", "chat.service"],
        cwd=tmp_path,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    assert "chat." not in done.stderr

"""The examples run as they stand: each is started, talked to, and stopped."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


class Visitor:
    """A client that polls, with nothing but the standard library."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.path = "/engine.io/?EIO=4&transport=polling"
        hello, *self.packets = self.request("GET", self.path)[1].split("\x1e")
        self.path += "&sid=" + json.loads(hello[1:])["sid"]

    def request(self, method: str, path: str, body: str | None = None):
        """Send one request; return its answer's status and text."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
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


def free_port() -> int:
    """Find a port below those that connections are made from: it stays free."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


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
            _, complaints = process.communicate(timeout=20)
        finally:
            process.kill()
    assert complaints == ""
    assert process.returncode == 0


def test_every_example_is_tested():
    """No example stands in the folder without a test below."""
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {
        "amp_over_engineio.py",
        "echo.py",
        "chat.py",
        "mounted_in_site.py",
    }


@pytest.mark.parametrize("path", [*EXAMPLES.glob("*.py")], ids=lambda path: path.name)
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
        assert first.hear() == "4Welcome! Others here: 0."
        second = Visitor(port)
        assert second.hear() == "4Welcome! Others here: 1."
        first.say("4Ada: hi")
        assert first.hear() == second.hear() == "4Ada: hi"
        second.leave()
        assert first.hear() == "4Somebody left (transport close)."
        assert "A whole Engine.IO client" in first.page("/")
        first.leave()


def test_mounted_in_site():
    """The site's own pages stay, and Engine.IO answers beside them."""
    with running("mounted_in_site.py") as port:
        visitor = Visitor(port)
        visitor.say("4quiet")
        assert visitor.hear() == "4QUIET"
        assert visitor.page("/count") == "1"
        assert "A page of the site" in visitor.page("/")
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

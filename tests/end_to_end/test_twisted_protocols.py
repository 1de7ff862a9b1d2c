"""
Twisted's own protocols over sessions: real sockets, real clients, real ``twistd``.

Nothing of AMP, LineReceiver, the web server or the FTP server knows where it runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_twisted
from peers import POLLING, WEBSOCKET, HttpPeer, timely, websocket_factory
from pytest_twisted import ensureDeferred
from stages import at_once, sockets, until
from stream_client import MODES, Reverse, Sum
from twisted.internet import reactor
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    connectProtocol,
    serverFromString,
)
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.internet.utils import getProcessOutputAndValue
from twisted.protocols.amp import AMP
from twisted.protocols.basic import FileSender, LineReceiver

HERE = Path(__file__).parent
CLIENT = str(HERE / "stream_client.py")
LISTEN = r"engineio:tcp\:0\:interface\=127.0.0.1"
FILE = bytes(range(256)) * 8_000


class Procedures(AMP):
    """What the client calls."""

    @Sum.responder
    def sum(self, a, b):
        return {"total": a + b}

    @Reverse.responder
    def reverse(self, data):
        return {"data": data[::-1]}


class Lines(LineReceiver):
    """Shouts; sends a file; closes when it is told to."""

    peers: ClassVar[list[IAddress]] = []

    def connectionMade(self):
        self.peers.append(self.transport.getPeer())
        self.sendLine(b"welcome")

    def lineReceived(self, line):
        self.sendLine(line.upper())
        if line == b"quit":
            self.transport.loseConnection()
        elif line == b"file":
            FileSender().beginFileTransfer(BytesIO(FILE), self.transport)


@pytest_twisted.async_yield_fixture
async def listen(clean_reactor):
    """Listen for protocols; stopping ends the sessions, and leaves no socket."""
    before, ports = sockets(), []

    async def start(protocol, description=LISTEN):
        factory = Factory.forProtocol(protocol)
        factory.noisy = False
        port = await serverFromString(reactor, description).listen(factory)
        ports.append(port)
        return port

    yield start
    for port in ports:
        await port.stopListening()
        assert not port.server.sessions
    await until(lambda: sockets() <= before)


async def run_client(port: int, mode: str, *words: str) -> dict[str, Any]:
    """Run python-engineio's client, and read what it says."""
    out, err, code = await getProcessOutputAndValue(
        sys.executable,
        [CLIENT, f"http://127.0.0.1:{port}/engine.io", mode, *words],
        env=os.environ,
    )
    assert code == 0, err.decode()
    return dict(json.loads(out))


@pytest.mark.parametrize("mode", MODES)
@ensureDeferred
async def test_amp(listen, mode):
    """A hundred calls at once, and one that takes several messages."""
    port = await listen(Procedures)
    said = await run_client(port.getHost().port, mode, "amp")
    assert said["answers"] == [number + 1 for number in range(100)]
    assert said["turned"] == [True]
    assert said["on"] == ("polling" if mode == "polling" else "websocket")


@pytest.mark.parametrize("mode", MODES)
@ensureDeferred
async def test_lines(listen, mode):
    """In pieces of text and bytes; the server's close comes behind its last line."""
    port = await listen(Lines)
    said = await run_client(
        port.getHost().port, mode, "lines", "one", "two", "three", "quit"
    )
    assert said["heard"] == "welcome\r\nONE\r\nTWO\r\nTHREE\r\nQUIT\r\n"
    assert said["on"] == ("polling" if mode == "polling" else "websocket")
    assert Lines.peers[-1].host == "127.0.0.1"


@pytest.mark.parametrize("mode", MODES)
@ensureDeferred
async def test_a_producer(listen, mode):
    """Two megabytes, as fast as the client takes them, and nothing in between."""
    port = await listen(Lines)
    said = await run_client(port.getHost().port, mode, "lines", "file", "quit")
    heard = said["heard"].encode("latin-1")
    before, file, after = b"welcome\r\nFILE\r\n", FILE, b"QUIT\r\n"
    assert len(heard) == len(before + file + after)
    # The line that came meanwhile is answered meanwhile, as over TCP.
    at = heard.index(after)
    rest = heard[len(before) : at] + heard[at + len(after) :]
    assert hashlib.sha256(rest).digest() == hashlib.sha256(file).digest()


class Caller:
    """A client that is in the middle of something when it moves to a WebSocket."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.wire = StringTransport()
        self.amp = AMP()
        self.amp.makeConnection(self.wire)

    async def connect(self) -> None:
        self.getter, self.poster = await self.peer(), await self.peer()
        self.sid = (await self.getter.ask(POLLING)).sid
        self.target = f"{POLLING}&sid={self.sid}"

    async def peer(self) -> HttpPeer:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        return await timely(connectProtocol(endpoint, HttpPeer()))

    async def post(self, data: bytes) -> None:
        answer = await self.poster.ask(self.target, "POST", b"b" + b64encode(data))
        assert answer.status == 200

    async def poll(self) -> None:
        for packet in (await self.getter.ask(self.target)).text.split("\x1e"):
            if packet != "6":
                assert packet[0] == "b"
                self.amp.dataReceived(b64decode(packet[1:]))

    async def move(self) -> None:
        url = f"ws://127.0.0.1:{self.port}{WEBSOCKET}&sid={self.sid}"
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        self.socket: Any = await timely(endpoint.connect(websocket_factory(url)))
        await self.socket.opened()
        polled = self.poll()
        self.socket.say("2probe")
        probed, _ = await at_once(wait_for(self.socket.message()), polled)
        assert probed == "3probe"
        self.socket.say("5")

    async def hear(self) -> None:
        self.amp.dataReceived(await self.socket.message())

    def leave(self) -> None:
        for each in (self.getter, self.poster, self.socket):
            each.drop()


async def wait_for(waiting):
    return await waiting


@ensureDeferred
async def test_amp_across_an_upgrade(listen):
    """A call that is cut in two by the upgrade, and an answer that is."""
    port = await listen(Procedures)
    caller = Caller(port.getHost().port)
    await caller.connect()
    answers = []
    caller.amp.callRemote(Sum, a=1, b=1).addCallback(answers.append)
    first = caller.wire.value()
    caller.wire.clear()
    caller.amp.callRemote(Sum, a=2, b=2).addCallback(answers.append)
    second = caller.wire.value()
    # The first call, and the beginning of the second, go by polling.
    await caller.post(first + second[:7])
    await caller.move()
    assert answers == [{"total": 2}]
    caller.socket.say(second[7:])
    await caller.hear()
    assert answers == [{"total": 2}, {"total": 4}]
    (session,) = port.server.sessions.values()
    assert session.transport.name == "websocket"
    caller.leave()


def shown(page: str, service: str, **others: str) -> list[str]:
    """Find a command on a page, and give its words, to be run on a free port."""
    text = (HERE.parent.parent / page).read_text()
    (line,) = re.findall(rf"^    \$ twistd -n ({service} .*)$", text, re.M)
    words = shlex.split(line)
    at = words.index(r"engineio:tcp\:3000")
    words[at] = LISTEN
    return [others.get(word, word) for word in words]


@contextmanager
def twistd(folder: Path, *words: str) -> Iterator[int]:
    """Run a service of Twisted's on our endpoint, until SIGTERM stops it."""
    command = [Path(sys.executable).with_name("twistd"), "-n", "--pidfile=", *words]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = ""
        try:
            while not (port := re.search(r" starting on (\d+)\n", said)):
                line = process.stdout.readline()
                assert line, said
                said += line
            yield int(port[1])
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=30)
            said += rest
        finally:
            process.kill()
    assert process.returncode in (0, -signal.SIGTERM)  # as any service of Twisted's
    assert "Traceback" not in said, said
    assert "Unhandled" not in said, said


def talk(port: int, mode: str, *lines: str) -> str:
    """Talk lines to a service."""
    done = subprocess.run(
        [sys.executable, CLIENT, f"http://127.0.0.1:{port}/engine.io", mode, "lines"]
        + [*lines],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return str(json.loads(done.stdout)["heard"])


@pytest.mark.parametrize("mode", MODES)
def test_twistd_web(tmp_path, mode):
    """Twisted's web server answers over a session, and closes when it is asked to."""
    (tmp_path / "hello.txt").write_text("hello from a file")
    words = shown("docs/stream.rst", "web")
    assert words == shown("README.rst", "web")
    with twistd(tmp_path, *words) as port:
        request = ["GET /hello.txt HTTP/1.1", "Host: x", "Connection: close", ""]
        answer = talk(port, mode, *request)
    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    assert answer.endswith("\r\n\r\nhello from a file")


@pytest.mark.parametrize("mode", MODES)
def test_twistd_portforward(tmp_path, mode):
    """Any TCP service is reached through it; a close on one side closes the other."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]
        answering = threading.Thread(target=shout, args=[service])
        answering.start()
        words = shown("docs/stream.rst", "portforward", **{"6667": str(port)})
        with twistd(tmp_path, *words) as listening:
            heard = talk(listening, mode, "one", "two", "quit")
        answering.join(timeout=30)
    assert heard == "ONE\r\nTWO\r\nQUIT\r\n" + "x" * 1_000_000


def shout(service: socket.socket) -> None:
    """Be a service that knows nothing of Twisted; after "quit" it has a lot to say."""
    with service.accept()[0] as connection, connection.makefile("rwb") as file:
        for line in file:
            file.write(line.upper())
            file.flush()
            if line == b"quit\r\n":
                file.write(b"x" * 1_000_000)
                break

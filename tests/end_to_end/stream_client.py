"""
A stream to a Twisted protocol, over python-engineio's client.

``python stream_client.py URL MODE amp`` calls procedures; with ``lines TEXT...`` it
sends lines. It prints, as JSON, what it heard. A process of its own, because the client
leaves its threads and sockets behind.
"""

from __future__ import annotations

import json
import queue
import sys
import time
from typing import ClassVar
from urllib.parse import urlsplit

import engineio
from engineio.payload import Payload
from twisted.protocols.amp import AMP, Command, Integer, String

DEADLINE = 30.0
MODES = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}

# Python's client takes no more than 16 packets in one answer unless it is told to.
Payload.max_decode_packets = 1000


class Sum(Command):
    """Add two numbers."""

    arguments: ClassVar = [(b"a", Integer()), (b"b", Integer())]
    response: ClassVar = [(b"total", Integer())]


class Reverse(Command):
    """Turn bytes round; so many that they leave in several messages."""

    arguments: ClassVar = [(b"data", String())]
    response: ClassVar = [(b"data", String())]


class Wire:
    """A transport for a protocol without a reactor."""

    def __init__(self, url: str, mode: str) -> None:
        self.client = engineio.Client(handle_sigint=False)
        self.heard: queue.Queue[bytes | None] = queue.Queue()
        self.client.on("message", self.heard.put)
        self.client.on("disconnect", lambda reason: self.heard.put(None))
        path = urlsplit(url).path.strip("/")
        self.client.connect(url, transports=MODES[mode], engineio_path=path)
        self.write = self.client.send

    def getPeer(self) -> str:
        return "the server"

    def getHost(self) -> str:
        return "the client"

    def take(self) -> bytes | None:
        return self.heard.get(timeout=DEADLINE)


def call(wire: Wire) -> object:
    """Call procedures, a hundred at once."""
    amp = AMP()
    amp.makeConnection(wire)
    answers: list[int] = []
    for number in range(100):
        called = amp.callRemote(Sum, a=number, b=1)
        called.addCallback(lambda said: answers.append(said["total"]))
    data = bytes(range(256)) * 200
    turned: list[bool] = []
    called = amp.callRemote(Reverse, data=data)
    called.addCallback(lambda said: turned.append(said["data"] == data[::-1]))
    end = time.monotonic() + DEADLINE
    while not (turned and len(answers) == 100) and time.monotonic() < end:
        amp.dataReceived(wire.take() or b"")
    return {"answers": answers, "turned": turned, "on": wire.client.transport()}


def talk(wire: Wire, lines: list[str]) -> object:
    """Send lines in odd pieces, and hear until the server closes."""
    data = "".join(f"{line}\r\n" for line in lines)
    transport = wire.client.transport()
    for at in range(0, len(data), 5):
        piece = data[at : at + 5]
        wire.write(piece.encode() if at % 2 else piece)
    heard = b""
    while (more := wire.take()) is not None:
        heard += more
    return {"heard": heard.decode("latin-1"), "on": transport}


def main(url: str, mode: str, what: str, *lines: str) -> None:
    wire = Wire(url, mode)
    said = call(wire) if what == "amp" else talk(wire, list(lines))
    wire.client.disconnect()
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A client process that is to be killed: opens sessions of all kinds, and waits."""

from __future__ import annotations

import re
import signal
import socket
import sys

PATH = "/engine.io/?EIO=4&transport="
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def ask(port: int, target: str, head: str = "", method: str = "GET") -> socket.socket:
    """Send a request over a connection of its own."""
    connection = socket.create_connection(("127.0.0.1", port), 20.0)
    request = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n"
    connection.sendall(request.encode())
    return connection


def sid_in(connection: socket.socket) -> str:
    """Read until the open packet is there."""
    data = b""
    while not (found := re.search(rb'"sid":"([^"]+)"', data)):
        received = connection.recv(65_536)
        assert received, data
        data += received
    return found[1].decode()


def main(port: int) -> None:
    """Open the sessions, say their ids, and wait to be killed."""
    sockets = {
        "polls": ask(port, PATH + "polling"),
        "posts": ask(port, PATH + "polling"),
        "listens": ask(port, PATH + "sse"),
        "talks": ask(port, PATH + "websocket", UPGRADE),
        "upgrades": ask(port, PATH + "polling"),
    }
    sids = {name: sid_in(each) for name, each in sockets.items()}
    target = {name: f"{PATH}polling&sid={sid}" for name, sid in sids.items()}
    half = ask(port, target["posts"], "Content-Length: 100\r\n", "POST")
    half.sendall(b"4half of a mess")
    candidate = f"{PATH}websocket&sid={sids['upgrades']}"
    more = [
        ask(port, target["polls"]),
        half,
        ask(port, target["upgrades"]),
        ask(port, candidate, UPGRADE),
    ]
    assert b" 101 " in more[-1].recv(65_536)
    print(*(f"{name}={sid}" for name, sid in sids.items()), "ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main(int(sys.argv[1]))

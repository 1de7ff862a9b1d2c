"""
One conversation with python-engineio's client: python python_client.py URL MODE.

Prints what happened as JSON. A process of its own, because the client leaves its
threads and sockets behind.
"""

from __future__ import annotations

import json
import queue
import sys
import threading

import engineio

DEADLINE = 10.0
MODES = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}
MESSAGES = [
    "hello",
    "é € 😀",
    "a\r\nb",
    "x" * 100_000,
    b"\x00\x01\xfe\xff",
    b"y" * 10_000,
]


def converse(url: str, mode: str) -> dict[str, object]:
    """Echo before and after three heartbeats, then let the server close."""
    client = engineio.Client(handle_sigint=False)
    messages: queue.Queue[str | bytes] = queue.Queue()
    ended = threading.Event()
    reasons: list[str] = []

    def disconnected(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    client.on("message", messages.put)
    client.on("disconnect", disconnected)
    client.connect(url, transports=MODES[mode])
    sid = client.sid
    first = echo(client, messages)
    pings = await_pings(client, 3)
    again = echo(client, messages)
    transport = client.transport()
    client.send("!goodbye so long")
    last = messages.get(timeout=DEADLINE)
    closed = ended.wait(DEADLINE)
    return {
        "echoed": first and again,
        "pings": pings,
        "transport": transport,
        "last": last,
        "closed": closed,
        "server": reason_of(url, sid),
        "client": reasons,
    }


def echo(client: engineio.Client, messages: queue.Queue[str | bytes]) -> bool:
    """Whether all messages come back, in order."""
    for message in MESSAGES:
        client.send(message)
    return [messages.get(timeout=DEADLINE) for _ in MESSAGES] == MESSAGES


def await_pings(client: engineio.Client, count: int) -> int:
    """Wait for so many pings; the client answers them by itself."""
    pings = threading.Semaphore(0)
    receive = client._receive_packet

    def count_pings(packet: engineio.packet.Packet) -> None:
        receive(packet)
        if packet.packet_type == engineio.packet.PING:
            pings.release()

    client._receive_packet = count_pings
    return sum(pings.acquire(timeout=DEADLINE) for _ in range(count))


def reason_of(url: str, sid: str) -> str | bytes:
    """Why the server says that the session ended; this one ends by our own close."""
    witness = engineio.Client(handle_sigint=False)
    reasons: queue.Queue[str | bytes] = queue.Queue()
    witness.on("message", reasons.put)
    witness.connect(url, transports=["polling"])
    witness.send(f"!reason {sid}")
    reason = reasons.get(timeout=DEADLINE)
    witness.disconnect()
    return reason


if __name__ == "__main__":
    print(json.dumps(converse(*sys.argv[1:])))

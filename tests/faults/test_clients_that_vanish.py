"""Clients that go away without a word: killed, reset, or behind a cable pulled out."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

from children import Child
from half_open import Cable
from peers import PATH, POLLING, http_request, upgrade_request
from pytest_twisted import ensureDeferred
from stages import turn, until
from twisted.internet import reactor

DOOMED = Path(__file__).with_name("doomed.py")
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: ``close`` sends a RST instead of a FIN."""


@ensureDeferred
async def test_a_client_that_is_killed_is_gone(child: Child, tmp_path: Path) -> None:
    """SIGKILL: who was connected is gone at once, who was between two streams soon."""
    said = tmp_path / "doomed.log"
    with said.open("wb") as output:
        doomed = subprocess.Popen(
            [sys.executable, str(DOOMED), str(child.port)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        await until(lambda: "ready" in said.read_text() or doomed.poll() is not None)
    finally:
        doomed.kill()
        doomed.wait()
    sids = dict(re.findall(r"(\w+)=(\S+)", said.read_text()))
    assert list(sids) == ["polls", "posts", "listens", "talks", "upgrades"], said
    assert dict(zip(sids, await child.ended(*sids.values()), strict=True)) == {
        "polls": "transport error",
        "posts": "transport error",
        "listens": "ping timeout",
        "talks": "transport close",
        "upgrades": "transport error",
    }


def reset(port: int, data: bytes) -> None:
    """Connect, send something, and reset the connection."""
    with socket.create_connection(("127.0.0.1", port), 10.0) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.sendall(data)


@ensureDeferred
async def test_a_reset_at_each_byte_of_a_handshake_leaves_nothing(child: Child) -> None:
    """By polling, by WebSocket, and of a candidate, whose session goes on."""
    session = await child.polling()
    before = child.open_sessions()
    candidate = f"{PATH}websocket&sid={session.sid}"
    for request in (
        http_request(POLLING),
        http_request(PATH + "sse"),
        upgrade_request(),
        upgrade_request(candidate),
    ):
        for end in range(len(request) + 1):
            reset(child.port, request[:end])
            if end % 20 == 0:
                await turn()  # for the bystanders, who answer pings
    # And each once more when the server has had the time to answer.
    for client in await child.everybody():
        client.drop()
    (await child.websocket(query=f"&transport=websocket&sid={session.sid}")).drop()
    await session.echoes("the session of the candidate goes on")
    await until(lambda: child.open_sessions() == before)
    assert {*child.reasons().values()} <= {
        "ping timeout",
        "transport error",
        "transport close",
    }


@ensureDeferred
async def test_a_client_behind_a_pulled_cable_is_gone_in_time(
    child: Child, brisk: dict[str, float]
) -> None:
    """No FIN, no RST: ping_interval + ping_timeout, on each transport."""
    child.notes = ["Timing out client"]
    cable = Cable()
    await cable.plug(child.port)
    try:
        clients = await child.everybody(cable.port) + await child.everybody(cable.port)
        for each in clients[3:]:
            await each.echoes("hello")
        cable.pull()
        began = reactor.seconds()
        reasons = await child.ended(*(each.sid for each in clients))
        took = reactor.seconds() - began
    finally:
        await cable.tidy_up()
    assert reasons == ["ping timeout"] * 6
    limit = brisk["ping_interval"] + brisk["ping_timeout"]
    assert took < limit + 2.0  # what a busy machine may add

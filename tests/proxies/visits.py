"""Visits by hand: a client on every transport, asking whom the application sees."""

from __future__ import annotations

import json
from collections.abc import Sequence

from wire import Peer
from wire_websocket import UPGRADE, WebSocket, upgrade

CLIENTS = ("127.0.0.2", "127.0.0.3")
"""Addresses, loopback too, of clients that are not their proxy."""

FORGED = (
    "X-Forwarded-For: 203.0.113.9",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: elsewhere.example",
    "Forwarded: for=203.0.113.9;proto=https;host=elsewhere.example",
)
"""What a client may make up about itself."""

WHO = "4!who"

Who = dict[str, object]


def seen(address: str, *, secure: bool = False) -> dict[str, Who]:
    """What ``visit`` finds when the application sees this client on every transport."""
    who = {"address": address, "secure": secure}
    return {"polling": who, "upgraded": who, "websocket": who}


def visit(peer: Peer, *headers: str) -> dict[str, Who]:
    """
    Poll, upgrade, and open a WebSocket at once.

    Args:
        peer: The proxy, or the server itself.
        headers: Headers of every request, beside the usual ones.

    """
    try:
        polling, upgraded = _poll_and_upgrade(peer, headers)
        direct = upgrade(peer, headers=[*UPGRADE, *headers])
        assert direct.answer.status == 101, direct.answer
        direct.read()
        websocket = _ask(direct)
    finally:
        peer.close()
    return {"polling": polling, "upgraded": upgraded, "websocket": websocket}


def _poll_and_upgrade(peer: Peer, headers: Sequence[str]) -> tuple[Who, Who]:
    sid = peer.open(headers=headers)
    peer.post(sid, WHO.encode(), ["Content-Type: text/plain", *headers])
    polling = json.loads(peer.poll(sid).text[1:])
    candidate = upgrade(peer, sid, headers=[*UPGRADE, *headers])
    assert candidate.answer.status == 101, candidate.answer
    waiting = peer.waiting(sid)
    candidate.say("2probe")
    assert candidate.read() == "text 3probe"
    assert waiting.answer().text == "6"
    candidate.say("5")
    return polling, _ask(candidate)


def _ask(websocket: WebSocket) -> Who:
    [answer] = websocket.heard(WHO)
    who: Who = json.loads(answer.removeprefix("text 4"))
    return who

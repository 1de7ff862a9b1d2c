"""Parity of origins: who may use the server, and the headers that say so."""

from __future__ import annotations

from functools import partial

from parity import ANY_ORIGIN, ONE_ORIGIN, PLAIN, Case, Table
from parity_named import (
    CONTROL_CHARACTER,
    FOREIGN_GET,
    FOREIGN_PREFLIGHT,
    FOREIGN_PREFLIGHT_WITHOUT_CORS,
    FOREIGN_WEBSOCKET,
    NO_VARY,
    PLAIN_TEXT,
    PREFLIGHT,
    Differences,
    named,
)
from wire import Answer, Peer
from wire_websocket import UPGRADE, WebSocket, upgrade

CASES = Table()

FRIEND = "http://app.example"
STRANGERS = ("http://evil-app.example", "null", "")
BROKEN = "http://a\x01b"
OURSELVES = (
    "http://example.com",
    "https://example.com",
    "http://example.com:80",
    "http://EXAMPLE.com",
)
ORIGINS = (FRIEND, *STRANGERS, BROKEN)
PAIRS = {"no": PLAIN, "any": ANY_ORIGIN, "one": ONE_ORIGIN}


def _from_nowhere(peer: Peer) -> Answer:
    return peer.ask(peer.target())


def _from_origin(origin: str, peer: Peer) -> Answer:
    return peer.ask(peer.target(), headers=[f"Origin: {origin}"])


def _preflight(origin: str, peer: Peer) -> Answer:
    headers = [
        f"Origin: {origin}",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type, x-own",
    ]
    return peer.ask(peer.target(), "OPTIONS", headers)


def _get_differs(which: str, origin: str) -> Differences:
    if origin == BROKEN:
        return CONTROL_CHARACTER
    if which == "no":
        return FOREIGN_GET
    return FOREIGN_GET | NO_VARY if which == "one" and origin != FRIEND else {}


def _preflight_differs(which: str, origin: str) -> Differences:
    if origin == BROKEN:
        return CONTROL_CHARACTER
    if which == "no":
        return FOREIGN_PREFLIGHT_WITHOUT_CORS
    if which == "one" and origin != FRIEND:
        return FOREIGN_PREFLIGHT
    asked = "Access-Control-Request-Headers"
    vary = (asked, None) if which == "any" else (f"Origin, {asked}", "Origin")
    return PREFLIGHT | named("the answer depends on no header", {"vary": vary})


CASES += [
    Case(
        f"CORS for {which} origin: {kind} from {origin!r}",
        partial(play, origin),
        pair,
        differs(which, origin),
    )
    for which, pair in PAIRS.items()
    for kind, play, differs in (
        ("GET", _from_origin, _get_differs),
        ("preflight", _preflight, _preflight_differs),
    )
    for origin in ORIGINS
]
CASES += [
    Case(f"GET from our own origin {origin!r}", partial(_from_origin, origin))
    for origin in OURSELVES
]
CASES += [
    Case("CORS for one origin: GET from nowhere", _from_nowhere, ONE_ORIGIN),
    Case(
        "CORS for any origin: GET from nowhere",
        _from_nowhere,
        ANY_ORIGIN,
        named(
            "who does not ask is not told",
            {"access-control-allow-origin": ("*", None)},
        ),
    ),
]


@CASES.case("CORS on a POST", ONE_ORIGIN)
def _(peer: Peer) -> Answer:
    return peer.post(peer.open(), b"4x", ["Origin: http://app.example"])


@CASES.case("CORS on an error", ONE_ORIGIN)
def _(peer: Peer) -> Answer:
    return peer.ask(peer.target("x"), headers=["Origin: http://app.example"])


def _upgrade_from(origin: str, peer: Peer) -> WebSocket:
    return upgrade(peer, headers=[*UPGRADE, f"Origin: {origin}"])


def _upgrade_differs(which: str, origin: str) -> Differences:
    if origin == BROKEN:
        return {
            **named("as for GET", {"body": ("", "Bad request")}),
            **named("as for GET", {"content-type": (None, PLAIN_TEXT)}),
        }
    refused = which != "any" and origin not in OURSELVES
    if refused and not (which == "one" and origin == FRIEND):
        return FOREIGN_WEBSOCKET | (NO_VARY if which == "one" else {})
    if which == "one" and origin in OURSELVES:
        return named(
            "we are told, too, that we may",
            {"access-control-allow-origin": (None, origin)},
        )
    return {}


CASES += [
    Case(
        f"CORS for {which} origin: WebSocket from {origin!r}",
        partial(_upgrade_from, origin),
        pair,
        _upgrade_differs(which, origin),
    )
    for which, pair in PAIRS.items()
    for origin in (*ORIGINS, *OURSELVES)
]

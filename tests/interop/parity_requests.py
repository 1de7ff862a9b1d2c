"""Parity of requests: PROTOCOL section 1, "Requests": queries, methods, refusals."""

from __future__ import annotations

from functools import partial

from parity import (
    ANY_ORIGIN,
    NO_UPGRADES,
    ONE_ORIGIN,
    PLAIN,
    POLLING,
    Case,
    Named,
    Pair,
    Table,
)
from wire import Answer, Facts, Peer, request
from wire_websocket import UPGRADE, WebSocket, upgrade

CASES = Table()

QUERIES = {
    "a handshake": "EIO=4&transport=polling",
    "noise": "EIO=4&transport=polling&t=PQ7hk3a&foo=bar&=&&x",
    "empty sid": "EIO=4&transport=polling&sid=",
    "percent-encoded": "%45IO=%34&transpor%74=p%6Flling",
    "transport repeated, the last is good": "EIO=4&transport=foo&transport=polling",
    "transport repeated, the last is bad": "EIO=4&transport=polling&transport=foo",
    "EIO repeated, the last is good": "EIO=3&EIO=4&transport=polling",
    "EIO repeated, the last is bad": "EIO=4&EIO=3&transport=polling",
    "sid repeated, the last is empty": "EIO=4&transport=polling&sid=x&sid=",
    "sid repeated, the last is unknown": "EIO=4&transport=polling&sid=&sid=x",
    "transport missing": "EIO=4",
    "no query": "",
    "transport empty": "EIO=4&transport=",
    "transport unknown": "EIO=4&transport=tcp",
    "transport in capitals": "EIO=4&transport=POLLING",
    "transport __proto__": "EIO=4&transport=__proto__",
    "transport constructor": "EIO=4&transport=constructor",
    "transport not UTF-8": "EIO=4&transport=%FF%FE",
    "transport with a NUL": "EIO=4&transport=polling%00",
    "transport of 8 kB": "EIO=4&transport=" + "p" * 8000,
    "transport with a line end": "EIO=4&transport=polling%0D%0AX-Evil:%201",
    "transport webtransport": "EIO=4&transport=webtransport",
    "plus is a space": "EIO=4&transport=polling+",
    "websocket without an upgrade": "EIO=4&transport=websocket",
    "sid unknown": "EIO=4&transport=polling&sid=x",
    "sid __proto__": "EIO=4&transport=polling&sid=__proto__",
    "sid constructor": "EIO=4&transport=polling&sid=constructor",
    "sid not UTF-8": "EIO=4&transport=polling&sid=%FF",
    "sid with a NUL": "EIO=4&transport=polling&sid=%00",
    "sid with a line end": "EIO=4&transport=polling&sid=a%0D%0AX-Evil:%201",
    "sid of 8 kB": "EIO=4&transport=polling&sid=" + "s" * 8000,
    "EIO missing": "transport=polling",
    "EIO empty": "EIO=&transport=polling",
    "EIO 3": "EIO=3&transport=polling",
    "EIO 5": "EIO=5&transport=polling",
    "EIO 04": "EIO=04&transport=polling",
    "EIO 4.0": "EIO=4.0&transport=polling",
    "EIO with a space": "EIO=+4&transport=polling",
    "EIO in Arabic digits": "EIO=%D9%A4&transport=polling",
    "EIO __proto__": "EIO=__proto__&transport=polling",
    "eio in small letters": "eio=4&transport=polling",
    "transport is judged before the sid": "EIO=4&transport=tcp&sid=x",
    "the sid is judged before EIO": "EIO=3&transport=polling&sid=x",
    "the sid is judged before the upgrade": "EIO=4&transport=websocket&sid=x",
    "refused by the application": "EIO=4&transport=polling&deny=no",
    "the application is asked before EIO": "EIO=3&transport=polling&deny=no",
    "a slow application": "EIO=4&transport=polling&slow=50",
}


def _get(query: str, peer: Peer) -> Answer:
    return peer.ask(f"{peer.path}?{query}" if query else peer.path)


CASES += [Case(f"GET: {name}", partial(_get, query)) for name, query in QUERIES.items()]

METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PROPFIND", "BREW")


def _handshake_by(method: str, peer: Peer) -> Answer:
    return peer.ask(peer.target(), method, body=b"")


UNKNOWN_METHOD = {
    "connection": Named("close", "kept", "Node's parser knows no such method"),
    "body": Named(
        "",
        '{"code":2,"message":"Bad handshake method"}',
        "Node's parser knows no such method",
    ),
    "content-type": Named(None, "application/json", "as the body"),
}
CASES += [
    Case(
        f"handshake by {method}",
        partial(_handshake_by, method),
        differs=UNKNOWN_METHOD if method == "BREW" else {},
    )
    for method in METHODS
]


@CASES.case("method is judged before EIO")
def _(peer: Peer) -> Answer:
    return peer.ask(f"{peer.path}?EIO=3&transport=polling", "POST", body=b"4x")


@CASES.case("transport is judged before the method")
def _(peer: Peer) -> Answer:
    return peer.ask(f"{peer.path}?EIO=4&transport=tcp", "POST", body=b"4x")


@CASES.case("the application is not asked about a POST")
def _(peer: Peer) -> Answer:
    return peer.ask(peer.target(more="&deny=no"), "POST", body=b"4x")


ORIGINS = ("http://app.example", "http://evil-app.example", "null", "", "http://a\x01b")


def _from_origin(origin: str, peer: Peer) -> Answer:
    return peer.ask(peer.target(), headers=[f"Origin: {origin}"])


def _preflight(origin: str, peer: Peer) -> Answer:
    headers = [
        f"Origin: {origin}",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type, x-own",
    ]
    return peer.ask(peer.target(), "OPTIONS", headers)


PAIRS = {"no": PLAIN, "any": ANY_ORIGIN, "one": ONE_ORIGIN}
CASES += [
    Case(
        f"CORS for {which} origin: {kind} from {origin!r}", partial(play, origin), pair
    )
    for which, pair in PAIRS.items()
    for kind, play in (("GET", _from_origin), ("preflight", _preflight))
    for origin in ORIGINS
]


@CASES.case("CORS on a POST", ONE_ORIGIN)
def _(peer: Peer) -> Answer:
    return peer.post(peer.open(), b"4x", ["Origin: http://app.example"])


@CASES.case("CORS on an error", ONE_ORIGIN)
def _(peer: Peer) -> Answer:
    return peer.ask(peer.target("x"), headers=["Origin: http://app.example"])


@CASES.case("path without its trailing slash")
def _(peer: Peer) -> Answer:
    return peer.ask("/engine.io?EIO=4&transport=polling")


@CASES.case("a path below ours")
def _(peer: Peer) -> Answer:
    return peer.ask("/engine.io/below?EIO=4&transport=polling")


@CASES.case("a path that only begins like ours")
def _(peer: Peer) -> Answer:
    return peer.ask("/engine.iox/?EIO=4&transport=polling")


@CASES.case("another path")
def _(peer: Peer) -> Answer:
    return peer.ask("/elsewhere")


@CASES.case("target with a host")
def _(peer: Peer) -> Answer:
    return peer.ask(f"http://example.com{peer.target()}")


@CASES.case("HTTP/1.0")
def _(peer: Peer) -> Answer:
    connection = peer.connect()
    connection.send(request(peer.target(), version="HTTP/1.0"))
    return connection.answer()


@CASES.case("websocket that is switched off", POLLING)
def _(peer: Peer) -> Answer:
    return peer.ask(f"{peer.path}?EIO=4&transport=websocket")


def _with_first_frame(websocket: WebSocket) -> Facts:
    facts = websocket.facts()
    if websocket.answer.status == 101:
        facts["first frame"] = websocket.read()
    return facts


def _upgrade(query: str, peer: Peer) -> Facts:
    return _with_first_frame(upgrade(peer, target=f"{peer.path}?{query}"))


UPGRADES = {
    "a handshake": "EIO=4&transport=websocket",
    "transport unknown": "EIO=4&transport=tcp",
    "transport missing": "EIO=4",
    "transport polling": "EIO=4&transport=polling",
    "sid unknown": "EIO=4&transport=websocket&sid=x",
    "sid __proto__": "EIO=4&transport=websocket&sid=__proto__",
    "EIO missing": "transport=websocket",
    "EIO 3": "EIO=3&transport=websocket",
    "refused by the application": "EIO=4&transport=websocket&deny=no",
    "a slow application": "EIO=4&transport=websocket&slow=50",
}
CASES += [
    Case(f"upgrade: {name}", partial(_upgrade, query))
    for name, query in UPGRADES.items()
]


def _upgrade_from(origin: str, peer: Peer) -> WebSocket:
    return upgrade(peer, headers=[*UPGRADE, f"Origin: {origin}"])


CASES += [
    Case(
        f"CORS for {which} origin: WebSocket from {origin!r}",
        partial(_upgrade_from, origin),
        pair,
    )
    for which, pair in PAIRS.items()
    for origin in (*ORIGINS, "http://example.com")
]

CHANGED = {
    "without a key": ("Sec-WebSocket-Key", None),
    "with a bad key": ("Sec-WebSocket-Key", "short"),
    "of version 12": ("Sec-WebSocket-Version", "12"),
    "of version 8": ("Sec-WebSocket-Version", "8"),
    "without a version": ("Sec-WebSocket-Version", None),
    "to something else": ("Upgrade", "h2c"),
    "without Connection": ("Connection", None),
    "in capitals": ("Upgrade", "WEBSOCKET"),
    "with keep-alive too": ("Connection", "keep-alive, Upgrade"),
    "with a subprotocol": ("Sec-WebSocket-Protocol", "one, two"),
    "that offers compression": ("Sec-WebSocket-Extensions", "permessage-deflate"),
    "with bad extensions": ("Sec-WebSocket-Extensions", ";;="),
}


def _changed(name: str, value: str | None, peer: Peer) -> WebSocket:
    lines = [line for line in UPGRADE if not line.startswith(f"{name}:")]
    if value is not None:
        lines.append(f"{name}: {value}")
    return upgrade(peer, headers=lines)


CASES += [
    Case(f"upgrade {name}", partial(_changed, *change))
    for name, change in CHANGED.items()
]


@CASES.case("upgrade by POST")
def _(peer: Peer) -> WebSocket:
    return upgrade(peer, method="POST")


@CASES.case("polling that offers an upgrade to h2c")
def _(peer: Peer) -> Answer:
    headers = ["Connection: Upgrade", "Upgrade: h2c"]
    return peer.ask(peer.target(), headers=headers)


@CASES.case("an upgrade elsewhere")
def _(peer: Peer) -> WebSocket:
    return upgrade(peer, target="/elsewhere")


@CASES.case("upgrade that is switched off", POLLING)
def _(peer: Peer) -> WebSocket:
    return upgrade(peer)


def _upgrades_of(pair: Pair) -> Case:
    return Case(
        f"open packet with {pair.ours}", partial(_get, QUERIES["a handshake"]), pair
    )


CASES += [_upgrades_of(POLLING), _upgrades_of(NO_UPGRADES), _upgrades_of(ANY_ORIGIN)]

"""Parity of requests: queries, methods and paths."""

from __future__ import annotations

from functools import partial

from parity import NO_UPGRADES, POLLING, Case, Table
from parity_named import BAD_METHOD, JSON, OPENED, PLAIN_TEXT, named
from wire import Answer, Facts, Peer, request

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


GOOD = QUERIES["a handshake"]
CASES += [Case(f"GET: {name}", partial(_get, query)) for name, query in QUERIES.items()]

METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PROPFIND", "BREW")


def _handshake_by(method: str, peer: Peer) -> Answer:
    return peer.ask(peer.target(), method, body=b"")


METHOD_DIFFERS = {
    "BREW": named(
        "Node's parser knows no such method",
        {
            "body": ("", BAD_METHOD),
            "content-type": (None, JSON),
            "connection": ("close", "kept"),
        },
    ),
    "OPTIONS": named(
        "a preflight is answered, whoever asks",
        {"status": (400, 204), "body": (BAD_METHOD, ""), "content-type": (JSON, None)},
    ),
}
CASES += [
    Case(
        f"handshake by {method}",
        partial(_handshake_by, method),
        differs=METHOD_DIFFERS.get(method, {}),
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


@CASES.case(
    "path without its trailing slash",
    differs=named(
        "it is ours with the slash and without",
        {
            "status": (404, 200),
            "body": ("", OPENED),
            "content-type": (None, PLAIN_TEXT),
        },
    ),
)
def _(peer: Peer) -> Answer:
    return peer.ask("/engine.io?EIO=4&transport=polling")


@CASES.case(
    "a path below ours",
    differs=named(
        "there is nothing below it",
        {
            "status": (200, 404),
            "body": (OPENED, ""),
            "content-type": (PLAIN_TEXT, None),
        },
    ),
)
def _(peer: Peer) -> Answer:
    return peer.ask("/engine.io/below?EIO=4&transport=polling")


def _status(target: str, peer: Peer) -> Facts:
    # Who answers here is neither of the two servers.
    return {"status": peer.ask(target).status}


CASES += [
    Case(name, partial(_status, target))
    for name, target in {
        "a path that only begins like ours": "/engine.iox/?EIO=4&transport=polling",
        "a path that goes on behind ours": "/engine.io-x/?EIO=4&transport=polling",
        "another path": "/elsewhere",
    }.items()
]


@CASES.case(
    "a target with a host",
    differs=named("RFC 9112, 3.2.2: a server accepts it", {"status": (404, 200)}),
)
def _(peer: Peer) -> Facts:
    return _status("http://example.com/engine.io/?EIO=4&transport=polling", peer)


@CASES.case("HTTP/1.0")
def _(peer: Peer) -> Facts:
    connection = peer.connect()
    connection.send(request(peer.target(), version="HTTP/1.0"))
    answer = connection.answer()
    return {"status": answer.status, "end": connection.file.read()}


@CASES.case("websocket that is switched off", POLLING)
def _(peer: Peer) -> Answer:
    return peer.ask(f"{peer.path}?EIO=4&transport=websocket")


CASES += [
    Case(f"open packet with {pair.ours}", partial(_get, GOOD), pair)
    for pair in (POLLING, NO_UPGRADES)
]

"""Parity of WebSocket handshakes: which are granted, and how the others are refused."""

from __future__ import annotations

from functools import partial

from parity import POLLING, Case, Table
from parity_named import (
    BAD_METHOD,
    BAD_REQUEST,
    HTML,
    JSON,
    NO_UPGRADE,
    OPENED,
    PLAIN_REFUSAL,
    PLAIN_TEXT,
    malformed_handshake,
    named,
    refused_upgrade,
)
from wire import Answer, Facts, Peer
from wire_websocket import UPGRADE, WebSocket, upgrade

CASES = Table()


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
REVISION = refused_upgrade(
    "there it is refused after the upgrade, by HTTP in the middle of a WebSocket",
    400,
    "Unsupported protocol version",
)
NO_FRAME = named("as above", {"first frame": ("no frame", None)})
UPGRADE_DIFFERS = {
    "transport unknown": PLAIN_REFUSAL,
    "transport missing": PLAIN_REFUSAL,
    "transport polling": {
        **refused_upgrade("there it is granted and closed at once", 400, "Bad request"),
        **named("as above", {"first frame": ("close", None)}),
    },
    "sid unknown": PLAIN_REFUSAL,
    "sid __proto__": PLAIN_REFUSAL,
    "EIO missing": {**REVISION, **NO_FRAME},
    "EIO 3": {**REVISION, **NO_FRAME},
    "refused by the application": {
        **PLAIN_REFUSAL,
        **named("the status that the application gave", {"status": (400, 403)}),
    },
}
CASES += [
    Case(
        f"upgrade: {name}",
        partial(_upgrade, query),
        differs=UPGRADE_DIFFERS.get(name, {}),
    )
    for name, query in UPGRADES.items()
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


NO_KEY = malformed_handshake("Missing or invalid Sec-WebSocket-Key header")
NO_VERSION = malformed_handshake("Missing or invalid Sec-WebSocket-Version header")
VERSION_13 = named("RFC 6455", {"sec-websocket-version": ("13, 8", "13")})
CHANGED_DIFFERS = {
    "without a key": NO_KEY,
    "with a bad key": NO_KEY,
    "of version 12": {**NO_VERSION, **VERSION_13},
    "of version 8": {
        **VERSION_13,
        **named(
            "a draft that no client has spoken since 2011",
            {
                "status": (101, 400),
                "body": ("", "Bad request"),
                "content-type": (None, PLAIN_TEXT),
                "connection": ("kept", "close"),
                "upgrade": ("websocket", None),
                "sec-websocket-accept": (True, None),
                "sec-websocket-version": (None, "13"),
            },
        ),
    },
    "without a version": {**NO_VERSION, **VERSION_13},
    "to something else": {
        **NO_UPGRADE,
        **named("as above", {"body": ("Invalid Upgrade header", BAD_REQUEST)}),
    },
    "without Connection": named(
        "its query says that it is an upgrade: it is refused like any other",
        {
            "body": (BAD_REQUEST, "Bad request"),
            "content-type": (JSON, PLAIN_TEXT),
            "connection": ("kept", "close"),
        },
    ),
}
CASES += [
    Case(
        f"upgrade {name}",
        partial(_changed, *change),
        differs=CHANGED_DIFFERS.get(name, {}),
    )
    for name, change in CHANGED.items()
]


@CASES.case(
    "upgrade by POST",
    differs={
        **NO_UPGRADE,
        **named("as above", {"body": ("Bad handshake method", BAD_METHOD)}),
    },
)
def _(peer: Peer) -> WebSocket:
    return upgrade(peer, method="POST")


@CASES.case(
    "polling that offers an upgrade to h2c",
    differs=named(
        "RFC 9110, 7.8: a server may ignore such an offer",
        {
            "status": (400, 200),
            "body": ("Invalid Upgrade header", OPENED),
            "content-type": (HTML, PLAIN_TEXT),
            "connection": ("close", "kept"),
        },
    ),
)
def _(peer: Peer) -> Answer:
    headers = ["Connection: Upgrade", "Upgrade: h2c"]
    return peer.ask(peer.target(), headers=headers)


@CASES.case(
    "an upgrade elsewhere",
    differs=named("it is answered at once", {"status": ("connection lost", 404)}),
)
def _(peer: Peer) -> Facts:
    return {"status": upgrade(peer, target="/elsewhere").facts()["status"]}


@CASES.case(
    "upgrade that is switched off",
    POLLING,
    named(
        "it is refused like any other upgrade",
        {
            "body": ('{"code":0,"message":"Transport unknown"}', "Transport unknown"),
            "content-type": (JSON, PLAIN_TEXT),
            "connection": ("kept", "close"),
        },
    ),
)
def _(peer: Peer) -> WebSocket:
    return upgrade(peer)

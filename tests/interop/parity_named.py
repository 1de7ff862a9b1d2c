"""Differences that are meant, where more than one case has them."""

from __future__ import annotations

from collections.abc import Mapping

from parity import Named

JSON = "application/json"
HTML = "text/html"
PLAIN_TEXT = "text/plain; charset=UTF-8"
OPENED = (
    '0{"sid":"SID","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,'
    '"maxPayload":1000000}'
)
UNKNOWN_TRANSPORT = '{"code":0,"message":"Transport unknown"}'
BAD_METHOD = '{"code":2,"message":"Bad handshake method"}'
BAD_REQUEST = '{"code":3,"message":"Bad request"}'
UNSUPPORTED = '{"code":5,"message":"Unsupported protocol version"}'
FORBIDDEN = '{"code":4,"message":"Forbidden"}'

Differences = dict[str, Named]


def named(because: str, values: Mapping[str, tuple[object, object]]) -> Differences:
    """
    Give differences that have one reason.

    Args:
        because: The reason.
        values: By fact: there, and here.

    """
    return {fact: Named(there, here, because) for fact, (there, here) in values.items()}


def refused_upgrade(
    because: str, status: int, message: str, prefix: str = ""
) -> Differences:
    """
    Give the differences of an upgrade that only the reference grants.

    Args:
        because: The reason.
        status: What we answer.
        message: The body of that.
        prefix: What stands before the names of the facts.

    """
    values = {
        "status": (101, status),
        "body": ("", message),
        "content-type": (None, PLAIN_TEXT),
        "connection": ("kept", "close"),
        "upgrade": ("websocket", None),
        "sec-websocket-accept": (True, None),
    }
    return named(because, {prefix + fact: pair for fact, pair in values.items()})


FOREIGN = "a foreign origin is refused on every transport, not only kept from reading"
FOREIGN_GET = named(
    FOREIGN,
    {
        "status": (200, 403),
        "body": (OPENED, FORBIDDEN),
        "content-type": (PLAIN_TEXT, JSON),
    },
)
FOREIGN_PREFLIGHT = named(
    FOREIGN,
    {
        "status": (204, 403),
        "body": ("", FORBIDDEN),
        "content-type": (None, JSON),
        "access-control-allow-methods": ("GET,HEAD,PUT,PATCH,POST,DELETE", None),
        "access-control-allow-headers": ("content-type, x-own", None),
        "vary": ("Origin, Access-Control-Request-Headers", None),
    },
)
FOREIGN_PREFLIGHT_WITHOUT_CORS = named(
    FOREIGN, {"status": (400, 403), "body": (BAD_METHOD, FORBIDDEN)}
)
FOREIGN_WEBSOCKET = refused_upgrade(FOREIGN, 403, "Forbidden")
NO_VARY = named("a refusal is not stored by anyone", {"vary": ("Origin", None)})

CONTROL_CHARACTER = named(
    "Node's parser refuses it before the server sees it",
    {
        "body": ("", BAD_REQUEST),
        "content-type": (None, JSON),
        "connection": ("close", "kept"),
    },
)
PREFLIGHT = named(
    "what a client of the protocol needs, and no more",
    {
        "access-control-allow-methods": ("GET,HEAD,PUT,PATCH,POST,DELETE", "GET,POST"),
        "access-control-allow-headers": ("content-type, x-own", "Content-Type"),
        "access-control-max-age": (None, "600"),
    },
)
PLAIN_REFUSAL = named("it is no HTML", {"content-type": (HTML, PLAIN_TEXT)})
NO_UPGRADE = named(
    "it is not a request for a WebSocket, and is answered like any other",
    {"content-type": (HTML, JSON), "connection": ("close", "kept")},
)


def malformed_handshake(there: str) -> Differences:
    """Give the differences of a handshake that is no good for RFC 6455."""
    return named(
        "every refusal of an upgrade is plain text, and one of the protocol's messages",
        {"body": (there, "Bad request"), "content-type": (HTML, PLAIN_TEXT)},
    )


UNDECODABLE = named(
    "a payload that is bad is not ok",
    {
        "post.status": (200, 400),
        "post.body": ("ok", ""),
        "post.content-type": (HTML, None),
    },
)


def strict(there: str, *before: str) -> Differences:
    """Give the differences of a payload that the reference forgives."""
    return UNDECODABLE | named(
        "what cannot be decoded as it stands ends the session",
        {"heard": ([there], [*before, "gone"])},
    )

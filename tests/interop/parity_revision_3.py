"""Parity of revision 3 on polling: its payloads, and which requests are its own."""

from __future__ import annotations

from functools import partial

from parity import EIO3, EIO3_SMALL, Case, Table
from parity_named import (
    JSON,
    OPENED,
    PLAIN_TEXT,
    UNDECODABLE,
    UNSUPPORTED,
    Differences,
    named,
)
from wire import Answer, Facts, Peer

CASES = Table()

OCTETS = ["Content-Type: application/octet-stream"]


def _peer_3(peer: Peer) -> Peer:
    peer.revision = 3
    return peer


def _binary(*packets: bytes) -> bytes:
    """A binary payload; a packet that begins with the byte 4 is a binary message."""
    payload = b""
    for packet in packets:
        kind = b"\1" if packet[:1] == b"\4" else b"\0"
        payload += kind + bytes(map(int, str(len(packet)))) + b"\xff" + packet
    return payload


QUERIES = {
    "a handshake": "EIO=3&transport=polling",
    "a handshake with b64": "EIO=3&transport=polling&b64=1",
    "a handshake without EIO": "transport=polling",
    "a handshake with an empty EIO": "EIO=&transport=polling",
    "a handshake with EIO 4": "EIO=4&transport=polling",
    "a handshake with EIO 2": "EIO=2&transport=polling",
    "a handshake with EIO 03": "EIO=03&transport=polling",
    "EIO repeated, the last is 3": "EIO=4&EIO=3&transport=polling",
    "the application refuses": "EIO=3&transport=polling&deny=no",
}


UNKNOWN = (
    "a handshake with an empty EIO",
    "a handshake with EIO 2",
    "a handshake with EIO 03",
)
UNKNOWN_REVISION = named(
    "there whatever is not 4 is 3",
    {
        "status": (200, 400),
        "body": (f"LENGTH:{OPENED}", UNSUPPORTED),
        "content-type": (PLAIN_TEXT, JSON),
    },
)


def _get(query: str, peer: Peer) -> Answer:
    return peer.ask(f"{peer.path}?{query}")


CASES += [
    Case(
        f"revision 3: {name}",
        partial(_get, query),
        EIO3,
        UNKNOWN_REVISION if name in UNKNOWN else {},
    )
    for name, query in QUERIES.items()
]

TEXTS = {
    "a message": b"6:4hello",
    "an empty message": b"1:4",
    "messages": b"4:4one4:4two1:4",
    "a message that looks like packets": b"7:43:4ab3",
    "a message with a separator": b"4:4a\x1eb",
    "a character of two code units": "3:4😀".encode(),
    "a character counted as one": "2:4😀".encode(),
    "characters": "5:4😀é€".encode(),
    "a length in bytes": "7:4é€".encode(),
    "a byte order mark": "7:4\ufeffhello".encode(),
    "a byte order mark before all": "\ufeff6:4hello".encode(),
    "line ends": b"7:4a\r\nb\nc",
    "base64": b"10:b4AAECAw==",
    "empty base64": b"2:b4",
    "base64 and text": b"6:b4AAEC2:4a",
    "base64 of no message": b"6:b2AAEC",
    "no base64": b"6:b4!!!!",
    "base64 without a type": b"5:bAAEC",
    "nothing": b"",
    "no length": b"4hello",
    "an empty length": b":4hello",
    "no colon": b"6",
    "a length of zero": b"0:",
    "a length of zero before a message": b"0:2:4a",
    "a length with a zero before it": b"06:4hello",
    "a length with a plus": b"+6:4hello",
    "a length with a space": b" 6:4hello",
    "a negative length": b"-1:4hello",
    "a length with an exponent": b"1e1:4hello4567",
    "a hexadecimal length": b"0x6:4hello",
    "a fraction of a length": b"6.0:4hello",
    "an Arabic length": "٦:4hello".encode(),
    "too large a length": b"7:4hello",
    "too small a length": b"5:4hello",
    "a message before a bad length": b"2:4a9:4b",
    "an unknown type": b"4:9foo",
    "a letter": b"5:hello",
    "an unknown type after a message": b"2:4a4:9foo2:4b",
    "invalid UTF-8": b"3:4\xff\xfe",
    "a payload of revision 4": b"4one\x1e4two",
    "a stray open": b"3:0{}2:4a",
    "a stray upgrade": b"1:52:4a",
    "a stray noop": b"1:62:4a",
    "a ping": b"1:22:4a",
    "a ping with data": b"6:2probe2:4a",
    "a pong": b"1:32:4a",
    "a close": b"1:1",
    "a close before a message": b"1:12:4a",
    "a close after a message": b"2:4a1:1",
}


def _post(body: bytes, headers: list[str], more: str, peer: Peer) -> Facts:
    sid = _peer_3(peer).open(more)
    return {"post": peer.post(sid, body, headers), "heard": peer.heard(sid)}


PLAIN = ["Content-Type: text/plain;charset=UTF-8"]


def _forgiven(*there: str) -> Differences:
    """The differences of a payload that the reference reads all the same."""
    return UNDECODABLE | named(
        "what cannot be decoded as it stands ends the session",
        {"heard": (list(there), ["gone"])},
    )


TEXT_DIFFERS = {
    "a byte order mark before all": _forgiven("4hello"),
    "base64 of no message": _forgiven("3"),
    "no base64": _forgiven("b4"),
    "base64 without a type": _forgiven(),
    "a length of zero": _forgiven(),
    "a length of zero before a message": _forgiven("4a"),
    "a length with a zero before it": _forgiven("4hello"),
    "a length with a plus": _forgiven("4hello"),
    "a length with a space": _forgiven("4hello"),
    "a length with an exponent": _forgiven("4hello4567"),
    "a hexadecimal length": _forgiven("4hello"),
    "a fraction of a length": _forgiven("4hello"),
    "invalid UTF-8": _forgiven("4\ufffd\ufffd"),
    "a ping with data": named(
        "Engine.IO protocol v3: a pong has the data of its ping",
        {"heard": (["3", "4a"], ["3probe", "4a"])},
    ),
} | dict.fromkeys(
    (
        "a character counted as one",
        "a length in bytes",
        "nothing",
        "no length",
        "an empty length",
        "no colon",
        "a negative length",
        "an Arabic length",
        "too large a length",
        "too small a length",
        "a message before a bad length",
        "an unknown type",
        "a letter",
        "an unknown type after a message",
        "a payload of revision 4",
    ),
    UNDECODABLE,
)
CASES += [
    Case(
        f"revision 3: POST {name}",
        partial(_post, body, PLAIN, "&b64=1"),
        EIO3,
        TEXT_DIFFERS.get(name, {}),
    )
    for name, body in TEXTS.items()
]

OCTET_BODIES = {
    "a message": _binary(b"4hello"),
    "an empty message": _binary(b"4"),
    "messages": _binary(b"4one", b"4", "4é€😀".encode()),
    "bytes": _binary(b"\4\0\1\2\xff"),
    "no bytes": _binary(b"\4"),
    "text and bytes": _binary(b"4a", b"\4\0\xff", b"4b"),
    "a long message": _binary(b"4" + b"x" * 12345),
    "a ping": _binary(b"2", b"4a"),
    "a pong": _binary(b"3", b"4a"),
    "a close": _binary(b"4a", b"1"),
    "an unknown type": _binary(b"4a", b"9"),
    "bytes of an unknown type": b"\1\2\xff\x09a",
    "bytes of no message": b"\1\2\xff\x02a",
    "neither text nor bytes": b"\2\2\xff4a",
    "digits as text": b"\0" + b"2\xff4a",
    "too large a length": b"\0\3\xff4a",
    "a length without end": b"\0\1",
    "a length of zero": b"\0\0\xff",
    "no length": b"\0\xff4a",
    "a length of 400 digits": b"\0" + b"\1" * 400 + b"\xff4a",
    "a message before a bad one": _binary(b"4a") + b"\0\3\xff4b",
    "nothing": b"",
    "text": b"6:4hello",
    "invalid UTF-8": _binary(b"4a\xff"),
    "base64": _binary(b"b4AAEC"),
}
OCTET_DIFFERS = {
    "bytes of an unknown type": _forgiven(),
    "bytes of no message": _forgiven("3"),
    "neither text nor bytes": _forgiven(),
    "too large a length": _forgiven("4a"),
    "a message before a bad one": _forgiven("4a", "4b"),
    "nothing": _forgiven(),
} | dict.fromkeys(
    (
        "an unknown type",
        "digits as text",
        "a length without end",
        "a length of zero",
        "no length",
        "a length of 400 digits",
        "text",
        "invalid UTF-8",
    ),
    UNDECODABLE,
)
CASES += [
    Case(
        f"revision 3: POST octets of {name}",
        partial(_post, body, OCTETS, ""),
        EIO3,
        OCTET_DIFFERS.get(name, {}),
    )
    for name, body in OCTET_BODIES.items()
]
CASES += [
    Case(
        f"revision 3: POST octets of {name} by a client with b64",
        partial(_post, OCTET_BODIES[name], OCTETS, "&b64=1"),
        EIO3,
    )
    for name in ("a message", "bytes", "text and bytes")
]
CASES += [
    Case(
        f"revision 3: POST {name} by a client without b64",
        partial(_post, TEXTS[name], PLAIN, ""),
        EIO3,
    )
    for name in ("a message", "base64", "base64 and text", "characters")
]


def _one_answer(more: str, peer: Peer) -> Facts:
    """What leaves together: text and bytes, queued while no GET waits."""
    sid = _peer_3(peer).open(more)
    posts = [
        peer.post(sid, "5:4é😀!".encode(), PLAIN),
        peer.post(sid, _binary(b"\4\0\x80\xff"), OCTETS),
        peer.post(sid, b"2:4b", PLAIN),
    ]
    return {"posts": [post.status for post in posts], "poll": peer.poll(sid)}


CASES += [
    Case("revision 3: text and bytes in one answer", partial(_one_answer, ""), EIO3),
    Case("revision 3: the same with b64", partial(_one_answer, "&b64=1"), EIO3),
]


@CASES.case("revision 3: POST at the limit", EIO3_SMALL)
def _(peer: Peer) -> Facts:
    sid = _peer_3(peer).open()
    body = b"9995:4" + b"x" * 9994
    return {"post": peer.post(sid, body), "heard": len(peer.heard(sid))}


@CASES.case("revision 3: POST over the limit", EIO3_SMALL)
def _(peer: Peer) -> Facts:
    sid = _peer_3(peer).open()
    body = b"9996:4" + b"x" * 9995
    return {"post": peer.post(sid, body), "heard": len(peer.heard(sid))}


@CASES.case("revision 3: a second GET while one waits", EIO3)
def _(peer: Peer) -> Facts:
    sid = _peer_3(peer).open()
    first = peer.waiting(sid)
    second = peer.poll(sid)
    return {"first": first.answer(), "second": second, "alive": peer.is_alive(sid)}


@CASES.case("revision 3: a client that closes while a GET waits", EIO3)
def _(peer: Peer) -> Facts:
    sid = _peer_3(peer).open()
    waiting = peer.waiting(sid)
    return {"post": peer.post(sid, b"1:1"), "poll": waiting.answer()}


@CASES.case("revision 3: a server that closes while a GET waits", EIO3)
def _(peer: Peer) -> Facts:
    sid = _peer_3(peer).open()
    waiting = peer.waiting(sid)
    post = peer.post(sid, b"7:4!close")
    return {"post": post, "poll": waiting.answer(), "later": peer.poll(sid)}


def _other_revision(own: int, eio: str, method: str, peer: Peer) -> Facts:
    peer.revision = own
    sid = peer.open()
    target = f"{peer.path}?transport=polling&sid={sid}{eio}"
    body = peer.payload("4x")
    return {"answer": peer.ask(target, method, body=body), "alive": peer.is_alive(sid)}


CASES += [
    Case(
        f"{method} with {eio or 'no EIO'} in a session of revision {own}",
        partial(_other_revision, own, eio, method),
        EIO3,
    )
    for own, eio in ((3, "&EIO=4"), (4, "&EIO=3"), (4, ""))
    for method in ("GET", "POST")
]
CASES += [
    Case(
        "POST with no EIO in a session of revision 3",
        partial(_other_revision, 3, "", "POST"),
        EIO3,
    )
]

"""Parity of packets: what may stand in a payload and in a frame, and how long."""

from __future__ import annotations

from functools import partial

from parity import SMALL, Case, Table
from parity_named import UNDECODABLE, named, strict
from wire import Facts, Peer
from wire_websocket import BINARY, CONTINUATION, TEXT, frame, opened, upgrade

CASES = Table()

BODIES = {
    "a message": b"4hello",
    "an empty message": b"4",
    "messages": b"4one\x1e4two\x1e4\x1e4four",
    "a text that looks like a packet": b"44\x1e4b\x1e4bAAEC",
    "four bytes of UTF-8": "4😀é€".encode(),
    "a byte order mark": "\ufeff4hello".encode(),
    "a byte order mark in a message": "4\ufeffhello".encode(),
    "line ends": b"4a\r\nb\nc\r",
    "a NUL": b"4a\x00b",
    "binary": b"bAAECAw==",
    "empty binary": b"b",
    "binary and text": b"4a\x1ebAQI=\x1e4b\x1ebAw==",
    "base64 without padding": b"bAAECAw",
    "base64 of the URL alphabet": b"b-_8=",
    "base64 with a space": b"bAA EC",
    "base64 with a line end": b"bAAEC\n",
    "base64 of impossible length": b"bAAECA",
    "no base64": b"b!!!!",
    "nothing": b"",
    "a separator": b"\x1e",
    "a separator at the end": b"4a\x1e",
    "a separator at the beginning": b"\x1e4a",
    "two separators": b"4a\x1e\x1e4b",
    "an unknown type": b"9foo",
    "a letter": b"hello",
    "an unknown type after a message": b"4a\x1e9\x1e4b",
    "a negative type": b"-1",
    "an Arabic digit": "٤foo".encode(),
    "a superscript digit": "⁴foo".encode(),
    "invalid UTF-8": b"4a\xff\xfeb",
    "half a character": "4😀".encode()[:-1],
    "a surrogate": b"4\xed\xa0\x80",
    "a stray open": b'0{"sid":"x"}\x1e4a',
    "a stray pong": b"3\x1e4a",
    "a stray pong with data": b"3probe\x1e4a",
    "a stray upgrade": b"5\x1e4a",
    "a stray noop": b"6\x1e4a",
    "a ping": b"2\x1e4a",
    "a probe": b"2probe\x1e4a",
    "a close": b"1",
    "a close before a message": b"1\x1e4a",
    "a close after a message": b"4a\x1e1",
    "a close with data": b"1x",
}


def _post(body: bytes, peer: Peer) -> Facts:
    sid = peer.open()
    answer = peer.post(sid, body)
    return {"post": answer, "heard": peer.heard(sid)}


BODY_DIFFERS = {
    "base64 without padding": strict("bAAECAw=="),
    "base64 of the URL alphabet": strict("b+/8="),
    "base64 with a space": strict("bAAEC"),
    "base64 with a line end": strict("bAAEC"),
    "base64 of impossible length": strict("bAAEC"),
    "no base64": strict("b"),
    "invalid UTF-8": strict("4a\ufffd\ufffdb"),
    "half a character": strict("4\ufffd"),
    "a surrogate": strict("4\ufffd\ufffd\ufffd"),
} | dict.fromkeys(
    (
        "a byte order mark",
        "nothing",
        "a separator",
        "a separator at the end",
        "a separator at the beginning",
        "two separators",
        "an unknown type",
        "a letter",
        "an unknown type after a message",
        "a negative type",
        "an Arabic digit",
        "a superscript digit",
    ),
    UNDECODABLE,
)
CASES += [
    Case(f"POST {name}", partial(_post, body), differs=BODY_DIFFERS.get(name, {}))
    for name, body in BODIES.items()
]


def _post_while_waiting(body: bytes, peer: Peer) -> Facts:
    sid = peer.open()
    waiting = peer.waiting(sid)
    return {"post": peer.post(sid, body), "heard": peer.heard(sid, waiting)}


WAITING_DIFFERS = {
    "nothing": UNDECODABLE,
    "an unknown type": UNDECODABLE,
    "an unknown type after a message": {
        **UNDECODABLE,
        **named(
            "a GET that waits is told of the end, not of what was queued for it",
            {"heard": (["4a", "gone"], ["1", "gone"])},
        ),
    },
    "no base64": strict("b", "1"),
    "invalid UTF-8": strict("4a\ufffd\ufffdb", "1"),
    "a close after a message": named(
        "a GET that waits is told of the end, not of what was queued for it",
        {"heard": (["4a", "gone"], ["6", "gone"])},
    ),
}
CASES += [
    Case(
        f"POST {name} while a GET waits",
        partial(_post_while_waiting, BODIES[name]),
        differs=WAITING_DIFFERS.get(name, {}),
    )
    for name in (
        "a message",
        "messages",
        "binary and text",
        "nothing",
        "an unknown type",
        "an unknown type after a message",
        "no base64",
        "invalid UTF-8",
        "a stray noop",
        "a ping",
        "a close",
        "a close after a message",
    )
]

CONTENT_TYPES = (
    "text/plain;charset=UTF-8",
    "text/plain; charset=iso-8859-1",
    "application/octet-stream",
    "Application/Octet-Stream",
    "application/octet-stream; charset=x",
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "",
)


def _post_as(content_type: str, peer: Peer) -> Facts:
    sid = peer.open()
    waiting = peer.waiting(sid)
    answer = peer.post(sid, "4é&b=c".encode(), [f"Content-Type: {content_type}"])
    return {"post": answer, "poll": waiting.answer(), "alive": peer.is_alive(sid)}


STILL_OCTETS = {
    **UNDECODABLE,
    **named(
        "a media type is the same in capitals and with parameters",
        {"poll.body": ("4é&b=c", "1"), "alive": (True, False)},
    ),
}
CASES += [
    Case(
        f"POST as {content_type!r}",
        partial(_post_as, content_type),
        differs=STILL_OCTETS if content_type in CONTENT_TYPES[3:5] else {},
    )
    for content_type in CONTENT_TYPES
]


@CASES.case("POST without a content type")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    return {"post": peer.post(sid, b"4a", []), "heard": peer.heard(sid)}


SIZES = {
    "exactly at the limit": b"4" + b"x" * 9999,
    "one byte over the limit": b"4" + b"x" * 10_000,
    "at the limit in bytes": b"4x" + "é".encode() * 4999,
    "over the limit in bytes": b"4" + "é".encode() * 5000,
    "over the limit in packets": b"4\x1e" * 5000 + b"4",
    "far over the limit": b"4" + b"x" * 1_000_000,
}


def _sized(body: bytes, peer: Peer) -> Facts:
    sid = peer.open()
    answer = peer.post(sid, body)
    return {"post": answer, "heard": len(peer.heard(sid))}


CASES += [
    Case(f"POST {name}", partial(_sized, body), SMALL) for name, body in SIZES.items()
]


@CASES.case(
    "POST that announces too much",
    SMALL,
    named(
        "it is refused before its body is read",
        {"post": ("nothing while the body is missing", 413)},
    ),
)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    connection = peer.connect()
    head = (
        f"POST {peer.target(sid)} HTTP/1.1\r\nHost: x\r\nContent-Length: 10001\r\n\r\n"
    )
    connection.send(head.encode())
    connection.socket.settimeout(0.3)
    try:
        return {"post": connection.answer().status}
    except TimeoutError:
        return {"post": "nothing while the body is missing"}


def _chunked(size: int, peer: Peer) -> Facts:
    sid = peer.open()
    connection = peer.connect()
    head = f"POST {peer.target(sid)} HTTP/1.1\r\nHost: x\r\n"
    connection.send(f"{head}Transfer-Encoding: chunked\r\n\r\n1\r\n4\r\n".encode())
    connection.send(b"3e7\r\n" + b"x" * 999 + b"\r\n")
    for _ in range(size // 1000 - 1):
        connection.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    if size == 10_000:
        connection.send(b"0\r\n\r\n")
    return {"post": connection.answer(), "heard": len(peer.heard(sid))}


CASES += [
    Case("POST in chunks at the limit", partial(_chunked, 10_000), SMALL),
    Case("POST in chunks without end", partial(_chunked, 100_000), SMALL),
]

FRAMES = {
    "a message": frame(TEXT, b"4hello"),
    "an empty message": frame(TEXT, b"4"),
    "four bytes of UTF-8": frame(TEXT, "4😀é€".encode()),
    "a separator": frame(TEXT, b"4a\x1e4b"),
    "binary": frame(BINARY, bytes(range(256))),
    "empty binary": frame(BINARY),
    "binary as base64": frame(TEXT, b"bAAEC"),
    "empty binary as base64": frame(TEXT, b"b"),
    "no base64": frame(TEXT, b"b!!!!"),
    "an empty frame": frame(TEXT),
    "an unknown type": frame(TEXT, b"9foo"),
    "an Arabic digit": frame(TEXT, "٤foo".encode()),
    "messages before an unknown type": frame(TEXT, b"4a") + frame(TEXT, b"9"),
    "invalid UTF-8": frame(TEXT, b"4\xff"),
    "a stray open": frame(TEXT, b"0{}"),
    "a stray pong": frame(TEXT, b"3"),
    "a stray upgrade": frame(TEXT, b"5"),
    "a stray noop": frame(TEXT, b"6"),
    "a ping": frame(TEXT, b"2"),
    "a probe": frame(TEXT, b"2probe"),
    "a close": frame(TEXT, b"1"),
    "a close before a message": frame(TEXT, b"1") + frame(TEXT, b"4a"),
    "fragments": frame(TEXT, b"4a", fin=False)
    + frame(CONTINUATION, b"b", fin=False)
    + frame(CONTINUATION, b"c"),
}


def _framed(frames: bytes, peer: Peer) -> Facts:
    websocket = opened(peer)
    websocket.send(frames)
    return {"heard": websocket.heard()}


CLOSED = "a close packet closes, on a WebSocket too, and nothing after it counts"
FRAME_DIFFERS = {
    "no base64": named(
        "what cannot be decoded as it stands ends the session",
        {"heard": (["binary "], ["close", "end"])},
    ),
    "a close": named(CLOSED, {"heard": ([], ["close", "end"])}),
    "a close before a message": named(
        CLOSED, {"heard": (["text 4a"], ["close", "end"])}
    ),
}
CASES += [
    Case(
        f"WebSocket: {name}",
        partial(_framed, frames),
        differs=FRAME_DIFFERS.get(name, {}),
    )
    for name, frames in FRAMES.items()
]

LARGE = {
    "text at the limit": frame(TEXT, b"4" + b"x" * 9999),
    "text over the limit": frame(TEXT, b"4" + b"x" * 10_000),
    "text over the limit in bytes": frame(TEXT, b"4" + "é".encode() * 5000),
    "binary at the limit": frame(BINARY, b"x" * 10_000),
    "binary over the limit": frame(BINARY, b"x" * 10_001),
    "fragments over the limit": frame(TEXT, b"4" + b"x" * 9000, fin=False)
    + frame(CONTINUATION, b"x" * 1000),
    "fragments at the limit": frame(TEXT, b"4" + b"x" * 9000, fin=False)
    + frame(CONTINUATION, b"x" * 999),
    "a header that announces too much": frame(TEXT, b"4" + b"x" * 10_000)[:20],
    "a header that announces 2^62 bytes": b"\x81\xff\x40" + bytes(7) + b"1234",
}


def _large(frames: bytes, peer: Peer) -> Facts:
    websocket = opened(peer)
    websocket.send(frames)
    return {"heard": [heard[:20] for heard in websocket.heard()]}


CASES += [
    Case(f"WebSocket: {name}", partial(_large, frames), SMALL)
    for name, frames in LARGE.items()
]


@CASES.case("WebSocket with b64=1 gets binary as text")
def _(peer: Peer) -> Facts:
    websocket = opened(peer, "&b64=1")
    websocket.send(frame(BINARY, b"\x00\x01\x02") + frame(TEXT, b"4a"))
    return {"heard": websocket.heard()}


@CASES.case("polling with b64=1")
def _(peer: Peer) -> Facts:
    sid = peer.open("&b64=1")
    return {"post": peer.post(sid, b"bAAEC"), "heard": peer.heard(sid)}


NOT_LOST = named("it is not lost", {"heard": ([], ["text 4early"])})


@CASES.case("WebSocket: a frame ahead of the 101", differs=NOT_LOST)
def _(peer: Peer) -> Facts:
    websocket = upgrade(peer, early=frame(TEXT, b"4early"))
    return {"first": websocket.read(), "heard": websocket.heard()}


@CASES.case(
    "WebSocket: a frame ahead of the 101, while admission is pending", differs=NOT_LOST
)
def _(peer: Peer) -> Facts:
    websocket = upgrade(peer, more="&slow=50", early=frame(TEXT, b"4early"))
    return {"first": websocket.read(), "heard": websocket.heard()}

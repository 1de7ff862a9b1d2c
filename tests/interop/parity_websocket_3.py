"""Parity of revision 3 on WebSocket, of its upgrade and of its heartbeat."""

from __future__ import annotations

from functools import partial

from parity import EIO3, EIO3_QUICK, Case, Table
from parity_named import Differences, named
from wire import Facts, Peer
from wire_websocket import BINARY, TEXT, frame, opened, probed, upgrade

CASES = Table()


def _peer_3(peer: Peer) -> Peer:
    peer.revision = 3
    return peer


FRAMES = {
    "a message": frame(TEXT, b"4hello"),
    "bytes": frame(BINARY, b"\4\0\1\xff"),
    "no bytes": frame(BINARY, b"\4"),
    "an empty binary frame": frame(BINARY),
    "bytes of another type": frame(BINARY, b"\x02a"),
    "bytes of an unknown type": frame(BINARY, b"\x09a"),
    "base64": frame(TEXT, b"b4AAEC"),
    "base64 as in revision 4": frame(TEXT, b"bAAEC"),
    "an unknown type": frame(TEXT, b"9"),
    "an empty frame": frame(TEXT),
    "a ping": frame(TEXT, b"2"),
    "a ping with data": frame(TEXT, b"2hello"),
    "a pong": frame(TEXT, b"3"),
    "a stray upgrade": frame(TEXT, b"5"),
    "a close": frame(TEXT, b"1"),
}


def _framed(frames: bytes, more: str, peer: Peer) -> Facts:
    websocket = opened(_peer_3(peer), more)
    websocket.send(frames)
    return {"heard": websocket.heard()}


def _ended(*there: str) -> Differences:
    """The differences of a frame after which the reference goes on."""
    return named(
        "what cannot be decoded as it stands ends the session; so does a close",
        {"heard": (list(there), ["close", "end"])},
    )


FRAME_DIFFERS = {
    "an empty binary frame": _ended(),
    "bytes of another type": _ended("text 3"),
    "bytes of an unknown type": _ended(),
    "base64 as in revision 4": _ended(),
    "a close": _ended(),
    "a ping with data": named(
        "Engine.IO protocol v3: a pong has the data of its ping",
        {"heard": (["text 3"], ["text 3hello"])},
    ),
}
CASES += [
    Case(
        f"revision 3: WebSocket: {name}",
        partial(_framed, frames, ""),
        EIO3,
        FRAME_DIFFERS.get(name, {}),
    )
    for name, frames in FRAMES.items()
]
CASES += [
    Case(
        f"revision 3: WebSocket with b64: {name}",
        partial(_framed, FRAMES[name], "&b64=1"),
        EIO3,
    )
    for name in ("bytes", "no bytes", "base64")
]


@CASES.case("revision 3: upgrade", EIO3)
def _(peer: Peer) -> Facts:
    sid = _peer_3(peer).open()
    candidate = upgrade(peer, sid)
    waiting = peer.waiting(sid)
    candidate.say("2probe")
    facts: Facts = {
        "handshake": candidate,
        "probe": candidate.read(),
        "noop": waiting.answer(),
    }
    candidate.say("5")
    candidate.send(frame(BINARY, b"\4\0\xff"))
    return {**facts, "heard": candidate.heard(), "poll": peer.poll(sid)}


@CASES.case(
    "revision 3: what is queued is flushed after an upgrade",
    EIO3,
    named(
        "the handshake's b64 holds for the session",
        {
            "flushed": (
                ["text 4one", "binary 04000102", "text 4two"],
                ["text 4one", "text b4AAEC", "text 4two"],
            )
        },
    ),
)
def _(peer: Peer) -> Facts:
    sid = _peer_3(peer).open("&b64=1")
    candidate = probed(peer, sid)
    peer.post(sid, b"4:4one6:b4AAEC4:4two")
    candidate.say("5")
    return {"flushed": [candidate.read() for _ in range(3)]}


@CASES.case("revision 3: upgrade of a session of revision 4", EIO3)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    target = f"{peer.path}?EIO=3&transport=websocket&sid={sid}"
    return {"status": upgrade(peer, target=target).answer.status}


@CASES.case("revision 3: pings that are answered", EIO3_QUICK)
def _(peer: Peer) -> Facts:
    sid = _peer_3(peer).open()
    polls = []
    for _ in range(3):
        peer.post(sid, b"1:2")
        polls.append(peer.poll(sid).text)
    return {"polls": polls}


@CASES.case("revision 3: no ping", EIO3_QUICK)
def _(peer: Peer) -> Facts:
    sid = _peer_3(peer).open()
    return {"poll": peer.poll(sid), "later": peer.poll(sid)}


@CASES.case("revision 3: WebSocket: no ping", EIO3_QUICK)
def _(peer: Peer) -> Facts:
    return {"frames": opened(_peer_3(peer)).rest()}

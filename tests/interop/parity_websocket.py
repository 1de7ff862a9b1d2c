"""Parity of WebSocket (RFC 6455), and of the upgrade, whole, spoiled and abandoned."""

from __future__ import annotations

from functools import partial

from parity import IMPATIENT, NO_UPGRADES, QUICK, Case, Table
from parity_named import PLAIN_REFUSAL, Differences, named, refused_upgrade
from wire import Facts, Peer
from wire_websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    frame,
    opened,
    probed,
    text,
    upgrade,
)

CASES = Table()

FRAMES = {
    "ping": frame(PING, b"hello"),
    "stray pong": frame(PONG, b"hello"),
    "ping between fragments": frame(TEXT, b"4a", fin=False)
    + frame(PING, b"p")
    + frame(CONTINUATION, b"b"),
    "unmasked": frame(TEXT, b"4a", masked=False),
    "reserved bit 1": frame(TEXT, b"4a", reserved=4),
    "reserved bit 2": frame(TEXT, b"4a", reserved=2),
    "opcode 3": frame(3, b"4a"),
    "opcode 11": frame(11, b"4a"),
    "continuation of nothing": frame(CONTINUATION, b"4a"),
    "message in a message": frame(TEXT, b"4a", fin=False) + frame(TEXT, b"4b"),
    "fragmented ping": frame(PING, b"x", fin=False),
    "ping of 126 bytes": frame(PING, b"x" * 126),
    "garbage": b"GET / HTTP/1.1\r\n\r\n",
}

CLOSES = {
    "close": b"",
    "close with 1000": b"\x03\xe8bye",
    "close with 1001": b"\x03\xe9",
    "close with 3000": b"\x0b\xb8",
    "close with 1005": b"\x03\xed",
    "close with 999": b"\x03\xe7",
    "close with half a code": b"\x03",
    "close with a bad reason": b"\x03\xe8\xff",
}


def _framed(frames: bytes, peer: Peer) -> Facts:
    websocket = opened(peer)
    websocket.send(frames)
    return {"heard": websocket.heard()}


def _closed(payload: bytes, peer: Peer) -> Facts:
    websocket = opened(peer)
    websocket.send(frame(CLOSE, payload))
    return {"frames": websocket.rest()}


CASES += [
    Case(f"WebSocket frame: {name}", partial(_framed, frames))
    for name, frames in FRAMES.items()
]


def _echoed(close: str) -> Differences:
    return named(
        "Autobahn answers that it is a normal closure, whatever it was told",
        {"frames": ([close, "end"], ["close", "end"])},
    )


CLOSE_DIFFERS = {
    "close with 1000": _echoed("close  bye"),
    "close with 1001": _echoed("close 1001"),
    "close with 3000": _echoed("close 3000"),
}
CASES += [
    Case(
        f"WebSocket frame: {name}",
        partial(_closed, payload),
        differs=CLOSE_DIFFERS.get(name, {}),
    )
    for name, payload in CLOSES.items()
]


def _lost(reset: bool, peer: Peer) -> Facts:
    sid, witness = peer.open(), peer.open()
    websocket = probed(peer, sid)
    websocket.say("5")
    peer.post(witness, f"4!reason {sid}".encode())
    websocket.heard()
    websocket.connection.close(reset=reset)
    return {"reason": peer.poll(witness).text}


CASES += [
    Case("WebSocket: a client that hangs up", partial(_lost, False)),
    Case("WebSocket: a client that resets", partial(_lost, True)),
]


@CASES.case("WebSocket: the server closes")
def _(peer: Peer) -> Facts:
    websocket = opened(peer)
    websocket.say("4!close")
    return {"frames": websocket.rest()}


@CASES.case("WebSocket: the server sends and closes")
def _(peer: Peer) -> Facts:
    websocket = opened(peer)
    websocket.say("4!goodbye x")
    return {"frames": websocket.rest()}


@CASES.case("upgrade")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    peer.post(sid, b"4queued")
    candidate = upgrade(peer, sid)
    waiting_before = peer.poll(sid)
    waiting = peer.waiting(sid)
    candidate.say("2probe")
    return {
        "handshake": candidate,
        "before": waiting_before,
        "probe": candidate.read(),
        "noop": waiting.answer(),
        "heard": candidate.heard("5"),
        "poll": peer.poll(sid),
        "post": peer.post(sid, b"4x"),
    }


@CASES.case("upgrade: what is queued is flushed at once")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    candidate = probed(peer, sid)
    posts = [peer.post(sid, body) for body in (b"4one", b"4two", b"bAAEC")]
    candidate.say("5")
    return {
        "posts": [post.text for post in posts],
        "flushed": [candidate.read() for _ in range(3)],
        "heard": candidate.heard(),
    }


@CASES.case("upgrade: 2probe and 5 in one write")
def _(peer: Peer) -> Facts:
    candidate = upgrade(peer, peer.open())
    candidate.say("2probe", "5", "4a")
    return {"heard": candidate.heard()}


@CASES.case("upgrade: 2probe ahead of the 101")
def _(peer: Peer) -> Facts:
    candidate = upgrade(peer, peer.open(), early=text("2probe"))
    return {"probe": candidate.read(), "heard": candidate.heard("5")}


@CASES.case("upgrade: polling goes on during the probe")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    candidate = probed(peer, sid)
    idle = peer.poll(sid)
    post = peer.post(sid, b"4during")
    message = peer.poll(sid)
    return {
        "idle": idle,
        "post": post,
        "message": message,
        "heard": candidate.heard("5"),
    }


@CASES.case(
    "upgrade: the GET that waits when 5 comes",
    differs=named("the session is not closed, so a noop", {"poll.body": ("1", "6")}),
)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    waiting, candidate = peer.waiting(sid), upgrade(peer, sid)
    candidate.say("2probe", "5")
    return {"poll": waiting.answer(), "heard": candidate.heard()}


OUT_OF_ORDER = "out of order: the candidate is closed, the session goes on"


@CASES.case(
    "upgrade: 5 without a probe",
    differs=named(
        OUT_OF_ORDER, {"frames": ([], ["close", "end"]), "polling": (False, True)}
    ),
)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    candidate = upgrade(peer, sid)
    candidate.say("5")
    return {"frames": candidate.heard(), "polling": peer.is_alive(sid)}


@CASES.case(
    "upgrade: a second probe",
    differs=named(
        OUT_OF_ORDER,
        {"frames": (["text 3probe"], ["close", "end"]), "polling": (False, True)},
    ),
)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    candidate = probed(peer, sid)
    candidate.say("2probe", "5")
    return {"frames": candidate.heard(), "polling": peer.is_alive(sid)}


@CASES.case("upgrade: a heartbeat answered on the other transport", QUICK)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    ping = peer.poll(sid).text
    candidate = probed(peer, sid)
    candidate.say("5", "3")
    return {"ping": ping, "next": candidate.read(), "heard": candidate.heard()}


SPOILERS = {
    "a message": [text("4early")],
    "a close": [text("1")],
    "a noop": [text("6")],
    "a pong": [text("3")],
    "a ping": [text("2")],
    "another probe word": [text("2other")],
    "an unknown type": [text("9")],
    "an empty frame": [text("")],
    "binary": [frame(BINARY, b"x")],
    "a close frame": [frame(CLOSE)],
    "an unmasked frame": [frame(TEXT, b"2probe", masked=False)],
    "a message after the probe": [text("2probe"), text("4early")],
    "a close after the probe": [text("2probe"), text("1")],
}


def _spoiled(frames: list[bytes], peer: Peer) -> Facts:
    sid = peer.open()
    candidate = upgrade(peer, sid)
    for each in frames:
        candidate.send(each)
    return {"frames": candidate.rest(), **_again(peer, sid)}


def _again(peer: Peer, sid: str) -> Facts:
    """The session after a candidate was spoiled, and another attempt."""
    heard = peer.heard(sid)
    second = upgrade(peer, sid)
    second.say("2probe")
    probe = second.read()
    second.say("5")
    return {"polling": heard, "again": {"probe": probe, "heard": second.heard()}}


CASES += [
    Case(f"upgrade spoiled by {name}", partial(_spoiled, frames))
    for name, frames in SPOILERS.items()
]


def _abandoned(after_probe: bool, reset: bool, peer: Peer) -> Facts:
    sid = peer.open()
    candidate = probed(peer, sid) if after_probe else upgrade(peer, sid)
    waiting = peer.waiting(sid) if not after_probe else None
    candidate.connection.close(reset=reset)
    facts: Facts = {}
    if waiting:
        peer.post(sid, b"4still here")
        facts = {"poll": waiting.answer()}
    return {**facts, **_again(peer, sid)}


CASES += [
    Case(
        f"upgrade abandoned {'after' if after_probe else 'before'} the probe"
        f" by {'a reset' if reset else 'hanging up'}",
        partial(_abandoned, after_probe, reset),
    )
    for after_probe in (False, True)
    for reset in (False, True)
]


@CASES.case("upgrade never finished", IMPATIENT)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    return {"frames": upgrade(peer, sid).rest(), **_again(peer, sid)}


@CASES.case("upgrade never finished after its probe", IMPATIENT)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    return {"frames": probed(peer, sid).rest(), **_again(peer, sid)}


@CASES.case("a second candidate")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    first = probed(peer, sid)
    second = upgrade(peer, sid)
    frames = second.rest() if second.answer.status == 101 else None
    first.say("5")
    return {"second": second, "frames": frames, "first": first.heard()}


@CASES.case("a second WebSocket after the upgrade")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    first = probed(peer, sid)
    first.say("5")
    first.heard()
    second = upgrade(peer, sid)
    frames = second.rest() if second.answer.status == 101 else None
    return {"second": second, "frames": frames, "first": first.heard()}


@CASES.case(
    "a second WebSocket to a session on WebSocket",
    differs=named(
        "there is nothing to upgrade to", {"frame": ("text 3probe", "close")}
    ),
)
def _(peer: Peer) -> Facts:
    first = opened(peer)
    second = upgrade(peer, first.sid)
    if second.answer.status == 101:
        second.say("2probe")
    return {"second": second, "frame": second.read(), "first": first.heard()}


@CASES.case(
    "upgrades that are switched off",
    NO_UPGRADES,
    refused_upgrade("off is off", 400, "Bad request", "candidate."),
)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    candidate = upgrade(peer, sid)
    return {"candidate": candidate, "polling": peer.heard(sid)}


@CASES.case(
    "upgrade with another revision",
    differs={f"candidate.{fact}": each for fact, each in PLAIN_REFUSAL.items()},
)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    target = f"{peer.path}?EIO=3&transport=websocket&sid={sid}"
    return {"candidate": upgrade(peer, target=target), "polling": peer.heard(sid)}


@CASES.case("upgrade of a session that the server is closing")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    peer.post(sid, b"4!close")
    candidate = upgrade(peer, sid)
    return {"candidate": candidate.answer.status}


@CASES.case("the server closes during the probe")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    candidate, waiting = probed(peer, sid), peer.waiting(sid)
    peer.post(sid, b"4!close")
    polls = [waiting.answer()]
    while "1" not in polls[-1].packets and polls[-1].status == 200:
        polls.append(peer.poll(sid))
    packets = [each for poll in polls for each in poll.packets if each != "6"]
    return {"packets": packets, "frames": candidate.rest()}

"""Parity of polling and of the heartbeat: requests that wait, overlap or break off."""

from __future__ import annotations

from functools import partial

from parity import ANY_ORIGIN, QUICK, Case, Table
from parity_named import PREFLIGHT, named
from wire import Answer, Facts, Peer, request
from wire_websocket import opened

CASES = Table()


@CASES.case("a second GET while one waits")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    first = peer.waiting(sid)
    second = peer.poll(sid)
    return {"first": first.answer(), "second": second, "alive": peer.is_alive(sid)}


@CASES.case(
    "a second POST while one is arriving",
    differs=named(
        "both are answered, no socket is destroyed",
        {"first": ("connection lost", 400)},
    ),
)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    waiting, first = peer.waiting(sid), peer.connect()
    first.send(request(peer.target(sid), "POST", body=b"4" + b"x" * 99)[:-9])
    second = peer.post(sid, b"4second")
    first.send(b"x" * 9)
    return {
        "poll": waiting.answer(),
        "first": first.answer().facts()["status"],
        "second": second.status,
        "alive": peer.is_alive(sid),
    }


@CASES.case("a client that breaks off a GET")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    waiting = peer.waiting(sid)
    witness = peer.open()
    peer.post(witness, f"4!reason {sid}".encode())
    waiting.close()
    return {"reason": peer.poll(witness).text, "alive": peer.is_alive(sid)}


@CASES.case("a client that breaks off a POST")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    witness, waiting, posting = peer.open(), peer.waiting(sid), peer.connect()
    peer.post(witness, f"4!reason {sid}".encode())
    posting.send(request(peer.target(sid), "POST", body=b"4a\x1e4" + b"x" * 99)[:-9])
    posting.close()
    return {"poll": waiting.answer(), "reason": peer.poll(witness).text}


@CASES.case("a client that closes while a GET waits")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    witness, waiting = peer.open(), peer.waiting(sid)
    peer.post(witness, f"4!reason {sid}".encode())
    return {
        "post": peer.post(sid, b"1"),
        "poll": waiting.answer(),
        "reason": peer.poll(witness).text,
        "later": peer.poll(sid),
    }


@CASES.case("a server that closes while a GET waits")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    waiting = peer.waiting(sid)
    post = peer.post(sid, b"4!close")
    return {"post": post, "poll": waiting.answer(), "later": peer.poll(sid)}


@CASES.case(
    "a server that closes while no GET waits",
    differs=named("a noop before it says nothing", {"poll.body": ("6\x1e1", "1")}),
)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    post = peer.post(sid, b"4!close")
    return {"post": post, "poll": peer.poll(sid), "later": peer.poll(sid)}


def _without_noops(answers: list[Answer]) -> list[str]:
    return [each for answer in answers for each in answer.packets if each != "6"]


IN_ONE = named("the last words and the close leave together", {"polls": (2, 1)})


@CASES.case("a server that sends and closes while no GET waits", differs=IN_ONE)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    peer.post(sid, b"4!goodbye x")
    answers = [peer.poll(sid)]
    if "1" not in answers[0].packets:
        answers.append(peer.poll(sid))
    return {"polls": len(answers), "packets": _without_noops(answers)}


@CASES.case("a server that sends and closes while a GET waits", differs=IN_ONE)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    waiting = peer.waiting(sid)
    peer.post(sid, b"4!goodbye x")
    answers = [waiting.answer()]
    if "1" not in answers[0].packets:
        answers.append(peer.poll(sid))
    return {"polls": len(answers), "packets": _without_noops(answers)}


METHODS = ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")


def _method(method: str, peer: Peer) -> Facts:
    sid = peer.open()
    answer = peer.ask(peer.target(sid), method, body=b"4x")
    return {"answer": answer, "alive": peer.is_alive(sid)}


NOT_ALLOWED = named(
    "it is the client's mistake",
    {"answer.status": (500, 405), "answer.allow": (None, "GET, POST, OPTIONS")},
)
ANSWERED = named("a preflight is answered, whoever asks", {"answer.status": (500, 204)})
CASES += [
    Case(
        f"{method} with a sid",
        partial(_method, method),
        differs=ANSWERED if method == "OPTIONS" else NOT_ALLOWED,
    )
    for method in METHODS
]


@CASES.case(
    "preflight of a POST",
    ANY_ORIGIN,
    {
        **PREFLIGHT,
        **named(
            "the answer depends on no header",
            {
                "vary": ("Access-Control-Request-Headers", None),
                "access-control-allow-headers": (None, "Content-Type"),
            },
        ),
    },
)
def _(peer: Peer) -> Answer:
    headers = ["Origin: http://a.example", "Access-Control-Request-Method: POST"]
    return peer.ask(peer.target(peer.open()), "OPTIONS", headers)


@CASES.case("another transport than the session's")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    target = f"{peer.path}?EIO=4&transport=websocket&sid={sid}"
    return {"get": peer.ask(target), "alive": peer.is_alive(sid)}


@CASES.case("polling a WebSocket session")
def _(peer: Peer) -> Facts:
    websocket = opened(peer)
    poll, post = peer.poll(websocket.sid), peer.post(websocket.sid, b"4x")
    return {"poll": poll, "post": post, "heard": websocket.heard()}


def _other_revision(revision: str, method: str, peer: Peer) -> Facts:
    sid = peer.open()
    target = f"{peer.path}?transport=polling&sid={sid}{revision}"
    return {"answer": peer.ask(target, method, body=b"4x"), "alive": peer.is_alive(sid)}


CASES += [
    Case(
        f"{method} with {revision or 'no EIO'}",
        partial(_other_revision, revision, method),
    )
    for method in ("GET", "POST")
    for revision in ("&EIO=3", "", "&EIO=5")
]


@CASES.case(
    "pipelined requests are answered in order",
    differs=named(
        "they are taken one by one; the reference sees them overlap",
        {
            "statuses": (["connection lost"] * 5, [200, 200, 200, 400, 200]),
            "polls": ([""] * 2, ["4one", "4two"]),
        },
    ),
)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    connection = peer.connect()
    post, poll = peer.target(sid), peer.target(sid)
    connection.send(
        request(post, "POST", body=b"4one")
        + request(poll)
        + request(post, "POST", body=b"4two")
        + request("/engine.io/?EIO=4&transport=tcp")
        + request(poll)
    )
    answers = [connection.answer() for _ in range(5)]
    return {
        "statuses": [answer.facts()["status"] for answer in answers],
        "polls": [answers[1].text, answers[4].text],
    }


@CASES.case("requests that share a connection")
def _(peer: Peer) -> Facts:
    connection = peer.connect()
    connection.request(peer.target())
    sid = connection.answer().sid
    connection.request(peer.target(sid), "POST", body=b"4one")
    post = connection.answer()
    connection.request(peer.target("unknown"))
    error = connection.answer()
    connection.request(peer.target(sid))
    return {"post": post, "error": error, "poll": connection.answer()}


@CASES.case("POST that expects 100-continue")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    connection = peer.connect()
    head = request(peer.target(sid), "POST", ["Expect: 100-continue"], b"4x")[:-2]
    connection.send(head)
    first = connection.answer()
    connection.send(b"4x")
    return {"first": first.status, "then": connection.answer()}


@CASES.case("POST of HTTP/1.0")
def _(peer: Peer) -> Facts:
    sid = peer.open()
    connection = peer.connect()
    connection.send(request(peer.target(sid), "POST", body=b"4x", version="HTTP/1.0"))
    status, end = connection.answer().status, connection.file.read()
    return {"status": status, "end": end, "heard": peer.heard(sid)}


ENCODINGS = ("gzip, br", "deflate", "br", "identity", "*", "gzip;q=0", "", "GZIP")


def _encoded(size: int, encoding: str, peer: Peer) -> Facts:
    sid = peer.open()
    peer.post(sid, b"4" + b"x" * (size - 1))
    answer = peer.ask(peer.target(sid), headers=[f"Accept-Encoding: {encoding}"])
    return {
        "content-encoding": answer.headers.get("content-encoding"),
        "text": answer.decoded,
    }


CASES += [
    Case(f"{size} bytes in {encoding!r}", partial(_encoded, size, encoding))
    for size, encoding in [(1023, "gzip"), *[(1024, each) for each in ENCODINGS]]
]


@CASES.case("pings are polled, pongs posted", QUICK)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    polls = []
    for _ in range(3):
        polls.append(peer.poll(sid).text)
        peer.post(sid, b"3")
    return {"polls": polls, "alive": peer.is_alive(sid)}


@CASES.case("a ping waits for the GET that fetches it", QUICK)
def _(peer: Peer) -> Facts:
    sid, witness = peer.open(), peer.open()
    peer.post(witness, f"4!reason {sid}".encode())
    reasons: list[str] = []
    while not reasons:
        packets = peer.poll(witness).packets
        if "2" in packets:
            peer.post(witness, b"3")
        reasons = [packet for packet in packets if packet.startswith("4")]
    return {"reason": reasons}


@CASES.case("a ping that stays unanswered", QUICK)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    return {"first": peer.poll(sid), "then": peer.poll(sid), "later": peer.poll(sid)}


@CASES.case("WebSocket: a ping that stays unanswered", QUICK)
def _(peer: Peer) -> Facts:
    return {"frames": opened(peer).rest()}


@CASES.case("WebSocket: pings and pongs", QUICK)
def _(peer: Peer) -> Facts:
    websocket = opened(peer)
    frames = []
    for _ in range(3):
        frames.append(websocket.read())
        websocket.say("3")
    return {"frames": frames, "heard": websocket.heard()}

"""Parity of JSONP in both revisions, and of the cookie."""

from __future__ import annotations

import json
from functools import partial
from urllib.parse import quote, quote_plus

from parity import COOKIE, JSONP, JSONP_3, JSONP_ORIGIN, PLAIN, Case, Table
from parity_named import (
    BAD_REQUEST,
    JSON,
    OPENED,
    PLAIN_TEXT,
    UNDECODABLE,
    UNKNOWN_TRANSPORT,
    Differences,
    named,
)
from wire import Answer, Facts, Peer
from wire_websocket import upgrade

CASES = Table()

FORM = ["Content-Type: application/x-www-form-urlencoded"]

SCRIPT = named(
    "it is a script, and nothing else",
    {
        "content-type": (PLAIN_TEXT, "text/javascript; charset=UTF-8"),
        "x-content-type-options": (None, "nosniff"),
    },
)


def _script(of: str) -> Differences:
    """The differences of an answer that is a script."""
    return {f"{of}.{fact}": each for fact, each in SCRIPT.items()}


POLL = _script("poll")
ESCAPED = "what could end a script is escaped, too"

INDEXES = ("0", "12", "", "-1", "1.5", "x", "0x1", "1);alert(1", "%D9%A4", "9" * 17)


def _handshake(index: str, peer: Peer) -> Answer:
    return peer.ask(peer.target(more=f"&j={index}"))


def _index_differs(index: str) -> Differences:
    if index in ("0", "12"):
        return SCRIPT
    digits = "".join(each for each in index if each in "0123456789")
    digits = "" if "%" in index else digits
    there = json.dumps(OPENED)
    return named(
        "an index is a few digits",
        {
            "status": (200, 400),
            "body": (f"___eio[{digits}]({there});", BAD_REQUEST),
            "content-type": (PLAIN_TEXT, JSON),
        },
    )


CASES += [
    Case(
        f"JSONP: handshake with j={index}",
        partial(_handshake, index),
        JSONP,
        differs=_index_differs(index),
    )
    for index in INDEXES
]


@CASES.case(
    "JSONP: handshake where it is off",
    PLAIN,
    named(
        "any page may load a script, so the operator must ask for it",
        {
            "status": (200, 400),
            "body": (f"___eio[0]({json.dumps(OPENED)});", UNKNOWN_TRANSPORT),
            "content-type": (PLAIN_TEXT, JSON),
        },
    ),
)
def _(peer: Peer) -> Answer:
    return peer.ask(peer.target(more="&j=0"))


@CASES.case("JSONP: handshake of revision 3", JSONP_3, SCRIPT)
def _(peer: Peer) -> Answer:
    return peer.ask(f"{peer.path}?EIO=3&transport=polling&j=0&b64=1")


@CASES.case("JSONP: handshake from another origin", JSONP_ORIGIN, SCRIPT)
def _(peer: Peer) -> Answer:
    headers = ["Origin: http://app.example"]
    return peer.ask(peer.target(more="&j=0"), headers=headers)


def _form(text: str) -> bytes:
    """A form as the client makes it: ``polling-jsonp.js`` of engine.io-client."""
    escaped = text.replace("\\n", "\\\n").replace("\n", "\\n")
    return b"d=" + quote_plus(escaped).encode()


TEXTS = {
    "a message": "hello",
    "an empty message": "",
    "quotes": "\"'`",
    "a backslash": "\\",
    "backslashes": "a\\b\\\\c\\t",
    "a newline": "a\nb",
    "newlines": "\n\n",
    "a backslash and an n": "a\\nb",
    "a backslash, a backslash and an n": "a\\\\nb",
    "a backslash and a newline": "a\\\nb",
    "a tab and a NUL": "\t\0",
    "line separators": "\u2028\u2029",
    "the end of a script": "</script><!--",
    "characters": "é€😀",
    "a plus and a percent": "1 + 1 = 200%25 & more",
}


def _echo(text: str, revision: int, peer: Peer) -> Facts:
    peer.revision = revision
    sid = peer.open("&j=3")
    body = _form(peer.payload(f"4{text}").decode())
    post = peer.ask(peer.target(sid, "&j=3"), "POST", FORM, body)
    return {"post": post, "poll": peer.ask(peer.target(sid, "&j=3"))}


def _echo_differs(name: str, revision: int) -> Differences:
    if name != "the end of a script":
        return POLL
    there = {4: "4</script><!--", 3: "14:4</script><!--"}[revision]
    here = there.replace("<", "\\u003c")
    bodies = f'___eio[3]("{there}");', f'___eio[3]("{here}");'
    return {**POLL, **named(ESCAPED, {"poll.body": bodies})}


CASES += [
    Case(
        f"JSONP: echo of {name}, revision {revision}",
        partial(_echo, text, revision),
        JSONP_3,
        _echo_differs(name, revision),
    )
    for name, text in TEXTS.items()
    for revision in (4, 3)
]

FORMS = {
    "no field": b"",
    "another field": b"e=4a",
    "other fields, too": b"e=1&d=4a&f=2",
    "the field twice": b"d=4a&d=4b",
    "bad percents": b"d=4%zz",
    "half a character": b"d=4%F0%9F",
    "the field's name encoded": b"%64=4a",
    "no form": b"4a",
    "an unknown type": b"d=9",
    "a close": b"d=1",
    "binary": b"d=bAAEC",
    "binary with an encoded plus": b"d=b" + quote("+/8=", safe="").encode(),
}


def _posted(body: bytes, peer: Peer) -> Facts:
    sid = peer.open("&j=0")
    target = peer.target(sid, "&j=0")
    post = peer.ask(target, "POST", FORM, body)
    alive = peer.ask(target, "POST", FORM, b"d=4the end").status == 200
    return {"post": post, "heard": peer.ask(target).text if alive else "gone"}


def _forgiven(there: str) -> Differences:
    """The differences of a form that the reference reads all the same."""
    return UNDECODABLE | named(
        "a form that is not well encoded, with one field, is not ok",
        {"heard": (f'___eio[0]("{there}");', "gone")},
    )


FORM_DIFFERS = {
    "no field": _forgiven("4the end"),
    "another field": _forgiven("4the end"),
    "the field twice": _forgiven("4the end"),
    "bad percents": _forgiven("4%zz\\u001e4the end"),
    "half a character": _forgiven("4\ufffd\\u001e4the end"),
    "no form": _forgiven("4the end"),
    "an unknown type": UNDECODABLE,
}
CASES += [
    Case(
        f"JSONP: POST {name}",
        partial(_posted, body),
        JSONP,
        differs=FORM_DIFFERS.get(name, {}),
    )
    for name, body in FORMS.items()
]


def _polled(more: str, peer: Peer) -> Facts:
    sid = peer.open("&j=0")
    peer.ask(peer.target(sid, "&j=0"), "POST", FORM, b"d=4a")
    return {"poll": peer.ask(peer.target(sid, more))}


CASES += [
    Case(
        f"JSONP: GET with {more!r} in a session with j=0",
        partial(_polled, more),
        JSONP,
        differs=POLL,
    )
    for more in ("&j=0", "&j=1", "")
]


@CASES.case("JSONP: j on the way of a session without", JSONP)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    post = peer.ask(peer.target(sid, "&j=0"), "POST", body=b"4a")
    return {"post": post, "poll": peer.ask(peer.target(sid, "&j=0"))}


@CASES.case("JSONP: a large answer is compressed", JSONP)
def _(peer: Peer) -> Facts:
    sid = peer.open("&j=0")
    body = b"d=4" + b"x" * 2000
    peer.ask(peer.target(sid, "&j=0"), "POST", FORM, body)
    target = peer.target(sid, "&j=0")
    answer = peer.ask(target, headers=["Accept-Encoding: gzip"])
    encoding = answer.headers.get("content-encoding")
    return {"encoding": encoding, "text": answer.decoded}


@CASES.case("JSONP: the server closes while a GET waits", JSONP, differs=POLL)
def _(peer: Peer) -> Facts:
    sid = peer.open("&j=0")
    waiting = peer.waiting(sid, "&j=0")
    peer.ask(peer.target(sid, "&j=0"), "POST", FORM, b"d=4!close")
    return {"poll": waiting.answer()}


@CASES.case("JSONP: upgrade", JSONP, differs=_script("noop"))
def _(peer: Peer) -> Facts:
    sid = peer.open("&j=0")
    waiting, candidate = peer.waiting(sid, "&j=0"), upgrade(peer, sid)
    candidate.say("2probe")
    return {
        "probe": candidate.read(),
        "noop": waiting.answer(),
        "heard": candidate.heard("5"),
    }


@CASES.case("cookie: handshake", COOKIE)
def _(peer: Peer) -> Answer:
    return peer.ask(peer.target())


@CASES.case("cookie: later answers", COOKIE)
def _(peer: Peer) -> Facts:
    sid = peer.open()
    return {"post": peer.post(sid, b"4a"), "poll": peer.poll(sid)}


@CASES.case(
    "cookie: WebSocket",
    COOKIE,
    named(
        "who begins with WebSocket may meet a load balancer, too",
        {"handshake.set-cookie": (None, "io=SID; Path=/; HttpOnly; SameSite=Lax")},
    ),
)
def _(peer: Peer) -> Facts:
    return {"handshake": upgrade(peer)}


@CASES.case("cookie: upgrade", COOKIE)
def _(peer: Peer) -> Facts:
    return {"handshake": upgrade(peer, peer.open())}


@CASES.case("cookie: refusals", COOKIE)
def _(peer: Peer) -> Facts:
    return {
        "unknown": peer.poll("x"),
        "denied": peer.ask(peer.target(more="&deny=no")),
        "bad": peer.ask(f"{peer.path}?EIO=5&transport=polling"),
    }

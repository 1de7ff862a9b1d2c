"""
Whatever a request asks for, it gets a clean answer that echoes nothing, or none.

For any method, query and headers, alone or with a session's id, through a real site:

* each answer has a status that we give, headers that we know, with values that no input
  can break out of, and one of a few bodies: an error of the protocol, or an open packet
  of a session that is there now;
* a well-formed handshake is refused with exactly the code that ``judged`` finds, which
  is the order of the checks written down once more, or it opens exactly one session;
* whatever is refused leaves the session that is there unharmed;
* nothing is logged as an error, and when the client is gone no timer is left.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from fuzzing.answers import Answer, read_answers
from fuzzing.house import CONFIGS, HOST, KNOWN, UPGRADE, House, calm
from fuzzing.script import Script
from twisted_engineio import Application, CloseReason, Config

METHODS = (b"GET", b"POST", b"OPTIONS", b"PUT", b"HEAD", b"DELETE", b"get", b"G\xffT")
TOKENS = (
    *(b"EIO=4", b"EIO=3", b"&transport=", b"polling", b"websocket", b"sse", b"&sid="),
    *(b"known", b"&j=", b"&b64=1", b"&lastEventId=", b"%0d%0a", b"__proto__"),
    *(
        b"\nOrigin: ",
        b"https://listed.example",
        b"http://example.com",
        b"\nCookie: a=b",
    ),
    *(b"\nReferer: ", b"\nLast-Event-ID: known.0", b"\nX-Forwarded-For: "),
    *(b"\nX-Forwarded-Host: ", b"\nForwarded: for=", b"\nUpgrade: websocket"),
    *(b"\nSec-WebSocket-Key: ", b"\nTransfer-Encoding: chunked", b"\nContent-Length: "),
    *(b"\nExpect: 100-continue", b"\nConnection: close", b"\nAccept-Encoding: gzip"),
)

PLAIN_QUERY = re.compile(rb"[!-~]{0,200}")
PLAIN_LINE = re.compile(rb"(?:Origin|Cookie|X-[A-Za-z]{1,9}): ?[!-~]{1,99}")
HEADERS = re.compile(
    r"server|date|content-(?:type|length|encoding)|transfer-encoding|cache-control"
    r"|vary|access-control-[a-z-]+|allow|connection|upgrade|sec-websocket-[a-z-]+"
    r"|x-content-type-options|x-accel-buffering|x-powered-by"
)
STATUSES = {100, 101, 200, 204, 400, 403, 404, 405, 413, 426, 501}
ERRORS = (
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Forbidden",
    "Unsupported protocol version",
)
BODIES = {
    b"",
    b"ok",
    *(b'{"code":%d,"message":"%b"}' % (n, e.encode()) for n, e in enumerate(ERRORS)),
    *(each.encode() for each in ERRORS),
    b"11\r\nretry: 1000\n:ok\n\n\r\n",  # a stream that is a candidate
}


class Host(Application):
    """A server that opens to everybody, and tells why the known session ended."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._house = House(self, config)
        self._reasons: list[CloseReason] = []

    def session_closed(self, session: Any, reason: CloseReason) -> None:
        """Keep why the session that was there before ended."""
        if session.sid == KNOWN:
            self._reasons.append(reason)

    def serve(
        self, request: bytes, *, with_session: bool
    ) -> tuple[bytes, set[str], list[CloseReason]]:
        """
        Serve one connection, from its first byte to its end.

        Args:
            request: What the client sends.
            with_session: Whether there is a session that it may know.

        Returns:
            All that was written, the ids of the sessions that were opened, and why that
            one ended, if it did.

        """
        self._reasons.clear()
        house = self._house
        wire = house.begin(with_session=with_session)
        wire.protocol.dataReceived(request)
        house.clock.advance(0.001)
        fresh, reasons = set(house.server.sessions) - {KNOWN}, list(self._reasons)
        kept = KNOWN in house.server.sessions
        assert kept == (with_session and not reasons)
        written = wire.value()
        house.end(wire)
        return written, fresh, reasons


HOSTS = tuple(map(Host, CONFIGS))


def check(data: bytes) -> None:
    """Make a request of a script, and judge what becomes of it."""
    script = Script(data)
    options = script.byte()
    query, *lines = script.rest().split(b"\n")
    method = METHODS[options & 7]
    host = HOSTS[options >> 3 & 1]
    upgrade, with_session = bool(options & 16), bool(options & 32)
    body = b"4from the client" if method == b"POST" else b""
    head = [
        b"%b /engine.io/?%b HTTP/1.1" % (method, query),
        b"Host: " + HOST,
        *(UPGRADE if upgrade else ()),
        *lines,
        b"Content-Length: %d" % len(body),
    ]
    request = b"\r\n".join(head) + b"\r\n\r\n" + body
    with calm():
        written, fresh, reasons = host.serve(request, with_session=with_session)
    answers = read_answers(written, to_head=method == b"HEAD")
    for answer in answers:
        _check_answer(answer, data)
    assert len(fresh) <= sum(each.status in (101, 200) for each in answers)
    if answers and answers[-1].status in (403, 404, 405, 413):
        assert not reasons
    if _is_well_formed(query, lines):
        expected = judged(method, query, lines, upgrade, host.config)
        _check_judgement(expected, answers, fresh)


def _check_answer(answer: Answer, data: bytes) -> None:
    assert answer.status in STATUSES, answer
    for name, value in answer.headers:
        assert HEADERS.fullmatch(name), answer
        if name == "access-control-allow-origin":
            assert value.encode("latin-1") in data  # the one thing that is echoed
        elif name != "sec-websocket-protocol":  # the one that the client asked for
            assert re.fullmatch(r"[ -~]{0,120}", value), answer
    if answer.status == 101 or answer.body in BODIES:
        return
    assert answer.status == 200, answer
    opened = re.search(rb'0\{\\?"sid.*?\}', answer.body)
    assert opened is not None, answer
    said = json.loads(opened[0][1:].replace(b"\\", b""))
    assert set(said) >= {"sid", "upgrades", "pingInterval", "pingTimeout"}
    assert re.fullmatch(r"sid-\d+|known", said["sid"])


def _is_well_formed(query: bytes, lines: list[bytes]) -> bool:
    return (
        bool(PLAIN_QUERY.fullmatch(query))
        and b"#" not in query
        and all(map(PLAIN_LINE.fullmatch, lines))
        and len({each.partition(b":")[0] for each in lines}) == len(lines)
    )


def _check_judgement(
    expected: int | None, answers: list[Answer], fresh: set[str]
) -> None:
    if expected is None:
        return
    (answer,) = answers
    if expected < 0:
        assert answer.status in (101, 200), answer
        assert len(fresh) == 1
    else:
        assert answer.status == (403 if expected == 4 else 400), answer
        assert ERRORS[expected].encode() in answer.body or not answer.body
        assert not fresh


def judged(
    method: bytes, query: bytes, lines: list[bytes], upgrade: bool, config: Config
) -> int | None:
    """
    Judge a handshake by the protocol's order of checks.

    Returns:
        The code of its refusal, -1 if it opens a session, ``None`` if this does not
        know: it is no handshake, or asks for what isn't written here.

    """
    fields = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    headers = {
        name.lower(): value.strip().decode()
        for name, _, value in (each.partition(b":") for each in lines)
    }
    transport, origin = fields.get("transport", ""), headers.get(b"origin")
    websocket = upgrade and method == b"GET"
    if method in (b"OPTIONS", b"HEAD", METHODS[7]):
        return None
    if {b"x-forwarded-host", b"cookie"} & set(headers) or fields.get("lastEventId"):
        return None
    index = fields.get("j") if transport == "polling" else None
    if transport not in config.transports or (index is not None and not config.jsonp):
        return 0
    if origin is not None and origin.lower() not in (
        "http://example.com",
        "https://example.com",
        "http://example.com:80",
        "https://example.com:443",
        *config.cors,
    ):
        return None if "example" in origin.lower() else 4
    if fields.get("sid"):
        return None if fields["sid"] == KNOWN else 1
    if method != b"GET":
        return 2
    if websocket is not (transport == "websocket"):
        return 3
    if index is not None and not re.fullmatch("[0-9]{1,16}", index):
        return 3
    allowed = ("4", "3", None) if config.allow_eio3 else ("4",)
    eio = fields.get("EIO")
    if eio not in allowed or (transport == "sse" and eio != "4"):
        return 5
    return -1

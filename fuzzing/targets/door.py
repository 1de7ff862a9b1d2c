"""
The door lets in whom twisted.web would let in, tells the same, and passes on the rest.

Two sites on equal servers, one with the door and one without, are sent the same bytes,
cut at the same places, for an application that accepts, refuses, or thinks about it,
and a client that may leave meanwhile. Then:

* what was written, up to the order of headers, the sessions that are there, and what
  the application was told, from the client's address to the messages, are the same;
* nothing is logged as an error, and when the client is gone no timer is left.

Only requests that ask for no body are sent, and no Date is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from fuzzing.house import CONFIGS, HOST, UPGRADE, House, calm
from fuzzing.script import Script
from fuzzing.targets.handshake import TOKENS
from twisted_engineio import Application, Config, Handshake, Reject

__all__ = ["TOKENS", "check"]

QUERY = b"EIO=4&transport=websocket"
DATE = b"date: "


class Side(Application):
    """One of the two, and all that can be seen of it."""

    def __init__(self, config: Config, *, door: bool) -> None:
        self._house = House(self, config, door=door)
        self.told: list[object] = []
        self.thinking: list[Deferred[None]] = []

    def admit(self, handshake: Handshake) -> object:
        """Accept, think about it, or refuse; as the script says."""
        self.told.append(_plain(handshake))
        if self.mood & 2:
            self.thinking.append(Deferred().addCallback(self._decide))
            return self.thinking[-1]
        return self._decide(None)

    def _decide(self, _: object) -> None:
        if self.mood & 1:
            code = 4001 if self.mood & 4 else None
            raise Reject(418, "No tea", headers={"X-Tea": "no"}, close_code=code)

    def session_opened(self, session: Any) -> None:
        """Keep that a session opened."""
        self.told.append(("opened", session.sid))

    def message_received(self, session: Any, data: str | bytes) -> None:
        """Keep a message, and send it back."""
        self.told.append(data)
        session.send(data)

    def session_closed(self, session: Any, reason: object) -> None:
        """Keep why a session ended."""
        self.told.append(reason)

    def serve(self, pieces: list[bytes], mood: int, with_session: bool) -> object:
        """
        Serve one connection, from its first byte to its end.

        Args:
            pieces: What the client sends.
            mood: 1 if the application refuses, 2 if it thinks before, 4 if it refuses
                with a close code, 8 if the client leaves before it has decided.
            with_session: Whether there is a session that the client may know.

        Returns:
            All that could be seen.

        """
        self.mood = mood
        self.told.clear()
        house = self._house
        wire = house.begin(with_session=with_session)
        for piece in pieces:
            if not wire.disconnecting:
                wire.protocol.dataReceived(piece)
        if not mood & 8:
            for each in self.thinking:
                each.callback(None)
        house.clock.advance(0.001)
        house.clock.advance(0.001)  # a turn for whoever was let in by the first
        sessions = {
            sid: (each.transport.name, each.probe is not None)
            for sid, each in house.server.sessions.items()
        }
        written = _canonical(wire.value())
        seen = (list(self.told), sessions, wire.disconnecting, written)
        house.end(wire)
        self.thinking.clear()  # an error that nobody has handled is logged now
        return seen


def _plain(handshake: Handshake) -> list[object]:
    """Give all that an application can see of a handshake, as one can compare it."""
    values = [getattr(handshake, each) for each in Handshake.__dataclass_fields__]
    return [dict(each) if isinstance(each, Mapping) else each for each in values]


def _canonical(written: bytes) -> list[object]:
    """Give what was written, the headers of the first answer sorted."""
    head, end, rest = written.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    kept = [each for each in lines if not each.lower().startswith(DATE)]
    return [line, sorted(kept), end, rest]


SIDES = [(Side(each, door=True), Side(each, door=False)) for each in CONFIGS]


def check(data: bytes) -> None:
    """Send what a script says to both."""
    script = Script(data)
    options, mood, cut = script.byte(), script.byte(), script.byte()
    said, _, behind = script.rest().partition(b"\n\n")
    query, *lines = said.split(b"\n")
    if options & 4:
        query = QUERY + query
    target = query if options & 8 else b"/engine.io/?" + query
    head = [b"GET %b HTTP/1.1" % target]
    head += [b"Host: " + HOST] if options & 16 else []
    head += UPGRADE if options & 32 else []
    request = b"\r\n".join([*head, *lines, b"", b""]) + behind
    if b"content-length" in request.lower() or b"chunked" in request.lower():
        return
    pieces = [request[:cut], request[cut:]] if cut else [request]
    with calm():
        door, plain = (
            each.serve([piece for piece in pieces if piece], mood, bool(options & 2))
            for each in SIDES[options & 1]
        )
    assert door == plain, (door, plain)

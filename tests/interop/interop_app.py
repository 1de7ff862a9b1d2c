"""
The application that the interop tests talk to: an echo that takes commands.

A message that begins with an exclamation mark is a command; every other one comes back
as it was sent. reference.mjs does the same with the reference server.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from twisted.internet import defer, task

from twisted_engineio import Application, CloseReason, Reject, Session, SessionClosed


class App(Application):
    """An echo with commands; each is a method of this class."""

    def __init__(self) -> None:
        self._reasons: dict[str, CloseReason] = {}
        self._witnesses: dict[str, list[Session]] = {}

    def admit(self, handshake: Any) -> defer.Deferred[None] | None:
        """Refuse who says ``deny=``, keep ``slow=`` milliseconds waiting."""
        query = handshake.query
        if "deny" in query:
            raise Reject(403, query["deny"])
        if "slow" in query:
            return _later(int(query["slow"]) / 1000)
        return None

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Obey a command, or echo."""
        if isinstance(data, bytes) or not data.startswith("!"):
            session.send(data)
            return
        name, _, rest = data[1:].partition(" ")
        getattr(self, f"_do_{name}")(session, rest)

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """Remember the reason, and tell those who have asked for it."""
        self._reasons[session.sid] = reason
        for witness in self._witnesses.pop(session.sid, ()):
            with contextlib.suppress(SessionClosed):
                witness.send(reason.value)

    def _do_close(self, session: Session, _: str) -> None:
        session.close()

    def _do_nothing(self, session: Session, _: str) -> None:
        pass

    def _do_goodbye(self, session: Session, text: str) -> None:
        session.send(text)
        session.close()

    def _do_numbers(self, session: Session, count: str) -> None:
        _send_numbers(session, 0, int(count))

    def _do_who(self, session: Session, _: str) -> None:
        seen = session.handshake
        who = {"address": seen.client_address, "secure": seen.is_secure}
        session.send(json.dumps(who))

    def _do_sweep(self, session: Session, _: str) -> None:
        # Sessions whose clients are gone would keep a server that stops waiting.
        for each in list(session.server.sessions.values()):
            each.abort()

    def _do_reason(self, session: Session, sid: str) -> None:
        if sid in self._reasons:
            session.send(self._reasons[sid].value)
        else:
            self._witnesses.setdefault(sid, []).append(session)


def _later(seconds: float) -> defer.Deferred[None]:
    from twisted.internet import reactor

    return task.deferLater(reactor, seconds)


def _send_numbers(session: Session, number: int, count: int) -> None:
    """One number a millisecond, so that an upgrade falls between them."""
    if number < count:
        session.send(f"n{number}")
        _later(0.001).addCallback(lambda _: _send_numbers(session, number + 1, count))

"""
The server's side of the soak: an application that talks back, counts, and tells.

``twistd engineio --app soak.application:Soak`` runs it in a process of its own. It
writes a ledger line for each session that is over, and answers on a UNIX socket what
only the process itself can know: how many delayed calls and objects there are.

The environment gives it its folder, ``SOAK_FOLDER``, its seed, ``SOAK_SEED``, and the
seconds between two messages of a client, ``SOAK_PAUSE``.
"""

from __future__ import annotations

import enum
import gc
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import LoopingCall, deferLater
from twisted.protocols.basic import LineOnlyReceiver

from soak.filling import FILL, fill
from soak.plan import chance_of
from soak.words import (
    EVERYBODY,
    Bodies,
    Heard,
    Mark,
    Spoilt,
    Stream,
    make,
    read,
)
from twisted_engineio import Application, CloseReason, Session, SessionClosed

reactor: Any = global_reactor

TICK = 0.1
PUSHED = 3.0
"""Pauses of a client after which it is sent something of the server's own accord."""
CAST = 1.0
"""Pauses of a client between two broadcasts."""
FLOOD = 64
FLOOD_BODY = 48_000
LAST_BODY = 24_000
"""Characters or bytes: more than a socket is given before it counts as full, and little
enough that two of them leave with the goodbye behind them, if anything does."""
WATCHED = ("twisted_engineio.", "twisted.web.http", "twisted.internet.tcp")


class Talking(enum.Enum):
    """What is going on with a session."""

    FREELY = "freely"
    FULL = "full"  # nothing more until it has drained
    DONE = "done"  # the last message is sent


class Talk:
    """A session's numbers."""

    __slots__ = (
        *("who", "slow", "chance", "talking", "sent", "heard", "spoilt"),
        *("cast_first", "cast_certain"),
    )

    def __init__(self, who: str, slow: bool, seed: int, cast_first: int) -> None:
        self.who = who
        self.slow = slow
        self.chance = chance_of(seed, f"{who}/server")
        self.talking = Talking.FREELY
        self.sent = 0
        self.heard = Heard()
        self.spoilt: list[str] = []
        self.cast_first = cast_first
        self.cast_certain: int | None = None


class Soak(Application):
    """Talks to everybody, and keeps the books."""

    def __init__(self) -> None:
        folder = Path(os.environ["SOAK_FOLDER"])
        self.seed = int(os.environ["SOAK_SEED"])
        self.pause = float(os.environ["SOAK_PAUSE"])
        self.chance = random.Random(f"{self.seed}/application")
        self.bodies = Bodies(self.chance)
        self.ledger = (folder / "server.jsonl").open("w", buffering=1)
        self.sessions: dict[str, Session] = {}
        self.casts = 0
        self.sent = 0
        self.received = 0
        self._pushing = LoopingCall(self._push)
        self._casting = LoopingCall(self._cast)
        control = Factory.forProtocol(Control)
        control.application = self
        endpoint = UNIXServerEndpoint(reactor, str(folder / "control"))
        reactor.callWhenRunning(endpoint.listen, control)
        reactor.callWhenRunning(self._pushing.start, TICK)
        reactor.callWhenRunning(self._casting.start, CAST * self.pause)

    def hush(self) -> None:
        """Say nothing more of its own accord."""
        for each in (self._pushing, self._casting):
            if each.running:
                each.stop()

    # The house's side.

    def session_opened(self, session: Session) -> None:
        """Begin to count."""
        query = session.handshake.query
        who = query.get("who")
        if who is None:  # an attacker: it has no ledger
            if FILL in query:
                fill(session)
            return
        session.data = Talk(who, "slow" in query, self.seed, self.casts)
        self.sessions[who] = session

    def message_received(self, session: Session, data: str | bytes) -> object:
        """Log it, and say something back; now and then take a while for it."""
        talk: Talk | None = session.data
        if talk is None:
            session.send(data)
            return None
        self.received += 1
        try:
            word = read(talk.who, data)
        except Spoilt as spoilt:
            talk.spoilt.append(str(spoilt))
            return None
        talk.heard.add(word.number)
        chance = talk.chance
        if word.mark is not Mark.PLAIN:
            self._say_last(session, talk)
            if word.mark is Mark.HANG_UP:
                session.close()
            return None
        self._say_some(session, talk, chance.choice((0, 1, 1, 1, 2, 4)))
        if chance.random() < 0.02:
            return deferLater(reactor, chance.uniform(0, 0.3), lambda: None)
        return None

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """Write the ledger's line."""
        talk: Talk | None = session.data
        if talk is None:
            return
        del self.sessions[talk.who]
        certain = self.casts if talk.cast_certain is None else talk.cast_certain
        line = {
            "who": talk.who,
            "reason": reason.value,
            "transport": session.transport.name,
            "sent": talk.sent,
            "casts": [talk.cast_first, certain, self.casts],
            "up": talk.heard.runs,
            "spoilt": talk.spoilt,
        }
        self.ledger.write(json.dumps(line) + "\n")

    # What it says.

    def _say_some(self, session: Session, talk: Talk, count: int) -> None:
        if talk.talking is not Talking.FREELY or not count:
            return
        if talk.chance.random() < 0.3:
            bodies = (self.bodies.draw(talk.chance) for _ in range(count))
            messages = [
                make(talk.who, Stream.DOWN, number, body)
                for number, body in enumerate(bodies, talk.sent)
            ]
            talk.sent += count
            self.sent += count
            room = session.send_many(messages)
        else:
            room = True
            for _ in range(count):
                room = self._say(session, talk, self.bodies.draw(talk.chance))
        if not room:
            self._wait(session, talk)

    def _say(
        self, session: Session, talk: Talk, body: str | bytes, mark: Mark = Mark.PLAIN
    ) -> bool:
        room = session.send(make(talk.who, Stream.DOWN, talk.sent, body, mark))
        talk.sent += 1
        self.sent += 1
        return room

    def _wait(self, session: Session, talk: Talk) -> None:
        talk.talking = Talking.FULL
        session.drained().addCallbacks(
            lambda _: self._go_on(talk), lambda failure: failure.trap(SessionClosed)
        )

    def _go_on(self, talk: Talk) -> None:
        if talk.talking is Talking.FULL:
            talk.talking = Talking.FREELY

    def _say_last(self, session: Session, talk: Talk) -> None:
        """Say the last message, now and then behind so much that it has to wait."""
        talk.talking = Talking.DONE
        talk.cast_certain = self.casts
        for _ in range(talk.chance.choice((0, 0, 0, 0, 1, 2))):
            self._say(session, talk, self.bodies.cut(talk.chance, LAST_BODY))
        self._say(session, talk, "", Mark.LAST)

    def _flood(self, session: Session, talk: Talk) -> None:
        """Send a slow reader more than its socket takes, but not without end."""
        for _ in range(FLOOD):
            if not self._say(session, talk, self.bodies.cut(talk.chance, FLOOD_BODY)):
                self._wait(session, talk)
                return

    def _push(self) -> None:
        chance = self.chance
        everybody = list(self.sessions.values())
        share = len(everybody) * TICK / (PUSHED * self.pause)
        for session in chance.sample(everybody, int(share + chance.random())):
            talk: Talk = session.data
            if session.state.value != "open" or talk.talking is not Talking.FREELY:
                continue
            if talk.slow:
                self._flood(session, talk)
            elif chance.random() < 0.2:
                body = self.bodies.draw(talk.chance)
                message = make(talk.who, Stream.DOWN, talk.sent, body)
                went = session.send(message, volatile=True)
                talk.sent += went
                self.sent += went
            else:
                self._say_some(session, talk, chance.choice((1, 1, 2, 6)))

    def _cast(self) -> None:
        if not self.sessions:
            return
        session = next(iter(self.sessions.values()))
        body = self.bodies.draw(self.chance)
        message = make(EVERYBODY, Stream.CAST, self.casts, body)
        self.casts += 1
        self.sent += len(self.sessions)
        session.server.broadcast(message)


class Control(LineOnlyReceiver):
    """One question a line, answered by a line of JSON."""

    delimiter = b"\n"
    factory: Any

    def lineReceived(self, line: bytes) -> None:
        """Answer."""
        application: Soak = self.factory.application
        if line == b"hush":
            application.hush()
        if line == b"collect":
            gc.collect()
        facts: dict[str, Any] = {
            "sessions": len(application.sessions),
            "delayed": len(reactor.getDelayedCalls()),
            "sent": application.sent,
            "received": application.received,
        }
        if line == b"collect":
            facts["kinds"] = kinds()
        self.sendLine(json.dumps(facts).encode())

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """End: whoever started this process is gone."""
        if reactor.running:
            reactor.stop()


def kinds() -> dict[str, int]:
    """Count what a session is made of, and all objects together."""
    objects = gc.get_objects()
    names = (f"{type(each).__module__}.{type(each).__qualname__}" for each in objects)
    found = Counter(name for name in names if name.startswith(WATCHED))
    found["all"] = len(objects)
    return dict(found)

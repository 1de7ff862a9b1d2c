"""
One session from the outside, from its first request to its end, as its plan says.

Rules of this file:

1. It logs every number that it hears, and judges nothing: ``verdict.py`` does.
2. What it says waits in one queue, which belongs to no carrier, so that a move takes
   it along.
3. It ends once, in ``_end``, and hands in its ledger.

========= =================================================================
stage     what is going on
========= =================================================================
OPENING   no open packet yet
TALKING   messages both ways; it may move to another transport
LEAVING   it has said its last message, and waits for the server's
GONE      both have; it says goodbye, or waits for the server's
DYING     it has died in its own way; its sockets may still be there
OVER      its ledger is handed in
========= =================================================================
"""

from __future__ import annotations

import enum
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from soak.carrier import CLOSE, Carrier
from soak.carriers import CARRIERS, EventSource
from soak.plan import Ending, Plan, chance_of
from soak.words import Bodies, Heard, Mark, Spoilt, Stream, make, read
from twisted_engineio.protocol import codec_v3, codec_v4
from twisted_engineio.protocol.packet import Packet, PacketType

PATIENCE = 120.0
"""Seconds that anything may take, far more than a busy machine needs."""
SPARE = 3.0
"""Seconds that a frozen client keeps its sockets longer than the server does."""
SLEEPS = 2
"""How often a server that was itself kept waiting by the machine may have given a
frozen client ``ping_timeout`` once more."""
POST_SIZE = 150_000
UPGRADE = Packet(PacketType.UPGRADE)
PROBED = Packet(PacketType.PONG, "probe")


class Stage(enum.Enum):
    """Where a session is in its life."""

    OPENING = "opening"
    TALKING = "talking"
    LEAVING = "leaving"
    GONE = "gone"
    DYING = "dying"
    OVER = "over"


class Move(enum.Enum):
    """How far a move to another transport has come."""

    NONE = "none"
    PROBING = "probing"
    LETTING_GO = "letting go"


class Session:
    """
    A client and its ledger.

    Attributes:
        plan: What it will do.
        stage: Where it is.

    """

    def __init__(
        self,
        reactor: Any,
        port: int,
        plan: Plan,
        seed: int,
        bodies: Bodies,
        over: Callable[[Session, dict[str, Any]], None],
    ) -> None:
        self.reactor = reactor
        self.port = port
        self.plan = plan
        self.chance: random.Random = chance_of(seed, f"{plan.who}/life")
        self.source = f"127.0.1.{1 + self.chance.randrange(200)}"
        self.codec = codec_v3 if plan.revision == 3 else codec_v4
        self.sid = ""
        self.stage = Stage.OPENING
        self._bodies = bodies
        self._over = over
        self._queue: list[Any] = []
        self._sent = 0
        self._heard = {Stream.DOWN: Heard(), Stream.CAST: Heard()}
        self._spoilt: list[str] = []
        self._route = list(plan.way[1:])
        self._moved = [plan.way[0]]
        self._faltered = 0
        self._move = Move.NONE
        self._candidate: Carrier | None = None
        self._calls: dict[str, Any] = {}
        self._interval = self._patience = 0.0
        self._carrier = CARRIERS[plan.way[0]](self)

    def start(self) -> None:
        """Open the session."""
        self._later("deadline", PATIENCE, self._stuck)
        self._carrier.open(candidate=False)

    def hurry(self, seconds: float) -> None:
        """End within so many seconds, as planned: the run is over."""
        # The plan's, for a session that is not open yet begins to count when it is.
        self.plan = replace(self.plan, life=self.chance.uniform(0, seconds))
        self._later("life", self.plan.life, self._life_is_over)

    # Time.

    def _later(self, name: str, delay: float, call: Callable[[], None]) -> None:
        self._never(name)
        self._calls[name] = self.reactor.callLater(delay, self._now, name, call)

    def _now(self, name: str, call: Callable[[], None]) -> None:
        del self._calls[name]
        call()

    def _never(self, name: str) -> None:
        if name in self._calls:
            self._calls.pop(name).cancel()

    def _stuck(self) -> None:
        self._end(f"{self.stage.value}, {self._move.value}: nothing for {PATIENCE} s")

    # The carriers' side.

    def take(self, carrier: Carrier, item: str | bytes | Packet) -> None:
        """Take a packet or a message."""
        if self.stage in (Stage.DYING, Stage.OVER):
            return
        if not isinstance(item, Packet):
            self._hear(item)
        elif item.type is PacketType.MESSAGE:
            self._hear(item.data)
        elif item == CLOSE:
            self._closed(carrier)
        elif item.type is PacketType.OPEN:
            self._opened(json.loads(item.data))
        elif item.type is PacketType.PING:
            self._say(Packet(PacketType.PONG, item.data))
        elif item == PROBED:
            self._probed(carrier)

    def ready(self, carrier: Carrier) -> None:
        """Write what waits."""
        if not self._queue or carrier is not self._carrier or carrier.dead:
            return
        # Who moves says nothing until it has.
        if carrier.writable and self._move is not Move.LETTING_GO:
            carrier.write(self._pull())

    def lost(self, carrier: Carrier, why: str) -> None:
        """Hear that a carrier cannot go on."""
        if self.stage in (Stage.DYING, Stage.OVER) or carrier.dead:
            return
        if carrier is self._candidate:
            self._stay()
        elif self.stage is Stage.GONE:
            self._end()
        elif self._server_may_end_it() and why.startswith("POST"):
            pass  # it came too late; the way down will tell
        else:
            self._end(f"lost in the middle: {why}")

    def _server_may_end_it(self) -> bool:
        ending, leaving = self.plan.ending, self.stage is Stage.LEAVING
        return ending is Ending.DRAINED or (ending is Ending.TOLD and leaving)

    # Talking.

    def _opened(self, facts: dict[str, Any]) -> None:
        self.sid = facts["sid"]
        self.stage = Stage.TALKING
        self._interval = facts["pingInterval"] / 1000
        timeout = facts["pingTimeout"] / 1000
        self._patience = self._interval + timeout * (1 + SLEEPS)
        self._never("deadline")
        if self.plan.ending is not Ending.DRAINED:
            self._later("life", self.plan.life, self._life_is_over)
        self._later("talk", self.chance.uniform(0, self.plan.pause), self._talk)
        if self.plan.revision == 3:
            self._later("beat", self._interval, self._beat)
        if self._route:
            delay = self.chance.uniform(0, self.plan.life / 2)
            self._later("move", min(delay, 20.0), self._begin_move)
        drained = self.plan.ending is Ending.DRAINED
        if self.plan.stumbles and "sse" in self.plan.way and not drained:
            self._later("stumble", self.chance.uniform(1, 10), self._stumble)

    def _beat(self) -> None:
        self._say(Packet(PacketType.PING))
        self._later("beat", self._interval, self._beat)

    def _stumble(self) -> None:
        if isinstance(self._carrier, EventSource):
            self._carrier.stumble()
        self._later("stumble", self.chance.uniform(3, 15), self._stumble)

    def _talk(self) -> None:
        for _ in range(self.chance.choice((1, 1, 1, 2, 5))):
            self._say_next(Mark.PLAIN)
        self._later("talk", self.chance.expovariate(1 / self.plan.pause), self._talk)

    def _say_next(self, mark: Mark) -> None:
        body = self._bodies.draw(self.chance)
        self._say(make(self.plan.who, Stream.UP, self._sent, body, mark))
        self._sent += 1

    def _say(self, item: str | bytes | Packet) -> None:
        self._queue.append(item)
        self.ready(self._carrier)

    def _pull(self) -> list[Any]:
        """Take as much from the queue as goes into one POST."""
        size, count = 0, 0
        for item in self._queue:
            size += 1 if isinstance(item, Packet) else len(item)
            count += 1
            if size > POST_SIZE:
                break
        items, self._queue = self._queue[:count], self._queue[count:]
        return items

    def _hear(self, data: str | bytes) -> None:
        try:
            word = read(self.plan.who, data)
        except Spoilt as spoilt:
            self._spoilt.append(str(spoilt))
            return
        if word.stream is Stream.UP:
            self._spoilt.append(f"its own message {word.number} came back")
            return
        self._heard[word.stream].add(word.number)
        if word.mark is Mark.LAST:
            self._said_all()

    # Moving.

    def _begin_move(self) -> None:
        if self.stage is not Stage.TALKING or not self._route:
            return
        self._move = Move.PROBING
        self._candidate = CARRIERS[self._route[0]](self)
        self._later("probe", PATIENCE / 2, self._stay)
        self._candidate.open(candidate=True)

    def _probed(self, carrier: Carrier) -> None:
        if carrier is self._candidate and self._move is Move.PROBING:
            self._move = Move.LETTING_GO
            self._carrier.let_go(self._swap)

    def _swap(self) -> None:
        """Move, now that nothing is on its way; or think better of it."""
        candidate = self._candidate
        assert candidate is not None  # it has answered
        if not candidate.writable:
            self._later("swap", 0.01, self._swap)  # its probe's POST is on its way
            return
        if self.plan.falters and not self._faltered:
            self._falter(candidate)
            return
        candidate.write([UPGRADE])
        retired, self._carrier = self._carrier, candidate
        if isinstance(candidate, EventSource):
            candidate.take_over()
        retired.close()
        self._moved.append(self._route.pop(0))
        self._moving_is_over()
        if self._route:
            self._later("move", self.chance.uniform(0.5, 5), self._begin_move)

    def _falter(self, candidate: Carrier) -> None:
        if isinstance(candidate, EventSource):
            # A stream that is lost may come back, so it must say that it won't.
            candidate.write([CLOSE])
        else:
            candidate.reset()
            self._stay()

    def _stay(self) -> None:
        """Go on where we are, and try again later."""
        assert self._candidate is not None  # only called while there is one
        self._candidate.close()
        self._faltered += 1
        self._carrier.go_on()
        self._moving_is_over()
        self._later("move", self.chance.uniform(0.5, 5), self._begin_move)

    def _moving_is_over(self) -> None:
        self._never("probe")
        self._never("swap")
        self._move = Move.NONE
        self._candidate = None
        self.ready(self._carrier)

    # Ends.

    def _life_is_over(self) -> None:
        ending = self.plan.ending
        if self.stage is not Stage.TALKING:
            if self.stage is Stage.OPENING:
                self._later("life", 1.0, self._life_is_over)
            return
        if not ending.orderly:
            self._die()
        elif self._move is not Move.NONE or not self._carrier.steady:
            self._later("life", 0.5, self._life_is_over)
        else:
            self._leave(Mark.HANG_UP if ending is Ending.TOLD else Mark.LAST)

    def _leave(self, mark: Mark) -> None:
        self.stage = Stage.LEAVING
        # Nor does its stream break any more: a goodbye is not sent twice.
        for name in ("talk", "move", "stumble"):
            self._never(name)
        self._later("deadline", PATIENCE, self._stuck)
        self._say_next(mark)

    def _said_all(self) -> None:
        """Hear the server's last message: all was heard that there is to hear."""
        if self.plan.ending is Ending.BYE and self.stage is Stage.LEAVING:
            self.stage = Stage.GONE
            self._say(CLOSE)

    def _closed(self, carrier: Carrier) -> None:
        """Hear a goodbye."""
        if carrier is self._candidate:
            self._stay()
        elif self.stage is Stage.GONE or self._server_may_end_it():
            self._end()
        else:
            self._end("the server closed it")

    def _die(self) -> None:
        self.stage = Stage.DYING
        ending, chance = self.plan.ending, self.chance
        for name in list(self._calls):
            self._never(name)
        if ending is Ending.HALF:
            self._carrier.write_half()
            self._later("end", chance.uniform(0, 2), self._die_at_last)
        elif ending is Ending.FROZEN:
            for each in self._carriers():
                each.freeze()
            self._later("end", self._patience + SPARE, self._die_at_last)
        else:
            self._die_at_last()

    def _die_at_last(self) -> None:
        for each in self._carriers():
            if self.plan.ending is Ending.KILLED:
                each.close()
            else:
                each.reset()
        self._end()

    def _carriers(self) -> list[Carrier]:
        return [self._carrier] + ([self._candidate] if self._candidate else [])

    def _end(self, trouble: str | None = None) -> None:
        """Hand in the ledger: the only way out."""
        if self.stage is Stage.OVER:
            return
        self.stage = Stage.OVER
        for name in list(self._calls):
            self._never(name)
        for each in self._carriers():
            if not each.dead:
                each.close()
        ledger = {
            "who": self.plan.who,
            "revision": self.plan.revision,
            "way": self._moved,
            "planned": self.plan.way,
            "faltered": self._faltered,
            "ending": self.plan.ending.value,
            "opened": bool(self.sid),
            "trouble": trouble,
            "sent": self._sent,
            "down": self._heard[Stream.DOWN].runs,
            "cast": self._heard[Stream.CAST].runs,
            "spoilt": self._spoilt,
        }
        self._over(self, ledger)

"""Sessions that come and go: as many at once as are wanted, until told to end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from twisted.internet.task import LoopingCall

from soak.client import Session, Stage
from soak.plan import ENDINGS, Ending, chance_of, draw
from soak.words import Bodies

TICK = 0.05


@dataclass(frozen=True)
class Size:
    """
    How large a crowd is, and how lively.

    Attributes:
        sessions: How many at once.
        life: Seconds that one lasts, on average.
        pause: Seconds between two messages of one, on average.
        rate: How many may be opened in a second.
        endings: How they end, and how many of each kind.

    """

    sessions: int
    life: float
    pause: float
    rate: float
    endings: Mapping[Ending, int] = field(default_factory=lambda: ENDINGS)


class Crowd:
    """
    A number of sessions against one server.

    Attributes:
        alive: The sessions that are not over.

    """

    numbers = count()

    def __init__(
        self,
        reactor: Any,
        port: int,
        seed: int,
        size: Size,
        hand_in: Callable[[dict[str, Any]], None],
    ) -> None:
        self.alive: dict[str, Session] = {}
        self._reactor = reactor
        self._port = port
        self._seed = seed
        self._size = size
        self._hand_in = hand_in
        self._bodies = Bodies(random.Random(f"{seed}/bodies"))
        self._due = 0.0
        self._coming = LoopingCall(self._come)
        self._coming.clock = reactor

    def start(self) -> None:
        """Let them come."""
        self._coming.start(TICK)

    def stop(self) -> None:
        """Let no more come."""
        if self._coming.running:
            self._coming.stop()

    def hurry(self) -> float:
        """Let no more come, and all end, each in its way; give in how many seconds."""
        self.stop()
        seconds = len(self.alive) / self._size.rate
        for each in self.alive.values():
            each.hurry(seconds)
        return seconds

    def talking(self) -> int:
        """Count those that are open."""
        return sum(each.stage is Stage.TALKING for each in self.alive.values())

    def _come(self) -> None:
        size = self._size
        self._due = min(self._due + size.rate * TICK, size.rate)
        while self._due >= 1 and len(self.alive) < size.sessions:
            self._due -= 1
            who = str(next(self.numbers))
            chance = chance_of(self._seed, who)
            plan = draw(chance, who, size.life, size.pause, size.endings)
            session = Session(
                self._reactor, self._port, plan, self._seed, self._bodies, self._over
            )
            self.alive[who] = session
            session.start()

    def _over(self, session: Session, ledger: dict[str, Any]) -> None:
        del self.alive[session.plan.who]
        self._hand_in(ledger)

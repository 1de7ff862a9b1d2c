"""
What one session will do in its life, drawn from the seed and its number alone.

So a run can be repeated: the same sessions do the same things, as far as the machine's
own timing lets them.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping
from dataclasses import dataclass


class Ending(enum.Enum):
    """How a session ends."""

    BYE = "bye"  # both have said all, and the client closes
    TOLD = "told"  # both have said all, and the server closes
    DRAINED = "drained"  # the server is stopped
    RESET = "reset"  # the client's sockets are reset
    KILLED = "killed"  # they are closed without a word, as the kernel does
    FROZEN = "frozen"  # they stay open, and nobody reads or writes
    HALF = "half"  # as reset, in the middle of something it writes

    @property
    def orderly(self) -> bool:
        """Whether nothing that was sent may be missing."""
        return self in (Ending.BYE, Ending.TOLD, Ending.DRAINED)


# Transports in the order in which a session is on them, revision, and how many of a
# hundred sessions do this.
WAYS = (
    (("polling",), 4, 18),
    (("jsonp",), 4, 6),
    (("sse",), 4, 14),
    (("websocket",), 4, 20),
    (("polling", "websocket"), 4, 14),
    (("polling", "sse"), 4, 6),
    (("sse", "websocket"), 4, 6),
    (("polling", "sse", "websocket"), 4, 2),
    (("polling",), 3, 4),
    (("jsonp",), 3, 2),
    (("websocket",), 3, 4),
    (("polling", "websocket"), 3, 4),
)
ENDINGS = {
    Ending.BYE: 56,
    Ending.TOLD: 16,
    Ending.RESET: 9,
    Ending.KILLED: 9,
    Ending.FROZEN: 3,
    Ending.HALF: 7,
}
SHORTEST = 2.0


@dataclass(frozen=True)
class Plan:
    """
    A session's life.

    Attributes:
        who: Its name, unique in a run.
        way: The transports in the order in which it is on them.
        revision: Of the protocol: 3 or 4.
        ending: How it ends.
        life: After how many seconds.
        pause: Seconds between two of its messages, on average.
        slow: Whether it reads slowly.
        base64: Whether it asks for binary as text.
        gzip: Whether it takes compressed answers.
        falters: Whether it gives up its first upgrade, once that was answered.
        stumbles: Whether its stream of events breaks now and then.

    """

    who: str
    way: tuple[str, ...]
    revision: int
    ending: Ending
    life: float
    pause: float
    slow: bool = False
    base64: bool = False
    gzip: bool = False
    falters: bool = False
    stumbles: bool = False


def chance_of(seed: int, name: str) -> random.Random:
    """Give the randomness of one session."""
    return random.Random(f"{seed}/{name}")


def draw(
    chance: random.Random,
    who: str,
    life: float,
    pause: float,
    endings: Mapping[Ending, int],
) -> Plan:
    """Draw a plan; ``life`` and ``pause`` are averages, in seconds."""
    ways = [(way, revision) for way, revision, _ in WAYS]
    way, revision = chance.choices(ways, [share for *_, share in WAYS])[0]
    [ending] = chance.choices(list(endings), list(endings.values()))
    return Plan(
        who,
        way,
        revision,
        ending,
        SHORTEST + chance.expovariate(1 / life),
        pause * chance.uniform(0.3, 1.7),
        slow=chance.random() < 0.01,
        base64=chance.random() < 0.2,
        gzip=chance.random() < 0.3,
        falters=chance.random() < 0.15,
        stumbles=chance.random() < 0.3,
    )

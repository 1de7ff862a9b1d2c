"""
What a parity case is: something done on the wire to the reference server and to ours.

A case plays its script on either server and compares the facts. A difference is either
a mistake or has a name: it stands in the table with both values and its reason, and a
named difference that is no longer there is a mistake too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from wire import Answer, Facts, Peer
from wire_websocket import WebSocket

Script = Callable[[Peer], object]


@dataclass(frozen=True)
class Pair:
    """Options that mean the same to both servers."""

    ours: tuple[str, ...] = ()
    reference: Mapping[str, object] = field(default_factory=dict)


PLAIN = Pair()
SMALL = Pair(("--max-payload", "10000"), {"maxHttpBufferSize": 10_000})
QUICK = Pair(
    ("--ping-interval", "0.3", "--ping-timeout", "0.2"),
    {"pingInterval": 300, "pingTimeout": 200},
)
IMPATIENT = Pair(("--upgrade-timeout", "0.2"), {"upgradeTimeout": 200})
POLLING = Pair(("--transports", "polling"), {"transports": ["polling"]})
NO_UPGRADES = Pair(("--no-upgrades",), {"allowUpgrades": False})
ANY_ORIGIN = Pair(("--cors", "*"), {"cors": {"origin": "*"}})
ONE_ORIGIN = Pair(
    ("--cors", "http://app.example"), {"cors": {"origin": ["http://app.example"]}}
)
EIO3 = Pair(("--allow-eio3",), {"allowEIO3": True})
EIO3_QUICK = Pair((*QUICK.ours, *EIO3.ours), {**QUICK.reference, **EIO3.reference})
EIO3_SMALL = Pair((*SMALL.ours, *EIO3.ours), {**SMALL.reference, **EIO3.reference})
JSONP = Pair(("--jsonp",))
JSONP_3 = Pair((*JSONP.ours, *EIO3.ours), EIO3.reference)
JSONP_ORIGIN = Pair((*JSONP.ours, *ONE_ORIGIN.ours), ONE_ORIGIN.reference)
COOKIE = Pair(("--cookie", "io"), {"cookie": True})


@dataclass(frozen=True)
class Named:
    """A difference that is meant."""

    reference: object
    ours: object
    because: str


EVERYWHERE = {
    "cache-control": Named(None, "no-store", "an error must not be cached either"),
}
"""Differences that any answer may show, by the last word of the fact's name."""


@dataclass(frozen=True)
class Case:
    """A script, the servers it is played on, and the differences that are meant."""

    name: str
    script: Script
    pair: Pair = PLAIN
    differs: Mapping[str, Named] = field(default_factory=dict)

    def play(self, port: int) -> Facts:
        """Play it on one server."""
        peer = Peer(port)
        try:
            return flat(self.script(peer))
        finally:
            peer.close()

    def mistakes(self, reference: Facts, ours: Facts) -> list[str]:
        """The differences that have no name, and the names that have no difference."""
        found = []
        for key in sorted({*reference, *ours, *self.differs}):
            values = reference.get(key), ours.get(key)
            named = self.differs.get(key)
            general = EVERYWHERE.get(key.rpartition(".")[2])
            if general and values == (general.reference, general.ours):
                continue
            if named is None and values[0] != values[1]:
                found.append(f"{key}: {values[0]!r} there, {values[1]!r} here")
            elif named and values != (named.reference, named.ours):
                found.append(
                    f"{key}: {values[0]!r} there, {values[1]!r} here, but named as "
                    f"{named.reference!r} and {named.ours!r}: {named.because}"
                )
        return found


class Table(list[Case]):
    """Cases, added by decorating their scripts."""

    def case(
        self,
        name: str,
        pair: Pair = PLAIN,
        differs: Mapping[str, Named] = MappingProxyType({}),
    ) -> Callable[[Script], Script]:
        """
        Add a script.

        Args:
            name: What is done, in words.
            pair: The servers it is done to.
            differs: Named differences, by fact.

        """

        def add(script: Script) -> Script:
            self.append(Case(name, script, pair, differs))
            return script

        return add


def flat(thing: object, name: str = "") -> Facts:
    """Facts of facts, with dotted names."""
    if isinstance(thing, Answer | WebSocket):
        thing = thing.facts()
    if not isinstance(thing, Mapping):
        return {name: thing}
    facts: Facts = {}
    for key, value in thing.items():
        facts |= flat(value, f"{name}.{key}" if name else str(key))
    return facts

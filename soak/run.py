"""
A run: a server, a rehearsal, the crowd, its end, the server's end, and the verdict.

The rehearsal loads all code and fills all caches, so that what is more afterwards is
left by the sessions. The last crowd is there when the server is stopped.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from soak.attacks import ATTACKS, Attackers, Outcome
from soak.crowd import Crowd, Size
from soak.figures import Sample
from soak.house import House
from soak.plan import Ending
from soak.verdict import Evidence, judge

ORDERLY = {Ending.BYE: 1, Ending.TOLD: 1}
REHEARSAL = Size(sessions=200, life=3.0, pause=1.0, rate=100, endings=ORDERLY)
LAST_GUESTS = Size(100, life=60.0, pause=0.5, rate=100, endings={Ending.DRAINED: 1})
REHEARSAL_SECONDS = 5.0
LOOK = 1.0
"""Seconds in which a client finds out that its connection was ended."""
ATTACK_RATE = 4000.0
"""Bytes that each attacker sends in a second, as far as the server takes them."""
QUIET = 60.0
"""Seconds until nothing may be left of sessions that have ended, and the time besides
that the server needs to find out who is frozen."""


@dataclass(frozen=True)
class Options:
    """What the command line says; seconds, except where the name says otherwise."""

    minutes: float
    sessions: int
    seed: int
    life: float
    pause: float
    rate: float
    ping_interval: float
    ping_timeout: float
    attackers: int
    app: str
    folder: Path


class Run:
    """One run, and its evidence."""

    def __init__(self, reactor: Any, options: Options) -> None:
        self.evidence = Evidence()
        self.samples: list[Sample] = []
        self.attacks: dict[str, Outcome] = {}
        self.guests = LAST_GUESTS.sessions
        self._reactor = reactor
        self._options = options
        told = (
            *("--app", options.app),
            *("--ping-interval", str(options.ping_interval)),
            *("--ping-timeout", str(options.ping_timeout)),
        )
        self._house = House(reactor, options.folder, options.seed, options.pause, *told)
        self._since = reactor.seconds()
        self._quiet = QUIET + options.ping_interval + options.ping_timeout

    async def go(self) -> list[str]:
        """Do it all; give what is wrong."""
        globalLogPublisher.addObserver(self._observe)
        try:
            await self._house.started()
            await self._rehearse()
            await self._soak()
            await self._stop()
        finally:
            self._house.kill()
        self._read_books()
        return judge(self.evidence)

    def _observe(self, event: LogEvent) -> None:
        """Hear what goes wrong in this process."""
        failure = event.get("log_failure")
        if failure is not None or event.get("isError"):
            trace = failure.getTraceback() if failure is not None else ""
            text = f"{formatEvent(event)} {trace}"
            self.evidence.mishaps.append(f"the load itself failed: {text}")

    # The acts.

    async def _rehearse(self) -> None:
        say("rehearsal")
        fresh = await self._house.sample(0.0)
        self.evidence.fresh = fresh.descriptors, fresh.delayed
        crowd = self._crowd(REHEARSAL)
        crowd.start()
        await deferLater(self._reactor, REHEARSAL_SECONDS)
        await self._end(crowd)
        facts = await self._house.ask("collect")
        self.evidence.objects_before = facts["kinds"]

    async def _soak(self) -> None:
        options, clock = self._options, self._reactor
        size = Size(options.sessions, options.life, options.pause, options.rate)
        crowd = self._crowd(size)
        self._since = clock.seconds()
        sampling = LoopingCall(self._sample, crowd)
        sampling.clock = clock
        ended = sampling.start(max(0.5, options.minutes * 60 / 300))
        crowd.start()
        filled = await self._until(
            lambda: len(crowd.alive) >= options.sessions, options.minutes * 60
        )
        steady = clock.seconds() - self._since
        say(f"{len(crowd.alive)} sessions after {steady:.0f} s")
        if not filled:
            self.evidence.mishaps.append("the sessions have never all been there")
        attackers = self._attack()
        await deferLater(clock, max(options.minutes * 60 - steady, 0))
        closing = clock.seconds() - self._since
        self.evidence.samples = [
            each for each in self.samples if steady <= each.at <= closing
        ]
        for each in attackers:
            each.stop()
        await self._end(crowd)
        for each in attackers:
            each.look()
        await deferLater(clock, LOOK)
        self._complain_about_attackers(attackers)
        sampling.stop()
        await ended
        facts = await self._house.ask("collect")
        self.evidence.objects_after = facts["kinds"]

    async def _stop(self) -> None:
        """Stop the server while somebody is there."""
        say("stopping the server, with 100 sessions open")
        crowd = self._crowd(LAST_GUESTS)
        crowd.start()
        everybody = LAST_GUESTS.sessions
        if not await self._until(lambda: crowd.talking() >= everybody, self._quiet):
            self.evidence.mishaps.append("the last sessions could not be opened")
        crowd.stop()
        attackers = self._attack()
        await deferLater(self._reactor, 3.0)
        await self._house.ask("hush")
        self.evidence.exit_status = await self._house.stop()
        for each in attackers:
            each.stop()
            each.kill()
        await self._until(lambda: not crowd.alive, 10.0)
        self._complain_about(crowd)

    # Their props.

    def _crowd(self, size: Size) -> Crowd:
        return Crowd(
            self._reactor,
            self._house.port,
            self._options.seed,
            size,
            self.evidence.clients.append,
        )

    async def _end(self, crowd: Crowd) -> None:
        """Let a crowd go, and wait until nothing is left of it."""
        await self._until(lambda: not crowd.alive, self._quiet + crowd.hurry())
        self._complain_about(crowd)
        for _ in range(int(self._quiet / 0.5)):
            now = await self._house.sample(self._since)
            self.evidence.left = now.sessions
            self.evidence.after = now.descriptors, now.delayed
            if not now.sessions and self.evidence.after == self.evidence.fresh:
                return
            await deferLater(self._reactor, 0.5)

    def _complain_about(self, crowd: Crowd) -> None:
        for each in crowd.alive.values():
            self.evidence.mishaps.append(
                f"session {each.plan.who} is not over: {each.plan}, {each.stage.value}"
            )

    def _attack(self) -> list[Attackers]:
        """Start so many clients of each attack as the options say."""
        options = self._options
        if not options.attackers:
            return []
        attackers = [
            Attackers(
                self._reactor, self._house.port, attack, options.attackers, ATTACK_RATE
            )
            for attack in ATTACKS.values()
        ]
        for each in attackers:
            each.start()
        return attackers

    def _complain_about_attackers(self, attackers: list[Attackers]) -> None:
        """Note the connections that the server should have ended by now."""
        for each in attackers:
            self.attacks[each.attack.name] = each.outcome
            left = each.kill()
            if left:
                self.evidence.mishaps.append(
                    f"{left} connections of the attack {each.attack.name!r} are left"
                )

    async def _until(self, goal: Callable[[], bool], seconds: float) -> bool:
        end = self._reactor.seconds() + seconds
        while not goal() and self._reactor.seconds() < end:
            await deferLater(self._reactor, 0.1)
        return goal()

    async def _sample(self, crowd: Crowd) -> None:
        sample = await self._house.sample(self._since)
        self.samples.append(sample)
        if len(self.samples) % 10 == 1:
            say(
                f"{sample.at:5.0f} s  {sample.sessions:5} sessions"
                f"  {sample.rss / 2**20:6.1f} MiB  {sample.delayed:6} delayed calls"
                f"  {sample.sent:9} sent  {sample.received:8} received"
                f"  {len(self.evidence.clients):6} over"
            )

    def _read_books(self) -> None:
        folder = self._options.folder
        lines = (folder / "server.jsonl").read_text().splitlines()
        self.evidence.server = [json.loads(line) for line in lines]
        self.evidence.log = (folder / "server.log").read_text()
        with (folder / "clients.jsonl").open("w") as books:
            for ledger in self.evidence.clients:
                books.write(json.dumps(ledger) + "\n")
        samples = [asdict(each) for each in self.samples]
        (folder / "samples.json").write_text(json.dumps(samples) + "\n")


def say(text: str) -> None:
    """Tell whoever watches how far it is."""
    print(text, file=sys.stderr, flush=True)


def count(clients: list[dict[str, Any]], key: str) -> str:
    """Count sessions by something, in words."""
    counted = Counter(str(line[key]) for line in clients)
    return ", ".join(f"{number:,} {what}" for what, number in counted.most_common())

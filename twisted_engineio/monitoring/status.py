"""
The status page: what a server does, told live, over Engine.IO itself.

Rules of this file:

1. A second server tells it, so that those who look on are not among the sessions that
   they look at. ``AccessControl`` decides who may; the page itself holds nothing to
   hide.
2. Every ``EVERY`` seconds a sample is taken, whether anybody looks or not: whoever
   opens the page sees the last ten minutes. It costs the same however many sessions
   there are.
3. What must look at each session is found out only while somebody looks, and takes no
   more than a fiftieth of the time.
4. What a client says of itself is cut short here, and the page shows it as text only.

Driven by its clock, and by those who look.
"""

from __future__ import annotations

import heapq
import json
from bisect import bisect_right
from collections import deque
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from .._version import __version__
from ..application import Application
from ..config import Config
from ..exceptions import Reject
from ..server.server import Server
from ..transports.http_response import answer
from ..web.resource import EngineIOResource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.server import Request

    from ..protocol.handshake import Handshake
    from ..session.session import Session
    from .access import AccessControl
    from .counters import Counters, RefusalRecord, Seen

__all__ = ["Status", "StatusPage", "StatusService"]

EVERY: Final = 2.0
"""Seconds between two samples: what a plot of ten minutes can show on a screen."""
_KEPT: Final = 301
"""Samples that are kept: ten minutes of them."""
_SHARE: Final = 50.0
"""The part of the time that may go into looking at each session: one of so many."""
_AGES: Final = (10.0, 60.0, 600.0, 3600.0, 86400.0)
"""Seconds at which a session grows out of one group and into the next."""
_SLOWEST: Final = 10
_REQUEST_TIMEOUT: Final = Config().request_timeout
_CUT: Final = 120
"""Characters that are shown of what a client says."""
_TRANSPORTS: Final = ("polling", "sse", "websocket")

Sample: TypeAlias = list[float]
"""Seconds, sessions on each transport, then sums since the start: messages in and out,
their bytes, and sessions opened, sessions closed, requests refused."""


class Status(Application):
    """
    Tells those who look on what a tally has counted.

    Attributes:
        tally: The tally, which observes the server that is looked at.
        samples: The last ten minutes.

    """

    def __init__(self, tally: Counters, guard: AccessControl) -> None:
        """
        Begin, without a sample.

        Args:
            tally: What to tell.
            guard: Who may hear it.

        """
        self.tally = tally
        self.samples: deque[Sample] = deque(maxlen=_KEPT)
        self._guard = guard
        self._started = tally.seconds()
        self._rested = 0.0  # when the sessions may be looked at again

    def admit(self, handshake: Handshake) -> None:
        """Let an operator in."""
        self._guard.check(handshake)

    def session_opened(self, session: Session) -> None:
        """Tell who begins to look what there was."""
        about = {
            "version": __version__,
            "started": self._started,
            "now": self.tally.seconds(),
            "every": EVERY,
            "transports": _TRANSPORTS,
            "ages": _AGES,
        }
        known = {"about": about, "samples": list(self.samples), **self._facts()}
        known["survey"] = self._survey()
        session.send(json.dumps(known))

    def take_sample(self) -> Sample:
        """Write down where the counts stand now."""
        tally = self.tally
        into, out = tally.received_text, tally.sent_text
        binary_in, binary_out = tally.received_binary, tally.sent_binary
        sample = [
            tally.seconds(),
            *(self._carried(name) for name in _TRANSPORTS),
            into.messages + binary_in.messages,
            out.messages + binary_out.messages,
            into.bytes + binary_in.bytes,
            out.bytes + binary_out.bytes,
            tally.opened.total(),
            tally.closed.total(),
            tally.refused.total(),
        ]
        self.samples.append(sample)
        return sample

    def news(self, sample: Sample) -> str:
        """
        Say what those who look on are told besides a sample.

        Args:
            sample: The sample.

        """
        told = {"samples": [sample], **self._facts()}
        if self.tally.seconds() >= self._rested:
            told["survey"] = self._survey()
        return json.dumps(told)

    def _carried(self, name: str) -> int:
        carried = self.tally.carried
        return sum(carried[key] for key in carried if key[0] == name)

    def _facts(self) -> dict[str, Any]:
        """Tell what costs the same however many sessions there are."""
        tally = self.tally
        return {
            "closed": {each.value: n for each, n in tally.closed.items() if n},
            "refused": tally.refused.total(),
            "upgrades": [tally.upgrades_tried.total(), tally.upgrades.total()],
            "payloads": tally.payloads_refused,
            "limits": dict(tally.limits),
            "refusals": [_refusal(each) for each in reversed(tally.refusals)],
        }

    def _survey(self) -> dict[str, Any]:
        """Look at each session: its age, its queue, its ping."""
        now = self.tally.seconds()
        ages = {name: [0] * (len(_AGES) + 1) for name in _TRANSPORTS}
        found: list[tuple[int, float, Session, Seen]] = []
        total = 0
        for session, seen in self.tally.sessions.items():
            group = ages.setdefault(seen.transport, [0] * (len(_AGES) + 1))
            group[bisect_right(_AGES, now - seen.opened)] += 1
            waited = 0.0 if seen.pinged is None else now - seen.pinged
            buffered = session.buffered
            total += buffered
            found.append((buffered, max(waited, seen.round_trip or 0.0), session, seen))
        most = heapq.nlargest(_SLOWEST, found, key=lambda row: row[0])
        last = heapq.nlargest(_SLOWEST, found, key=lambda row: row[1])
        slow = {row[2]: row for row in most if row[0]}
        slow |= {row[2]: row for row in last if row[1]}
        self._rested = now + _SHARE * (self.tally.seconds() - now)
        return {
            "ages": ages,
            "buffered": total,
            "slow": [
                {
                    "sid": session.sid[:6],
                    "transport": seen.transport,
                    "age": now - seen.opened,
                    "buffered": buffered,
                    "ping": ping,
                }
                for buffered, ping, session, seen in slow.values()
            ],
        }


def _refusal(refusal: RefusalRecord) -> dict[str, Any]:
    """Tell of a refusal; what its client said is cut short."""
    error, request = refusal.error, refusal.request
    why = error.message if isinstance(error, Reject) else error.context
    said = {
        "address": request.client_address or "UNIX socket",
        "transport": request.transport,
        "origin": request.headers.get("origin", ""),
        "agent": request.headers.get("user-agent", ""),
    }
    return {
        "at": refusal.at,
        "code": error.code.name.lower(),
        "status": error.status,
        "why": why[:_CUT],
        **{name: text[:_CUT] for name, text in said.items()},
    }


class StatusService(Service):
    """
    Takes the samples, and ends with the server that is looked at.

    Attributes:
        status: What it tells.
        server: The server that tells it.

    """

    def __init__(
        self,
        tally: Counters,
        guard: AccessControl,
        *,
        clock: IReactorTime,
        trusted_proxies: Sequence[str] = (),
        request_timeout: float = _REQUEST_TIMEOUT,
    ) -> None:
        """
        Make a service that does not run yet.

        Args:
            tally: What to tell.
            guard: Who may hear it.
            clock: What to measure time with.
            trusted_proxies: As in ``Config``.
            request_timeout: As in ``Config``, where its site enforces that.

        """
        self.status = Status(tally, guard)
        config = Config(
            # A page has nothing to say but its pongs; and one that does not keep up is
            # not worth a megabyte.
            max_payload=10_000,
            max_buffered=1_000_000,
            trusted_proxies=trusted_proxies,
            request_timeout=request_timeout,
            # Never: a guard without a token trusts this machine, and so any page that
            # its user looks at could load the answers as scripts.
            jsonp=False,
        )
        self.server = Server(self.status, config, clock=clock)
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock

    def startService(self) -> None:
        """Take the first sample now."""
        super().startService()
        self._ticking.start(EVERY)

    def stopService(self) -> Deferred[None]:
        """Take no more, and close what is open."""
        super().stopService()
        self._ticking.stop()
        return self.server.stop(timeout=0)

    def _tick(self) -> None:
        sample = self.status.take_sample()
        if self.server.sessions:
            self.server.broadcast(self.status.news(sample))


class StatusPage(Resource):
    """The page, and below it the server that feeds it."""

    def __init__(self, service: StatusService, guard: AccessControl) -> None:
        """
        Make a resource.

        Args:
            service: What feeds the page.
            guard: Who may see it; one that asks for a token lets the page ask.

        """
        super().__init__()
        self._guard = guard
        page = files(__package__).joinpath("status.html").read_text("utf-8")
        asks = f'content="{"yes" if guard.asks else "no"}"'
        self._page = page.replace('content="asks"', asks).encode()
        self.putChild(b"", self)
        self.putChild(b"engine.io", EngineIOResource(service.server))

    def render_GET(self, request: Request) -> int:
        """Give the page, to whoever may see it or may be asked."""
        if self._guard.asks or self._guard.lets_in(request):
            request.setHeader(b"Content-Security-Policy", b"frame-ancestors 'none'")
            request.setHeader(b"Referrer-Policy", b"no-referrer")
            request.setHeader(b"X-Content-Type-Options", b"nosniff")
            answer(request, 200, b"text/html; charset=utf-8", self._page)
        return NOT_DONE_YET

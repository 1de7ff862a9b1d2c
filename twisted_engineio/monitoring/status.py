"""
The status page: the state of a server, live, over Engine.IO itself.

Rules of this file:

1. A second server sends the data, so that the viewers of the page are not among the
   sessions that it shows. ``AccessControl`` decides which clients may open a session
   with it; the page itself contains nothing confidential.
2. A sample is taken every ``EVERY`` seconds, even without viewers, so that a new viewer
   sees the last ten minutes. Its cost does not depend on the number of sessions.
3. Data that needs a look at each session is computed only while there are viewers, and
   takes at most a fiftieth of the time.
4. Text from a client is cut here, and the page displays it as text only.

Driven by its clock and by the sessions of its viewers.
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
"""Seconds between two samples: the resolution of a ten-minute plot on a screen."""
_KEPT: Final = 301
"""Number of samples that are kept: ten minutes."""
_SHARE: Final = 50.0
"""Reciprocal of the share of time that the survey of all sessions may take."""
_AGES: Final = (10.0, 60.0, 600.0, 3600.0, 86400.0)
"""Boundaries of the age groups of sessions, in seconds."""
_SLOWEST: Final = 10
_REQUEST_TIMEOUT: Final = Config().request_timeout
_CUT: Final = 120
"""Characters of a client's text that are shown."""
_TRANSPORTS: Final = ("polling", "sse", "websocket")

Sample: TypeAlias = list[float]
"""Seconds, sessions on each transport, then totals since the start: messages received
and sent, their bytes, sessions opened, sessions closed, requests refused."""


class Status(Application):
    """
    An application that sends the values of ``Counters`` to its viewers.

    Attributes:
        counters: The counters, which observe the server that is shown.
        samples: The samples of the last ten minutes.

    """

    def __init__(self, counters: Counters, access: AccessControl) -> None:
        """
        Create the application, without a sample.

        Args:
            counters: The counters to show.
            access: The access control for viewers.

        """
        self.counters = counters
        self.samples: deque[Sample] = deque(maxlen=_KEPT)
        self._access = access
        self._started = counters.seconds()
        self._next_survey = 0.0  # the earliest time of the next survey

    def admit(self, handshake: Handshake) -> None:
        """Admit a client with an operator's access."""
        self._access.check(handshake)

    def session_opened(self, session: Session) -> None:
        """Send the complete state to a new viewer."""
        about = {
            "version": __version__,
            "started": self._started,
            "now": self.counters.seconds(),
            "every": EVERY,
            "transports": _TRANSPORTS,
            "ages": _AGES,
        }
        known = {"about": about, "samples": list(self.samples), **self._facts()}
        known["survey"] = self._survey()
        session.send(json.dumps(known))

    def take_sample(self) -> Sample:
        """Record and return a sample of the counters."""
        counters = self.counters
        into, out = counters.received_text, counters.sent_text
        binary_in, binary_out = counters.received_binary, counters.sent_binary
        sample = [
            counters.seconds(),
            *(self._carried(name) for name in _TRANSPORTS),
            into.messages + binary_in.messages,
            out.messages + binary_out.messages,
            into.bytes + binary_in.bytes,
            out.bytes + binary_out.bytes,
            counters.opened.total(),
            counters.closed.total(),
            counters.refused.total(),
        ]
        self.samples.append(sample)
        return sample

    def update(self, sample: Sample) -> str:
        """
        Return the message with which a sample is sent to the viewers.

        Args:
            sample: The sample.

        """
        message = {"samples": [sample], **self._facts()}
        if self.counters.seconds() >= self._next_survey:
            message["survey"] = self._survey()
        return json.dumps(message)

    def _carried(self, name: str) -> int:
        carried = self.counters.carried
        return sum(carried[key] for key in carried if key[0] == name)

    def _facts(self) -> dict[str, Any]:
        """Return the data whose cost does not depend on the number of sessions."""
        counters = self.counters
        return {
            "closed": {each.value: n for each, n in counters.closed.items() if n},
            "refused": counters.refused.total(),
            "upgrades": [counters.upgrades_tried.total(), counters.upgrades.total()],
            "payloads": counters.payloads_refused,
            "limits": dict(counters.limits),
            "refusals": [_refusal(each) for each in reversed(counters.refusals)],
        }

    def _survey(self) -> dict[str, Any]:
        """Return the data that needs a look at each session: ages, queues, pings."""
        now = self.counters.seconds()
        ages = {name: [0] * (len(_AGES) + 1) for name in _TRANSPORTS}
        found: list[tuple[int, float, Session, Seen]] = []
        total = 0
        for session, seen in self.counters.sessions.items():
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
        self._next_survey = now + _SHARE * (self.counters.seconds() - now)
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
    """Return a refusal as JSON data, with the client's text cut."""
    error, request = refusal.error, refusal.request
    why = error.message if isinstance(error, Reject) else error.context
    fields = {
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
        **{name: text[:_CUT] for name, text in fields.items()},
    }


class StatusService(Service):
    """
    Takes the samples, and runs the server that sends them.

    Attributes:
        status: The application.
        server: The server that sends the data.

    """

    def __init__(
        self,
        counters: Counters,
        access: AccessControl,
        *,
        clock: IReactorTime,
        trusted_proxies: Sequence[str] = (),
        request_timeout: float = _REQUEST_TIMEOUT,
    ) -> None:
        """
        Create a service that is not running.

        Args:
            counters: The counters to show.
            access: The access control for viewers.
            clock: The clock to schedule timers on.
            trusted_proxies: As in ``Config``.
            request_timeout: As in ``Config``, if its site enforces it.

        """
        self.status = Status(counters, access)
        config = Config(
            # Viewers send pongs only; and a viewer that cannot keep up is not worth a
            # megabyte of memory.
            max_payload=10_000,
            max_buffered=1_000_000,
            trusted_proxies=trusted_proxies,
            request_timeout=request_timeout,
            # Never on: without a token this machine has access, so any page in its
            # user's browser could load the answers as scripts.
            jsonp=False,
        )
        self.server = Server(self.status, config, clock=clock)
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock

    def startService(self) -> None:
        """Start the service, and take the first sample."""
        super().startService()
        self._ticking.start(EVERY)

    def stopService(self) -> Deferred[None]:
        """Stop taking samples, and close the viewers' sessions."""
        super().stopService()
        self._ticking.stop()
        return self.server.stop(timeout=0)

    def _tick(self) -> None:
        sample = self.status.take_sample()
        if self.server.sessions:
            self.server.broadcast(self.status.update(sample))


class StatusPage(Resource):
    """The status page, with the server that sends its data at a path below it."""

    def __init__(self, service: StatusService, access: AccessControl) -> None:
        """
        Create the resource.

        Args:
            service: The service that sends the data.
            access: The access control; if it requires a token, the page asks for it.

        """
        super().__init__()
        self._access = access
        page = files(__package__).joinpath("status.html").read_text("utf-8")
        requires_token = f'content="{"yes" if access.requires_token else "no"}"'
        self._page = page.replace('content="asks"', requires_token).encode()
        self.putChild(b"", self)
        self.putChild(b"engine.io", EngineIOResource(service.server))

    def render_GET(self, request: Request) -> int:
        """Answer with the page, if the request has access or the page can ask."""
        if self._access.requires_token or self._access.is_allowed(request):
            request.setHeader(b"Content-Security-Policy", b"frame-ancestors 'none'")
            request.setHeader(b"Referrer-Policy", b"no-referrer")
            request.setHeader(b"X-Content-Type-Options", b"nosniff")
            answer(request, 200, b"text/html; charset=utf-8", self._page)
        return NOT_DONE_YET

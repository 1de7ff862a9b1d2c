"""
Metrics for Prometheus: an observer that counts, and a page that tells what it counted.

It needs ``prometheus_client``, which comes with the extra ``metrics``; nothing in the
house imports this module. No label is a session's id or an address: a metric has few
series, however many clients there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ..transports.http_response import answer
from .counters import Counters

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.server import Request

    from ..session.session import Session
    from .access import AccessControl

__all__ = ["Metrics", "MetricsResource"]

Table: TypeAlias = Mapping[Any, float]
"""Counts by the values of their labels, in a tuple."""

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_QUICK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Seconds: from a network in one building to ``ping_timeout``."""
_LONG: Final = (
    *(1.0, 5.0, 15.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE),
    *(_HOUR, 4 * _HOUR, 12 * _HOUR, 24 * _HOUR, 72 * _HOUR),
)
"""Seconds: from a page that was left at once to a screen on a wall."""


class Metrics(Counters):
    """
    A tally that ``prometheus_client`` can collect; one may observe several servers.

    ::

        metrics = Metrics()
        server = Server(Chat(), observers=[metrics])
        root.putChild(b"metrics", MetricsResource(metrics.registry))

    Attributes:
        registry: Where it is registered.

    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        clock: IReactorTime | None = None,
    ) -> None:
        """
        Begin to count.

        Args:
            registry: Where to register, such as ``prometheus_client.REGISTRY``; if left
                out, a registry of its own, with the process's own metrics besides.
            clock: As for ``Counters``.

        Raises:
            ValueError: If these metrics are in the registry already.

        """
        super().__init__(clock=clock)
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
        self.registry = registry
        registry.register(self)
        self._durations = Histogram(
            "engineio_session_duration_seconds",
            "How long sessions were open that have ended.",
            registry=registry,
            buckets=_LONG,
        )
        self._upgrades = Histogram(
            "engineio_handshake_to_upgrade_seconds",
            "How long after its opening a session moved to another transport.",
            registry=registry,
            buckets=_QUICK,
        )
        self._pings = Histogram(
            "engineio_ping_round_trip_seconds",
            "How long after it was sent a ping was answered (revision 4).",
            ["transport"],
            registry=registry,
            buckets=_QUICK,
        )
        # "labels" takes a lock and looks the name up: once for each is enough.
        self._pings_on: dict[str, Histogram] = {}

    def session_lasted(self, session: Session, seconds: float) -> None:
        """Observe how long a session was open."""
        self._durations.observe(seconds)

    def upgrade_took(self, session: Session, seconds: float) -> None:
        """Observe how long after its opening a session moved."""
        self._upgrades.observe(seconds)

    def ping_took(self, session: Session, seconds: float) -> None:
        """Observe how long a ping took to be answered."""
        name = session.transport.name
        pings = self._pings_on.get(name)
        if pings is None:
            pings = self._pings_on[name] = self._pings.labels(name)
        pings.observe(seconds)

    # What prometheus_client asks.

    def describe(self) -> Iterable[Metric]:
        """Tell which metrics there are."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Give every metric but the histograms, which are collectors themselves."""
        yield _gauge(
            "engineio_sessions",
            "Open sessions, by transport and revision of the protocol.",
            ("transport", "revision"),
            self.carried,
        )
        # A copy: another thread may ask, and sessions come and go meanwhile.
        waiting = sum(session.buffered for session in list(self.sessions))
        yield GaugeMetricFamily(
            "engineio_buffered_bytes",
            "Bytes that wait in the queues of all sessions.",
            waiting,
        )
        yield from self._of_sessions()
        yield from self._of_messages()

    def _of_sessions(self) -> Iterator[Metric]:
        yield _counter(
            "engineio_sessions_opened",
            "Sessions opened, by their first transport and revision.",
            ("transport", "revision"),
            self.opened,
        )
        yield _counter(
            "engineio_sessions_closed",
            "Sessions that ended, by reason.",
            ("reason",),
            {(each.name.lower(),): count for each, count in self.closed.items()},
        )
        yield _counter(
            "engineio_handshakes",
            "Handshakes answered: opened or refused.",
            ("outcome",),
            {
                ("opened",): self.opened.total(),
                ("refused",): self.handshakes_refused,
            },
        )
        yield _counter(
            "engineio_refusals",
            "Requests refused, handshakes and others, by the protocol's error code.",
            ("code", "status"),
            {
                (code.name.lower(), status): count
                for (code, status), count in self.refused.items()
            },
        )
        between = ("from", "to")
        yield _counter(
            "engineio_upgrades_tried",
            "Upgrades that clients began.",
            between,
            self.upgrades_tried,
        )
        yield _counter(
            "engineio_upgrades", "Upgrades that were finished.", between, self.upgrades
        )
        yield _counter(
            "engineio_limits_reached",
            "Limits that were reached, by name.",
            ("limit",),
            {(name,): count for name, count in self.limits.items()},
        )

    def _of_messages(self) -> Iterator[Metric]:
        for way, told, text, binary in (
            ("received", "received", self.received_text, self.received_binary),
            ("sent", "sent, or queued to be", self.sent_text, self.sent_binary),
        ):
            yield _counter(
                f"engineio_messages_{way}",
                f"Messages {told}.",
                ("kind",),
                {("text",): text.messages, ("binary",): binary.messages},
            )
            yield _counter(
                f"engineio_{way}_bytes",
                f"Bytes of messages {told}, before compression.",
                ("kind",),
                {("text",): text.bytes, ("binary",): binary.bytes},
            )
        yield CounterMetricFamily(
            "engineio_payloads_refused",
            "Request bodies and messages refused for their size.",
            self.payloads_refused,
        )


def _counter(
    name: str,
    text: str,
    labels: Sequence[str],
    table: Table,
) -> Metric:
    return _fill(CounterMetricFamily(name, text, labels=labels), table)


def _gauge(
    name: str,
    text: str,
    labels: Sequence[str],
    table: Table,
) -> Metric:
    return _fill(GaugeMetricFamily(name, text, labels=labels), table)


def _fill(
    family: CounterMetricFamily | GaugeMetricFamily,
    table: Table,
) -> Metric:
    for values, count in list(table.items()):
        family.add_metric([str(each) for each in values], count)
    return family


class MetricsResource(Resource):
    """Serves a registry in Prometheus's own format, or in OpenMetrics to who asks."""

    isLeaf = True

    def __init__(
        self, registry: CollectorRegistry, guard: AccessControl | None = None
    ) -> None:
        """
        Make a resource.

        Args:
            registry: What it serves; ``Metrics.registry``.
            guard: Who may read it; anybody who reaches it if left out.

        """
        super().__init__()
        self._registry = registry
        self._guard = guard

    def render_GET(self, request: Request) -> int:
        """Tell what was counted, to whoever may know."""
        if self._guard is not None and not self._guard.lets_in(request):
            return NOT_DONE_YET
        # In the reactor's thread, unlike prometheus_client's own resource: what is
        # counted is not locked.
        accept: bytes = request.getHeader(b"accept") or b""
        encode, kind = choose_encoder(accept.decode("latin-1"))
        answer(request, 200, kind.encode(), encode(self._registry))
        return NOT_DONE_YET

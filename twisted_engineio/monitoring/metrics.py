"""
Metrics for Prometheus: an observer that counts events, and a resource that serves them.

It needs ``prometheus_client``, which the extra ``metrics`` installs; no other module of
the package imports this one. No label contains a session id or an address, so the
number of series does not grow with the number of clients.
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
"""Counts by the tuple of their label values."""

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_QUICK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Buckets in seconds, from a local network to ``ping_timeout``."""
_LONG: Final = (
    *(1.0, 5.0, 15.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE),
    *(_HOUR, 4 * _HOUR, 12 * _HOUR, 24 * _HOUR, 72 * _HOUR),
)
"""Buckets in seconds, from a page that is closed at once to a permanent display."""


class Metrics(Counters):
    """
    Counters that ``prometheus_client`` can collect; may observe several servers.

    ::

        metrics = Metrics()
        server = Server(Chat(), observers=[metrics])
        root.putChild(b"metrics", MetricsResource(metrics.registry))

    Attributes:
        registry: The registry that contains them.

    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        clock: IReactorTime | None = None,
    ) -> None:
        """
        Create the metrics, and register them.

        Args:
            registry: The registry, such as ``prometheus_client.REGISTRY``. If omitted,
                a new one that also contains the metrics of the process.
            clock: As for ``Counters``.

        Raises:
            ValueError: If the registry already contains these metrics.

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
            "Lifetime of sessions that have ended.",
            registry=registry,
            buckets=_LONG,
        )
        self._upgrades = Histogram(
            "engineio_handshake_to_upgrade_seconds",
            "Time from the opening of a session to its upgrade.",
            registry=registry,
            buckets=_QUICK,
        )
        self._pings = Histogram(
            "engineio_ping_round_trip_seconds",
            "Round-trip time of pings (revision 4).",
            ["transport"],
            registry=registry,
            buckets=_QUICK,
        )
        # labels() takes a lock for its look-up: call it once per transport.
        self._pings_on: dict[str, Histogram] = {}

    def session_lasted(self, session: Session, seconds: float) -> None:
        """Observe the lifetime of a session."""
        self._durations.observe(seconds)

    def upgrade_took(self, session: Session, seconds: float) -> None:
        """Observe the time from a session's opening to its upgrade."""
        self._upgrades.observe(seconds)

    def ping_took(self, session: Session, seconds: float) -> None:
        """Observe the round-trip time of a ping."""
        name = session.transport.name
        pings = self._pings_on.get(name)
        if pings is None:
            pings = self._pings_on[name] = self._pings.labels(name)
        pings.observe(seconds)

    # Called by prometheus_client.

    def describe(self) -> Iterable[Metric]:
        """Return the metrics of this collector."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Return every metric but the histograms, which are collectors themselves."""
        yield _gauge(
            "engineio_sessions",
            "Open sessions, by transport and revision of the protocol.",
            ("transport", "revision"),
            self.carried,
        )
        # A copy: another thread may collect while sessions are opened and closed.
        waiting = sum(session.buffered for session in list(self.sessions))
        yield GaugeMetricFamily(
            "engineio_buffered_bytes",
            "Bytes in the send queues of all sessions.",
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
            "Sessions ended, by reason.",
            ("reason",),
            {(each.name.lower(),): count for each, count in self.closed.items()},
        )
        yield _counter(
            "engineio_handshakes",
            "Handshakes, by outcome: opened or refused.",
            ("outcome",),
            {
                ("opened",): self.opened.total(),
                ("refused",): self.handshakes_refused,
            },
        )
        yield _counter(
            "engineio_refusals",
            "Requests refused, handshakes included, by error code of the protocol.",
            ("code", "status"),
            {
                (code.name.lower(), status): count
                for (code, status), count in self.refused.items()
            },
        )
        between = ("from", "to")
        yield _counter(
            "engineio_upgrades_tried",
            "Upgrades begun by clients.",
            between,
            self.upgrades_tried,
        )
        yield _counter(
            "engineio_upgrades", "Upgrades completed.", between, self.upgrades
        )
        yield _counter(
            "engineio_limits_reached",
            "Limits reached, by name.",
            ("limit",),
            {(name,): count for name, count in self.limits.items()},
        )

    def _of_messages(self) -> Iterator[Metric]:
        for way, state, text, binary in (
            ("received", "received", self.received_text, self.received_binary),
            ("sent", "sent, or queued to be", self.sent_text, self.sent_binary),
        ):
            yield _counter(
                f"engineio_messages_{way}",
                f"Messages {state}.",
                ("kind",),
                {("text",): text.messages, ("binary",): binary.messages},
            )
            yield _counter(
                f"engineio_{way}_bytes",
                f"Bytes of messages {state}, before compression.",
                ("kind",),
                {("text",): text.bytes, ("binary",): binary.bytes},
            )
        yield CounterMetricFamily(
            "engineio_payloads_refused",
            "Request bodies and messages above max_payload.",
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
    """A resource that serves a registry in Prometheus's format, or in OpenMetrics."""

    isLeaf = True

    def __init__(
        self, registry: CollectorRegistry, access: AccessControl | None = None
    ) -> None:
        """
        Create the resource.

        Args:
            registry: The registry to serve; ``Metrics.registry``.
            access: The access control; every client may read it if omitted.

        """
        super().__init__()
        self._registry = registry
        self._access = access

    def render_GET(self, request: Request) -> int:
        """Answer with the metrics, if the request has access."""
        if self._access is not None and not self._access.is_allowed(request):
            return NOT_DONE_YET
        # In the reactor's thread, unlike prometheus_client's own resource: the counters
        # have no locks.
        accept: bytes = request.getHeader(b"accept") or b""
        encode, kind = choose_encoder(accept.decode("latin-1"))
        answer(request, 200, kind.encode(), encode(self._registry))
        return NOT_DONE_YET

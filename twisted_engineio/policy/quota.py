"""
Quotas: sessions in total and per address, and handshakes per second.

Rules of this file:

1. A handshake that waits for ``Application.admit`` counts as a session: a slow
   ``admit`` admits no more sessions than a fast one.
2. Only a handshake that passes the session limits takes a token of
   ``max_handshakes_per_second``.

Driven by its server: ``begin_handshake`` runs before each admission, ``reserve`` and
``release`` enclose one that is asynchronous, and ``acquire`` and ``release`` enclose
each session.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network
from typing import Protocol

from ..exceptions import Unavailable
from .token_bucket import TokenBucket

__all__ = ["Quota"]

_RETRY_AFTER = 5.0
"""Seconds after which a refused client may retry: sessions come and go."""


class QuotaLimits(Protocol):
    """The options of a server that limit its number of sessions."""

    @property
    def max_sessions(self) -> int | None:
        """The maximum number of sessions."""

    @property
    def max_sessions_per_address(self) -> int | None:
        """The maximum number of sessions from one address."""

    @property
    def max_handshakes_per_second(self) -> float | None:
        """The maximum rate at which handshakes are passed to the application."""


class Quota:
    """Counts sessions and pending handshakes against the limits."""

    def __init__(self, config: QuotaLimits, seconds: Callable[[], float]) -> None:
        """
        Make an unused quota.

        Args:
            config: The limits.
            seconds: Returns the current time, in seconds.

        """
        self._seconds = seconds
        self._max = config.max_sessions
        self._max_per_address = config.max_sessions_per_address
        rate = config.max_handshakes_per_second
        self._bucket = None if rate is None else TokenBucket(rate, seconds())
        self._count = 0
        self._per_address: Counter[str] = Counter()

    def begin_handshake(self, address: str | None) -> None:
        """
        Check all limits for a new handshake, and count it against the rate.

        Args:
            address: The client's IP address; ``None`` on a UNIX socket, which has no
                limit per address.

        Raises:
            Unavailable: If a limit on sessions or on the rate is reached.

        """
        self._check(address)
        if self._bucket is not None:
            wait = self._bucket.wait(1, self._seconds())
            if wait:
                raise Unavailable(
                    503,
                    "Too many clients at once",
                    retry_after=wait,
                    limit="max_handshakes_per_second",
                )
            self._bucket.take(1)

    def reserve(self, address: str | None) -> None:
        """
        Count a handshake that waits for ``admit``; it passed ``begin_handshake``.

        Args:
            address: As for ``begin_handshake``.

        """
        self._add(address, 1)

    def acquire(self, address: str | None) -> None:
        """
        Count the session of an admitted client.

        Args:
            address: As for ``begin_handshake``.

        Raises:
            Unavailable: If other sessions reached a limit since ``begin_handshake``.

        """
        self._check(address)
        if self._max_per_address is None:
            self._count += 1  # inlined _add: this runs for each session
        else:
            self._add(address, 1)

    def release(self, address: str | None) -> None:
        """
        Stop counting an asynchronous admission or a session that is over.

        Args:
            address: As for ``begin_handshake``.

        """
        self._add(address, -1)

    def _check(self, address: str | None) -> None:
        if self._max is not None and self._count >= self._max:
            raise Unavailable(
                503,
                "The server is full",
                retry_after=_RETRY_AFTER,
                limit="max_sessions",
            )
        if self._max_per_address is None or address is None:
            return
        if self._per_address[_network(address)] >= self._max_per_address:
            # RFC 6585, 4.
            raise Unavailable(
                429,
                "Too many sessions from your address",
                retry_after=_RETRY_AFTER,
                limit="max_sessions_per_address",
            )

    def _add(self, address: str | None, step: int) -> None:
        self._count += step
        if self._max_per_address is not None and address is not None:
            network = _network(address)
            self._per_address[network] += step
            if not self._per_address[network]:
                # Else it would keep an entry for each address ever seen.
                del self._per_address[network]


def _network(address: str) -> str:
    """Return the part of an address that identifies one client: a /64 of IPv6."""
    if ":" not in address:
        return address
    try:
        six = IPv6Address(address.partition("%")[0])
    except ValueError:  # a forwarding header may hold any text
        return address
    return str(six.ipv4_mapped or ip_network((six, 64), strict=False))

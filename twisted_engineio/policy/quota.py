"""
How many may come in: sessions in all and per address, and handshakes per second.

Rules of this file:

1. Who waits for the application's ``admit`` counts as a session: a slow ``admit`` lets
   no more of them in than a quick one.
2. Only who is let in to ``admit`` costs a handshake of this second's.

Driven by its server: ``knock`` stands before each admission, ``wait`` and ``leave``
around one that takes time, ``enter`` and ``leave`` around each session.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network
from typing import Protocol

from ..exceptions import Unavailable
from .token_bucket import TokenBucket

__all__ = ["Quota"]

_SOON = 5.0
"""Seconds after which who was refused may try again: sessions come and go."""


class QuotaLimits(Protocol):
    """The options of a server that limit how many clients it accepts."""

    @property
    def max_sessions(self) -> int | None:
        """How many sessions there may be."""

    @property
    def max_sessions_per_address(self) -> int | None:
        """How many of them from one address."""

    @property
    def max_handshakes_per_second(self) -> float | None:
        """How many handshakes are put to the application in a second."""


class Quota:
    """Counts who is inside."""

    def __init__(self, config: QuotaLimits, seconds: Callable[[], float]) -> None:
        """
        Make a quota that nobody has used.

        Args:
            config: The limits.
            seconds: Tells the time.

        """
        self._seconds = seconds
        self._most = config.max_sessions
        self._most_of_one = config.max_sessions_per_address
        rate = config.max_handshakes_per_second
        self._bucket = None if rate is None else TokenBucket(rate, seconds())
        self._inside = 0
        self._of: Counter[str] = Counter()

    def knock(self, address: str | None) -> None:
        """
        Let a client in to be asked who it is.

        Args:
            address: Its IP address; ``None`` on a UNIX socket, which counts for none.

        Raises:
            Unavailable: If it is one too many, or too soon.

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

    def wait(self, address: str | None) -> None:
        """
        Let a client wait inside that has knocked, and for whom it takes time.

        Args:
            address: As for ``knock``.

        """
        self._count(address, 1)

    def enter(self, address: str | None) -> None:
        """
        Let a client in that was admitted.

        Args:
            address: As for ``knock``.

        Raises:
            Unavailable: If others were quicker.

        """
        self._check(address)
        if self._most_of_one is None:
            self._inside += 1  # without a call, for each session
        else:
            self._count(address, 1)

    def leave(self, address: str | None) -> None:
        """
        Let a client out: its admission or its session is over.

        Args:
            address: As for ``knock``.

        """
        self._count(address, -1)

    def _check(self, address: str | None) -> None:
        if self._most is not None and self._inside >= self._most:
            raise Unavailable(
                503, "The server is full", retry_after=_SOON, limit="max_sessions"
            )
        if self._most_of_one is None or address is None:
            return
        if self._of[_network(address)] >= self._most_of_one:
            # RFC 6585, 4.
            raise Unavailable(
                429,
                "Too many sessions from your address",
                retry_after=_SOON,
                limit="max_sessions_per_address",
            )

    def _count(self, address: str | None, step: int) -> None:
        self._inside += step
        if self._most_of_one is not None and address is not None:
            network = _network(address)
            self._of[network] += step
            if not self._of[network]:
                del self._of[network]


def _network(address: str) -> str:
    """Give what of an address is its owner's own."""
    if ":" not in address:
        return address
    try:
        six = IPv6Address(address.partition("%")[0])
    except ValueError:  # what a proxy's header says, if it is allowed to say anything
        return address
    return str(six.ipv4_mapped or ip_network((six, 64), strict=False))

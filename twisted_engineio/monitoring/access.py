"""
Who may see what only an operator should: whoever shows the token, or this machine.

Rules of this file:

1. With a token, whoever shows it may, from wherever, and nobody else, from nowhere. It
   is shown in a header, for URLs end up in logs.
2. Without one, only a program on this machine that asks without a proxy between. A
   request that says of itself that it was handed on comes from elsewhere, whatever
   address it comes from; one that asks for another name than this machine's comes
   from a page that made its own name point here; and one that its browser calls
   cross-site comes from a foreign page, which could not read the answer, but is not
   to open sessions either.
3. Behind a proxy, then, nobody without one: a proxy on this machine that does not say
   that it handed a request on, as nginx by itself does not, makes the whole world look
   like this machine.
"""

from __future__ import annotations

import hmac
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..exceptions import Reject
from ..policy.cors import OWN_SITES
from ..transports.http_response import PLAIN, answer
from ..web.request_info import RequestInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twisted.web.server import Request

    from ..protocol.handshake import Handshake

__all__ = ["AccessControl"]

_MIN_LENGTH: Final = 16
"""Characters of a token: fewer might be guessed by asking."""
_FORWARDED: Final = frozenset(
    (
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    )
)
_BEHIND_PROXIES: Final = (
    "Only with a token, and none is set: behind a proxy anybody may look like this"
    " machine"
)


class AccessControl:
    """Lets an operator in, and nobody else."""

    def __init__(
        self, token: str | None = None, trusted_proxies: Sequence[str] = ()
    ) -> None:
        """
        Make a guard.

        Args:
            token: What an operator shows; ``None`` for this machine only.
            trusted_proxies: As in ``Config``: if there are any, only a token opens.

        Raises:
            ValueError: If the token cannot stand in a header, or is short enough to be
                guessed.

        """
        if token is not None:
            if not token.isascii() or not token.isprintable() or " " in token:
                raise ValueError("a token is of ASCII letters, digits and signs")
            if len(token) < _MIN_LENGTH:
                raise ValueError(f"a token has {_MIN_LENGTH} characters or more")
        self._token = token
        self._behind_proxies = bool(trusted_proxies)

    @property
    def requires_token(self) -> bool:
        """Whether it asks for a token."""
        return self._token is not None

    def check(self, request: Handshake) -> None:
        """
        Let an operator's request pass.

        Args:
            request: The request.

        Raises:
            Reject: If it is somebody else's.

        """
        if self._token is None:
            if self._behind_proxies:
                raise Reject(403, _BEHIND_PROXIES)
            if not _is_local(request):
                raise Reject(403, "Only for this machine itself, and without a proxy")
            return
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(shown.strip().encode(), self._token.encode())
        if scheme.lower() != "bearer" or not same:
            # RFC 9110, 15.5.2: with a challenge; RFC 6750, 3.
            raise Reject(401, "Show the token", headers={"WWW-Authenticate": "Bearer"})

    def is_allowed(self, request: Request) -> bool:
        """
        Tell whether a request for a page may be answered; else it has been refused.

        Args:
            request: twisted.web's request.

        """
        try:
            self.check(RequestInfo(request, None).view)
        except Reject as error:
            for name, value in error.headers.items():
                request.setHeader(name, value)
            answer(request, error.status, PLAIN, error.message.encode() + b"\n")
            return False
        return True


def _is_local(request: Handshake) -> bool:
    headers = request.headers
    if not _FORWARDED.isdisjoint(headers) or not _is_loopback(request.client_address):
        return False
    if _is_cross_site(headers):
        return False
    try:
        name = urlsplit("//" + headers.get("host", "")).hostname
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name)


def _is_cross_site(headers: Mapping[str, str]) -> bool:
    """Return whether a page of another origin embeds what is asked for."""
    if headers.get("sec-fetch-site") in (None, *OWN_SITES):
        return False
    # A link may lead here from anywhere, and an Origin is for ``Cors`` to judge.
    return headers.get("sec-fetch-mode") != "navigate" and "origin" not in headers


def _is_loopback(address: str | None) -> bool:
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        return found.ipv4_mapped.is_loopback
    return found.is_loopback

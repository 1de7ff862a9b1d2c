"""
Access control for metrics and the status page: a token, or this machine only.

Rules of this file:

1. If a token is set, it is required from every address, loopback included. It is sent
   in a header, because URLs end up in logs.
2. If no token is set, only a program on this machine that connects without a proxy has
   access. Refused, whatever the address: a request with a header that proxies add; one
   with a Host other than this machine's, because a foreign page may have pointed its
   own name here (DNS rebinding); and one that the browser marks as cross-site. The
   page could not read such an answer, but it must not open sessions either.
3. If ``trusted_proxies`` is set, access needs a token: requests through a proxy on this
   machine that adds no header, as nginx does by default, would all look local.
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
"""Minimum length of a token in characters; a shorter one might be guessed by trying."""
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
    "A token is required, and none is set: behind a proxy, any client may appear to be"
    " on this machine"
)


class AccessControl:
    """Decides whether a request has an operator's access."""

    def __init__(
        self, token: str | None = None, trusted_proxies: Sequence[str] = ()
    ) -> None:
        """
        Create an access control.

        Args:
            token: The token that requests must send; ``None`` to allow this machine.
            trusted_proxies: As in ``Config``; if any are set, a token is required.

        Raises:
            ValueError: If the token is too short, or contains characters that a header
                cannot.

        """
        if token is not None:
            if not token.isascii() or not token.isprintable() or " " in token:
                raise ValueError("a token must be ASCII letters, digits and signs")
            if len(token) < _MIN_LENGTH:
                raise ValueError(f"a token must have at least {_MIN_LENGTH} characters")
        self._token = token
        self._behind_proxies = bool(trusted_proxies)

    @property
    def requires_token(self) -> bool:
        """Whether a token is required."""
        return self._token is not None

    def check(self, request: Handshake) -> None:
        """
        Check that a request has an operator's access.

        Args:
            request: The request.

        Raises:
            Reject: If it has not.

        """
        if self._token is None:
            if self._behind_proxies:
                raise Reject(403, _BEHIND_PROXIES)
            if not _is_local(request):
                raise Reject(403, "Allowed from this machine only, without a proxy")
            return
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(shown.strip().encode(), self._token.encode())
        if scheme.lower() != "bearer" or not same:
            # RFC 9110, 15.5.2: a 401 contains a challenge; its form is RFC 6750, 3.
            raise Reject(
                401, "A token is required", headers={"WWW-Authenticate": "Bearer"}
            )

    def is_allowed(self, request: Request) -> bool:
        """
        Return whether a request has access; if it has not, answer it with the refusal.

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
    """Return whether a page of another origin has embedded the resource."""
    if headers.get("sec-fetch-site") in (None, *OWN_SITES):
        return False
    # Navigation is allowed: a link may be anywhere. ``Cors`` checks an Origin header.
    return headers.get("sec-fetch-mode") != "navigate" and "origin" not in headers


def _is_loopback(address: str | None) -> bool:
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        return found.ipv4_mapped.is_loopback
    return found.is_loopback

"""
Which origins may use the server, and the headers that tell a browser so.

A page of the same origin always may. Any other is refused on every transport unless it
is listed: a browser checks nothing for WebSocket, so a server must.

Fetch standard, "CORS protocol"; RFC 6454.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

    from .config import Config

__all__ = ["Cors", "is_well_formed"]

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_MAX_AGE: Final = b"600"
"""Seconds for which a browser may remember a preflight's answer; Chromium's own
limit is two hours, Safari's ten minutes."""


def is_well_formed(origin: str) -> bool:
    """Tell whether a header's value has no control characters but tabs."""
    return not any((char < " " and char != "\t") or char == "\x7f" for char in origin)


class Cors:
    """The origins that a server accepts besides its own."""

    def __init__(self, config: Config) -> None:
        self._origins: Sequence[str] = tuple(map(_normal, config.cors))
        self._any = "*" in config.cors
        self._credentials = config.cors_credentials

    def allows(self, origin: str | None, host: str) -> bool:
        """
        Decide whether a request may be served.

        Args:
            origin: Its Origin header, or ``None``: then it is no browser's cross-origin
                request.
            host: Its Host header.

        """
        if origin is None or self._any or _normal(origin) in self._origins:
            return True
        scheme, _, netloc = origin.partition("://")
        return bool(netloc) and _bare(scheme, netloc) == _bare(scheme, host)

    def add_headers(self, origin: str | None, headers: Headers) -> None:
        """
        Let the browser give the answer to the page that asked.

        Args:
            origin: The request's Origin header, allowed.
            headers: The headers of the answer.

        """
        if origin is None:
            if self._origins and not self._any:
                headers.setRawHeaders(b"Vary", [b"Origin"])
        elif self._any:
            headers.setRawHeaders(b"Access-Control-Allow-Origin", [b"*"])
        elif self._origins:
            headers.setRawHeaders(
                b"Access-Control-Allow-Origin", [origin.encode("latin-1")]
            )
            headers.setRawHeaders(b"Vary", [b"Origin"])
            if self._credentials:
                headers.setRawHeaders(b"Access-Control-Allow-Credentials", [b"true"])

    def add_preflight_headers(self, origin: str | None, headers: Headers) -> None:
        """
        Answer a browser's question before a request that is not simple.

        Args:
            origin: The request's Origin header, allowed.
            headers: The headers of the answer.

        """
        self.add_headers(origin, headers)
        if headers.hasHeader(b"Access-Control-Allow-Origin"):
            headers.setRawHeaders(b"Access-Control-Allow-Methods", [b"GET,POST"])
            headers.setRawHeaders(b"Access-Control-Allow-Headers", [b"Content-Type"])
            headers.setRawHeaders(b"Access-Control-Max-Age", [_MAX_AGE])


def _normal(origin: str) -> str:
    scheme, separator, netloc = origin.lower().partition("://")
    return scheme + separator + _bare(scheme, netloc)


def _bare(scheme: str, netloc: str) -> str:
    """Give a host in lower case, without the port that its scheme has anyway."""
    return netloc.lower().removesuffix(":" + _DEFAULT_PORTS.get(scheme.lower(), ""))

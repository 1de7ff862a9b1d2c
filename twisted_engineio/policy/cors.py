"""
Origin checks, and the CORS headers that report the result to a browser.

A page of the same origin is always allowed. Any other origin is refused on every
transport unless it is listed: browsers apply no CORS check to a WebSocket, so the
server must.

Fetch standard, "CORS protocol"; RFC 6454.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from twisted.logger import Logger

from .origins import is_same_origin, normal_origin, origin_of_url

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

    from .limited_log import LimitedLog

__all__ = ["OWN_SITES", "Cors", "is_well_formed"]

OWN_SITES: Final = ("same-origin", "none")
"""Values of ``Sec-Fetch-Site`` for a same-origin request, and for one without a
page."""
_MISPLACED: Final = re.compile("[^\t -~]")


def is_well_formed(origin: str) -> bool:
    """
    Return whether an origin is ASCII without control characters other than tabs.

    RFC 6454, 6.2. Any other would be altered where an answer echoes it: Autobahn
    encodes the headers of a WebSocket's answer in UTF-8.
    """
    return _MISPLACED.search(origin) is None


class CorsOptions(Protocol):
    """The server's options for cross-origin requests."""

    @property
    def cors(self) -> Callable[[str], bool] | Collection[str | re.Pattern[str]]:
        """The allowed origins, or a function that decides about one."""

    @property
    def cors_credentials(self) -> bool:
        """Whether browsers may send cookies."""

    @property
    def cors_methods(self) -> Iterable[str]:
        """Methods that a preflight response allows."""

    @property
    def cors_allowed_headers(self) -> Iterable[str]:
        """Headers that a preflight response allows."""

    @property
    def cors_exposed_headers(self) -> Iterable[str]:
        """Response headers that a page may read."""

    @property
    def cors_max_age(self) -> int:
        """Seconds for which a browser may cache a preflight response."""


class CorsRequest(Protocol):
    """A request that is answered with an error."""

    @property
    def origin(self) -> str | None:
        """Its Origin header."""

    @property
    def host(self) -> str:
        """The requested host, and perhaps port."""

    @property
    def is_secure(self) -> bool:
        """Whether it was received over TLS."""

    @property
    def method(self) -> bytes:
        """Its method."""

    @property
    def answer_headers(self) -> Headers:
        """The headers of its answer."""


class Cors:
    """
    The origins that a server accepts besides its own.

    Attributes:
        lists: Whether any other origin can be accepted.
        log: The log for failures of the operator's function.

    """

    def __init__(self, config: CorsOptions, log: LimitedLog | None = None) -> None:
        """
        Compile the rules of a server.

        Args:
            config: The server's options.
            log: A rate-limited log.

        """
        self.log = log or Logger()
        origins = config.cors
        self._decide: Callable[[str], bool] | None = None
        self._origins: frozenset[str] = frozenset()
        self._patterns: list[re.Pattern[str]] = []
        if callable(origins):
            self._decide = origins
        else:
            texts = [each for each in origins if isinstance(each, str)]
            self._origins = frozenset(texts)
            self._patterns = [each for each in origins if isinstance(each, re.Pattern)]
        self._any = "*" in self._origins
        self.lists = bool(self._decide or self._origins or self._patterns)
        self._credentials = config.cors_credentials
        self._exposed = ",".join(config.cors_exposed_headers).encode("latin-1")
        self._preflight = {
            b"Access-Control-Allow-Methods": ",".join(config.cors_methods),
            b"Access-Control-Allow-Headers": ",".join(config.cors_allowed_headers),
            b"Access-Control-Max-Age": str(config.cors_max_age),
        }

    def allows(self, origin: str | None, host: str, is_secure: bool = False) -> bool:
        """
        Return whether the origin of a request is accepted.

        Args:
            origin: Its Origin header, or ``None``: then it is not a browser's
                cross-origin request.
            host: Its Host header, or the original one as reported by a trusted proxy.
            is_secure: Whether it was certainly received over TLS: see
                ``is_same_origin``.

        Raises:
            Exception: Any exception of the operator's function for ``cors``.

        """
        if origin is None or self._any or is_same_origin(origin, host, is_secure):
            return True
        return self._is_listed(origin)

    def _is_listed(self, origin: str) -> bool:
        if self._decide is not None:
            return bool(self._decide(origin))
        if origin in self._origins or normal_origin(origin) in self._origins:
            return True
        return any(each.fullmatch(origin) for each in self._patterns)

    def allows_script(
        self, headers: Mapping[str, str], host: str, is_secure: bool = False
    ) -> bool:
        """
        Return whether a JSONP request is accepted.

        Any page may load a script from any server, without an Origin, with its user's
        cookies and from its user's network. So a request from another site's page is
        refused, by two headers of the browser: ``Sec-Fetch-Site`` (Fetch Metadata; sent
        only to https and localhost) and Referer (which a page can suppress). A request
        with neither must carry no cookies.

        Args:
            headers: The request's headers, names in lower case.
            host: As for ``allows``.
            is_secure: As for ``allows``.

        Raises:
            Exception: As ``allows``.

        """
        if self._any:
            return True
        site, referer = headers.get("sec-fetch-site"), headers.get("referer")
        if referer:
            origin = origin_of_url(referer)
            if site in (None, *OWN_SITES):
                return bool(origin) and self.allows(origin, host, is_secure)
            return bool(origin) and self._is_listed(origin)
        if "origin" in headers:
            return True  # checked by ``allows`` already, and enforced by the browser
        return "cookie" not in headers if site is None else site in OWN_SITES

    @property
    def asks_operator(self) -> bool:
        """Whether a function of the operator's decides."""
        return self._decide is not None

    def add_headers(self, origin: str | None, headers: Headers) -> None:
        """
        Add the headers that let the requesting page read the answer.

        Args:
            origin: The request's Origin header, allowed.
            headers: The headers of the answer.

        """
        if not self.lists:
            return
        if not self._any:
            headers.addRawHeader(b"Vary", b"Origin")
        if origin is None:
            return
        allowed = b"*" if self._any else origin.encode("latin-1")
        headers.setRawHeaders(b"Access-Control-Allow-Origin", [allowed])
        if self._credentials:
            headers.setRawHeaders(b"Access-Control-Allow-Credentials", [b"true"])
        if self._exposed:
            headers.setRawHeaders(b"Access-Control-Expose-Headers", [self._exposed])

    def add_error_headers(self, request: CorsRequest) -> None:
        """
        Add CORS headers to an error that occurs before the origin check.

        None are added for an origin that is not allowed, nor if the operator's function
        raises, which is logged: the error is sent in either case.

        Args:
            request: The request; the headers are added to its answer.

        """
        origin = request.origin
        if not self.lists or (origin is not None and not is_well_formed(origin)):
            return
        try:
            allowed = self.allows(origin, request.host, request.is_secure)
        except Exception:
            self.log.failure("cors failed; the request is refused")
            return
        if allowed and request.method == b"OPTIONS":
            self.add_preflight_headers(origin, request.answer_headers)
        elif allowed:
            self.add_headers(origin, request.answer_headers)

    def add_preflight_headers(self, origin: str | None, headers: Headers) -> None:
        """
        Add the headers of the response to a CORS preflight request.

        Args:
            origin: The request's Origin header, allowed.
            headers: The headers of the answer.

        """
        self.add_headers(origin, headers)
        if headers.hasHeader(b"Access-Control-Allow-Origin"):
            for name, value in self._preflight.items():
                headers.setRawHeaders(name, [value.encode("latin-1")])

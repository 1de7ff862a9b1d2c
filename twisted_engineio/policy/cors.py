"""
Which origins may use the server, and the headers that tell a browser so.

A page of the same origin always may. Any other is refused on every transport unless it
is listed: a browser checks nothing for WebSocket, so a server must.

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
"""Values of ``Sec-Fetch-Site`` for a page of the same origin, and for no page."""
_MISPLACED: Final = re.compile("[^\t -~]")


def is_well_formed(origin: str) -> bool:
    """
    Tell whether an origin is written in ASCII, without control characters but tabs.

    RFC 6454, 6.2. One that is not would be changed where an answer echoes it: Autobahn
    writes the headers of a WebSocket's answer in UTF-8.
    """
    return _MISPLACED.search(origin) is None


class CorsOptions(Protocol):
    """The options of a server about pages of other origins."""

    @property
    def cors(self) -> Callable[[str], bool] | Collection[str | re.Pattern[str]]:
        """The origins, or what decides about one."""

    @property
    def cors_credentials(self) -> bool:
        """Whether browsers may send cookies."""

    @property
    def cors_methods(self) -> Iterable[str]:
        """Methods that a preflight allows."""

    @property
    def cors_allowed_headers(self) -> Iterable[str]:
        """Headers that a preflight allows."""

    @property
    def cors_exposed_headers(self) -> Iterable[str]:
        """Headers of an answer that a page may read."""

    @property
    def cors_max_age(self) -> int:
        """Seconds for which a browser may remember a preflight."""


class CorsRequest(Protocol):
    """A request that is answered with an error."""

    @property
    def origin(self) -> str | None:
        """Its Origin header."""

    @property
    def host(self) -> str:
        """The host, and perhaps port, that it asks for."""

    @property
    def is_secure(self) -> bool:
        """Whether it came over TLS."""

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
        lists: Whether there may be any.
        log: Where it logs.

    """

    def __init__(self, config: CorsOptions, log: LimitedLog | None = None) -> None:
        """
        Make the rules of a server.

        Args:
            config: Its options.
            log: Where it logs; one that limits the rate of its lines.

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
        Decide whether a request may be served.

        Args:
            origin: Its Origin header, or ``None``: then it is no browser's cross-origin
                request.
            host: Its Host header, or what a trusted proxy says that was.
            is_secure: Whether it surely came over TLS: see ``is_same_origin``.

        Raises:
            Exception: Whatever the operator's function for ``cors`` raises.

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
        Return whether a request for JSONP may be served.

        Any page may load a script from anywhere, without an Origin, with its user's
        cookies, and from wherever its user is in the network. So the request must not
        come from a foreign page, by what the browser says of it: ``Sec-Fetch-Site``
        (Fetch Metadata; only https and localhost are sent it) and the Referer (which a
        page can leave out). One that says neither must bring no cookies.

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
            return True  # which ``allows`` has judged, and the browser goes by it
        return "cookie" not in headers if site is None else site in OWN_SITES

    @property
    def asks_operator(self) -> bool:
        """Whether a function of the operator's decides."""
        return self._decide is not None

    def add_headers(self, origin: str | None, headers: Headers) -> None:
        """
        Let the browser give the answer to the page that asked.

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

    def add_error_headers(self, asked: CorsRequest) -> None:
        """
        Add CORS headers to an error that is found before the Origin is checked.

        None are added for a page that may not use the server, nor if the operator's
        function raises, which is logged: the error is answered either way.

        Args:
            asked: The request; its answer is given the headers.

        """
        origin = asked.origin
        if not self.lists or (origin is not None and not is_well_formed(origin)):
            return
        try:
            allowed = self.allows(origin, asked.host, asked.is_secure)
        except Exception:
            self.log.failure("cors failed; the request is refused")
            return
        if allowed and asked.method == b"OPTIONS":
            self.add_preflight_headers(origin, asked.answer_headers)
        elif allowed:
            self.add_headers(origin, asked.answer_headers)

    def add_preflight_headers(self, origin: str | None, headers: Headers) -> None:
        """
        Answer a browser's question before a request that is not simple.

        Args:
            origin: The request's Origin header, allowed.
            headers: The headers of the answer.

        """
        self.add_headers(origin, headers)
        if headers.hasHeader(b"Access-Control-Allow-Origin"):
            for name, value in self._preflight.items():
                headers.setRawHeaders(name, [value.encode("latin-1")])

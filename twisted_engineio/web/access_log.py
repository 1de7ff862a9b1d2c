"""
Access logs without secrets: twisted.web's lines, with session ids and tickets redacted.

Rules of this file:

1. A formatter is wrapped, not replaced: it is shown a request that has no secrets in
   its URI and headers; ``redaction.py`` knows them.
2. What a client said is cut to ``_MOST`` bytes for each field.

``site.py`` and ``site_limits.py`` wrap the formatter of a Site when it is made or
protected, and ``resource.py`` that of any other Site at its first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address
from twisted.web.http import combinedLogFormatter
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAccessLogFormatter
from zope.interface import implementer

from ..policy.forwarded import TrustedProxies
from ..policy.redaction import SECRETS, Redaction, shorten
from ..protocol.fields import read_headers

if TYPE_CHECKING:
    from twisted.web.server import Site

__all__ = [
    "TWISTED",
    "RedactedLog",
    "Upgrade",
    "redact_log_of",
    "redacted_log",
]

TWISTED: Final = ("_logFormatter",)
"""What is known here of a Site besides its interface."""
_MOST: Final = 512
"""Bytes of a client's words in a field of a line."""


def redacted_log(
    formatter: Callable[[str, Any], str | None] = combinedLogFormatter,
    *,
    secrets: Iterable[str] = SECRETS,
) -> RedactedLog:
    """
    Make a log formatter that writes no session's id, for any twisted.web Site.

    Use it as ``Site(root, logFormatter=redacted_log())``. ``EngineIOSite`` and
    ``protect`` do so by themselves. Its method ``redact`` takes the bytes of a URL, for
    logs that are not twisted.web's.

    Args:
        formatter: What writes the lines; twisted.web's combined format if left out.
        secrets: The names of the query fields that are redacted. Name those in which
            your clients send tickets or tokens, and ``"sid"`` and ``"lastEventId"``.

    """
    return RedactedLog(formatter, secrets)


def redact_log_of(site: Site, proxies: TrustedProxies | None = None) -> None:
    """
    Redact a Site's access log, whatever formatter it has.

    Args:
        site: The Site; once more changes nothing.
        proxies: Whose word about a client's address counts, if anybody's.

    """
    formatter = site._logFormatter
    if not isinstance(formatter, RedactedLog):
        site._logFormatter = RedactedLog(formatter, SECRETS, proxies)


@implementer(IAccessLogFormatter)
class RedactedLog:
    """A log formatter that is shown no secrets."""

    def __init__(
        self,
        formatter: Callable[[str, Any], str | None],
        secrets: Iterable[str],
        proxies: TrustedProxies | None = None,
    ) -> None:
        self._formatter = formatter
        self._proxies = proxies
        self._redaction = Redaction(secrets)

    def __call__(self, timestamp: str, request: Any) -> str | None:
        """
        Format a line about a request.

        Args:
            timestamp: When it was answered.
            request: The request.

        """
        return self._formatter(timestamp, _Redacted(request, self, self._proxies))

    def redact(self, text: bytes) -> bytes:
        """Return a URI, or a header, that can stand in a line."""
        return self._redaction(text)[:_MOST]


class Upgrade:
    """A WebSocket's handshake that twisted.web has not read, as a formatter sees it."""

    method = b"GET"
    clientproto = b"HTTP/1.1"
    code = 101
    sentLength = 0
    args: Final[Mapping[bytes, list[bytes]]] = {}

    def __init__(self, uri: bytes, headers: Mapping[str, str], peer: object) -> None:
        """
        Make one.

        Args:
            uri: What it asks for.
            headers: Its headers.
            peer: Where it comes from.

        """
        self.uri = uri
        self.requestHeaders = Headers({name: [headers[name]] for name in headers})
        self._peer = peer

    def getHeader(self, key: bytes) -> bytes | None:
        """Return one of its headers."""
        return next(iter(self.requestHeaders.getRawHeaders(key, ())), None)

    def getClientAddress(self) -> object:
        """Return where it comes from."""
        return self._peer


class _Redacted:
    """A request as a log formatter may see it; in all else it is the request."""

    def __init__(
        self, request: Any, log: RedactedLog, proxies: TrustedProxies | None
    ) -> None:
        self._request = request
        self._log = log
        self._proxies = proxies

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    @property
    def uri(self) -> bytes:
        """The URI that was asked for."""
        return self._log.redact(self._request.uri)

    @property
    def method(self) -> bytes:
        """The method, cut: it may be of any length."""
        method: bytes = self._request.method
        return method[:_MOST]

    @property
    def clientproto(self) -> bytes:
        """The version of HTTP, likewise."""
        version: bytes = self._request.clientproto
        return version[:_MOST]

    @property
    def args(self) -> dict[bytes, list[bytes]]:
        """The fields of its query, and of a form."""
        args: Mapping[bytes, list[bytes]] = self._request.args or {}
        redact = self._log.redact
        return {
            name: [redact(name + b"=" + each)[len(name) + 1 :] for each in values]
            for name, values in args.items()
        }

    @property
    def requestHeaders(self) -> Headers:
        """Its headers."""
        raw = self._request.requestHeaders.getAllRawHeaders()
        return Headers(
            {
                name: [self._header(name, each) for each in values]
                for name, values in raw
            }
        )

    def getHeader(self, key: Any) -> Any:
        """Return one of its headers, as text or bytes as it is asked for."""
        value = self._request.getHeader(key)
        if value is None:
            return None
        if isinstance(value, str):
            raw = self._header(key.encode("latin-1"), value.encode("latin-1"))
            return raw.decode("latin-1")
        return self._header(key, value)

    def _header(self, name: bytes, value: bytes) -> bytes:
        if name.lower() == b"last-event-id":
            return shorten(value)
        return self._log.redact(value)

    def getClientAddress(self) -> Any:
        """Return where the client is, which a trusted proxy may have told."""
        address = self._request.getClientAddress()
        if self._proxies is None:
            return address
        headers = read_headers(self._request.requestHeaders.getAllRawHeaders())
        client = self._proxies.client(getattr(address, "host", None), headers)
        # Of IPv6, too: a formatter reads its host alone.
        return (
            address if client.address is None else IPv4Address("TCP", client.address, 0)
        )

"""
Access logs without secrets: redact session ids and tickets in twisted.web's lines.

Rules of this file:

1. A formatter is wrapped, not replaced: it formats a view of the request whose URI and
   headers contain no secrets. ``redaction.py`` finds them.
2. Text from a client is cut to ``_MOST`` bytes per field.

``site.py`` and ``site_limits.py`` wrap the formatter of a Site when it is created or
protected; ``resource.py`` wraps that of any other Site at the first request.
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
"""Private names of twisted.web's Site that are used here."""
_MOST: Final = 512
"""Bytes of a client's text in one field of a line."""


def redacted_log(
    formatter: Callable[[str, Any], str | None] = combinedLogFormatter,
    *,
    secrets: Iterable[str] = SECRETS,
) -> RedactedLog:
    """
    Return a log formatter that redacts session ids, for any twisted.web Site.

    Use it as ``Site(root, logFormatter=redacted_log())``. ``EngineIOSite`` and
    ``protect`` install it themselves. Its method ``redact`` redacts the bytes of a URL,
    for logs that twisted.web does not write.

    Args:
        formatter: The formatter of the lines; twisted.web's combined format if omitted.
        secrets: The names of the query fields to redact. Name the fields in which your
            clients send tickets or tokens, and ``"sid"`` and ``"lastEventId"``.

    """
    return RedactedLog(formatter, secrets)


def redact_log_of(site: Site, proxies: TrustedProxies | None = None) -> None:
    """
    Redact the access log of a Site, whatever its formatter; repeating has no effect.

    Args:
        site: The Site.
        proxies: The proxies whose headers name the client's address, if any.

    """
    formatter = site._logFormatter
    if not isinstance(formatter, RedactedLog):
        site._logFormatter = RedactedLog(formatter, SECRETS, proxies)


@implementer(IAccessLogFormatter)
class RedactedLog:
    """A log formatter that passes requests without secrets to another formatter."""

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
        Format the line of a request.

        Args:
            timestamp: The time of the answer, as twisted.web formats it.
            request: The request.

        """
        return self._formatter(timestamp, _Redacted(request, self, self._proxies))

    def redact(self, text: bytes) -> bytes:
        """Return a URI or header value, redacted and cut, for use in a log line."""
        return self._redaction(text)[:_MOST]


class Upgrade:
    """A WebSocket handshake of the fast path, as a log formatter sees a request."""

    method = b"GET"
    clientproto = b"HTTP/1.1"
    code = 101
    sentLength = 0
    args: Final[Mapping[bytes, list[bytes]]] = {}

    def __init__(self, uri: bytes, headers: Mapping[str, str], peer: object) -> None:
        """
        Create the view.

        Args:
            uri: The request's URI.
            headers: The request's headers.
            peer: The address of the client's end of the connection.

        """
        self.uri = uri
        self.requestHeaders = Headers({name: [headers[name]] for name in headers})
        self._peer = peer

    def getHeader(self, key: bytes) -> bytes | None:
        """Return a request header."""
        return next(iter(self.requestHeaders.getRawHeaders(key, ())), None)

    def getClientAddress(self) -> object:
        """Return the address of the client's end of the connection."""
        return self._peer


class _Redacted:
    """A request without secrets: URI, headers and arguments are redacted."""

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
        """The URI, redacted."""
        return self._log.redact(self._request.uri)

    @property
    def method(self) -> bytes:
        """The method, cut: a client may send one of any length."""
        method: bytes = self._request.method
        return method[:_MOST]

    @property
    def clientproto(self) -> bytes:
        """The HTTP version, cut for the same reason."""
        version: bytes = self._request.clientproto
        return version[:_MOST]

    @property
    def args(self) -> dict[bytes, list[bytes]]:
        """The fields of the query, and of a form, redacted."""
        args: Mapping[bytes, list[bytes]] = self._request.args or {}
        redact = self._log.redact
        return {
            name: [redact(name + b"=" + each)[len(name) + 1 :] for each in values]
            for name, values in args.items()
        }

    @property
    def requestHeaders(self) -> Headers:
        """The headers, redacted."""
        raw = self._request.requestHeaders.getAllRawHeaders()
        return Headers(
            {
                name: [self._header(name, each) for each in values]
                for name, values in raw
            }
        )

    def getHeader(self, key: Any) -> Any:
        """Return a header, redacted, as text or bytes like its name."""
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
        """Return the client's address, which a trusted proxy may have sent."""
        address = self._request.getClientAddress()
        if self._proxies is None:
            return address
        headers = read_headers(self._request.requestHeaders.getAllRawHeaders())
        client = self._proxies.client(getattr(address, "host", None), headers)
        # IPv4Address even for IPv6: formatters read the attribute host alone.
        return (
            address if client.address is None else IPv4Address("TCP", client.address, 0)
        )

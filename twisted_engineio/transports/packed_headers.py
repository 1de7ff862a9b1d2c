"""
Compact storage for the headers of pending requests: waiting polls and event streams.

twisted.web keeps a request's headers, cookies and arguments as dictionaries of lists of
bytes, some 200 bytes each besides the text. For requests that are pending for long,
that could be a multiple of what the client sent. The private names of Twisted that are
used are listed in ``TWISTED``; ``tests/transports/test_packed_headers.py`` asserts that
they still exist.
"""

from __future__ import annotations

from typing import Final

from twisted.web.http import Request
from twisted.web.http_headers import Headers

__all__ = ["TWISTED", "PackedHeaders", "pack"]

TWISTED: Final = ("_rawHeaders",)
"""Private attributes of twisted.web's ``Headers`` that are used here."""
_MAX_UNPACKED: Final = 32
"""Fields that are not worth packing; a browser behind two proxies sends some 25."""


class PackedHeaders(Headers):
    """A request's headers as text: read-only, with the interface of ``Headers``."""

    __slots__ = ("_packed",)

    def __init__(self, headers: Headers) -> None:
        """
        Pack headers.

        Args:
            headers: The headers; their values contain no line ends.

        """
        self._packed = b"\r\n".join(
            b"%b: %b" % (name, value)
            for name, values in headers.getAllRawHeaders()
            for value in values
        )

    # Every method of Headers reads this attribute; mypy wants one that can be set.
    @property
    def _rawHeaders(self) -> dict[bytes, list[bytes]]:  # type: ignore[override]
        raw: dict[bytes, list[bytes]] = {}
        for line in filter(None, self._packed.split(b"\r\n")):
            name, _, value = line.partition(b": ")
            raw.setdefault(name, []).append(value)
        return raw

    def copy(self) -> Headers:
        """Return a mutable copy."""
        return Headers(self._rawHeaders)


def pack(request: Request) -> None:
    """
    Reduce the memory of a pending request to a small multiple of what was sent.

    Args:
        request: The request; all of its headers remain readable.

    """
    if len(request.requestHeaders._rawHeaders) > _MAX_UNPACKED:
        request.requestHeaders = PackedHeaders(request.requestHeaders)
    if len(request.received_cookies) > _MAX_UNPACKED:
        request.received_cookies = {}  # the header has them, too
    if len(request.args) > _MAX_UNPACKED:
        request.args = {}  # the URI has them, too

"""
A request that is held: a poll that waits, a stream of events that lasts for hours.

twisted.web keeps a request's headers, cookies and arguments as dictionaries of lists of
bytes, each some 200 bytes besides its text. A client whose requests are held could make
that a multiple of what it sent. The names that are taken of Twisted are private, and
stand in ``TWISTED``; ``tests/transports/test_packed_headers.py`` asserts that they
still exist.
"""

from __future__ import annotations

from typing import Final

from twisted.web.http import Request
from twisted.web.http_headers import Headers

__all__ = ["TWISTED", "PackedHeaders", "pack"]

TWISTED: Final = ("_rawHeaders",)
"""What is known here of twisted.web's ``Headers``."""
_FEW: Final = 32
"""Fields that may stay as they are; a browser behind two proxies sends some 25."""


class PackedHeaders(Headers):
    """A request's headers as text: to be read like any others, and not changed."""

    __slots__ = ("_packed",)

    def __init__(self, headers: Headers) -> None:
        """
        Pack headers.

        Args:
            headers: What is to be packed; their values have no line ends.

        """
        self._packed = b"\r\n".join(
            b"%b: %b" % (name, value)
            for name, values in headers.getAllRawHeaders()
            for value in values
        )

    # The attribute that all methods of Headers read.
    @property
    def _rawHeaders(self) -> dict[bytes, list[bytes]]:  # type: ignore[override]
        raw: dict[bytes, list[bytes]] = {}
        for line in filter(None, self._packed.split(b"\r\n")):
            name, _, value = line.partition(b": ")
            raw.setdefault(name, []).append(value)
        return raw

    def copy(self) -> Headers:
        """Return a copy that may be changed."""
        return Headers(self._rawHeaders)


def pack(request: Request) -> None:
    """
    Keep of a request that is held no more than a small multiple of what it brought.

    Args:
        request: The request; what handles it still finds all of its headers.

    """
    if len(request.requestHeaders._rawHeaders) > _FEW:
        request.requestHeaders = PackedHeaders(request.requestHeaders)
    if len(request.received_cookies) > _FEW:
        request.received_cookies = {}  # they are in the header, too
    if len(request.args) > _FEW:
        request.args = {}  # they are in the URI, too

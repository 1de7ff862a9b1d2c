"""
A client's handshake request: the fields that a session keeps of it.

Everything here is immutable: a ``Handshake`` lives as long as its session, and longer
than the request that it was read from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from .fields import RawFields

__all__ = [
    "Handshake",
    "QueryFields",
    "parse_query",
]

_MAX_QUERY: Final = 16_384
"""Bytes of a query that are parsed. twisted.web accepts no longer line of HTTP/1.1."""
_MAX_FIELDS: Final = 64
"""Fields of a query that are parsed, and kept as long as the session: parsing 16 KB
of them without a limit would take a megabyte. Of later fields only ``_KEYS`` are
parsed."""
_KEYS: Final = ("EIO", "transport", "sid", "t", "j", "b64", "lastEventId")
"""The protocol's own keys; clients write a page's own query before them."""


def _encoded(key: str) -> str:
    """Return a pattern for a key, each character of it percent-encoded or not."""
    return "".join(f"(?:{each}|%(?i:{ord(each):02x}))" for each in key)


_KNOWN: Final = re.compile(
    "&(?=[{}%])(?:{})(?:=[^&]*)?(?![^&])".format(
        "".join(each[0] for each in _KEYS),
        "|".join(f"(?P<{key}>{_encoded(key)})" for key in _KEYS),
    )
)


@dataclass(frozen=True, slots=True)
class Handshake:
    """
    A client's first request, or a later one, reduced to the fields worth keeping.

    Attributes:
        transport: The transport of the request, ``"polling"`` or another.
        query: The query string, decoded; of a repeated key the last value.
        headers: The request's headers, names in lower case; of a repeated header all
            values joined by ``", "``.
        client_address: The client's IP address, or ``None`` on a UNIX socket.
        is_secure: Whether it was received over TLS.
        method: Its method; a handshake's is always GET.
        server_address: The IP address and port that received it, or ``None`` on a UNIX
            socket. Behind a proxy, the address that the proxy connects to.

    """

    transport: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    client_address: str | None = None
    is_secure: bool = False
    method: str = "GET"
    server_address: tuple[str, int] | None = None

    def forget_parsed(self) -> None:
        """Drop the parsed query and keep its text: it may be held for long."""
        query = self.query
        if type(query) is QueryFields:  # isinstance is slow on an ABC
            query.forget()

    @property
    def base64(self) -> bool:
        """Whether the client requested binary as text, with ``b64=1``."""
        return self.query.get("b64") == "1"


def parse_query(raw: bytes) -> dict[str, str]:
    """
    Parse a query string; no input is an error.

    Engine.IO protocol v4, "Query parameters". Of a repeated key the last value counts.
    The protocol's keys are found at any position; other keys only among the first 64
    fields.

    Args:
        raw: The request's URI after the ``?``; only 16,384 bytes of it are parsed.

    """
    text = raw[:_MAX_QUERY].decode("latin-1")
    if "%" in text or "+" in text or text.count("&") >= _MAX_FIELDS:
        fields = text.split("&", _MAX_FIELDS)
        rest = "&".join(("", *fields[_MAX_FIELDS:]))
        query = dict(parse_qsl("&".join(fields[:_MAX_FIELDS]), keep_blank_values=True))
        found = {each.lastgroup: each for each in _KNOWN.finditer(rest)}
        for key, last in found.items():
            assert key is not None  # each alternative has a name
            query[key] = unquote_plus(rest[last.end(key) + 1 : last.end()])
        return query
    # Fast path: a query of the usual clients needs no decoding.
    query = {}
    for pair in text.split("&"):
        if pair:
            key, _, value = pair.partition("=")
            query[key] = value
    return query


class QueryFields(RawFields[bytes]):
    """A query, stored as the part of the URI after the ``?``."""

    __slots__ = ()

    def parse(self) -> dict[str, str]:
        """Return all fields."""
        return parse_query(self._raw)

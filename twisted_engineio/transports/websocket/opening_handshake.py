"""
The opening handshake of a WebSocket: its checks, and the 101 answer.

Rules of this file:

1. All requirements of RFC 6455, 4.2.1, are checked here, each with its own error.
   Autobahn gets a handshake that is generated from the parsed values, never the
   client's own bytes: so it has no reason to refuse it, and no input to echo.
2. Extensions are offers (RFC 6455, 9.1; RFC 7692, 5 and 7.1). An offer that is unknown,
   malformed or unsupported is declined, and the next is considered; none need be
   accepted. If compression is disabled, the header is not parsed.

Driven by ``request_info.py``, before admission; the requests that ``fast_http.py``
accepts by its own rules would pass here.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from hashlib import sha1
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from ...exceptions import ErrorCode, Refused

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

__all__ = [
    "KEY",
    "OpeningHandshake",
    "choose_offer",
    "lists",
    "read_handshake",
    "switching_protocols",
]

KEY: Final = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
"""RFC 6455, 4.2.1: 16 bytes in base64; the bits after the last of them are zero."""
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]*)?"
)
"""RFC 3986, 3.2.2: an address or a name, and perhaps a port."""
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2
_SUBPROTOCOL: Final = re.compile(_TOKEN)
_PARAMETER: Final = re.compile(
    rf"({_TOKEN})[ \t]*(?:=[ \t]*(?:({_TOKEN})|\"({_TOKEN})\"))?"
)
_ONCE: Final = (b"origin", b"sec-websocket-key", b"sec-websocket-version")
_VERSION: Final = {"Sec-WebSocket-Version": "13"}  # RFC 6455, 4.4

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3: the constant that is hashed with the key."""
_ANSWER: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n"
    b"Connection: Upgrade\r\n%bSec-WebSocket-Accept: %b\r\n\r\n"
)
"""RFC 6455, 4.2.2, byte for byte as Autobahn writes it."""

_DEFLATE: Final = "permessage-deflate"
_BITS: Final = ("8", "9", "10", "11", "12", "13", "14", "15")
_PARAMETERS: Final[dict[str, Sequence[str | None]]] = {
    "client_max_window_bits": (None, *_BITS),
    "client_no_context_takeover": (None,),
    # Not 8: zlib cannot compress for a window of 256 bytes without a header.
    "server_max_window_bits": _BITS[1:],
    "server_no_context_takeover": (None,),
}
"""RFC 7692, 7.1: the parameters of an offer, and the supported values."""


class OpeningHandshake(NamedTuple):
    """
    The parsed values of an opening handshake.

    Attributes:
        key: The ``Sec-WebSocket-Key``.
        subprotocol: The first that the client offers, in its spelling, or ``None``.
        deflate: The first acceptable offer of ``permessage-deflate``, without
            parameters that are only hints, or ``None``.

    """

    key: str
    subprotocol: str | None = None
    deflate: str | None = None


def lists(headers: Headers, name: bytes, token: bytes) -> bool:
    """
    Return whether a list header contains a token, ignoring case.

    Args:
        headers: A request's headers.
        name: The header's name.
        token: The token, in lower case.

    """
    return any(
        each.strip(b" \t").lower() == token
        for value in headers.getRawHeaders(name, ())
        for each in value.split(b",")
    )


def read_handshake(headers: Headers, *, deflate: bool) -> OpeningHandshake:
    """
    Check a request's headers, and return its opening handshake.

    RFC 6455, 4.2.1.

    Args:
        headers: The headers of a GET over HTTP/1.1.
        deflate: Whether compression may be negotiated.

    Raises:
        Refused: If a header is missing, repeated or malformed, or the version is not
            13.

    """
    if not lists(headers, b"upgrade", b"websocket"):
        raise _bad("Upgrade must list websocket")
    if not lists(headers, b"connection", b"upgrade"):
        raise _bad("Connection must list upgrade")
    hosts = headers.getRawHeaders(b"host", ())
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise _bad("Host must occur once: a host, and perhaps a port")
    for name in _ONCE:
        if len(headers.getRawHeaders(name, ())) > 1:
            raise _bad(f"{name.decode()} must not be repeated")
    if _only(headers, b"sec-websocket-version") != "13":
        raise _bad("Sec-WebSocket-Version must be 13", _VERSION)
    key = _only(headers, b"sec-websocket-key")
    if not KEY.fullmatch(key):
        raise _bad("Sec-WebSocket-Key must be 16 bytes in base64")
    subprotocols = headers.getRawHeaders(b"sec-websocket-protocol")
    offers = headers.getRawHeaders(b"sec-websocket-extensions") if deflate else None
    return OpeningHandshake(
        key,
        None if subprotocols is None else _first_subprotocol(subprotocols),
        None if offers is None else choose_offer(offers),
    )


def switching_protocols(
    opening: OpeningHandshake, headers: Mapping[str, Sequence[str]]
) -> bytes:
    """
    Return the answer that accepts a handshake: 101, and the subprotocol.

    RFC 6455, 4.2.2. Not for a handshake with compression: Autobahn answers that.

    Args:
        opening: The handshake.
        headers: Additional headers of the answer.

    """
    more = ""
    for name, values in headers.items():
        for value in values:
            more += f"{name}: {value}\r\n"
    if opening.subprotocol is not None:
        more += f"Sec-WebSocket-Protocol: {opening.subprotocol}\r\n"
    key = opening.key.encode() + _GUID
    accept = b2a_base64(sha1(key, usedforsecurity=False).digest())
    return _ANSWER % (more.encode(), accept[:-1])


def _bad(context: str, headers: Mapping[str, str] = MappingProxyType({})) -> Refused:
    return Refused(ErrorCode.BAD_REQUEST, context, headers=headers)


def _only(headers: Headers, name: bytes) -> str:
    (value,) = headers.getRawHeaders(name) or (b"",)
    return value.decode("latin-1")


def _elements(values: Sequence[bytes]) -> list[str]:
    """Split a list header; empty elements are ignored: RFC 9110, 5.6.1."""
    split = b",".join(values).decode("latin-1").split(",")
    return [each for each in (every.strip(" \t") for every in split) if each]


def _first_subprotocol(values: Sequence[bytes]) -> str:
    """Return the first of the subprotocols, which must be unique tokens."""
    offered = _elements(values)
    if not offered or not all(map(_SUBPROTOCOL.fullmatch, offered)):
        raise _bad("Sec-WebSocket-Protocol must be a list of tokens")
    if len(set(offered)) < len(offered):
        raise _bad("Sec-WebSocket-Protocol must not repeat a token")
    # As the reference does: one client treats a missing subprotocol as an error.
    return offered[0]


def choose_offer(values: Sequence[bytes]) -> str | None:
    """
    Return the first acceptable offer of compression, or ``None``.

    Args:
        values: The values of ``Sec-WebSocket-Extensions``.

    Returns:
        The offer with the parameters that bind the server; parameters that describe
        only the client (``client_max_window_bits``, ``client_no_context_takeover``)
        need no answer.

    """
    # A quoted value must be a token (RFC 6455, 9.1), so it contains no comma.
    for element in _elements(values):
        name, *parameters = (each.strip(" \t") for each in element.split(";"))
        given = _read_parameters(parameters) if name.lower() == _DEFLATE else None
        if given is not None:
            binding = [
                name if value is None else f"{name}={value}"
                for name, value in given.items()
                if name.startswith("server_")
            ]
            return "; ".join([_DEFLATE, *binding])
    return None


def _read_parameters(parameters: Sequence[str]) -> dict[str, str | None] | None:
    """Return the parameters of an offer by name, or ``None`` if it must be declined."""
    given: dict[str, str | None] = {}
    for each in parameters:
        found = _PARAMETER.fullmatch(each)
        if found is None:
            return None
        name, value = found[1].lower(), found[2] or found[3]
        if name in given or value not in _PARAMETERS.get(name, ()):
            return None
        given[name] = value
    return given

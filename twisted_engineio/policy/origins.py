"""
Parsing, normalizing and comparing origins, as browsers serialize them.

Pure functions. An origin is a scheme, a host and a port; a scheme's default port is
omitted, and so is every other part of a URL.

RFC 6454, 4 to 6; Fetch standard, "Origin header".
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

__all__ = ["is_same_origin", "listed_origin", "normal_origin", "origin_of_url"]

_HOST: Final = r"(?:[0-9a-z._-]+|\[[0-9a-f:.]+\])"
_PORT: Final = "(?::([1-9][0-9]{0,4}))?"
_ORIGIN: Final = re.compile(f"([a-z][a-z0-9+.-]*)://({_HOST}?){_PORT}")
_PLAIN_HOST: Final = re.compile(_HOST + _PORT)
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/?#\\]*@)?([^/?#@\\]*)")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_NEEDS_HOST: Final = ("http", "https", "ftp")
_HTTP_SCHEMES: Final = {"ws": "http", "wss": "https"}
_DEVIATING: Final = "\xdf\u03c2\u200c\u200d"
"""Characters that Python's codec converts as IDNA 2003 did, and browsers no longer do.
UTS 46, "Deviations"."""


def normal_origin(origin: str) -> str | None:
    """
    Return an origin in lower case and without its scheme's default port.

    Args:
        origin: A possible origin; ``null``, the opaque origin, is one.

    Returns:
        The origin as a browser would send it, or ``None`` if it is not a serialized
        origin.

    """
    origin = origin.lower()
    if origin == "null":
        return origin
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return None
    scheme, host, port = found.groups()
    if not host and (port or scheme in _NEEDS_HOST):
        return None  # only schemes like file:// have neither host nor port
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return origin if int(port) <= 65535 else None


def is_same_origin(origin: str, host: str, is_secure: bool) -> bool:
    """
    Return whether an Origin is the server's own.

    Args:
        origin: A request's Origin header.
        host: Its Host header: a host and perhaps a port.
        is_secure: Whether the connection is known to be TLS. If it is not, an https
            Origin may still be the server's own: a proxy that terminates TLS need not
            report it.

    """
    if not is_secure and origin == "http://" + host and _PLAIN_HOST.fullmatch(host):
        return True  # fast path for the common case; the rest gives the same result
    ours = normal_origin(origin)
    if ours is None or ours == "null":
        return False
    scheme, _, _ = ours.partition("://")
    if scheme != "https" and (is_secure or scheme != "http"):
        return False
    return ours == normal_origin(f"{scheme}://{host}")


def origin_of_url(url: str) -> str:
    """
    Return the origin of a URL, ``""`` if it has none.

    Args:
        url: A URL as in a Referer header.

    """
    found = _URL.match(url)
    return found[1] + found[2] if found else ""


def listed_origin(text: str) -> str:
    """
    Return an origin from the configuration in the form that a browser sends.

    A non-ASCII host becomes Punycode, an IPv6 address its short form.

    Args:
        text: The origin.

    Raises:
        ValueError: If no browser would send it; the message suggests a correction where
            one is clear.

    """
    origin = _as_sent(text)
    if origin is not None:
        scheme, _, rest = origin.partition("://")
        if scheme not in _HTTP_SCHEMES:
            return origin
        meant: str | None = f"{_HTTP_SCHEMES[scheme]}://{rest}"
    else:
        meant = _as_sent(origin_of_url(text.strip()))
    problem = f"{text!r} is not an origin like 'https://example.com'"
    if "*" in text:
        problem += "; for many origins give a compiled pattern or a function, in Config"
    elif meant is not None:
        problem += f"; write {meant!r}"
    elif not text.isascii():
        problem += "; write its host in Punycode, as browsers send it"
    raise ValueError(problem)


def _as_sent(text: str) -> str | None:
    scheme, separator, netloc = text.lower().partition("://")
    host, colon, port = netloc.partition(":")
    try:
        if netloc.startswith("["):
            address, bracket, rest = netloc[1:].partition("]")
            netloc = f"[{IPv6Address(address)}{bracket}{rest}"
        elif not netloc.isascii() and not set(_DEVIATING) & set(netloc):
            netloc = host.encode("idna").decode("ascii") + colon + port
    except ValueError:
        return None
    return normal_origin(scheme + separator + netloc)

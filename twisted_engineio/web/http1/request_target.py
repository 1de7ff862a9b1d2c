"""
Validate the target and the Host of a request.

twisted.web accepts any target as a path, and any number of Host headers.

RFC 9112, 3.2; RFC 9110, 4.2 and 7.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

__all__ = ["is_authority", "is_host", "read_absolute"]

_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Za-z:.%_~-]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(?::[0-9]*)?"
)
_ABSOLUTE: Final = re.compile(rb"[hH][tT][tT][pP][sS]?://([^/?#]*)(.*)", re.DOTALL)


@lru_cache(maxsize=16)
def is_authority(value: bytes) -> bool:
    """
    Return whether a value is a host, optionally with a port.

    Args:
        value: The value of a Host header, or the authority of a target.

    """
    return _HOST.fullmatch(value) is not None


def is_host(values: Sequence[bytes] | None, version: bytes) -> bool:
    """
    Return whether a request has exactly the Host that its HTTP version requires.

    Args:
        values: The values of its Host headers; ``None`` if it has none.
        version: The HTTP version; ``HTTP/1.1`` requires a Host.

    """
    if values is None:
        return version == b"HTTP/1.0"
    return len(values) == 1 and is_authority(values[0])


def read_absolute(target: bytes, method: bytes) -> tuple[bytes, bytes] | None:
    """
    Parse a target in absolute-form, such as ``http://example.com/engine.io/?EIO=4``.

    Args:
        target: The target in the request line.
        method: The request's method.

    Returns:
        The target in origin-form, and the host, which overrides the Host header's;
        ``None`` if it is not in absolute-form, or has no host, or has a user name.

    """
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        return None
    host, rest = found.groups()
    if host[:1] in (b"", b":") or not is_authority(host):
        return None
    if not rest and method == b"OPTIONS":
        return b"*", host
    return (rest if rest[:1] == b"/" else b"/" + rest), host

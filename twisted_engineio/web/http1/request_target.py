"""
What a request asks for: the target of its first line, and the host that it names.

twisted.web takes every target for a path, and any number of Host headers.

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
    Return whether a value is a host, and perhaps a port.

    Args:
        value: Of a Host header, or what stands there in a target.

    """
    return _HOST.fullmatch(value) is not None


def is_host(values: Sequence[bytes] | None, version: bytes) -> bool:
    """
    Return whether a request says properly for which host it is.

    Args:
        values: Of its Host headers; ``None`` if it has none.
        version: Of the protocol, like ``HTTP/1.1``, which must have one.

    """
    if values is None:
        return version == b"HTTP/1.0"
    return len(values) == 1 and is_authority(values[0])


def read_absolute(target: bytes, method: bytes) -> tuple[bytes, bytes] | None:
    """
    Parse a target in absolute-form, like ``http://example.com/engine.io/?EIO=4``.

    Args:
        target: As it stands in the request line.
        method: The request's method.

    Returns:
        The target as if it had been sent to a server that is no proxy, and the host,
        which counts in place of the Host header's; ``None`` if it is not such a target,
        or names no host, or a user.

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

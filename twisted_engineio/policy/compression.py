"""
HTTP compression of polling answers: content coding negotiation, and zlib.

Pure functions, called only for answers above a threshold.

RFC 9110, 8.4.1 (the codings) and 12.5.3 (Accept-Encoding).
"""

from __future__ import annotations

import re
import zlib
from typing import Final, Literal, TypeAlias

__all__ = ["Coding", "choose_coding", "compress", "compress_once"]

Coding: TypeAlias = Literal["gzip", "deflate"]

_WINDOW_BITS: Final[dict[Coding, int]] = {"gzip": 31, "deflate": 15}
"""zlib's parameter for the container format: 16 more for gzip. HTTP's "deflate" is the
zlib format, not raw deflate."""

_LEVEL: Final = 1
"""nginx's default. Compression blocks the reactor, and higher levels take several times
as long for a few percent."""

_MAX_CACHED: Final = 8
"""Compressed answers that are cached for one message, for as long as it lives."""

_CODINGS: Final[tuple[Coding, ...]] = ("gzip", "deflate")
_IDENTITY: Final = "identity"
_MEMBER: Final = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9a-z-]+)[ \t]*"
    r"(?:;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
)


def choose_coding(accept_encoding: str | None) -> Coding | None:
    """
    Choose the content coding of an answer.

    gzip is preferred among codings of equal weight, and any acceptable coding to none.

    Args:
        accept_encoding: The request's Accept-Encoding header; ``None`` if it has none:
            then the client may not support any coding.

    Returns:
        The coding, as Content-Encoding names it, or ``None`` to send the answer
        uncompressed.

    """
    if not accept_encoding:
        return None
    weights = _read(accept_encoding)
    default = weights.get("*", 0.0)
    best = max(_CODINGS, key=lambda each: weights.get(each, default))
    weight = weights.get(best, default)
    # An unlisted identity coding is always acceptable, but not preferred.
    return best if weight > 0 and weight >= weights.get(_IDENTITY, 0.0) else None


def _read(accept_encoding: str) -> dict[str, float]:
    """Parse the weight of each coding, 0 to 1; malformed members are ignored."""
    members = map(_MEMBER.fullmatch, accept_encoding.lower().split(","))
    return {
        # "A recipient SHOULD consider "x-gzip" to be equivalent to "gzip"."
        # -- RFC 9110, 8.4.1.3
        "gzip" if match[1] == "x-gzip" else match[1]: float(match[2] or 1)
        for match in members
        if match
    }


def compress(body: bytes, coding: Coding) -> bytes:
    """
    Compress a whole answer; the same body always gives the same bytes.

    Args:
        body: The answer's body.
        coding: The result of ``choose_coding``.

    """
    return zlib.compress(body, _LEVEL, _WINDOW_BITS[coding])


def compress_once(
    body: bytes, coding: Coding, known: list[tuple[str, bytes, bytes]]
) -> bytes:
    """
    Compress an answer that several clients may get, or return the cached result.

    Args:
        body: The answer's body.
        coding: The result of ``choose_coding``.
        known: The cache: coding, body and compressed body, most recently used first. It
            is updated, and bounded: JSONP, revision 3, and clients that lag by
            different numbers of messages make different answers from one message.

    """
    for at, (name, plain, compressed) in enumerate(known):
        if name == coding and plain == body:
            known.insert(0, known.pop(at))
            return compressed
    compressed = compress(body, coding)
    known.insert(0, (coding, body, compressed))
    del known[_MAX_CACHED:]
    return compressed

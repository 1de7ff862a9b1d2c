"""
Redaction of session ids and tickets in URLs before those are logged.

Rules of this file:

1. A session's id is all that an attacker needs to take the session over, so no log
   holds a complete one: six characters of it are kept, to tell lines apart.
2. A secret is found by the name of its query field, in any spelling: percent-encoded,
   in capitals, repeated, or nested in another field. Text that only looks similar is
   redacted as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["SECRETS", "Redaction", "redact", "shorten"]

SECRETS: Final = ("sid", "lastEventId", "ticket", "token")
"""Query fields that are redacted: the protocol's, and those of the documentation."""
_SHORTENED: Final = ("sid", "lastEventId")
"""Fields whose beginning is kept."""
_LEFT: Final = 6
# ASCII only: a cut after six bytes may split a multi-byte character.
_BEGINNING: Final = re.compile(rb"[\x00-\x7f]{,%d}" % _LEFT)
_DELIMITER: Final = rb"(?:^|[?&;#]|%(?:25)*(?:3f|26|3b|23))"
_EQUALS: Final = rb"(?:=|%(?:25)*3d)"
_VALUE: Final = rb"[^&#\s\"']*"


class Redaction:
    """Removes the values of some query fields from a text."""

    def __init__(self, secrets: Iterable[str] = SECRETS) -> None:
        """
        Compile the pattern.

        Args:
            secrets: The names of the fields.

        """
        # Without names, the pattern must match nothing.
        names = b"|".join(map(_spellings, secrets)) or rb"(?!)"
        self._fields = re.compile(
            rb"(%b)(%b)(%b)(%b)" % (_DELIMITER, names, _EQUALS, _VALUE), re.IGNORECASE
        )

    def __call__(self, text: bytes) -> bytes:
        """
        Return a text without its secrets.

        Args:
            text: A URI, or any text that may contain URIs.

        """
        return self._fields.sub(_replace, text)


def shorten(sid: bytes) -> bytes:
    """Return the first characters of an id that is longer, as far as they are ASCII."""
    beginning = _BEGINNING.match(sid) if len(sid) > _LEFT else None
    return (beginning[0] if beginning else b"") + b"..."


def _replace(found: re.Match[bytes]) -> bytes:
    delimiter, name, equals, value = found.groups()
    shown = _SHORTENED_NAMES.fullmatch(name) is not None
    return delimiter + name + equals + shorten(value if shown else b"")


def _spellings(name: str) -> bytes:
    """Return a pattern of every spelling of a field's name in a URL."""
    letters = (
        b"(?:%b|%%(?:25)*(?:%02x|%02x))"
        % (re.escape(each.encode()), ord(each.lower()), ord(each.upper()))
        for each in name
    )
    return b"".join(letters)


_SHORTENED_NAMES: Final = re.compile(
    b"|".join(map(_spellings, _SHORTENED)), re.IGNORECASE
)
_REDACTION: Final = Redaction()


def redact(text: str) -> str:
    """Return text without the values of ``SECRETS``."""
    if "=" not in text and "%" not in text:
        return text
    raw = text.encode("utf-8", "surrogatepass")
    return _REDACTION(raw).decode("utf-8", "surrogatepass")

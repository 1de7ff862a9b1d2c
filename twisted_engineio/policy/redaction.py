"""
Redaction: session ids and tickets are taken out of URLs before those are logged.

Rules of this file:

1. A session's id is all that a client needs to be that client, so no log holds one as a
   whole: six characters of it are left, to tell lines apart.
2. A secret is found by the name of its query field, however that is written: percent-
   encoded, in capitals, repeated, or nested in another field. What merely looks alike
   is redacted, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["SECRETS", "Redaction", "redact", "shorten"]

SECRETS: Final = ("sid", "lastEventId", "ticket", "token")
"""Query fields that are redacted: the protocol's, and those of the documentation."""
_SHOWN: Final = ("sid", "lastEventId")
"""Those of which the beginning is left."""
_LEFT: Final = 6
# Of another script's letters a cut after six bytes may leave a part, which is no text.
_BEGINNING: Final = re.compile(rb"[\x00-\x7f]{,%d}" % _LEFT)
_DELIMITER: Final = rb"(?:^|[?&;#]|%(?:25)*(?:3f|26|3b|23))"
_EQUALS: Final = rb"(?:=|%(?:25)*3d)"
_VALUE: Final = rb"[^&#\s\"']*"


class Redaction:
    """Takes the values of some query fields out of a text."""

    def __init__(self, secrets: Iterable[str] = SECRETS) -> None:
        """
        Make one.

        Args:
            secrets: The names of the fields.

        """
        # With no name at all, a pattern that matches nothing.
        names = b"|".join(map(_spellings, secrets)) or rb"(?!)"
        self._fields = re.compile(
            rb"(%b)(%b)(%b)(%b)" % (_DELIMITER, names, _EQUALS, _VALUE), re.IGNORECASE
        )

    def __call__(self, text: bytes) -> bytes:
        """
        Return a text without its secrets.

        Args:
            text: A URI, or anything else that may have URIs in it.

        """
        return self._fields.sub(_replace, text)


def shorten(sid: bytes) -> bytes:
    """Return the beginning of an id that is longer than that, as far as it is ASCII."""
    beginning = _BEGINNING.match(sid) if len(sid) > _LEFT else None
    return (beginning[0] if beginning else b"") + b"..."


def _replace(found: re.Match[bytes]) -> bytes:
    delimiter, name, equals, value = found.groups()
    shown = _SHOWN_NAMES.fullmatch(name) is not None
    return delimiter + name + equals + shorten(value if shown else b"")


def _spellings(name: str) -> bytes:
    """Return a pattern of every way to write a field's name in a URL."""
    letters = (
        b"(?:%b|%%(?:25)*(?:%02x|%02x))"
        % (re.escape(each.encode()), ord(each.lower()), ord(each.upper()))
        for each in name
    )
    return b"".join(letters)


_SHOWN_NAMES: Final = re.compile(b"|".join(map(_spellings, _SHOWN)), re.IGNORECASE)
_REDACTION: Final = Redaction()


def redact(text: str) -> str:
    """Return text without the values of ``SECRETS``."""
    if "=" not in text and "%" not in text:
        return text
    raw = text.encode("utf-8", "surrogatepass")
    return _REDACTION(raw).decode("utf-8", "surrogatepass")

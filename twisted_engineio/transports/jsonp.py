r"""
JSONP: a polling answer in a script, and a POST body in a form.

Pure functions around a text payload, and independent of its contents. A page of any
origin may load such an answer, so no byte of it must be able to become code: the index
is digits, the payload one string literal.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_qp
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from ..exceptions import ErrorCode, InvalidPacket, Refused
from .polling import PollingTransport

if TYPE_CHECKING:
    from ..config import Config
    from ..protocol.codec import Codec
    from ..protocol.packet import Outgoing, Packet

__all__ = ["JAVASCRIPT", "JSONPTransport", "index_of", "unwrap", "wrap"]

JAVASCRIPT: Final = b"text/javascript; charset=UTF-8"
"""Content type of an answer; ``X-Content-Type-Options: nosniff`` must accompany it."""

_MAX_DIGITS: Final = 16
"""Maximum digits of an index, those of JavaScript's largest safe integer."""

_MAX_FIELDS: Final = 8
"""Maximum fields of a form that are parsed; the client sends one."""

_NAMES: Final = (b"d", b"%64")
"""The spellings of the field's name."""

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def index_of(query: Mapping[str, str]) -> str | None:
    """
    Return the index of the page's callback that receives the answers.

    Args:
        query: The query of the handshake.

    Returns:
        The digits, or ``None`` if the client does not use JSONP.

    Raises:
        Refused: If the index is not a few digits.

    """
    index = query.get("j")
    if index is None:
        return None
    if not (index.isascii() and index.isdecimal()) or len(index) > _MAX_DIGITS:
        raise Refused(ErrorCode.BAD_REQUEST, "the JSONP index is not a number")
    return index


def wrap(payload: str, index: str) -> bytes:
    """
    Return a script that passes a payload, unchanged, to a callback.

    Args:
        payload: A text payload.
        index: The result of ``index_of``.

    """
    literal = json.dumps(payload, ensure_ascii=False)
    # JSON leaves these as they are. The first two end a line, and a string with it, in
    # JavaScript before 2019; "<" could begin "</script>" or "<!--".
    for char in "\u2028\u2029<":
        literal = literal.replace(char, f"\\u{ord(char):04x}")
    return f"___eio[{index}]({literal});".encode()


def unwrap(form: bytes) -> bytes:
    r"""
    Return the payload that a form contains.

    A browser changes the newlines in a form's text, so the client escapes them as
    ``\n``, and a backslash followed by an n as ``\\n``.

    Args:
        form: The body of a POST, ``application/x-www-form-urlencoded``.

    Raises:
        InvalidPacket: Unless there is exactly one field ``d``, correctly encoded.

    """
    fields = form.replace(b"+", b" ").split(b"&", _MAX_FIELDS)[:_MAX_FIELDS]
    found = [
        value
        for name, _, value in (each.partition(b"=") for each in fields)
        if name in _NAMES
    ]
    if len(found) != 1:
        raise InvalidPacket("the form must have exactly one field d")
    parts = _unquote(found[0]).split(rb"\\n")
    return rb"\n".join(part.replace(rb"\n", b"\n") for part in parts)


def _unquote(value: bytes) -> bytes:
    """
    Decode percent-encoding in C: a form of ``max_payload`` bytes may be all escapes.

    Python's own decoder is written in Python, and ten times as slow. Quoted-printable
    (RFC 2045, 6.7) is the same encoding with another escape character.

    Raises:
        InvalidPacket: If two digits do not follow a percent sign; no client sends that.

    """
    if _BAD_ESCAPE.search(value):
        raise InvalidPacket("the form's percent-encoding is bad")
    return a2b_qp(value.replace(b"=", b"=3D").replace(b"%", b"="))


class JSONPTransport(PollingTransport):
    """Polling by script tags and forms, for browsers that support no other way."""

    __slots__ = ("_index",)

    def __init__(self, codec: Codec, config: Config, index: str) -> None:
        """
        Make a transport without a request.

        Args:
            codec: Parses and encodes payloads.
            config: As for polling.
            index: The result of ``index_of``.

        """
        super().__init__(codec, config, binary=False)
        self._index = index

    def _packets(self, body: bytes, binary: bool) -> Iterator[str | bytes | Packet]:
        return self._codec.decode_payload(unwrap(body), binary=False)

    def _payload(self, items: list[Outgoing]) -> tuple[bytes, bytes]:
        assert self._get is not None  # only called to answer it
        self._get.setHeader(b"X-Content-Type-Options", b"nosniff")
        body, _ = self._codec.encode_payload(items, binary=False)
        return JAVASCRIPT, wrap(body.decode(), self._index)

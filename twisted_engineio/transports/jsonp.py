r"""
JSONP: a polling answer dressed as a script, and a POST body dressed as a form.

Pure functions around a payload of text; nothing here knows what it holds. A page of any
origin may read such an answer, so it is the one place where bytes must not be able to
become code: the index is digits, the payload one string literal.
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
"""What an answer is called; it wants ``X-Content-Type-Options: nosniff`` beside it."""

_MAX_DIGITS: Final = 16
"""Digits of an index; as many as the largest number that JavaScript counts exactly."""

_MAX_FIELDS: Final = 8
"""Fields of a form that are read; the client's has one."""

_NAMES: Final = (b"d", b"%64")
"""How the field may be called."""

_NO_BYTE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def index_of(query: Mapping[str, str]) -> str | None:
    """
    Read which of a page's callbacks gets the answers.

    Args:
        query: The query of the handshake.

    Returns:
        The digits, or ``None`` if the client doesn't ask for JSONP.

    Raises:
        Refused: If there is an index and it isn't a few digits.

    """
    index = query.get("j")
    if index is None:
        return None
    if not (index.isascii() and index.isdecimal()) or len(index) > _MAX_DIGITS:
        raise Refused(ErrorCode.BAD_REQUEST, "the JSONP index is no number")
    return index


def wrap(payload: str, index: str) -> bytes:
    """
    Dress a payload as a script that hands it, unchanged, to a callback.

    Args:
        payload: A payload of text.
        index: What ``index_of`` gave.

    """
    literal = json.dumps(payload, ensure_ascii=False)
    # JSON leaves these as they are. The first two end a line, and a string with it, in
    # JavaScript before 2019; "<" could begin "</script>" or "<!--".
    for char in "\u2028\u2029<":
        literal = literal.replace(char, f"\\u{ord(char):04x}")
    return f"___eio[{index}]({literal});".encode()


def unwrap(form: bytes) -> bytes:
    r"""
    Take the payload out of a form.

    A browser changes the newlines in a form's text, so the client writes them ``\n``,
    and a backslash followed by an n ``\\n``.

    Args:
        form: The body of a POST, ``application/x-www-form-urlencoded``.

    Raises:
        InvalidPacket: If there isn't exactly one field ``d``, well encoded.

    """
    fields = form.replace(b"+", b" ").split(b"&", _MAX_FIELDS)[:_MAX_FIELDS]
    found = [
        value
        for name, _, value in (each.partition(b"=") for each in fields)
        if name in _NAMES
    ]
    if len(found) != 1:
        raise InvalidPacket("the form has not exactly one field d")
    parts = _unquote(found[0]).split(rb"\\n")
    return rb"\n".join(part.replace(rb"\n", b"\n") for part in parts)


def _unquote(value: bytes) -> bytes:
    """
    Undo percent-encoding, in C: a form as large as ``max_payload`` may be all of it.

    Python's own is written in Python, and ten times as slow. Quoted-printable (RFC
    2045, 6.7) is the same with another sign.

    Raises:
        InvalidPacket: If a percent sign has no two digits; no client sends that.

    """
    if _NO_BYTE.search(value):
        raise InvalidPacket("the form's percent-encoding is bad")
    return a2b_qp(value.replace(b"=", b"=3D").replace(b"%", b"="))


class JSONPTransport(PollingTransport):
    """Polling by script tags and forms, for browsers that have nothing better."""

    __slots__ = ("_index",)

    def __init__(self, codec: Codec, config: Config, index: str) -> None:
        """
        Make a transport without a request.

        Args:
            codec: Reads and writes payloads.
            config: As for polling.
            index: What ``index_of`` gave.

        """
        super().__init__(codec, config, binary=False)
        self._index = index

    def _packets(self, body: bytes, binary: bool) -> Iterator[str | bytes | Packet]:
        return self._codec.decode_payload(unwrap(body), binary=False)

    def _payload(self, items: list[Outgoing]) -> tuple[bytes, bytes]:
        assert self._get is not None  # only called to answer one
        self._get.setHeader(b"X-Content-Type-Options", b"nosniff")
        body, _ = self._codec.encode_payload(items, binary=False)
        return JAVASCRIPT, wrap(body.decode(), self._index)

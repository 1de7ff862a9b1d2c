"""
A JSONP body is read as a browser wrote it, and a script says nothing but its payload.

For any bytes:

* ``unwrap`` gives what a slow and simple reader gives, never more than came, or raises
  InvalidPacket where that finds nothing, and nothing else;
* what a client makes of a payload, a form, is unwrapped to that payload, whatever else
  is in the form; but for one with a backslash before a newline, which clients write as
  they write a backslash, a backslash and an n;
* ``wrap`` makes ``___eio[<digits>](<one string literal>);``: the literal evaluates to
  the payload, and holds nothing that could end it, its line, or the script around it;
* an index is a few digits, or Refused;
* all of it runs lines in proportion to the bytes.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote_plus

from fuzzing.work import bounded
from twisted_engineio import InvalidPacket
from twisted_engineio.exceptions import Refused
from twisted_engineio.transports.jsonp import index_of, unwrap, wrap

SCRIPT = re.compile(r'___eio\[([0-9]{1,16})\]\(("(?:[^"\\]|\\.)*")\);', re.DOTALL)
FORBIDDEN = re.compile("[<\u2028\u2029\x00-\x1f]")
HEX = set(b"0123456789abcdefABCDEF")
MAX_FIELDS = 8
TOKENS = (
    b"d=",
    b"%64=",
    b"&",
    b"%5C",
    b"\\n",
    b"\\\\n",
    b"\n",
    b"+",
    b"%",
    b"</script>",
)
unwrap(b"d=%20")  # Python makes a table for it once, with much work


def check(data: bytes) -> None:
    """Use bytes as a form, as a payload in one, as a payload, and as an index."""
    payload = bounded(lambda: _unwrapped(data), data, 200 + 10 * len(data))
    assert payload == unwrap_slowly(data)
    assert payload is None or len(payload) <= len(data)
    _check_form(data)
    _check_wrap(data.decode("utf-8", "replace"))
    _check_wrap(data.decode("latin-1"))
    _check_index(data.decode("utf-8", "replace"))


def _unwrapped(form: bytes) -> bytes | None:
    try:
        return unwrap(form)
    except InvalidPacket:
        return None


def unwrap_slowly(form: bytes) -> bytes | None:
    """Take the payload out of a form byte by byte; ``None`` if it is bad."""
    found = []
    for field in form.split(b"&")[:MAX_FIELDS]:
        name, _, value = field.partition(b"=")
        if _decoded(name, strict=False) == b"d":
            found.append(value)
    if len(found) != 1:
        return None
    value, payload, at = _decoded(found[0], strict=True), b"", 0
    if value is None:
        return None
    while at < len(value):
        if value[at : at + 3] == b"\\\\n":
            payload, at = payload + b"\\n", at + 3
        elif value[at : at + 2] == b"\\n":
            payload, at = payload + b"\n", at + 2
        else:
            payload, at = payload + value[at : at + 1], at + 1
    return payload


def _decoded(text: bytes, *, strict: bool) -> bytes | None:
    """Undo the encoding of a form; ``None`` if it is bad, or as it is if not strict."""
    plain, at = b"", 0
    while at < len(text):
        byte, digits = text[at : at + 1], text[at + 1 : at + 3]
        if byte == b"%" and len(digits) == 2 and not set(digits) - HEX:
            byte, at = bytes((int(digits, 16),)), at + 2
        elif byte == b"%" and strict:
            return None
        elif byte == b"+":
            byte = b" "
        plain, at = plain + byte, at + 1
    return plain


def _check_form(payload: bytes) -> None:
    """Write a form as engine.io-client does, and unwrap it."""
    text = re.sub(r"\\+\n", "\n", payload.decode("utf-8", "replace"))
    written = text.replace("\\n", "\\\\n").replace("\n", "\\n")
    for form in (b"d=%b", b"x=1&d=%b&y", b"%%64=%b"):
        assert unwrap(form % quote_plus(written).encode()) == text.encode()


def _check_wrap(payload: str) -> None:
    script = wrap(payload, "7").decode()
    match = SCRIPT.fullmatch(script)
    assert match is not None
    assert match[1] == "7"
    assert not FORBIDDEN.search(script)
    assert json.loads(match[2]) == payload
    assert len(script) <= 20 + 6 * len(payload)


def _check_index(text: str) -> None:
    try:
        index = index_of({"j": text})
    except Refused:
        assert not re.fullmatch("[0-9]{1,16}", text)
    else:
        assert index == text
        assert re.fullmatch("[0-9]{1,16}", text)


GUIDES = (unwrap_slowly, _decoded)

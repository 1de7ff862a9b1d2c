"""
The JSON messages between clients and the bridge.

Rules of this file:

1. A client's request is validated completely here: the router closes the connection of
   all clients when it receives one invalid message.
2. Errors are described in our own words. Of the client's data, only its ``id`` is sent
   back.
3. Bytes are written as text: U+0000, then base64. WAMP, "Binary conversion of JSON
   strings".
"""

from __future__ import annotations

import base64
import binascii
import enum
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeAlias

from ..exceptions import ProtocolError
from ..protocol.packet import Encoded

__all__ = ["BadRequest", "Id", "Op", "Problem", "WampRequest", "read", "write"]

Id: TypeAlias = str | int | None
"""The id of a request, chosen by the client to match the answer."""

MAX_DEPTH: Final = 32
"""Maximum nesting of lists and objects. Python's own parser is bounded by its recursion
limit, which a library of Crossbar's raises to 100,000: then a hundred kilobytes of
brackets overflow the stack, and the worker dies by a signal."""
MAX_WORD: Final = 256
"""Maximum length of an id or a URI in characters; bounds the memory of a request."""

# WAMP, "Loose URIs": components without white space and "#", none of them empty.
_URI: Final = re.compile(r"(?:[^\s.#]+\.)*[^\s.#]+")
# A string or a bracket. The end of a string may be missing: no text is scanned twice.
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.?[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)
_RESERVED: Final = ("self", "procedure", "topic", "options")
"""Names of Autobahn's own parameters, which keyword arguments must not use."""


class Op(enum.Enum):
    """The operations that a client may request."""

    CALL = "call"
    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


class Problem(enum.Enum):
    """The error URIs of the bridge; other errors come from the router."""

    BAD_REQUEST = "engineio.error.bad_request"
    NOT_AUTHORIZED = "wamp.error.not_authorized"
    ALREADY_SUBSCRIBED = "engineio.error.already_subscribed"
    NO_SUCH_SUBSCRIPTION = "wamp.error.no_such_subscription"
    TOO_MANY_SUBSCRIPTIONS = "engineio.error.too_many_subscriptions"
    TOO_LARGE = "engineio.error.too_large"
    NO_ROUTER = "engineio.error.no_router"
    NOT_JSON = "engineio.error.not_json"
    NO_SUCH_SESSION = "engineio.error.no_such_session"
    FAILED = "engineio.error.failed"


_KEYS: Final = {
    Op.CALL: ("op", "id", "uri", "args", "kwargs"),
    Op.PUBLISH: ("op", "id", "uri", "args", "kwargs"),
    Op.SUBSCRIBE: ("op", "id", "uri", "volatile"),
    Op.UNSUBSCRIBE: ("op", "id", "uri"),
}


class BadRequest(ProtocolError):
    """
    A message that is not a valid request.

    Attributes:
        id: The id of the request, if it could be parsed.
        problem: What is wrong, and what would be right.

    """

    def __init__(self, problem: str, id: Id = None) -> None:
        super().__init__(problem)
        self.id = id
        self.problem = problem


@dataclass(frozen=True, kw_only=True, slots=True)
class WampRequest:
    """
    A client's request.

    Attributes:
        op: The operation.
        uri: The procedure or topic.
        id: The id for the answer; ``None``: publish without an acknowledgement.
        args: Positional arguments.
        kwargs: Keyword arguments.
        volatile: Whether events that cannot be sent immediately may be dropped.

    """

    op: Op
    uri: str
    id: Id = None
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    volatile: bool = False


def read(data: str | bytes) -> WampRequest:
    """
    Parse a client's request.

    Args:
        data: A message.

    Raises:
        BadRequest: If it is not a valid request.

    """
    fields = _parse(data)
    id = fields.get("id")
    _check_id(id)
    try:
        return _request(fields, id)
    except BadRequest as error:
        raise BadRequest(error.problem, id) from None


def _parse(data: str | bytes) -> dict[str, Any]:
    if isinstance(data, bytes):
        raise BadRequest("a request must be text, not binary")
    if _is_deep(data):
        raise BadRequest(f"lists and objects may be nested {MAX_DEPTH} deep")
    try:
        fields = json.loads(data, parse_constant=_refuse_constant)
    except ValueError:
        raise BadRequest("a request must be a JSON object; this is not JSON") from None
    if not isinstance(fields, dict):
        raise BadRequest("a request must be a JSON object")
    return fields


def _is_deep(data: str) -> bool:
    """Return whether a text is nested too deeply, without parsing it."""
    if data.count("[") + data.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for found in _TOKEN.finditer(data):
        first = found[0][0]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif first in "]}":
            depth -= 1
    return False


def _refuse_constant(name: str) -> NoReturn:
    # Python accepts NaN and Infinity; RFC 8259, 6: "not permitted".
    raise ValueError(name)


def _check_id(id: object) -> None:
    if isinstance(id, str):
        good = len(id) <= MAX_WORD and _is_unicode(id)
    elif isinstance(id, int):
        # The integers that JavaScript represents exactly. True is an int in Python.
        good = abs(id) < 2**53 and not isinstance(id, bool)
    else:
        good = id is None
    if not good:
        raise BadRequest(
            f"id must be a whole number below 2**53, or text of at most {MAX_WORD}"
            " characters"
        )


def _request(fields: dict[str, Any], id: Id) -> WampRequest:
    try:
        op = Op(fields.get("op"))
    except ValueError:
        names = ", ".join(each.value for each in Op)
        raise BadRequest(f"op must be one of {names}") from None
    if not fields.keys() <= set(_KEYS[op]):
        raise BadRequest(f"{op.value} accepts {', '.join(_KEYS[op])} only")
    if id is None and op is not Op.PUBLISH:
        raise BadRequest(f"{op.value} requires an id, for its answer")
    volatile = fields.get("volatile", False)
    if not isinstance(volatile, bool):
        raise BadRequest("volatile must be true or false")
    return WampRequest(
        op=op,
        uri=_uri(fields.get("uri")),
        id=id,
        args=_args(fields.get("args", [])),
        kwargs=_kwargs(fields.get("kwargs", {})),
        volatile=volatile,
    )


def _uri(uri: object) -> str:
    if isinstance(uri, str) and len(uri) <= MAX_WORD and _URI.fullmatch(uri):
        return _text(uri)
    raise BadRequest(
        "uri must be words joined by dots, like com.example.add, of at most"
        f" {MAX_WORD} characters, without spaces and #"
    )


def _args(args: object) -> list[Any]:
    if not isinstance(args, list):
        raise BadRequest("args must be a list")
    return [_value(each) for each in args]


def _kwargs(kwargs: object) -> dict[str, Any]:
    if not isinstance(kwargs, dict):
        raise BadRequest("kwargs must be an object")
    if any(name in kwargs for name in _RESERVED):
        raise BadRequest(f"kwargs must not contain {', '.join(_RESERVED)}")
    return {_text(name): _value(each) for name, each in kwargs.items()}


def _value(value: object) -> Any:
    """Validate a value, and decode bytes that are written as text."""
    if isinstance(value, str):
        return _bytes(value) if value.startswith("\0") else _text(value)
    if isinstance(value, list):
        return [_value(each) for each in value]
    if isinstance(value, dict):
        return {_text(name): _value(each) for name, each in value.items()}
    # The range that every serializer of a router supports.
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise BadRequest("a whole number is outside 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest("a number is too large")
    return value


def _text(text: str) -> str:
    if not _is_unicode(text):
        raise BadRequest("text must not contain half a surrogate pair")
    return text


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text[1:], validate=True)
    except (ValueError, binascii.Error):
        raise BadRequest("text after U+0000 must be base64: it is binary") from None


def _is_unicode(text: str) -> bool:
    """Return whether text can be encoded as UTF-8."""
    return not any("\ud800" <= each <= "\udfff" for each in text)


def write(
    op: str,
    *,
    id: Id = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **more: str,
) -> Encoded:
    """
    Write a message of the bridge.

    Args:
        op: The kind of message: ``result``, ``event``, ``error`` ...
        id: The id of the request that it answers.
        args: Positional arguments; omitted if empty.
        kwargs: Keyword arguments; omitted if empty.
        more: Further fields.

    Raises:
        TypeError: If a value has a type that JSON cannot represent.
        ValueError: If a number or text cannot be represented, or the nesting is too
            deep.

    """
    fields: dict[str, Any] = {"op": op}
    if id is not None:
        fields["id"] = id
    fields.update(more)
    if args:
        fields["args"] = list(args)
    if kwargs:
        fields["kwargs"] = kwargs
    try:
        text = json.dumps(
            fields,
            allow_nan=False,
            default=_as_text,
            ensure_ascii=False,
            separators=(",", ":"),
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return Encoded(text)


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return "\0" + base64.b64encode(value).decode()
    raise TypeError(f"JSON cannot represent {type(value).__name__}")

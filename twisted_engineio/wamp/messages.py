"""
The JSON that clients and the bridge say to each other.

Rules of this file:

1. What a client asks is checked here to the last string: behind this file stands a
   router, which closes the connection of all clients over one bad message.
2. What is wrong is told in words of our own. Of the client's only its ``id`` comes
   back.
3. Bytes are text that begins with U+0000 and goes on as base64: WAMP, "Binary
   conversion of JSON strings".
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
"""What a client calls a request by, to know its answer again."""

MAX_DEPTH: Final = 32
"""Lists and objects that may stand one in another. Python's own parser takes as many as
its recursion limit, which a library of Crossbar's raises to 100,000: then a hundred
kilobytes of brackets overflow the stack, and the worker dies by a signal."""
MAX_WORD: Final = 256
"""Characters of an id or a URI: enough for any name, too few to fill a memory with."""

# WAMP, "Loose URIs": components without white space and "#", none of them empty.
_URI: Final = re.compile(r"(?:[^\s.#]+\.)*[^\s.#]+")
# A string, of which the end may be missing so that no text is read twice, or a bracket.
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.?[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)
_RESERVED: Final = ("self", "procedure", "topic", "options")
"""What Autobahn calls its own arguments, so that no keyword argument can."""


class Op(enum.Enum):
    """What a client may ask for."""

    CALL = "call"
    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


class Problem(enum.Enum):
    """What errors of the bridge's own are called; others come from the router."""

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
    A message that is no request.

    Attributes:
        id: What the client calls it by, as far as that could be read.
        problem: What is wrong, and what would be right.

    """

    def __init__(self, problem: str, id: Id = None) -> None:
        super().__init__(problem)
        self.id = id
        self.problem = problem


@dataclass(frozen=True, kw_only=True, slots=True)
class WampRequest:
    """
    What a client asks for.

    Attributes:
        op: What to do.
        uri: With which procedure or topic.
        id: What the answer is called by; ``None``: publish, and answer nothing.
        args: Positional arguments.
        kwargs: Keyword arguments.
        volatile: Whether events may be dropped that cannot go at once.

    """

    op: Op
    uri: str
    id: Id = None
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    volatile: bool = False


def read(data: str | bytes) -> WampRequest:
    """
    Read what a client asks for.

    Args:
        data: A message.

    Raises:
        BadRequest: If it is none, or asks for something in a wrong way.

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
        raise BadRequest("a request is text, not binary")
    if _is_deep(data):
        raise BadRequest(f"a request may be {MAX_DEPTH} lists or objects deep")
    try:
        fields = json.loads(data, parse_constant=_refuse_constant)
    except ValueError:
        raise BadRequest("a request is a JSON object; this is no JSON") from None
    if not isinstance(fields, dict):
        raise BadRequest("a request is a JSON object")
    return fields


def _is_deep(data: str) -> bool:
    """Tell whether too many lists and objects stand one in another, before parsing."""
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
    # Python reads NaN and Infinity; RFC 8259, 6: "not permitted".
    raise ValueError(name)


def _check_id(id: object) -> None:
    if isinstance(id, str):
        good = len(id) <= MAX_WORD and _is_unicode(id)
    elif isinstance(id, int):
        # What JavaScript keeps exactly; and True is an int.
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
        raise BadRequest(f"{op.value} takes {', '.join(_KEYS[op])} and nothing else")
    if id is None and op is not Op.PUBLISH:
        raise BadRequest(f"{op.value} needs an id, for its answer")
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
        raise BadRequest(f"kwargs may not be called {', '.join(_RESERVED)}")
    return {_text(name): _value(each) for name, each in kwargs.items()}


def _value(value: object) -> Any:
    """Check a value, and make bytes of what stands for bytes."""
    if isinstance(value, str):
        return _bytes(value) if value.startswith("\0") else _text(value)
    if isinstance(value, list):
        return [_value(each) for each in value]
    if isinstance(value, dict):
        return {_text(name): _value(each) for name, each in value.items()}
    # What every serializer of a router has room for.
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise BadRequest("a whole number is outside 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest("a number is too large")
    return value


def _text(text: str) -> str:
    if not _is_unicode(text):
        raise BadRequest("text must not hold half a surrogate pair")
    return text


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text[1:], validate=True)
    except (ValueError, binascii.Error):
        raise BadRequest("behind U+0000 must stand base64: it is binary") from None


def _is_unicode(text: str) -> bool:
    """Tell whether text can be written as UTF-8."""
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
    Write what the bridge has to say.

    Args:
        op: What it is: ``result``, ``event``, ``error`` ...
        id: What the request was called by.
        args: Positional arguments; left out where there are none.
        kwargs: Keyword arguments, likewise.
        more: The rest.

    Raises:
        TypeError: If there is something in it that JSON has not.
        ValueError: If there is a number in it that JSON has not, or half a surrogate
            pair, or if it is nested too deeply.

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
    raise TypeError(f"JSON has no {type(value).__name__}")

"""
Every error of the project, and the reasons for which a session ends.

Whose fault an error is shows in its class::

    EngineIOError
     +-- ConfigError          the operator's: an option that cannot work
     +-- SessionClosed        the application's: it used a session that is over
     +-- Reject               nobody's: the application refuses a client
     |    +-- Unavailable     nor is it here: the server takes no more for now
     +-- ProtocolError        the client's
          +-- Refused         a request that the protocol answers with an error code
          +-- InvalidPacket   bytes that are no packet
          +-- PayloadTooLarge more bytes than ``max_payload``

An error carries its data in attributes and makes its own sentence.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

__all__ = [
    "CloseReason",
    "ConfigError",
    "EngineIOError",
    "ErrorCode",
    "InvalidPacket",
    "PayloadTooLarge",
    "ProtocolError",
    "Refused",
    "Reject",
    "SessionClosed",
    "Unavailable",
]


class CloseReason(enum.Enum):
    """
    Why a session ended; the values are the words of the reference server.

    The last five are ours: the reference has no name for them.
    """

    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"
    PING_TIMEOUT = "ping timeout"
    PARSE_ERROR = "parse error"
    FORCED_CLOSE = "forced close"
    SERVER_CLOSE = "server close"
    PAYLOAD_TOO_LARGE = "payload too large"
    SLOW_CLIENT = "slow client"
    REPLAY_OVERFLOW = "replay overflow"
    APPLICATION_ERROR = "application error"
    RATE_EXCEEDED = "rate exceeded"


class ErrorCode(enum.IntEnum):
    """The codes with which a server answers a request that it refuses."""

    UNKNOWN_TRANSPORT = 0
    UNKNOWN_SID = 1
    BAD_HANDSHAKE_METHOD = 2
    BAD_REQUEST = 3
    FORBIDDEN = 4
    UNSUPPORTED_PROTOCOL_VERSION = 5


MESSAGES: Mapping[ErrorCode, str] = {
    ErrorCode.UNKNOWN_TRANSPORT: "Transport unknown",
    ErrorCode.UNKNOWN_SID: "Session ID unknown",
    ErrorCode.BAD_HANDSHAKE_METHOD: "Bad handshake method",
    ErrorCode.BAD_REQUEST: "Bad request",
    ErrorCode.FORBIDDEN: "Forbidden",
    ErrorCode.UNSUPPORTED_PROTOCOL_VERSION: "Unsupported protocol version",
}


class EngineIOError(Exception):
    """The root of every error that this package raises."""


class ConfigError(EngineIOError, ValueError):
    """
    An option has a value that cannot work.

    Attributes:
        option: The option's name, as in ``Config``.
        problem: What was wrong, and what would be right.

    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option
        self.problem = problem


def require(kind: type, given: object, taker: str) -> None:
    """
    See that a caller has given what is taken.

    Args:
        kind: The class that it must be of.
        given: What was given.
        taker: Who takes it.

    Raises:
        TypeError: If it is of another; the message says what is wanted.

    """
    if isinstance(given, kind):
        return
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    wanted = f"{taker} takes {article} {kind.__name__}"
    if isinstance(given, type):
        name = given.__name__
        hint = f": say {name}()" if issubclass(given, kind) else ""
        raise TypeError(f"{wanted}, not the class {name}{hint}")
    raise TypeError(f"{wanted}, not {given!r}")


def counted(count: int, noun: str) -> str:
    """
    Write a number of things, as ``1 session`` or ``2 sessions``.

    Args:
        count: How many.
        noun: What one of them is called; its plural ends with an s.

    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


class SessionClosed(EngineIOError):
    """
    The application used a session that is not open yet, is closing, or is closed.

    Attributes:
        sid: The session's id.
        reason: Why it ended, or is closing; ``None`` where that is not known yet.

    """

    def __init__(
        self, sid: str, reason: CloseReason | None, state: str = "closed"
    ) -> None:
        why = "" if reason is None else f" ({reason.value})"
        if state == "opening":
            what = "is opening: it takes messages from session_opened on"
        elif state == "closing" or reason is None:
            what = f"is closing{why}"
        else:
            what = f"is over{why}"
        super().__init__(f"session {sid[:6]}... {what}")
        self.sid = sid
        self.reason = reason


class Reject(EngineIOError):
    """
    Raised by ``Application.admit`` to refuse a client.

    Attributes:
        status: The HTTP status of the answer, 400 to 599.
        message: A sentence that the client is given.
        headers: Headers for the answer.
        code: The protocol's error code, ``FORBIDDEN``.
        context: What the operator is told.
        close_code: A WebSocket is opened and then closed with this code, 4000 to 4999,
            and the message, because a browser shows its page neither status nor body of
            a WebSocket that was refused; ``None`` to refuse it like any other request.

    Raises:
        ValueError: If the status or the close code is out of its range.
        TypeError: If the status is no number, or a header is not text.

    """

    def __init__(
        self,
        status: int = 403,
        message: str = "Forbidden",
        *,
        headers: Mapping[str, str] | None = None,
        close_code: int | None = None,
    ) -> None:
        given_status: object = status
        if not isinstance(given_status, int):
            raise TypeError(
                "Reject: the status comes first, and is a number: say"
                f" Reject(403, {given_status!r})"
            )
        if not 400 <= status <= 599:
            raise ValueError(f"Reject: status must be 400 to 599, not {status!r}")
        if close_code is not None and not 4000 <= close_code <= 4999:
            # RFC 6455, 7.4.2: the range for private use.
            raise ValueError(
                f"Reject: close_code must be 4000 to 4999, not {close_code!r}"
            )
        given: Iterable[tuple[object, object]] = (headers or {}).items()
        for name, value in given:
            if not isinstance(name, str) or not isinstance(value, str):
                raise TypeError(f"Reject: header {name!r} must be str, not {value!r}")
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.close_code = close_code
        self.code = ErrorCode.FORBIDDEN
        self.context = "the application refused"

    def to_json(self) -> bytes:
        """Give the body of the answer; the code is the protocol's "Forbidden"."""
        return _to_json(self.code, self.message)


_DAY: Final = 86_400
"""Seconds that a client is asked to wait at most, however low a rate is."""


class Unavailable(Reject):
    """
    The server takes no new session for now: it is full, or it stops.

    Attributes:
        retry_after: After how many seconds it is worth trying again, at least 1.
        limit: The option in ``Config`` that says so; ``None`` while it stops.

    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        retry_after: float,
        limit: str | None = None,
    ) -> None:
        # RFC 9110, 10.2.3: whole seconds.
        seconds = min(max(1, math.ceil(retry_after)), _DAY)
        super().__init__(status, message, headers={"Retry-After": str(seconds)})
        self.retry_after = seconds
        self.limit = limit
        self.context = f"{limit} was reached" if limit else "the server is stopping"


class ProtocolError(EngineIOError):
    """The client did what the protocol does not allow."""


class Refused(ProtocolError):
    """
    A request that is answered with one of the protocol's error codes.

    Attributes:
        code: The protocol's error code.
        status: The HTTP status that goes with it.
        message: What the client is told: never an echo of its input.
        context: What the operator is told: a few words for the log.
        headers: Headers for the answer.

    """

    def __init__(
        self,
        code: ErrorCode,
        context: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        usual = 403 if code is ErrorCode.FORBIDDEN else 400
        self.code = code
        self.status = usual if status is None else status
        self.headers = headers
        self.message = MESSAGES[code]
        self.context = context
        super().__init__(f"{self.message}: {context}")

    def to_json(self) -> bytes:
        """Give the body of the answer."""
        return _to_json(self.code, self.message)


def _to_json(code: ErrorCode, message: str) -> bytes:
    body = {"code": int(code), "message": message}
    return json.dumps(body, separators=(",", ":")).encode()


class InvalidPacket(ProtocolError):
    """
    Bytes or text that the codec cannot read as a packet.

    Attributes:
        problem: What is wrong with it, without quoting it.

    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"invalid packet: {problem}")
        self.problem = problem


class PayloadTooLarge(ProtocolError):
    """
    A request body or message over ``max_payload``.

    Attributes:
        size: What came, or was announced, in bytes.
        limit: ``Config.max_payload``, in bytes.

    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"payload of {counted(size, 'byte')} is over the limit of"
            f" {counted(limit, 'byte')}"
        )
        self.size = size
        self.limit = limit

"""
All exceptions of the package, and the reasons for which a session ends.

The class of an error shows whose fault it is::

    EngineIOError
     +-- ConfigError          the operator's: an invalid option
     +-- SessionClosed        the application's: it used a closed session
     +-- Reject               no fault: the application refuses a client
     |    +-- Unavailable     no fault: the server accepts no sessions for now
     +-- ProtocolError        the client's
          +-- Refused         a request that is answered with a protocol error code
          +-- InvalidPacket   bytes that are not a packet
          +-- PayloadTooLarge more bytes than ``max_payload``

An error stores its data in attributes and builds its message from them.
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
    The reason for which a session ended; most values are the reference server's.

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
    """The base class of every exception that this package raises."""


class ConfigError(EngineIOError, ValueError):
    """
    An option has an invalid value.

    Attributes:
        option: The option's name, as in ``Config``.
        problem: The error, and how to correct it.

    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option
        self.problem = problem


def require(kind: type, given: object, taker: str) -> None:
    """
    Raise ``TypeError`` unless an argument is an instance of a class.

    Args:
        kind: The required class.
        given: The argument.
        taker: The name of the callable, for the message.

    Raises:
        TypeError: If it is not; the message names the required class.

    """
    if isinstance(given, kind):
        return
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    wanted = f"{taker} takes {article} {kind.__name__}"
    if isinstance(given, type):
        name = given.__name__
        hint = f": use {name}()" if issubclass(given, kind) else ""
        raise TypeError(f"{wanted}, not the class {name}{hint}")
    raise TypeError(f"{wanted}, not {given!r}")


def counted(count: int, noun: str) -> str:
    """
    Format a count, as ``1 session`` or ``2 sessions``.

    Args:
        count: The number.
        noun: The noun in the singular; its plural ends with an s.

    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


class SessionClosed(EngineIOError):
    """
    The application used a session that is not open yet, is closing, or is closed.

    Attributes:
        sid: The session's id.
        reason: Why it ended, or is closing; ``None`` if that is not known yet.

    """

    def __init__(
        self, sid: str, reason: CloseReason | None, state: str = "closed"
    ) -> None:
        why = "" if reason is None else f" ({reason.value})"
        if state == "opening":
            what = "is opening: send once session_opened is called"
        elif state == "closing" or reason is None:
            what = f"is closing{why}"
        else:
            what = f"is closed{why}"
        super().__init__(f"session {sid[:6]}... {what}")
        self.sid = sid
        self.reason = reason


class Reject(EngineIOError):
    """
    Raised by ``Application.admit`` to refuse a client.

    Attributes:
        status: The HTTP status of the answer, 400 to 599.
        message: A sentence that is sent to the client.
        headers: Headers for the answer.
        code: The protocol's error code, ``FORBIDDEN``.
        context: The explanation for the operator.
        close_code: If set, a WebSocket is accepted and then closed with this code, 4000
            to 4999, and the message, because a browser's page can read neither status
            nor body of a refused WebSocket; ``None`` to refuse it like any other
            request.

    Raises:
        ValueError: If the status or the close code is out of its range.
        TypeError: If the status is not a number, or a header is not text.

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
                "Reject: the first argument is the status, a number: use"
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
        """Return the body of the answer; its code is the protocol's "Forbidden"."""
        return _to_json(self.code, self.message)


_DAY: Final = 86_400
"""Upper bound of Retry-After, in seconds, however low a rate is."""


class Unavailable(Reject):
    """
    The server accepts no new session for now: it is full or stopping.

    Attributes:
        retry_after: Seconds after which the client may retry, at least 1.
        limit: The option in ``Config`` that was reached; ``None`` if the server is
            stopping.

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
    """The client violated the protocol."""


class Refused(ProtocolError):
    """
    A request that is answered with one of the protocol's error codes.

    Attributes:
        code: The protocol's error code.
        status: The HTTP status of the answer.
        message: The text sent to the client: never an echo of its input.
        context: The explanation for the operator: a few words for the log.
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
        """Return the body of the answer."""
        return _to_json(self.code, self.message)


def _to_json(code: ErrorCode, message: str) -> bytes:
    body = {"code": int(code), "message": message}
    return json.dumps(body, separators=(",", ":")).encode()


class InvalidPacket(ProtocolError):
    """
    Bytes or text that the codec cannot parse as a packet.

    Attributes:
        problem: What is wrong with it, without quoting it.

    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"invalid packet: {problem}")
        self.problem = problem


class PayloadTooLarge(ProtocolError):
    """
    A request body or message is larger than ``max_payload``.

    Attributes:
        size: The received or announced size, in bytes.
        limit: ``Config.max_payload``, in bytes.

    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"payload of {counted(size, 'byte')} is over the limit of"
            f" {counted(limit, 'byte')}"
        )
        self.size = size
        self.limit = limit

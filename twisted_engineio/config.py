"""
Every limit and interval of the server, in one frozen object.

Seconds and bytes, always: the wire's milliseconds appear in ``handshake.py`` only.
Each limit says its reason and who else has it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from .exceptions import ConfigError

__all__ = ["TRANSPORTS", "Config"]

TRANSPORTS: Final = ("polling", "websocket")
"""The transports that can be switched on, in the order in which clients try them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """
    The server's options; the defaults are the reference server's where it has one.

    Raises:
        ConfigError: If a name is unknown (the nearest known one is in the message) or
            a value cannot work.

    """

    ping_interval: float = 25.0
    """Seconds between a pong and the next ping."""

    ping_timeout: float = 20.0
    """Seconds that a client has to answer a ping."""

    upgrade_timeout: float = 10.0
    """Seconds that a client has to finish an upgrade it began."""

    close_timeout: float = 30.0
    """Seconds that the last words of a closed session wait to be fetched. As long as
    the reference waits."""

    max_payload: int = 1_000_000
    """Bytes of one POST body or one WebSocket message, inclusive. The reference's
    maxHttpBufferSize: more makes it easy to fill a server's memory."""

    max_fragments: int = 16_384
    """WebSocket frames that one message may be cut into; as many as ws allows. Endless
    empty fragments cost a server time but never reach ``max_payload``."""

    high_water_mark: int = 65_536
    """Queued bytes above which ``Session.send`` returns False. The size at which
    Twisted's own transports pause a producer."""

    low_water_mark: int = 16_384
    """Queued bytes at which ``Session.drained`` fires."""

    max_buffered: int = 16_777_216
    """Queued bytes above which a session ends with "slow client": one slow reader
    must not hold the memory of all others. Ours; the reference has no limit."""

    transports: Sequence[str] = TRANSPORTS
    """The transports that are switched on."""

    allow_upgrades: bool = True
    """Whether a polling session may move to WebSocket."""

    allow_eio3: bool = False
    """Whether clients of revision 3 (Socket.IO 2) are served too."""

    cors: Sequence[str] = ()
    """Foreign origins that may use the server, ``scheme://host[:port]`` each, or
    ``"*"`` for any. Pages of the same origin always may."""

    cors_credentials: bool = False
    """Whether foreign origins may send cookies. Not together with ``"*"``."""

    request_timeout: float = 60.0
    """Seconds that a client has to send a whole request, headers and body, on our own
    port, and that a connection may stay idle. nginx gives 60 for each; a slow sender
    otherwise holds a socket for ever."""

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Refuse unknown names before the dataclass does, with a better message."""
        known = [each.name for each in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {known}"
                raise ConfigError(name, f"there is no such option; {hint}")
        return object.__new__(cls)

    def __post_init__(self) -> None:
        """Check every value, so that a mistake shows before anything listens."""
        for name in _SECONDS:
            self._require_number(name, float, "a number of seconds above 0")
        for name in _AMOUNTS:
            self._require_number(name, int, "a whole number above 0")
        if self.low_water_mark > self.high_water_mark:
            raise ConfigError("low_water_mark", "must not be above high_water_mark")
        self._require_names("transports")
        if not self.transports:
            raise ConfigError("transports", f"name at least one of {TRANSPORTS}")
        for name in self.transports:
            if name not in TRANSPORTS:
                raise ConfigError(
                    "transports", f"{name!r} is unknown; known are {TRANSPORTS}"
                )
        self._require_names("cors")
        for origin in self.cors:
            if origin != "*" and not _is_origin(origin):
                raise ConfigError(
                    "cors", f"{origin!r} is not an origin like 'https://example.com'"
                )
        if self.cors_credentials and "*" in self.cors:
            # Fetch standard, "CORS protocol and credentials".
            raise ConfigError(
                "cors_credentials", "name the origins: browsers refuse it with '*'"
            )

    def _require_number(self, name: str, kind: type, what: str) -> None:
        value = getattr(self, name)
        accepted = (int, float) if kind is float else int
        # A bool is an int; and NaN is neither above nor below 0.
        if isinstance(value, bool) or not isinstance(value, accepted) or not value > 0:
            raise ConfigError(name, f"must be {what}, not {value!r}")
        if value == float("inf"):
            raise ConfigError(name, f"must be {what}, and finite")

    def _require_names(self, name: str) -> None:
        value = getattr(self, name)
        if isinstance(value, str) or not all(isinstance(each, str) for each in value):
            raise ConfigError(name, f"must be a list of strings, not {value!r}")
        # The caller may go on changing its list; ours stays as it was checked.
        object.__setattr__(self, name, tuple(value))


_SECONDS: Final = (
    "ping_interval",
    "ping_timeout",
    "upgrade_timeout",
    "close_timeout",
    "request_timeout",
)
_AMOUNTS: Final = (
    "max_payload",
    "max_fragments",
    "high_water_mark",
    "low_water_mark",
    "max_buffered",
)


def _is_origin(text: str) -> bool:
    scheme, separator, host = text.partition("://")
    return bool(scheme and separator and host) and not set(host) & set("/?#@* ")

"""
Checks of option values: each raises ``ConfigError`` with the option's name.

They know values and ``Option``, but not ``Config``, which calls them.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from ..cookie import Cookie
from ..exceptions import ConfigError
from ..policy.forwarded import TrustedProxies
from ..policy.origins import listed_origin
from ..protocol.packet import Encoded
from .option import Kind, Option

__all__ = [
    "OVER_RATE",
    "TRANSPORTS",
    "check_interval",
    "check_known",
    "check_options",
]

TRANSPORTS: Final = ("polling", "sse", "websocket")
"""The transports that can be switched on, in the order in which clients try them."""

OVER_RATE: Final = ("pause", "close")
"""Actions for a session that exceeds its rate."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, 5.6.2."""
_HOUR: Final = 3600
"""Longest interval of the heartbeat, in seconds: a client that is gone is noticed no
sooner."""
_SECONDS_ABOVE_0: Final = "a number of seconds above 0"


def check_known(given: Iterable[str], known: Collection[str]) -> None:
    """
    Check that each name is an option.

    Raises:
        ConfigError: If one is not; the nearest known name is in the message.

    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {[*known]}"
            raise ConfigError(name, f"there is no such option; {hint}")


def check_options(
    given: Mapping[str, Any], options: Mapping[str, Option]
) -> dict[str, Any]:
    """
    Check every value by itself, and those that depend on each other.

    Args:
        given: The values, by name.
        options: The options, by name.

    Returns:
        The values; lists as tuples, origins normalized.

    Raises:
        ConfigError: If a value cannot work.

    """
    value = {name: _check_value(name, given[name], options[name]) for name in options}
    _check_over_rate(value["over_rate"])
    default_low = options["low_water_mark"].default
    _check_water_marks(value["low_water_mark"], value["high_water_mark"], default_low)
    value["transports"] = _check_transports(value["transports"])
    _check_jitter(value["ping_jitter"], value["ping_interval"])
    _check_initial_packet(value["initial_packet"])
    _check_cookie(value["cookie"])
    TrustedProxies(value["trusted_proxies"])  # raises if one is no network
    if not callable(value["cors"]):
        credentials = value["cors_credentials"]
        value["cors"] = _check_origins(value["cors"], credentials=credentials)
    return value


def _check_value(name: str, value: Any, option: Option) -> Any:
    if value is None and option.none:
        return None
    or_none = ", or None" if option.none else ""
    match option.kind:
        case Kind.INTERVAL:
            check_interval(name, value)
        case Kind.SECONDS:
            _check_number(name, value, float, _SECONDS_ABOVE_0 + or_none)
        case Kind.AMOUNT:
            _check_number(name, value, int, f"a whole number above 0{or_none}")
        case Kind.RATE:
            _check_number(name, value, float, f"a number above 0{or_none}")
        case Kind.FLAG:
            if not isinstance(value, bool):
                raise ConfigError(name, f"must be True or False, not {value!r}")
        case Kind.NAMES:
            return _check_names(name, value)
        case Kind.TOKENS:
            return _check_tokens(name, _check_names(name, value))
    return value


def check_interval(name: str, value: object) -> None:
    """
    Check an interval of the heartbeat.

    Args:
        name: The option's name.
        value: What was given for it.

    Raises:
        ConfigError: If it is no number of seconds, or above an hour: then it is
            probably in milliseconds, as in JavaScript.

    """
    # Of an int that no float can hold, too, this says more than that it is not finite.
    huge = isinstance(value, int) and value > _HOUR
    if huge or _check_number(name, value, float, _SECONDS_ABOVE_0) > _HOUR:
        seconds: Any = value
        # A number far above is none in milliseconds either.
        meant = seconds / 1000 if seconds <= 1000 * _HOUR else 25
        raise ConfigError(
            name,
            f"{value!r:.20} is above {_HOUR} and in seconds; did you mean {meant:g}?",
        )


def _check_jitter(jitter: object, ping_interval: float) -> None:
    number = isinstance(jitter, (int, float)) and not isinstance(jitter, bool)
    # It is a number: mypy does not follow that through a variable.
    if not number or not 0 <= jitter <= ping_interval:  # type: ignore[operator]
        raise ConfigError(
            "ping_jitter", f"must be from 0 to ping_interval, not {jitter!r}"
        )


def _check_transports(given: Sequence[str]) -> tuple[str, ...]:
    known = ", ".join(TRANSPORTS)
    if not given:
        raise ConfigError("transports", f"name at least one of {known}")
    for name in given:
        if name not in TRANSPORTS:
            raise ConfigError("transports", f"{name!r} is unknown; known are {known}")
    # A repeated name would be announced twice, in the order of the first.
    return tuple(dict.fromkeys(given))


def _check_over_rate(value: object) -> None:
    if value not in OVER_RATE:
        known = " or ".join(OVER_RATE)
        raise ConfigError("over_rate", f"must be {known}, not {value!r}")


def _check_water_marks(low: int, high: int, default_low: int) -> None:
    if low <= high:
        return
    if low == default_low:
        raise ConfigError(
            "high_water_mark",
            f"{high} is below low_water_mark, {low}: set that too, to no more",
        )
    raise ConfigError(
        "low_water_mark", f"must not be above high_water_mark, {high}, but is {low}"
    )


def _check_initial_packet(value: str | bytes | None) -> None:
    if value is not None:
        try:
            Encoded(value)
        except (TypeError, UnicodeEncodeError) as error:
            raise ConfigError("initial_packet", str(error)) from None


def _check_cookie(value: object) -> None:
    if value is not None and not isinstance(value, Cookie):
        raise ConfigError("cookie", f"must be a Cookie, not {value!r}")


def _check_origins(
    origins: Any, *, credentials: bool
) -> tuple[str | re.Pattern[str], ...]:
    if isinstance(origins, str) or not isinstance(origins, Iterable):
        raise ConfigError("cors", f"must be a list of origins, not {origins!r}")
    read = tuple(map(_read_origin, origins))
    if credentials and "*" in read:
        # Fetch standard, "CORS protocol and credentials".
        raise ConfigError(
            "cors_credentials", "name the origins: browsers refuse it with '*'"
        )
    return read


def _read_origin(origin: object) -> str | re.Pattern[str]:
    if isinstance(origin, re.Pattern) and isinstance(origin.pattern, bytes):
        raise ConfigError("cors", f"{origin!r} must be a pattern of text, not of bytes")
    if isinstance(origin, re.Pattern) or origin == "*":
        return origin
    if not isinstance(origin, str):
        raise ConfigError("cors", f"{origin!r} is not an origin, as text or pattern")
    try:
        return listed_origin(origin)
    except ValueError as error:
        raise ConfigError("cors", str(error)) from None


def _check_names(name: str, value: Any) -> tuple[str, ...]:
    listed = isinstance(value, Iterable) and not isinstance(value, str)
    if not listed or not all(isinstance(each, str) for each in value):
        raise ConfigError(name, f"must be a list of strings, not {value!r}")
    # The caller may change its list later; the copy stays as it was checked.
    return tuple(value)


def _check_tokens(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _TOKEN.fullmatch(value):
            raise ConfigError(
                name,
                f"{value!r} must be one name of ASCII letters, digits and"
                " !#$%&'*+-.^_`|~",
            )
    return values


def _check_number(name: str, value: Any, kind: type, what: str) -> float:
    accepted = (int, float) if kind is float else int
    # A bool is an int; and NaN is neither above nor below 0.
    if isinstance(value, bool) or not isinstance(value, accepted) or not value > 0:
        raise ConfigError(name, f"must be {what}, not {value!r}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an int that no float can hold, and no clock
        finite = False
    if not finite:
        raise ConfigError(name, f"must be {what}, and finite")
    number: float = value
    return number

"""
Find options of the command line that have no effect without another option.

Most deserve a warning: the server runs as it would without them. An option without
which the server would refuse what the operator meant to allow is an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from twisted.python.usage import UsageError

__all__ = ["idle_options"]

_RATES: Final = "--max-messages-per-second or --max-bytes-per-second"
_CORS: Final = "--cors"
_SSE: Final = "--transports with sse"
_WEBSOCKET: Final = "--transports with websocket"

_NEEDS: Final = {
    "over-rate": _RATES,
    "per-message-deflate-threshold": "--per-message-deflate",
    "per-message-deflate-takeover": "--per-message-deflate",
    "per-message-deflate": _WEBSOCKET,
    "max-fragments": _WEBSOCKET,
    "http-compression-threshold": "a command line without --no-http-compression",
    "upgrade-timeout": "a command line without --no-upgrades",
    "cors-max-age": _CORS,
    "sse-max-bytes": _SSE,
    "sse-max-age": _SSE,
    "sse-keepalive": _SSE,
    "sse-ring-events": _SSE,
    "sse-ring-bytes": _SSE,
    "sse-ack-timeout": _SSE,
    "token-file": "--metrics or --status",
}
"""The option that each of these options needs in order to have an effect."""


def idle_options(options: Mapping[str, Any], given: Collection[str]) -> list[str]:
    """
    Return a warning for each given option that has no effect.

    Args:
        options: The options, parsed and checked.
        given: The names of the options that were given.

    Raises:
        UsageError: If ``--cors-credentials`` is given without ``--cors``: the pages
            that it is meant for would be refused.

    """
    if "cors-credentials" in given and not options["cors"]:
        raise UsageError(
            "--cors-credentials: needs --cors, to say which origins may send cookies"
        )
    config = options["config"]
    there = {
        _RATES: config.max_messages_per_second or config.max_bytes_per_second,
        _CORS: config.cors,
        _SSE: "sse" in config.transports,
        _WEBSOCKET: "websocket" in config.transports,
        "--per-message-deflate": config.per_message_deflate,
        "a command line without --no-http-compression": config.http_compression,
        "a command line without --no-upgrades": config.allow_upgrades,
        "--metrics or --status": options["metrics"] or options["status"],
    }
    return [
        f"--{name} has no effect: it needs {need}"
        for name, need in _NEEDS.items()
        if name in given and not there[need]
    ]

"""
Options of the command line that are given and do nothing, for want of another.

Most are worth a warning: the server is what it would be without them. Some say that the
operator means something else, and are refused.
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
"""What an option needs in order to do anything."""


def idle_options(options: Mapping[str, Any], given: Collection[str]) -> list[str]:
    """
    Name what was given and does nothing, each with what it needs.

    Args:
        options: Parsed and checked.
        given: The names of those that were given.

    Raises:
        UsageError: If ``--cors-credentials`` is given without ``--cors``: then a page
            that was to be let in is refused.

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
        f"--{name} does nothing: it needs {need}"
        for name, need in _NEEDS.items()
        if name in given and not there[need]
    ]

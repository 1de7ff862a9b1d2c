"""
What a Socket.IO client finds at a server that speaks Engine.IO only.

Socket.IO is a protocol on top of Engine.IO, and its clients come by mistake. At their
default path they get an error that says what this is. At ours they open a session and
send ``40``, Socket.IO's CONNECT: then a line in the log says so. An echo of it would
be Socket.IO's yes, so the echo application closes such a session.

Socket.IO protocol v5, "Connection to a namespace".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ..transports.http_response import JSON, answer

if TYPE_CHECKING:
    from twisted.web.server import Request

    from ..policy.limited_log import LimitedLog

__all__ = ["SocketIOHint", "is_connect", "log_hint"]

_CONNECT: Final = re.compile(r"0(?:/[^,]*(?:,.*)?|\{.*)?", re.DOTALL)
"""The data of the message: CONNECT, perhaps a namespace, perhaps credentials."""


def is_connect(data: str | bytes) -> bool:
    """
    Return whether a message's data is Socket.IO's CONNECT: on the wire, ``40``.

    Args:
        data: The message.

    """
    return isinstance(data, str) and _CONNECT.fullmatch(data) is not None


def log_hint(log: LimitedLog, sign: str) -> None:
    """
    Log that a client of Socket.IO came.

    Args:
        log: Where; one that limits the rate of its lines.
        sign: What shows that it was one; no text of the client's.

    """
    log.warn(
        "a Socket.IO client came ({sign}): this server speaks Engine.IO, so connect to"
        " it with engine.io-client",
        more="Socket.IO clients that came since the last such line: {count}",
        sign=sign,
    )


class SocketIOHint(Resource):
    """Answers whatever is asked for at ``/socket.io/``: there is no Socket.IO here."""

    isLeaf = True

    def __init__(self, path: str, log: LimitedLog) -> None:
        """
        Make a resource.

        Args:
            path: Where the Engine.IO server stands in the same site.
            log: Where it logs that a client came.

        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._log = log
        self._body = json.dumps(
            {
                "message": "This is an Engine.IO server; Socket.IO is not served here."
                " Connect with engine.io-client, or another client of Engine.IO, to"
                " the path given.",
                "path": path.rstrip("/") + "/",
            },
            separators=(",", ":"),
        ).encode()

    def render(self, request: Request) -> int:
        """Answer 404, so that any page can read why; a preflight is let pass."""
        for name in (b"Origin", b"Methods", b"Headers"):
            request.setHeader(b"Access-Control-Allow-" + name, b"*")
        if request.method == b"OPTIONS":
            answer(request, 204, JSON, b"")
        else:
            log_hint(self._log, "it asked for /socket.io/")
            answer(request, 404, JSON, self._body)
        return NOT_DONE_YET

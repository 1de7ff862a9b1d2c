"""
Detection of Socket.IO clients, which a server of Engine.IO alone cannot serve.

Socket.IO is a protocol on top of Engine.IO, and its clients are often pointed at an
Engine.IO server by mistake. At Socket.IO's default path they receive a 404 whose body
explains the mistake. At the path of our server they can open a session, and their first
message is ``40``, Socket.IO's CONNECT: it is logged as a hint. The echo application
closes such a session, because the client would take the echo for an acceptance.

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
"""The data of the message: CONNECT, an optional namespace, optional credentials."""


def is_connect(data: str | bytes) -> bool:
    """
    Return whether a message is Socket.IO's CONNECT, ``40`` on the wire.

    Args:
        data: The data of the message.

    """
    return isinstance(data, str) and _CONNECT.fullmatch(data) is not None


def log_hint(log: LimitedLog, sign: str) -> None:
    """
    Log that a Socket.IO client tried to connect.

    Args:
        log: The log; it must limit the rate of its lines, since clients cause them.
        sign: What identified the client; must not contain text from the client.

    """
    log.warn(
        "a Socket.IO client tried to connect ({sign}): this server speaks Engine.IO"
        " only; connect with engine.io-client",
        kind=sign,
        more="Socket.IO clients since the last such line: {count}",
        sign=sign,
    )


class SocketIOHint(Resource):
    """A resource for ``/socket.io/`` that explains that Socket.IO is not served."""

    isLeaf = True

    def __init__(self, path: str, log: LimitedLog) -> None:
        """
        Create the resource.

        Args:
            path: The path of the Engine.IO server in the same site.
            log: The log for its hints.

        """
        # Twisted does not annotate it.
        super().__init__()  # type: ignore[no-untyped-call]
        self._log = log
        self._body = json.dumps(
            {
                "message": "This is an Engine.IO server; it does not serve Socket.IO."
                " Connect with engine.io-client, or another Engine.IO client, to the"
                " given path.",
                "path": path.rstrip("/") + "/",
            },
            separators=(",", ":"),
        ).encode()

    def render(self, request: Request) -> int:
        """Answer a preflight with 204, and any other request with 404 and a reason."""
        # CORS headers for every origin: the page's developer must be able to read why.
        for name in (b"Origin", b"Methods", b"Headers"):
            request.setHeader(b"Access-Control-Allow-" + name, b"*")
        if request.method == b"OPTIONS":
            answer(request, 204, JSON, b"")
        else:
            log_hint(self._log, "it requested /socket.io/")
            answer(request, 404, JSON, self._body)
        return NOT_DONE_YET

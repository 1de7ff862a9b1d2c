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

from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from .answer import JSON, answer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.server import Request

__all__ = ["Hint", "SocketIOHint", "is_connect"]

_CONNECT: Final = re.compile(r"0(?:/[^,]*(?:,.*)?|\{.*)?", re.DOTALL)
"""The data of the message: CONNECT, perhaps a namespace, perhaps credentials."""
_QUIET: Final = 60.0
"""Seconds after which it is said again: a client that is refused comes back."""


def is_connect(data: str | bytes) -> bool:
    """
    Return whether a message's data is Socket.IO's CONNECT: on the wire, ``40``.

    Args:
        data: The message.

    """
    return isinstance(data, str) and _CONNECT.fullmatch(data) is not None


class Hint:
    """Says that a Socket.IO client came, at most once a minute."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        """
        Make one that has said nothing.

        Args:
            clock: What to measure time with.

        """
        self._clock = clock
        self._since = -_QUIET
        self._count = 0

    def came(self, sign: str) -> None:
        """
        Log it, or count it for the next line.

        Args:
            sign: What shows that it was one; no text of the client's.

        """
        self._count += 1
        now = self._clock.seconds()
        if now - self._since >= _QUIET:
            self.log.warn(
                "a Socket.IO client came ({sign}; {count} since this was said last):"
                " this server speaks Engine.IO, so connect to it with engine.io-client",
                sign=sign,
                count=self._count,
            )
            self._since, self._count = now, 0


class SocketIOHint(Resource):
    """Answers whatever is asked for at ``/socket.io/``: there is no Socket.IO here."""

    isLeaf = True

    def __init__(self, path: str, clock: IReactorTime) -> None:
        """
        Make a resource.

        Args:
            path: Where the Engine.IO server stands in the same site.
            clock: What to measure time with.

        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._hint = Hint(clock)
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
            self._hint.came("it asked for /socket.io/")
            answer(request, 404, JSON, self._body)
        return NOT_DONE_YET

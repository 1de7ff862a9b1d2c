"""
One HTTP answer, written whole: status, the few headers that all answers have, body.

What a request's own circumstances add (CORS, cookies) is set on the request before.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from twisted.web.http import RESPONSES, Request

__all__ = ["BINARY", "HTML", "JSON", "PLAIN", "answer", "finish"]

PLAIN: Final = b"text/plain; charset=UTF-8"
JSON: Final = b"application/json"
BINARY: Final = b"application/octet-stream"
HTML: Final = b"text/html"
"""What the answer to a POST is called: some browsers offer plain text as a file."""

_PHRASES: Final = {
    each.value: each.phrase.encode() for each in HTTPStatus if each not in RESPONSES
}
"""What twisted.web calls "Unknown Status": 429, say."""


def answer(request: Request, status: int, kind: bytes, body: bytes) -> None:
    """
    Answer a request whose client is still there.

    Args:
        request: The request; it is finished afterwards.
        status: The HTTP status.
        kind: The content type; one of the constants above.
        body: The whole body; may be empty.

    """
    whole = getattr(request, "answer_whole", None)
    if status == 200 and whole is not None and whole(kind, body):
        return
    request.setResponseCode(status, _PHRASES.get(status))
    headers = request.responseHeaders
    headers.setRawHeaders(b"Content-Type", [kind])
    headers.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
    headers.setRawHeaders(b"Cache-Control", [b"no-store"])
    request.write(body)
    finish(request)


def finish(request: Request) -> None:
    """
    End a request that is answered; what was sent behind it is read in a later turn.

    twisted.web reads the next request on a connection when it ends one. A GET ends when
    the application sends: whoever had pipelined a request behind it would call the
    application back from within its own ``send``.
    """
    channel: Any = getattr(request, "channel", None)
    reading = getattr(channel, "_busyReceiving", True)
    # What stands behind a body is kept there even if it is nothing.
    if reading or not any(channel._dataBuffer):
        request.finish()
    else:
        channel.callLater(0, _finish_later, request)


def _finish_later(request: Request) -> None:
    if request.channel is not None:  # else the client has left meanwhile
        request.finish()

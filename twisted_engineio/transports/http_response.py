"""
Writing a complete HTTP answer: status, common headers and body.

Headers that depend on the request (CORS, cookies) are set on it before.
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
"""Content type of the answer to a POST: some browsers offer plain text as a
download."""

_PHRASES: Final = {
    each.value: each.phrase.encode() for each in HTTPStatus if each not in RESPONSES
}
"""Reason phrases that twisted.web lacks: it would send "Unknown Status" for 429,
say."""


def answer(request: Request, status: int, kind: bytes, body: bytes) -> None:
    """
    Answer a request whose client is still connected.

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
    Finish a request; a pipelined request after it is handled in a later turn.

    twisted.web handles the next request of a connection when it finishes one. A GET is
    finished when the application sends: a pipelined request would then call the
    application from within its own ``send``.
    """
    channel: Any = getattr(request, "channel", None)
    reading = getattr(channel, "_busyReceiving", True)
    # twisted.web keeps the data after a body there, even if it is empty.
    if reading or not any(channel._dataBuffer):
        request.finish()
    else:
        channel.callLater(0, _finish_later, request)


def _finish_later(request: Request) -> None:
    if request.channel is not None:  # else the client has disconnected meanwhile
        request.finish()

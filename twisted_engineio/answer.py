"""
One HTTP answer, written whole: status, the few headers that all answers have, body.

What a request's own circumstances add (CORS, cookies) is set on the request before.
"""

from __future__ import annotations

from typing import Final

from twisted.web.http import Request

__all__ = ["BINARY", "HTML", "JSON", "PLAIN", "answer"]

PLAIN: Final = b"text/plain; charset=UTF-8"
JSON: Final = b"application/json"
BINARY: Final = b"application/octet-stream"
HTML: Final = b"text/html"
"""What the answer to a POST is called: some browsers offer plain text as a file."""


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
    request.setResponseCode(status)
    headers = request.responseHeaders
    headers.setRawHeaders(b"Content-Type", [kind])
    headers.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
    headers.setRawHeaders(b"Cache-Control", [b"no-store"])
    request.write(body)
    request.finish()

"""One HTTP answer, written whole."""

from __future__ import annotations

import pytest
from twisted.web.test.requesthelper import DummyRequest

from twisted_engineio.answer import HTML, JSON, PLAIN, answer


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [(200, PLAIN, b"2"), (200, HTML, b"ok"), (400, JSON, b"{}"), (413, PLAIN, b"")],
)
def test_an_answer_is_whole(status, kind, body):
    """Status, type, length and body, nothing to be cached, and the end."""
    request = DummyRequest([b""])
    answer(request, status, kind, body)
    assert request.responseCode == status
    assert dict(request.responseHeaders.getAllRawHeaders()) == {
        b"Content-Type": [kind],
        b"Content-Length": [b"%d" % len(body)],
        b"Cache-Control": [b"no-store"],
    }
    assert b"".join(request.written) == body
    assert request.finished == 1


def test_what_was_set_before_stays():
    """CORS headers are the request's own circumstances."""
    request = DummyRequest([b""])
    request.setHeader(b"Access-Control-Allow-Origin", b"*")
    answer(request, 200, PLAIN, b"")
    assert request.responseHeaders.hasHeader(b"Access-Control-Allow-Origin")

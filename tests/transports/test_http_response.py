"""One HTTP answer, written whole."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.web.test.requesthelper import DummyRequest

from twisted_engineio import CloseReason
from twisted_engineio.transports.http_response import HTML, JSON, PLAIN, answer


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


def test_what_is_pipelined_calls_nobody_back(server, browse, listener, clock):
    """Who pipelines a goodbye behind a GET is not heard inside somebody's ``send``."""
    sid = browse(server).get("EIO=4&transport=polling").answer.open()["sid"]
    query = f"EIO=4&transport=polling&sid={sid}"
    browse(server).get(query).post(query, b"1")
    session = server.sessions[sid]
    session.send("hello")
    assert listener.closed == []
    clock.advance(0)
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]


def test_a_client_that_leaves_before_its_request_ends_harms_nobody(
    server, browse, clock
):
    """In the turn between the answer and what is pipelined behind it."""
    sid = browse(server).get("EIO=4&transport=polling").answer.open()["sid"]
    query = f"EIO=4&transport=polling&sid={sid}"
    browser = browse(server).get(query).post(query, b"4never")
    server.sessions[sid].send("hello")
    browser.lose()
    clock.advance(0)
    assert sid in server.sessions


def test_a_post_with_nothing_behind_it_ends_at_once(server, browse, listener, clock):
    """Also if it was held for the application: there is nothing to put off."""
    work = Deferred()
    listener.on_message = lambda *_: work
    sid = browse(server).get("EIO=4&transport=polling").answer.open()["sid"]
    browser = browse(server).post(f"EIO=4&transport=polling&sid={sid}", b"4x")
    timers = len(clock.getDelayedCalls())
    work.callback(None)
    assert browser.answer.body == b"ok"
    assert len(clock.getDelayedCalls()) == timers

"""A connection's deadline: slow headers, slow bodies, and nothing at all."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail

from twisted_engineio import Reject

POLLING = "EIO=4&transport=polling"


@pytest.fixture
def server(make_server):
    """Give a server whose requests have ten seconds, idle connections twenty."""
    return make_server(request_timeout=10.0, keep_alive_timeout=20.0)


def tick(clock, seconds):
    """Let time pass, a second at a time: a server that sleeps judges nobody."""
    for _ in range(seconds):
        clock.advance(1)


def is_cut(browser):
    """Tell whether the server has closed the connection."""
    return browser.wire.disconnecting or browser.wire.disconnected


def test_who_says_nothing_is_cut_off(server, browse, clock):
    """After request_timeout."""
    browser = browse(server)
    clock.advance(9.5)
    assert not is_cut(browser)
    clock.advance(0.5)
    assert is_cut(browser)


def test_who_does_not_go_when_told_is_aborted(server, browse, clock):
    """A client that leaves its end open does not keep ours."""
    browser = browse(server)
    clock.advance(10)
    assert not browser.wire.disconnected
    clock.advance(60)
    assert browser.wire.disconnected


def test_slow_headers_do_not_put_the_deadline_off(server, browse, clock):
    """A byte a second is no progress."""
    browser = browse(server)
    for byte in b"GET / HTTP":
        browser.send(bytes([byte]))
        assert not is_cut(browser)
        clock.advance(1)
    assert is_cut(browser)


def test_slow_header_lines_do_not_put_the_deadline_off(server, browse, clock):
    """Whole lines neither."""
    browser = browse(server).send(b"GET / HTTP/1.1\r\n")
    for _ in range(10):
        browser.send(b"X: y\r\n")
        clock.advance(1)
    assert is_cut(browser)


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
)
def test_a_slow_body_does_not_put_the_deadline_off(server, browse, clock, head):
    """Headers and body together have request_timeout; the session ends with it."""
    sid = browse(server).get(POLLING).answer.open()["sid"]
    line = f"POST /engine.io/?{POLLING}&sid={sid} HTTP/1.1\r\nHost: x\r\n".encode()
    browser = browse(server).send(line + head)
    for _ in range(10):
        browser.send(b"1\r\n4\r\n" if b"chunked" in head else b"4")
        assert not is_cut(browser)
        clock.advance(1)
    assert is_cut(browser)


def test_a_deadline_counts_from_the_first_byte(server, browse, clock):
    """Not from the connection, nor from the last answer."""
    browser = browse(server)
    clock.advance(9)
    browser.send(b"GET ")
    clock.advance(9)
    assert not is_cut(browser)
    browser.send(b"/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    clock.advance(9)
    browser.send(b"GET ")
    clock.advance(9)
    assert not is_cut(browser)
    clock.advance(1)
    assert is_cut(browser)


def test_an_idle_connection_is_cut_off(server, browse, clock):
    """Keep-alive lasts keep_alive_timeout, from the last answer on."""
    browser = browse(server)
    clock.advance(3)
    browser.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    tick(clock, 19)
    assert not is_cut(browser)
    clock.advance(1)
    assert is_cut(browser)


@pytest.mark.parametrize(("idle", "sent"), [(600.0, 8), (3.0, 2), (20.0, 15)])
def test_keep_alive_gives_a_request_no_more_time(
    make_server, browse, clock, idle, sent
):
    """However long it is, or short: a request has ten seconds from its first byte."""
    server = make_server(request_timeout=10.0, keep_alive_timeout=idle)
    browser = browse(server).send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    tick(clock, sent)
    browser.send(b"GET ")
    tick(clock, 9)
    assert not is_cut(browser)
    clock.advance(1)
    assert is_cut(browser)


@pytest.mark.parametrize("idle", [3.0, 30.0])
def test_an_idle_time_of_any_length_is_kept(make_server, browse, clock, idle):
    """Shorter than request_timeout, or longer."""
    server = make_server(request_timeout=10.0, keep_alive_timeout=idle)
    browser = browse(server)
    for _ in range(3):
        browser.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        tick(clock, int(idle) - 1)
        assert not is_cut(browser)
    clock.advance(1)
    assert is_cut(browser)


def test_a_connection_outlasts_a_proxy_that_keeps_it_for_a_minute(
    make_server, browse, clock
):
    """By default: nginx and AWS close theirs after 60 seconds, and must be first."""
    browser = browse(make_server())
    browser.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    tick(clock, 74)
    assert not is_cut(browser)
    clock.advance(1)
    assert is_cut(browser)


def test_an_answer_that_is_the_last_has_close_timeout(server, browse, clock):
    """Who asks to close, and does not read the answer, keeps no connection."""
    browser = browse(server).get(POLLING, Connection="close")
    assert browser.wire.disconnecting  # once the answer has left
    for _ in range(29):
        clock.advance(1)
        browser.send(b"G")  # which puts nothing off; TLS goes on reading
        assert not browser.wire.disconnected
    clock.advance(1)
    assert browser.wire.disconnected


def test_a_held_get_is_no_slow_request(server, browse, clock):
    """It waits for us, however long; then the connection is idle anew."""
    sid = browse(server).get(POLLING).answer.open()["sid"]
    browser = browse(server).get(f"{POLLING}&sid={sid}")
    clock.advance(24)
    assert not is_cut(browser)
    server.sessions[sid].send("at last")
    assert browser.answer.body == b"4at last"
    tick(clock, 19)
    assert not is_cut(browser)
    clock.advance(1)
    assert is_cut(browser)


def test_a_client_is_not_judged_by_time_that_the_server_slept(server, browse, clock):
    """Its request may wait in the socket: it has request_timeout once more."""
    browser = browse(server)
    clock.advance(60)
    assert not is_cut(browser)
    clock.advance(9)
    assert not is_cut(browser)
    clock.advance(1)
    assert is_cut(browser)


def test_a_websocket_has_no_such_deadline(server, browse, clock):
    """The heartbeat is its."""
    browser = browse(server).upgrade("EIO=4&transport=websocket")
    clock.advance(24)
    assert not is_cut(browser)
    assert len(server.sessions) == 1


def test_a_handshake_that_waits_for_its_admission_is_not_slow(
    server, browse, clock, listener
):
    """The application takes its time, not the client."""
    listener.on_admit = lambda _: Deferred()
    browser = browse(server).get(POLLING)
    clock.advance(100)
    assert not is_cut(browser)


def test_an_admission_that_no_request_took_ends_with_its_connection(browse, server):
    """twisted.web may refuse what the door has put to the application already."""
    browser, admitted = browse(server).send(b"GET "), Deferred()
    browser.wire.protocol._channel.set_admission(admitted)
    browser.send(b"\r\n\r\n")
    assert browser.wire.value().startswith(b"HTTP/1.1 400 ")
    browser.lose()
    assert admitted.called
    assert admitted.result is None  # not an error that would be logged


def test_a_refusal_that_no_request_took_is_nobody_s_error(browse, server):
    """The client has gone before it could be told."""
    browser, refused = browse(server).send(b"GET "), fail(Reject(403))
    browser.wire.protocol._channel.set_admission(refused)
    browser.lose()
    assert refused.result is None


def test_a_connection_has_one_timer(server, browse, clock):
    """However many requests it carries."""
    browser = browse(server)
    for _ in range(20):
        browser.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        assert len(clock.getDelayedCalls()) == 1
    browser.lose()
    assert clock.getDelayedCalls() == []

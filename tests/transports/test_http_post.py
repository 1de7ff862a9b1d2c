"""What polling and streams of events share, and what each has its own way to do."""

from __future__ import annotations

import pytest
from fakes import Onlooker

from twisted_engineio import CloseReason
from twisted_engineio.protocol import codec_v4
from twisted_engineio.transports.http_post import PostingTransport
from twisted_engineio.transports.polling import PollingTransport
from twisted_engineio.transports.sse.transport import EventSourceTransport


def test_how_packets_leave_is_a_subclass_s_affair():
    """Nothing can be sent by POSTs alone."""
    transport = PostingTransport(codec_v4, 1)
    assert not transport.writable
    assert transport.buffered == 0
    for method in (transport.cork, transport.uncork):
        with pytest.raises(NotImplementedError):
            method()


@pytest.mark.parametrize("kind", [PollingTransport, EventSourceTransport])
def test_the_other_way_is_the_same(kind):
    """Reading POSTs is written once."""
    for name in ("post", "begin", "discard_post", "pause", "resume"):
        assert getattr(kind, name) is getattr(PostingTransport, name)


# Packets of one POST.


@pytest.mark.parametrize("transport", ["polling", "sse"])
def test_more_packets_than_may_be_are_an_error(
    make_server, browse, listener, transport
):
    """The POST is 400 and the session ends: nothing is dropped in silence."""
    onlooker = Onlooker()
    everything = ("polling", "sse", "websocket")
    server = make_server(max_packets=3, transports=everything, observers=[onlooker])
    browse(server).get(f"EIO=4&transport={transport}")
    (session,) = server.sessions.values()
    query = f"EIO=4&transport={transport}&sid={session.sid}"
    assert browse(server).post(query, b"4a\x1e4b\x1e4c").answer.body == b"ok"
    assert browse(server).post(query, b"4d\x1e4e\x1e4f\x1e4g").answer.status == 400
    assert listener.received == ["a", "b", "c", "d", "e", "f"]
    assert listener.closed == [(session, CloseReason.PARSE_ERROR)]
    told = [each for each in onlooker.events if each[0] == "limit_reached"]
    assert told == [("limit_reached", "max_packets", session)]


# A session that began by polling.

POLLING = "EIO=4&transport=polling"


def test_a_handshake_that_nobody_polls_is_reaped(make_server, browse, clock, listener):
    """In first_poll_timeout seconds; observers are told."""
    onlooker = Onlooker()
    server = make_server(first_poll_timeout=3.0, observers=[onlooker])
    browse(server).get(POLLING)
    (session,) = server.sessions.values()
    clock.advance(2.9)
    assert listener.closed == []
    clock.advance(0.1)
    assert listener.closed == [(session, CloseReason.PING_TIMEOUT)]
    assert ("limit_reached", "first_poll_timeout", session) in onlooker.events


@pytest.mark.parametrize("by", ["get", "post", "upgrade"])
def test_any_request_of_its_client_will_do(make_server, browse, clock, listener, by):
    """A poll, a message, or a WebSocket that it wants to move to."""
    server = make_server(first_poll_timeout=3.0)
    sid = browse(server).get(POLLING).answer.open()["sid"]
    clock.advance(2)
    if by == "get":
        browse(server).get(f"{POLLING}&sid={sid}")
    elif by == "post":
        browse(server).post(f"{POLLING}&sid={sid}", b"4hi")
    else:
        browse(server).upgrade(f"EIO=4&transport=websocket&sid={sid}")
    clock.advance(5)
    assert listener.closed == []
    assert sid in server.sessions


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_others_need_not_come_back(make_server, browse, clock, listener, transport):
    """Their connection is there."""
    server = make_server(transports=("sse", "websocket"), first_poll_timeout=3.0)
    if transport == "sse":
        browse(server).get("EIO=4&transport=sse")
    else:
        browse(server).upgrade("EIO=4&transport=websocket")
    clock.advance(20)
    assert listener.closed == []


def test_a_session_that_its_application_ends_at_once_expects_nobody(
    make_server, browse, clock, listener
):
    """It is over before anybody could come back."""
    listener.on_opened = lambda session: session.close()
    server = make_server(first_poll_timeout=3.0)
    browse(server).get(POLLING)
    clock.advance(0)
    clock.advance(50)
    assert listener.reasons == [CloseReason.FORCED_CLOSE]

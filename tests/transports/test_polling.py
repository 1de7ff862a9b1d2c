"""Long-polling: a GET waits, a POST delivers, through treq and without a socket."""

from __future__ import annotations

import pytest
from fakes import PONG, Browser, Listener
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, succeed
from twisted.web.resource import Resource

from twisted_engineio import (
    CloseReason,
    Config,
    EchoApplication,
    EngineIOResource,
    PacketType,
    State,
)
from twisted_engineio.protocol import codec_v4
from twisted_engineio.transports.polling import PollingTransport

URL = "https://example.com/engine.io/?EIO=4&transport=polling"


class Client:
    """A polling client over treq; every answer is a list that fills when it comes."""

    def __init__(self, server):
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(server))
        self.treq = StubTreq(root)
        self.server = server
        (self.opened,) = self.get()
        (self.session,) = server.sessions.values()
        self.url = f"{URL}&sid={self.session.sid}"

    url = URL

    def request(self, method, **options):
        answers = []

        async def fetch():
            response = await self.treq.request(method, self.url, **options)
            answers.append((response.code, await response.text()))

        Deferred.fromCoroutine(fetch())
        self.treq.flush()
        return answers

    def get(self):
        return self.request("GET")

    def post(self, body, **headers):
        return self.request("POST", data=body, headers=headers)

    def flush(self):
        self.treq.flush()


@pytest.fixture
def client(server):
    """Give a client that has opened a session."""
    return Client(server)


OK = [(200, "ok")]
BAD = [(400, "")]


# A GET waits.


def test_the_first_get_brings_the_open_packet(client):
    """And what the application sent in its greeting has to wait for the next."""
    status, body = client.opened
    assert status == 200
    assert body.startswith('0{"sid":"')


def test_a_greeting_comes_with_the_open_packet(server, listener):
    """One answer takes both."""
    listener.on_opened = lambda session: session.send("hello")
    client = Client(server)
    assert client.opened[1].endswith("}\x1e4hello")


def test_a_get_waits_until_there_is_something(client):
    """Then it is answered at once."""
    waiting = client.get()
    assert waiting == []
    client.session.send("\u20ac")
    client.flush()
    assert waiting == [(200, "4\u20ac")]


def test_what_was_sent_between_polls_comes_with_the_next(client):
    """All of it, in order, in one answer; binary as base64."""
    for data in ("one", b"\x00\x01\x02", ""):
        client.session.send(data)
    assert client.get() == [(200, "4one\x1ebAAEC\x1e4")]


def test_an_answer_has_an_end(make_server):
    """Past max_payload bytes of data the rest waits for the next poll."""
    client = Client(make_server(max_payload=10))
    for data in ("12345", "67890", "x", "y" * 50, "z"):
        client.session.send(data)
    assert client.get() == [(200, "412345\x1e467890")]
    assert client.get() == [(200, "4x\x1e4" + "y" * 50)]
    assert client.get() == [(200, "4z")]


def test_a_ping_comes_by_poll_and_its_pong_by_post(client, clock, listener):
    """The heartbeat of a session on polling."""
    waiting = client.get()
    clock.advance(25)
    client.flush()
    assert waiting == [(200, "2")]
    assert client.post(b"3") == OK
    clock.advance(24)
    assert listener.closed == []


def test_a_second_get_ends_the_session(client, listener):
    """The waiting one is answered with a close packet, the new one with 400."""
    waiting = client.get()
    assert client.get() == BAD
    client.flush()
    assert waiting == [(200, "1")]
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


def test_a_session_that_never_polls_is_reaped(client, clock, listener):
    """Within ping_interval + ping_timeout."""
    clock.advance(25)
    clock.advance(20)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]
    assert client.get() == [(400, '{"code":1,"message":"Session ID unknown"}')]


# A POST delivers.


def test_a_post_delivers_its_packets(client, listener):
    """In order, text and binary, then it is answered."""
    assert client.post(b"4one\x1ebAAEC\x1e4\x1e6\x1e4\xe2\x82\xac") == OK
    assert listener.received == ["one", b"\x00\x01\x02", "", "\u20ac"]


@pytest.mark.parametrize(
    "kind", ["text/plain;charset=UTF-8", "application/json", "x", "a/b; octet-stream"]
)
def test_any_content_type_is_text(client, listener, kind):
    """But the one that says it is not."""
    assert client.post(b"4hello", **{"Content-Type": kind}) == OK
    assert listener.received == ["hello"]


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "Application/Octet-Stream; x=y"]
)
def test_a_binary_payload_ends_the_session(client, listener, kind):
    """Revision 4 has none."""
    assert client.post(b"4hello", **{"Content-Type": kind}) == BAD
    assert listener.received == []
    assert listener.reasons == [CloseReason.PARSE_ERROR]


@pytest.mark.parametrize("bad", [b"", b"9foo", b"b!", b"\xff", b"4\xed\xa0\x80"])
def test_a_bad_packet_ends_the_session(client, listener, bad):
    """The packets before it count, a waiting GET gets a close packet, the POST 400."""
    waiting = client.get()
    assert client.post(b"4one\x1e" + bad + b"\x1e4two") == BAD
    client.flush()
    assert waiting == [(200, "1")]
    assert listener.received == ["one"]
    assert listener.reasons == [CloseReason.PARSE_ERROR]


def test_the_replies_to_a_post_leave_together(make_server):
    """While it is read the waiting GET is not answered, and then once."""
    client = Client(make_server(EchoApplication()))
    waiting = client.get()
    assert client.post(b"4a\x1e4b\x1e4c") == OK
    client.flush()
    assert waiting == [(200, "4a\x1e4b\x1e4c")]


def test_a_close_packet_ends_the_session(client, listener):
    """The POST is answered "ok", the waiting GET with a noop."""
    waiting = client.get()
    assert client.post(b"4last\x1e1\x1e4after") == OK
    client.flush()
    assert waiting == [(200, "6")]
    assert listener.received == ["last"]
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]


MUCH = b"4" + bytes(80_000)
"""More than is read ahead of an application that is busy."""


def test_a_post_waits_for_an_async_application(client, listener):
    """If it has much more to come: it is answered when there is room again."""
    jobs = []

    def work(*_):
        jobs.append(Deferred())
        return jobs[-1]

    listener.on_message = work
    posted = client.post(b"4one\x1e4two\x1e" + MUCH + b"\x1e4three")
    jobs[0].callback(None)
    client.flush()
    assert (posted, listener.received) == ([], ["one", "two"])
    jobs[1].callback(None)
    client.flush()
    assert posted == OK
    assert listener.received[2:] == [MUCH[1:].decode()]


def test_a_post_of_little_does_not_wait(client, listener):
    """Its client may say that it is there, and that it leaves."""
    listener.on_message = lambda *_: Deferred()
    assert client.post(b"4one\x1e4two") == OK
    assert client.post(b"4three") == OK
    assert client.post(MUCH) == []
    assert listener.received == ["one"]


def test_a_second_post_ends_the_session(client, listener):
    """Only one at a time: the first is answered too."""
    listener.on_message = lambda *_: Deferred()
    first = client.post(b"4one\x1e" + MUCH)
    assert client.post(b"4two") == BAD
    client.flush()
    assert first == OK
    assert listener.received == ["one"]
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


def test_a_bad_packet_waits_behind_a_busy_application(client, listener):
    """The packets before it count; the POST is answered at once, and once."""
    job = Deferred()
    listener.on_message = lambda *_: None if job.called else job
    assert client.post(b"4one\x1e4two\x1e9bad") == BAD
    assert listener.closed == []
    job.callback(None)
    assert listener.received == ["one", "two"]
    assert listener.reasons == [CloseReason.PARSE_ERROR]


def test_a_bad_packet_behind_a_quick_async_application(client, listener):
    """An async method that is done at once does not answer the POST too soon."""
    listener.on_message = lambda *_: succeed(None)
    assert client.post(b"4one\x1e9bad") == BAD
    assert listener.reasons == [CloseReason.PARSE_ERROR]


def test_text_that_has_no_utf_8_leaves_the_get_waiting(client):
    """Sending it raises, and the next message is none the worse."""
    waiting = client.get()
    with pytest.raises(UnicodeEncodeError):
        client.session.send("\ud800")
    client.session.send("fine")
    client.flush()
    assert waiting == [(200, "4fine")]


def test_a_session_that_ends_answers_its_post(client, listener):
    """Whatever ended it while the application was busy."""
    listener.on_message = lambda *_: Deferred()
    posted = client.post(b"4one")
    client.session.fail(CloseReason.TRANSPORT_ERROR)
    client.flush()
    assert posted == OK


def test_a_failing_application_answers_the_post(client, listener, logged):
    """The client's packets were fine; its next request is told of the end."""
    listener.on_message = lambda *_: 1 / 0
    waiting = client.get()
    assert client.post(b"4one\x1e4two") == OK
    client.flush()
    assert waiting == [(200, "1")]
    assert listener.received == ["one"]
    logged.take(ZeroDivisionError)


# Volatile messages.


def test_a_volatile_reply_needs_a_get(client, listener):
    """With one it goes in its answer, with the others; without it is dropped."""
    went = []
    listener.on_message = lambda session, data: went.append(
        session.send(data, volatile=True)
    )
    client.post("4one")
    waiting = client.get()
    client.post("4two\x1e4three")
    client.flush()
    assert went == [False, True, True]
    assert waiting == [(200, "4two\x1e4three")]


# The end.


def test_a_closed_session_gives_its_queue_and_a_close_packet(client, clock, listener):
    """With a GET waiting; with none, the next one gets them."""
    client.session.send("last words")
    client.session.close()
    clock.advance(0)
    assert listener.closed == []
    assert client.get() == [(200, "4last words\x1e1")]
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_a_long_queue_is_fetched_to_its_end(make_server, clock, listener):
    """However many polls it takes, while close_timeout lasts."""
    client = Client(make_server(max_payload=10))
    client.session.send_many(["1234567890", "x"])
    client.session.close()
    clock.advance(0)
    assert client.get() == [(200, "41234567890")]
    assert client.session.state is State.CLOSING
    assert client.get() == [(200, "4x\x1e1")]
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_a_goodbye_behind_a_long_answer_waits_for_the_next_poll(
    make_server, clock, listener
):
    """Which says that the answer has arrived: until then its session is not over."""
    client = Client(make_server(low_water_mark=10, high_water_mark=1000))
    client.session.send_many(["1234567890", "x"])
    client.session.close()
    clock.advance(0)
    assert client.get() == [(200, "41234567890\x1e4x")]
    assert listener.closed == []
    assert client.get() == [(200, "1")]
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_an_aborted_session_lets_its_get_go(client, clock):
    """With a close packet."""
    waiting = client.get()
    client.session.abort()
    clock.advance(0)
    client.flush()
    assert waiting == [(200, "1")]


# Clients that leave: over a connection that can be lost.


@pytest.fixture
def poll(browse, server):
    """Open a session, and send each request for it on a connection of its own."""
    sid = browse(server).get("EIO=4&transport=polling").answer.open()["sid"]

    def send(method, body=None, length=None) -> Browser:
        browser, query = browse(server), f"EIO=4&transport=polling&sid={sid}"
        if length is None:
            return browser.request(method, query, body)
        head = f"{method} /engine.io/?{query} HTTP/1.1\r\nHost: example.com\r\n"
        return browser.send(f"{head}Content-Length: {length}\r\n\r\n".encode() + body)

    return send


def test_a_client_that_leaves_its_get_is_gone(poll, listener: Listener):
    """The session ends at once, and what is sent later finds nobody."""
    waiting = poll("GET")
    waiting.lose()
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]
    assert waiting.answers == []


def test_a_client_that_leaves_a_held_post_is_gone(poll, listener, clock):
    """Though the application is still busy: what waits is delivered, for some time."""
    listener.on_message = lambda *_: Deferred()
    held = poll("POST", b"4one\x1e" + MUCH)
    assert held.answers == []
    held.lose()
    assert listener.reasons == []
    clock.advance(30)
    assert listener.received == ["one", MUCH[1:].decode()]
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


def test_a_post_that_is_broken_off_delivers_nothing(poll, listener):
    """The part that arrived is no payload, even if it looks like one."""
    poll("POST", b"4one\x1e4two", length=100).lose()
    assert listener.received == []
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]


def test_a_post_that_begins_while_another_arrives_ends_the_session(poll, listener):
    """A second POST while one is still arriving: the new one gets 400."""
    first = poll("POST", b"4o", length=4)
    second = poll("POST", b"4two")
    assert second.answer.status == 400
    assert listener.received == []
    assert listener.reasons == [CloseReason.TRANSPORT_ERROR]
    first.send(b"ne")
    assert first.answer.status == 400


def test_a_client_that_leaves_an_answered_request_stays(poll, listener):
    """A connection that is closed after its answer means nothing."""
    posted = poll("POST", b"4one")
    assert posted.answer.body == b"ok"
    posted.lose()
    assert listener.closed == []


def test_a_poll_after_a_lost_one_is_told_of_the_end(poll):
    """The session is over: its id is unknown."""
    poll("GET").lose()
    assert poll("GET").answer.json()["code"] == 1


def test_a_transport_without_requests_has_nothing_to_answer():
    """Leaving is no matter of requests alone."""
    for leave in (
        lambda each: each.retire(),
        lambda each: each.abandon(CloseReason.TRANSPORT_CLOSE),
        lambda each: each.discard_post(object()),
        lambda each: each.resume(),
    ):
        transport = PollingTransport(codec_v4, Config())
        leave(transport)
        assert not transport.writable


def test_a_pong_is_a_packet_like_any_other(client, clock):
    """Before the ping it means nothing, after it it counts."""
    client.session.receive_packet(PONG)
    assert PONG.type is PacketType.PONG
    assert len(clock.getDelayedCalls()) == 1

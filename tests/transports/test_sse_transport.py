"""Server-sent events: streams that come and go, and a session that stays."""

from __future__ import annotations

import json

import pytest
from fakes import NOOP, PING, PONG, RecordingTransport, frame
from listening import QUERY, Stream
from twisted.internet.defer import Deferred

from twisted_engineio import (
    CloseReason,
    EchoApplication,
    Encoded,
    EngineIOResource,
    Observer,
    State,
)
from twisted_engineio.config import Config
from twisted_engineio.protocol import codec_v4
from twisted_engineio.transports.sse.transport import EventSourceTransport

ALL = ("polling", "sse", "websocket")
UNKNOWN_SID = {"code": 1, "message": "Session ID unknown"}
BAD_REQUEST = {"code": 3, "message": "Bad request"}


class Client:
    """A client on a stream, that can also post and attach anew."""

    def __init__(self, browse, server, query=QUERY):
        self.browse, self.server = browse, server
        self.stream = Stream(browse(server), query)
        (self.session,) = server.sessions.values()
        self.sid = self.session.sid
        self.query = f"{QUERY}&sid={self.sid}"

    def post(self, body):
        return self.browse(self.server).post(self.query, body).answer

    def attach(self, seen=None, query=None, **headers):
        if seen is not None:
            headers["Last_Event_ID"] = f"{self.sid}.{seen}"
        return Stream(self.browse(self.server), query or self.query, **headers)

    def upgrade(self):
        """Open a WebSocket for the session."""
        query = self.query.replace("sse", "websocket")
        return self.browse(self.server).upgrade(query)


@pytest.fixture
def make_client(browse, make_server):
    """Give a client of a server with these options that has opened a session."""

    def make(application=None, **options):
        server = make_server(application, **{"transports": ALL, **options})
        return Client(browse, server)

    return make


@pytest.fixture
def client(make_client):
    return make_client()


def refusal(stream):
    """Read a refused attach."""
    assert stream.status == 400
    return json.loads(stream.raw)


# A stream opens.


def test_the_headers_keep_a_stream_live(client):
    """No length, no compression, nothing for a proxy to collect or to change."""
    head = client.stream.head
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    for line in (
        "Content-Type: text/event-stream",
        "Cache-Control: no-store, no-transform",
        "X-Accel-Buffering: no",
        "X-Content-Type-Options: nosniff",
        "Transfer-Encoding: chunked",
    ):
        assert line in head.split("\r\n")
    assert "Content-Length" not in head
    assert "Content-Encoding" not in head
    assert client.stream.body.startswith(b"retry: 1000\n:ok\n\n")


def test_the_first_event_is_the_open_packet(client):
    """With the id of the session and the number 1."""
    ((event_id, data),) = client.stream.events
    assert event_id == f"{client.sid}.1"
    opened = json.loads(data[1:])
    assert (data[0], opened["sid"]) == ("0", client.sid)
    assert opened["upgrades"] == ["websocket"]


@pytest.mark.parametrize(
    ("transports", "allowed", "upgrades"),
    [
        (ALL, True, ["sse", "websocket"]),
        (("polling", "websocket"), True, ["websocket"]),
        (("polling", "sse"), True, ["sse"]),
        (ALL, False, []),
    ],
)
def test_polling_offers_it_where_it_is_on(
    make_server, browse, transports, allowed, upgrades
):
    """And where upgrades are allowed."""
    server = make_server(transports=transports, allow_upgrades=allowed)
    opened = browse(server).get("EIO=4&transport=polling").answer.open()
    assert opened["upgrades"] == upgrades


def test_it_is_off_unless_it_is_switched_on(make_server, browse):
    """Code 0, as for any transport that is unknown."""
    answer = browse(make_server()).get(QUERY).answer
    assert answer.json()["code"] == 0


def test_it_is_admitted_like_any_other(make_client, listener):
    """The application sees the handshake, and its greeting follows."""
    listener.on_opened = lambda session: session.send("hello")
    client = make_client()
    assert [each.transport for each in listener.admitted] == ["sse"]
    assert client.stream.packets[1:] == ["hello"]
    assert len(client.stream.events) == 1


def test_an_application_that_fails_at_once(make_server, browse, listener, logged):
    """The handshake is refused, and no stream begins."""
    listener.on_opened = lambda session: 1 / 0
    server = make_server(transports=ALL)
    assert browse(server).get(QUERY).answer.json() == BAD_REQUEST
    logged.take(ZeroDivisionError)


def test_revision_3_has_no_stream(make_server, browse):
    """Its heartbeat acknowledges nothing: neither directly nor by upgrade."""
    server = make_server(transports=ALL, allow_eio3=True)
    answer = browse(server).get("EIO=3&transport=sse").answer
    assert answer.json()["code"] == 5
    browse(server).get("EIO=3&transport=polling")
    (sid,) = server.sessions
    answer = browse(server).get(f"EIO=3&transport=sse&sid={sid}").answer
    assert answer.json() == BAD_REQUEST


def test_cors_is_as_for_polling(make_server, browse):
    """A page that is listed may read the stream, another gets none."""
    server = make_server(transports=ALL, cors=["https://a.example"])
    stream = Stream(browse(server), Origin="https://a.example")
    assert "Access-Control-Allow-Origin: https://a.example" in stream.head
    assert browse(server).get(QUERY, Origin="https://b.example").answer.status == 403


# Messages.

TEXT = "a\r\nb%0A\x00\u2028\u20ac 100%"


def test_messages_go_both_ways(make_client):
    """By POST the one way, by event the other: CR, LF, % and all."""
    client = make_client(EchoApplication())
    body, _ = codec_v4.encode_payload([TEXT, b"\x00\x01\x02", ""], binary=False)
    answer = client.post(body)
    assert (answer.status, answer.body) == (200, b"ok")
    assert client.stream.packets[1:3] == [TEXT, codec_v4.decode_packet("bAAEC")]
    assert client.stream.numbers == [1, 2]
    _, data = client.stream.events[1]
    assert data.startswith("4a%0D%0Ab%250A\x00\u2028")


def test_each_message_is_an_event_at_once(client):
    """Nothing waits for more; a message for many is written like any other."""
    client.session.send("one")
    client.session.send(Encoded("two"))
    assert client.stream.payloads[1:] == ["4one", "4two"]
    client.session.send_many(["three", "four"])
    assert client.stream.payloads[3:] == ["4three\x1e4four"]


def test_a_broadcast_leaves_with_what_is_sent_in_that_turn(client, clock):
    """One event for the turn."""
    client.server.broadcast("one")
    client.session.send("two")
    assert client.stream.numbers == [1]
    clock.advance(0)
    assert client.stream.payloads[1:] == ["4one\x1e4two"]


def test_a_long_queue_is_many_events(make_client):
    """Each of some high_water_mark bytes."""
    client = make_client(high_water_mark=100, low_water_mark=50)
    client.session.send_many(["x" * 60] * 4)
    assert [len(each) for each in client.stream.payloads[1:]] == [123, 123]


def test_text_that_has_no_utf_8_harms_nothing(client):
    """Sending it raises, and the next message is none the worse."""
    with pytest.raises(UnicodeEncodeError):
        client.session.send("\ud800")
    client.session.send("fine")
    assert client.stream.payloads[1:] == ["4fine"]
    assert client.stream.numbers == [1, 2]


def test_a_bad_post_ends_the_session(client, listener):
    """As in polling."""
    assert client.post(b"9bad").status == 400
    assert listener.reasons == [CloseReason.PARSE_ERROR]
    assert client.stream.packets[-1].type.value == "1"
    assert client.stream.ended


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
def test_other_methods_are_refused(client, method):
    """405, and the session is unharmed."""
    answer = client.browse(client.server).request(method, client.query).answers[:1]
    assert [each.status for each in answer] in ([405], [])
    assert client.session.state is State.OPEN


# A stream is lost.


def test_a_lost_stream_detaches_the_session(client, listener, clock):
    """It goes on; what is sent waits for the next stream."""
    client.stream.lose()
    assert listener.closed == []
    client.session.send("one")
    assert client.session.buffered == 3
    stream = client.attach(1)
    assert stream.payloads == ["4one"]
    assert stream.numbers == [2]


def test_what_was_lost_is_sent_again(client):
    """Every event after the one that was seen, in order, before anything new."""
    for text in ("one", "two", "three"):
        client.session.send(text)
    client.stream.lose()
    client.session.send("four")
    stream = client.attach(2)
    assert stream.payloads == ["4two", "4three", "4four"]
    assert stream.numbers == [3, 4, 5]


def test_the_first_url_resumes_too(client):
    """A browser repeats it, without a sid, and says the event's id in a header."""
    client.session.send("one")
    stream = client.attach(1, QUERY)
    assert stream.payloads == ["4one"]
    assert list(client.server.sessions) == [client.sid]


def test_a_query_resumes_too(client):
    """For who opens a new EventSource; the header, which is newer, counts more."""
    client.session.send("one")
    client.session.send("two")
    stream = client.attach(query=f"{QUERY}&lastEventId={client.sid}.1")
    assert stream.numbers == [2, 3]
    stream = client.attach(2, f"{QUERY}&lastEventId={client.sid}.1")
    assert stream.numbers == [3]


def test_an_attach_without_an_event_wants_all(client):
    """While the first is still there."""
    client.session.send("one")
    assert client.attach().numbers == [1, 2]
    client.attach(2)
    assert refusal(client.attach()) == UNKNOWN_SID


@pytest.mark.parametrize(
    "event",
    ["{sid}.2", "{sid}.99999999999999999999", "{sid}.-1", "{sid}", "other.1", ".1"]
    + ["{sid}.\u0661", "__proto__.1", "x" * 3000],
)
def test_an_event_that_never_was_is_refused(client, event):
    """Ids that lie; the stream that is there goes on."""
    event = event.format(sid=client.sid).encode("utf-8").decode("latin-1")
    for query in (QUERY, client.query):
        stream = client.attach(query=query, Last_Event_ID=event)
        assert refusal(stream) == UNKNOWN_SID
    client.session.send("still here")
    assert client.stream.payloads[-1] == "4still here"


def test_an_event_that_is_acknowledged_is_refused(client):
    """It is gone, so something might be missing."""
    for text in ("one", "two"):
        client.session.send(text)
    client.attach(3)
    assert refusal(client.attach(2)) == UNKNOWN_SID


def test_the_newest_stream_is_the_one(client):
    """Takeovers; the one before it ends, and nothing is written to it."""
    stream = client.attach(1)
    client.session.send("one")
    assert client.stream.ended
    assert client.stream.numbers == [1]
    assert stream.payloads == ["4one"]
    client.stream.lose()
    client.session.send("two")
    assert stream.payloads == ["4one", "4two"]


def test_a_detached_session_is_given_up_by_its_heartbeat(client, listener, clock):
    """Not sooner, and not never."""
    client.stream.lose()
    clock.advance(25)
    clock.advance(19.9)
    assert listener.closed == []
    clock.advance(0.1)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]
    assert refusal(client.attach(1)) == UNKNOWN_SID


def test_a_ping_may_wait_for_a_stream(client, listener, clock):
    """It comes with the next one, and its pong is in time."""
    client.stream.lose()
    clock.advance(25)
    stream = client.attach(1)
    assert stream.payloads == ["2"]
    client.post(b"3")
    clock.advance(25)
    assert listener.closed == []


# Acknowledgements.


def test_a_pong_acknowledges_up_to_its_ping(client, clock):
    """What came after the ping is still there."""
    client.session.send("before")
    clock.advance(25)
    client.session.send("after")
    client.post(b"3")
    assert refusal(client.attach(2)) == UNKNOWN_SID
    assert client.attach(3).payloads == ["4after"]


def test_pongs_that_nobody_asked_for_acknowledge_nothing(client, clock):
    """Nor do they cost anything."""
    client.session.send("one")
    client.post(b"\x1e".join([b"3"] * 50_000))
    assert client.attach(1).payloads == ["4one"]
    assert len(clock.getDelayedCalls()) < 8


def test_two_pings_may_share_an_event(client, clock):
    """Then it has two pongs, and the second says nothing of a later ping."""
    client.session.write(PING)
    client.stream.lose()
    for _ in range(2):
        client.session.write(PING)
    client.attach(2)
    client.session.write(PING)
    client.post(b"3\x1e3\x1e3")
    assert client.attach(3).payloads == ["2"]


@pytest.mark.parametrize("left", [True, False])
def test_a_pong_may_answer_a_ping_of_polling(make_server, browse, clock, left):
    """It says nothing of our events; a ping that has not left yet becomes one."""
    server = make_server(transports=ALL)
    client = Client(browse, server, "EIO=4&transport=polling")
    browse(server).post(f"EIO=4&transport=polling&sid={client.sid}", b"4here")
    clock.advance(25)  # the ping waits for a GET
    if left:
        browse(server).get(f"EIO=4&transport=polling&sid={client.sid}")
    upgraded(client)
    client.session.send("one")
    client.post(b"3")
    if left:
        assert client.attach(0).payloads == ["4one"]
    else:
        assert refusal(client.attach(0)) == UNKNOWN_SID
        assert client.attach(1).payloads == ["4one"]


def test_a_pong_that_the_session_has_is_not_waited_for(
    make_server, browse, clock, listener
):
    """The application is busy, and it waits behind a message: it came by polling."""
    job = Deferred()
    listener.on_message = lambda *_: None if job.called else job
    server = make_server(transports=ALL)
    client = Client(browse, server, "EIO=4&transport=polling")
    polling = f"EIO=4&transport=polling&sid={client.sid}"
    clock.advance(25)
    browse(server).get(polling)
    browse(server).post(polling, b"4work\x1e3")
    candidate(client)
    client.post(b"2probe")
    browse(server).post(client.query, b"5")  # answered when the application is done
    client.session.write(PING)
    job.callback(None)
    client.post(b"3")
    assert refusal(client.attach(0)) == UNKNOWN_SID


def test_all_pongs_of_a_client_that_came_from_polling_count(make_server, browse):
    """However large the last event was: nothing is left to wait for."""
    server = make_server(transports=ALL, sse_ring_bytes=1000)
    client = Client(browse, server, "EIO=4&transport=polling")
    stream = upgraded(client)
    client.session.send("x" * 2000)
    client.session.send("held")
    client.post(b"3")
    assert stream.payloads[-1].startswith("4held")


def test_a_ping_comes_early_when_much_was_sent(make_client):
    """At an eighth of the ring, of its events or of its bytes."""
    client = make_client(sse_ring_events=32)
    for n in range(7):
        client.session.send(str(n))
    assert client.stream.payloads[3:5] == ["42\x1e2", "43"]
    assert client.stream.payloads[7] == "46\x1e2"


def test_a_ping_comes_early_when_the_bytes_are_many(make_client):
    """However few events they are."""
    client = make_client(sse_ring_bytes=8000)
    client.session.send("x" * 999)
    client.session.send("y")
    assert client.stream.payloads[1].endswith("x\x1e2")
    assert client.stream.payloads[2] == "4y"


def full(make_client, **options):
    """Make a client whose ring is full."""
    client = make_client(sse_ring_events=4, **options)
    for n in range(3):
        client.session.send(str(n))
    return client


def test_a_full_ring_takes_no_more(make_client, listener, clock):
    """As if the socket were full, until there is an acknowledgement."""
    client = full(make_client, high_water_mark=5, low_water_mark=2)
    assert client.session.send("wait") is True
    assert client.session.send("xy") is False
    drained = client.session.drained()
    assert client.stream.numbers == [1, 2, 3, 4]
    clock.advance(4.9)
    client.post(b"3")
    assert drained.called
    assert client.stream.payloads[4:] == ["4wait\x1e4xy\x1e2"]
    clock.advance(4.9)
    client.post(b"3")
    clock.advance(19)
    assert listener.closed == []


def test_a_client_that_acknowledges_nothing_is_given_up(make_client, listener, clock):
    """Its ring stays full while it listens: sse_ack_timeout, a reason of its own."""
    client = full(make_client)
    clock.advance(4.9)
    assert listener.closed == []
    clock.advance(0.1)
    assert listener.reasons == [CloseReason.REPLAY_OVERFLOW]
    assert client.stream.packets[-1].type.value == "1"
    assert client.stream.ended


def test_a_client_is_not_judged_by_time_that_the_server_slept(
    make_client, listener, clock
):
    """Its acknowledgement may wait in the socket: sse_ack_timeout begins anew."""
    full(make_client)
    clock.advance(10)
    clock.advance(4.9)
    assert listener.closed == []
    clock.advance(0.1)
    assert listener.reasons == [CloseReason.REPLAY_OVERFLOW]


def test_a_detached_client_cannot_acknowledge(make_client, listener, clock):
    """So a full ring is no reason to end it; resuming acknowledges."""
    client = full(make_client)
    client.stream.lose()
    clock.advance(20)
    assert listener.closed == []
    stream = client.attach(4)
    client.session.send("on")
    assert stream.payloads == ["4on\x1e2"]
    clock.advance(4)
    assert listener.closed == []


def test_who_cannot_acknowledge_is_not_given_up(make_client, listener, clock):
    """Its pongs wait behind a POST that the application holds."""
    job = Deferred()
    listener.on_message = lambda *_: job
    client = make_client(sse_ring_events=4)
    client.browse(client.server).post(client.query, b"4go")
    for n in range(3):
        client.session.send(str(n))
    clock.advance(20)
    assert listener.closed == []
    job.callback(None)
    clock.advance(5)
    assert listener.reasons == [CloseReason.REPLAY_OVERFLOW]


def test_who_is_too_fast_has_itself_to_blame(make_client, listener, clock):
    """Its own pongs wait behind what was too much: that is no excuse."""
    client = make_client(
        sse_ring_events=4, max_messages_per_second=1.0, over_rate="pause"
    )
    client.browse(client.server).post(client.query, b"\x1e".join([b"4go"] * 10))
    for n in range(3):
        client.session.send(str(n))
    clock.advance(5)
    assert listener.reasons == [CloseReason.REPLAY_OVERFLOW]


def test_a_client_that_resumes_a_full_ring_has_its_time(make_client, listener, clock):
    """Replay floods; no attach puts it off while the ring stays full."""
    client = full(make_client)
    client.stream.lose()
    stream = client.attach(0)
    assert stream.numbers == [1, 2, 3, 4]
    clock.advance(5)
    assert listener.reasons == [CloseReason.REPLAY_OVERFLOW]


def test_a_pong_for_what_was_not_written_yet(make_client, clock):
    """Ids that lie; it is only the client's own loss."""
    client = full(make_client)
    client.stream.lose()
    stream = Stream(client.browse(client.server), client.query)
    assert stream.numbers == [1, 2, 3, 4]
    client.stream = stream
    stream.browser.wire.fill()
    client.post(b"3\x1e3")
    client.session.send("next")
    stream.browser.wire.empty()
    assert stream.payloads[4:] == ["4next\x1e2"]


# Volatile messages.


def test_a_volatile_reply_goes_with_the_others(make_client, listener):
    """What a POST leads to is held back while it is read, and goes in one event."""
    went = []
    listener.on_message = lambda session, data: went.append(
        session.send(data, volatile=True)
    )
    client = make_client()
    client.post(b"4one\x1e4two")
    assert went == [True, True]
    assert client.stream.payloads[1:] == ["4one\x1e4two"]
    client.server.broadcast("news")
    assert client.session.send("now", volatile=True)


def test_a_volatile_reply_to_a_full_socket_is_dropped(make_client, listener):
    """Held back or not, it could not go now."""
    went = []
    listener.on_message = lambda session, data: went.append(
        session.send(data, volatile=True)
    )
    client = make_client()
    client.stream.browser.wire.fill()
    client.post(b"4one")
    client.stream.browser.wire.empty()
    assert went == [False]
    assert client.stream.payloads[1:] == []


# Many streams.


@pytest.mark.parametrize("body", ["x" * 5000, "\r\n%" * 5000, bytes(5000)])
def test_a_long_broadcast_is_held_once(make_client, clock, body):
    """Whatever the number of streams that have yet to acknowledge it."""
    client = make_client()
    streams = [client.stream, Stream(client.browse(client.server))]
    written = []
    for each in streams:
        spy(each.browser.wire, written)
    client.server.broadcast(body)
    clock.advance(0)
    for each in streams:
        last = each.packets[-1]
        assert getattr(last, "data", last) == body
    one, other = (part for part in written if len(part) > 4096)
    assert one is other


def test_what_stands_behind_a_broadcast_is_not_lost(client, clock):
    """It leaves in the same event, which is no longer everybody's."""
    client.server.broadcast("news")
    client.session.send("for you")
    clock.advance(0)
    client.server.broadcast("news")
    clock.advance(0)
    assert client.stream.payloads[1:] == ["4news\x1e4for you", "4news"]


def spy(wire, written):
    """Keep what is written besides, as it is."""
    write = wire.writeSequence
    wire.writeSequence = lambda parts: (written.extend(parts), write(parts))


# Slow readers.


def test_a_full_socket_is_written_no_more(client):
    """The queue, which is bounded, takes over."""
    producer = client.stream.browser.wire.producer
    producer.pauseProducing()
    producer.pauseProducing()
    client.session.send("one")
    client.session.send("two")
    assert client.stream.numbers == [1]
    producer.resumeProducing()
    producer.resumeProducing()
    assert client.stream.payloads[1:] == ["4one\x1e4two"]


def test_a_slow_reader_ends(make_client, listener, clock):
    """Above max_buffered; what waits in its socket is dropped."""
    client = make_client(max_buffered=10, high_water_mark=10, low_water_mark=1)
    client.stream.browser.wire.fill()
    client.session.send("x" * 11)
    clock.advance(0)
    assert listener.reasons == [CloseReason.SLOW_CLIENT]
    assert client.stream.browser.wire.disconnected


def test_the_last_words_may_fill_the_socket(client, clock, listener):
    """The response ends, and the session, when the socket has taken them."""
    wire = client.stream.browser.wire
    wire.fills_at = b"4last"
    client.session.transport.cork()
    client.session.send("last")
    client.session.close()
    clock.advance(0)
    client.session.transport.uncork()
    assert client.stream.payloads[1:] == ["4last\x1e1"]
    assert not client.stream.ended
    assert listener.closed == []
    assert client.post(b"4heard by nobody").body == b"ok"
    assert listener.closed == []
    wire.empty()
    assert client.stream.ended
    assert not wire.disconnected
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_last_words_that_nobody_reads(client, clock, listener):
    """They have close_timeout, then the connection is cut off and the session over."""
    wire = client.stream.browser.wire
    wire.fills_at = b"data: 1\n"
    client.session.close()
    clock.advance(0)
    clock.advance(29)
    assert listener.closed == []
    clock.advance(1)
    assert wire.disconnected
    assert listener.reasons == [CloseReason.FORCED_CLOSE]
    client.stream.lose()


def test_last_words_that_break_off_are_said_again(client, clock, listener):
    """To a client that comes back within close_timeout, and has not seen them."""
    client.stream.browser.wire.fills_at = b"data: 1\n"
    client.session.send("one")
    client.session.close()
    clock.advance(0)
    client.stream.lose()
    assert listener.closed == []
    assert refusal(client.attach(3)) == UNKNOWN_SID
    stream = client.attach(1)
    assert stream.payloads == ["4one", "1"]
    assert stream.ended
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_last_words_are_said_on_another_stream(client, clock, listener):
    """Whoever attaches last has them; the first stream's end is nobody's."""
    first = client.stream.browser.wire
    first.fills_at = b"data: 1\n"
    client.session.close()
    clock.advance(0)
    stream = client.attach(1)
    assert first.disconnected
    assert stream.payloads == ["1"]
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_a_goodbye_may_fill_the_socket(client, clock, listener):
    """That of a session that is over already: the stream sees to it alone."""
    wire = client.stream.browser.wire
    wire.fills_at = b"data: 1\n"
    client.session.abort()
    clock.advance(0)
    assert client.stream.payloads[1:] == ["1"]
    assert listener.reasons == [CloseReason.FORCED_CLOSE]
    assert not client.stream.ended
    wire.empty()
    assert client.stream.ended
    assert not wire.disconnected


def test_a_goodbye_that_nobody_reads(client, clock):
    """It has close_timeout too."""
    wire = client.stream.browser.wire
    wire.fills_at = b"data: 1\n"
    client.session.abort()
    clock.advance(0)
    clock.advance(30)
    assert wire.disconnected
    client.stream.lose()


def test_a_stream_that_has_carried_enough_may_have_filled_its_socket(make_client):
    """What it carried last arrives, and the client goes on from there."""
    client = make_client(sse_max_bytes=1000)
    wire = client.stream.browser.wire
    wire.fills_at = b"4x"
    client.session.send("x" * 1000)
    client.session.send("next")
    assert client.stream.payloads[1:] == ["4" + "x" * 1000]
    assert not client.stream.ended
    wire.empty()
    assert client.stream.ended
    assert not wire.disconnected
    assert client.attach(2).payloads == ["4next"]


def test_a_stream_that_was_left_full_ends_no_other(make_client):
    """It is emptied when its client is on the next one already."""
    client = make_client(sse_max_bytes=1000)
    client.stream.browser.wire.fills_at = b"4x"
    client.session.send("x" * 1000)
    stream = client.attach(2)
    client.stream.browser.wire.empty()
    assert client.stream.ended
    client.session.send("next")
    assert stream.payloads == ["4next"]


def test_a_stream_that_has_carried_enough_for_nobody(make_client, clock, listener):
    """Its connection is cut off after close_timeout; its session has its own time."""
    client = make_client(sse_max_bytes=1000, ping_interval=1000.0)
    wire = client.stream.browser.wire
    wire.fills_at = b"4x"
    client.session.send("x" * 1000)
    clock.advance(30)
    assert wire.disconnected
    assert listener.closed == []


def test_a_goodbye_may_be_all_that_a_stream_carries(make_client, clock, listener):
    """It ends by itself behind it, and nobody has to come back."""
    client = make_client(sse_max_bytes=1000)
    client.session.transport.cork()
    client.session.send("x" * 1000)
    client.session.close()
    clock.advance(0)
    client.session.transport.uncork()
    assert client.stream.payloads[1:] == ["4" + "x" * 1000 + "\x1e1"]
    assert client.stream.ended
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_a_stream_that_is_replaced_drops_what_its_socket_holds(client):
    """Its client goes on elsewhere, and is sent it there."""
    client.stream.browser.wire.fill()
    client.attach(1)
    assert client.stream.browser.wire.disconnected


def test_a_replay_goes_no_faster_than_the_socket(client):
    """Replay floods; only what the socket takes is written."""
    for n in range(5):
        client.session.send(str(n))
    client.stream.lose()
    browser = client.browse(client.server)
    browser.wire.fills_at = b"data: 41\n"
    stream = Stream(browser, client.query, Last_Event_ID=f"{client.sid}.1")
    assert stream.payloads == ["40", "41"]
    client.session.send("new")
    browser.wire.empty()
    assert stream.payloads == ["40", "41", "42", "43", "44", "4new"]


def http2(client):
    """Have a client's stream look like one of HTTP/2, and give what is reset of it."""
    reset = []
    request = client.session.transport._stream._request
    request.transport = None
    request.channel.abortConnection = lambda: reset.append(request)
    return reset


def test_a_stream_of_http2_is_dropped_alone(client):
    """Its connection is shared: the stream is reset, and nothing of it is kept."""
    client.stream.browser.wire.fill()
    reset = http2(client)
    client.attach(1)
    assert len(reset) == 1


def test_a_stream_of_http2_ends_a_turn_later(client, clock, listener):
    """Twisted is still counting the streams that it has when it says "resume"."""
    reset = http2(client)
    client.stream.browser.wire.fills_at = b"data: 1\n"
    client.session.close()
    clock.advance(0)
    client.stream.browser.wire.empty()
    assert not client.stream.ended
    clock.advance(0)
    assert client.stream.ended
    assert reset == []
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


# Time.


def test_a_quiet_stream_carries_comments(make_client, clock):
    """So that nothing between takes it for dead; not while there are events."""
    client = make_client(ping_interval=1000.0)
    before = client.stream.body
    clock.advance(14)
    client.session.send("one")
    clock.advance(1)
    assert client.stream.body.endswith(b"4one\n\n")
    clock.advance(15)
    assert client.stream.body.endswith(b"\n\n:\n\n")
    assert client.stream.body.startswith(before)


def test_a_full_socket_gets_no_comments(client, clock):
    """They would only wait behind what is there."""
    client.stream.browser.wire.fill()
    clock.advance(15)
    assert not client.stream.body.endswith(b"\n:\n\n")


def test_an_old_stream_ends_and_is_resumed(make_client, clock):
    """After sse_max_age; nothing is lost."""
    client = make_client(sse_max_age=20.0)
    clock.advance(15)
    clock.advance(5)
    assert client.stream.ended
    client.session.send("one")
    assert client.attach(1).payloads == ["4one"]


def test_a_long_stream_ends_and_is_resumed(make_client):
    """After sse_max_bytes; nothing is lost."""
    client = make_client(sse_max_bytes=1000)
    client.session.send_many(["x" * 500, "y" * 500])
    assert client.stream.ended
    client.session.send("z")
    number = client.stream.numbers[-1]
    assert client.attach(number).payloads == ["4z"]


def test_a_comment_may_be_the_last_straw(make_client, clock):
    """A stream that is over is not waited for."""
    client = make_client(sse_max_bytes=10_000)
    client.session.transport._stream._room = 3
    clock.advance(15)
    assert client.stream.ended


# The end.


def test_a_closed_session_says_goodbye(client, clock, listener):
    """The queue, a close packet, the end; a late reconnect gets 400."""
    client.session.send("last words")
    client.session.close()
    clock.advance(0)
    assert client.stream.payloads[1:] == ["4last words", "1"]
    assert client.stream.ended
    assert listener.reasons == [CloseReason.FORCED_CLOSE]
    assert refusal(client.attach(3)) == UNKNOWN_SID


def test_a_goodbye_behind_much_waits_for_the_socket(make_client, clock, listener):
    """Until the socket has taken what stands before it the session is not over."""
    client = make_client(low_water_mark=10)
    client.stream.browser.wire.fill()
    client.session.send_many(["1234567890", "x"])
    client.session.close()
    clock.advance(0)
    client.stream.browser.wire.fills_at = b"4x"
    client.stream.browser.wire.empty()
    assert client.stream.payloads[1:] == ["41234567890\x1e4x"]
    assert listener.closed == []
    client.stream.browser.wire.empty()
    assert client.stream.payloads[2:] == ["1"]
    assert client.stream.ended
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_a_detached_client_can_fetch_the_last_words(client, clock, listener):
    """Within close_timeout."""
    client.stream.lose()
    client.session.send("last words")
    client.session.close()
    clock.advance(29)
    stream = client.attach(1)
    assert stream.payloads == ["4last words\x1e1"]
    assert stream.ended
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_a_client_that_closes(client, listener):
    """Its POST is answered, its stream ends."""
    assert client.post(b"4bye\x1e1").body == b"ok"
    assert listener.received == ["bye"]
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE]
    assert client.stream.ended


def test_a_transport_without_a_stream_leaves_in_peace(clock):
    """Leaving is no matter of streams."""
    for leave in (
        lambda each: each.retire(),
        lambda each: each.abandon(CloseReason.TRANSPORT_CLOSE),
        lambda each: each.cancel_upgrade(),
        lambda each: each.stream_over(object()),
        lambda each: each.send(codec_v4.decode_packet("3probe")),
        lambda each: each.uncork(),
    ):
        transport = EventSourceTransport(codec_v4, Config(), clock, "sid")
        leave(transport)
        assert not transport.writable
    assert clock.getDelayedCalls() == []


# From polling to a stream.


def candidate(client):
    """Attach a stream to a session that is on polling."""
    return client.attach()


def upgraded(client):
    """Upgrade a session that is on polling."""
    stream = candidate(client)
    assert client.post(b"2probe").body == b"ok"
    assert stream.events == [(None, "3probe")]
    assert client.post(b"5").body == b"ok"
    assert client.session.transport.name == "sse"
    return stream


@pytest.fixture
def polling(browse, make_server):
    """Give a client on polling."""
    return Client(browse, make_server(transports=ALL), "EIO=4&transport=polling")


def test_an_upgrade_from_polling(polling):
    """The waiting GET is let go; the queue goes by event from then on."""
    query = polling.query.replace("sse", "polling")
    waiting = polling.browse(polling.server).get(query)
    stream = upgraded(polling)
    assert waiting.answer.body == b"6"
    polling.session.send("one")
    assert stream.payloads == ["3probe", "4one"]
    assert stream.numbers == [1]
    answer = polling.browse(polling.server).get(query).answer
    assert (answer.status, answer.json()) == (400, BAD_REQUEST)


def test_what_waits_goes_over_the_stream(polling):
    """In order, and with what stands behind the upgrade packet."""
    polling.session.send("one")
    stream = candidate(polling)
    polling.post(b"2probe\x1e5\x1e4hello")
    assert stream.payloads == ["3probe", "4one"]
    assert polling.server.application.received == ["hello"]


@pytest.mark.parametrize("bad", [b"5", b"4early", b"1", b"2", b"9bad"])
def test_a_bad_step_ends_the_candidate_only(polling, bad):
    """The session stays on polling, and a later attempt works."""
    stream = candidate(polling)
    polling.post(bad)
    assert stream.ended
    assert polling.session.probe is None
    polling.session.send("one")
    query = polling.query.replace("sse", "polling")
    assert polling.browse(polling.server).get(query).answer.body == b"4one"
    upgraded(polling)


def test_an_upgrade_that_takes_too_long(polling, clock):
    """The candidate ends: behind a proxy that buffers it never gets its answer."""
    stream = candidate(polling)
    clock.advance(10)
    assert stream.ended
    assert polling.post(b"2probe").json() == BAD_REQUEST


def test_a_candidate_that_loses_its_stream(polling):
    """It may attach anew until the upgrade times out; nothing is lost."""
    stream = candidate(polling)
    polling.post(b"2probe")
    stream.lose()
    polling.post(b"5")
    polling.session.send("one")
    assert candidate(polling).payloads == ["4one"]


@pytest.mark.parametrize("pinged", [False, True])
@pytest.mark.parametrize("closes", [False, True])
def test_the_pong_to_an_event_s_ping_acknowledges_it(
    browse, make_server, clock, listener, closes, pinged
):
    """Also on a session that is closed, if no other ping waits for its pong."""
    server = make_server(
        transports=ALL, sse_ring_bytes=5, high_water_mark=5, low_water_mark=1
    )
    polling = Client(browse, server, "EIO=4&transport=polling")
    poll = polling.query.replace("sse", "polling")
    waiting = polling.browse(polling.server).get(poll)
    if pinged:
        clock.advance(25)
        assert waiting.answer.body == b"2"
    stream = candidate(polling)
    polling.post(b"2probe")
    for message in ("long one", "long two"):
        polling.session.send(message)
    if closes:
        polling.session.close()
        clock.advance(0)
    if pinged:
        assert polling.browse(server).post(poll, b"3").answer.body == b"ok"
    polling.post(b"5")
    assert stream.payloads[1:] == ["4long one\x1e2"]
    polling.post(b"3")
    assert stream.payloads[2:] == ["4long two\x1e2"]
    polling.post(b"3")
    assert stream.payloads[3:] == ["1"] * closes
    assert bool(listener.closed) is closes


@pytest.mark.parametrize("closes", [False, True])
def test_the_pong_to_an_earlier_ping_acknowledges_nothing(
    browse, make_server, clock, closes
):
    """Not even if the session is closed, and waits for no pong any more."""
    server = make_server(transports=ALL, sse_ring_events=8, low_water_mark=1)
    polling = Client(browse, server, "EIO=4&transport=polling")
    poll = polling.query.replace("sse", "polling")
    waiting = polling.browse(polling.server).get(poll)
    clock.advance(25)
    assert waiting.answer.body == b"2"
    stream = candidate(polling)
    polling.post(b"2probe")
    polling.session.send("one")
    if closes:
        polling.session.close()
        clock.advance(0)
    stream.browser.wire.fills_at = b"4one"
    polling.post(b"5")
    polling.post(b"3")
    stream.lose()
    assert polling.attach(0).payloads == ["4one\x1e2", *["1"] * closes]


def test_a_probe_may_be_answered_on_no_stream(polling):
    """Then its client never hears it."""
    stream = candidate(polling)
    stream.browser.wire.fill()
    polling.post(b"2probe")
    assert stream.events == []


def test_one_candidate_at_a_time(polling):
    """While a WebSocket tries, a stream is refused, and the other way round."""
    websocket = polling.upgrade()
    assert refusal(candidate(polling)) == BAD_REQUEST
    websocket.lose()
    candidate(polling)
    assert polling.upgrade().frames[0][0] == 8


def test_a_candidate_saw_no_events(polling):
    """So it can resume after none."""
    assert refusal(polling.attach(1)) == UNKNOWN_SID
    assert polling.session.probe is None


def test_a_stream_that_nothing_may_move_to(browse, make_server):
    """A POST without a candidate, and an attach where upgrades are off."""
    server = make_server(transports=ALL, allow_upgrades=False)
    polling = Client(browse, server, "EIO=4&transport=polling")
    assert refusal(candidate(polling)) == BAD_REQUEST
    assert polling.post(b"2probe").json() == BAD_REQUEST


def test_a_post_that_breaks_off_ends_the_candidate_only(polling, listener):
    """It belongs to the candidate, not to polling."""
    candidate(polling)
    browser = polling.browse(polling.server)
    head = f"POST /engine.io/?{polling.query} HTTP/1.1\r\nHost: example.com\r\n"
    browser.send(f"{head}Content-Length: 10\r\n\r\n2pr".encode()).lose()
    assert polling.session.probe is None
    assert listener.closed == []


def test_a_client_that_comes_back_has_its_time_for_the_pong_anew(
    client, clock, listener
):
    """The ping has waited for the stream: its client hears it only now."""
    client.stream.lose()
    clock.advance(25)  # a ping is due
    clock.advance(19.9)
    assert client.attach(1).payloads == ["2"]
    clock.advance(0.2)
    clock.advance(19.6)
    assert listener.closed == []
    assert client.post(b"3").body == b"ok"
    clock.advance(25)
    assert listener.closed == []


def test_a_client_that_comes_back_and_does_not_pong_is_gone(client, clock, listener):
    """It has the timeout once more for each time that it comes back."""
    client.stream.lose()
    clock.advance(25)
    clock.advance(19.9)
    client.attach(1)
    clock.advance(20)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


@pytest.mark.parametrize("seen", [7, 1000])
def test_a_client_that_may_not_attach_has_not_come_back(client, clock, listener, seen):
    """Nor is what it asks for a reason to keep the session."""
    client.stream.lose()
    clock.advance(25)
    clock.advance(19.9)
    assert refusal(client.attach(seen)) == UNKNOWN_SID
    clock.advance(0.1)
    assert listener.reasons == [CloseReason.PING_TIMEOUT]


# From a stream to WebSocket.


def test_an_upgrade_to_websocket(client):
    """A noop is the last event, the queue is held, and flows over the WebSocket."""
    websocket = client.upgrade()
    client.session.send("before")
    websocket.send(frame("2probe"))
    assert websocket.texts == ["3probe"]
    assert client.stream.payloads[1:] == ["4before", "6"]
    client.session.send("held")
    assert client.session.buffered == 4
    websocket.send(frame("5"))
    assert websocket.texts == ["3probe", "4held"]
    assert client.stream.payloads[-1] == "6"
    assert client.stream.ended
    assert refusal(client.attach(3)) == BAD_REQUEST
    assert client.post(b"4late").json() == BAD_REQUEST


def test_an_upgrade_that_fails_lets_the_queue_flow(client, clock):
    """After the timeout, or when the WebSocket is lost."""
    websocket = client.upgrade()
    websocket.send(frame("2probe"))
    client.session.send("held")
    clock.advance(10)
    assert client.stream.payloads[1:] == ["6", "2", "4held"]
    client.post(b"3")
    websocket = client.upgrade()
    websocket.send(frame("2probe"))
    client.session.send("again")
    websocket.lose()
    assert client.stream.payloads[4:] == ["6", "2", "4again"]


def test_a_noop_of_an_earlier_move_lets_nobody_go(client):
    """A client that takes it for the new one's would leave what stands behind it."""
    websocket = client.upgrade()
    websocket.send(frame("2probe"))
    client.stream.lose()  # with the noop, which it has not seen
    websocket.lose()
    client.session.send("behind")
    websocket = client.upgrade()
    websocket.send(frame("2probe"))
    assert websocket.texts == []
    assert client.session.probe is None
    stream = client.attach(1)
    assert stream.payloads == ["6", "2", "4behind"]
    assert client.post(b"3").body == b"ok"
    websocket = client.upgrade()
    websocket.send(frame("2probe"))
    assert stream.payloads == ["6", "2", "4behind", "6"]
    websocket.send(frame("5"))
    assert client.session.transport.name == "websocket"


def test_a_client_that_went_on_behind_a_noop_may_move_again(client):
    """Who resumes behind it has seen it; who resumes at it may take it for the last."""
    websocket = client.upgrade()
    websocket.send(frame("2probe"))
    websocket.lose()
    assert client.stream.payloads[1:] == ["6", "2"]
    client.attach(2)
    assert not client.session.transport.may_move
    client.attach(3)
    assert client.session.transport.may_move


def test_a_client_that_moves_need_not_acknowledge(make_client, clock, listener):
    """It sends nothing until it has moved; if it doesn't, it has its time again."""
    client = make_client(sse_ring_events=2)
    websocket = client.upgrade()
    websocket.send(frame("2probe"))
    assert client.stream.payloads[1:] == ["6"]
    clock.advance(9.9)
    assert listener.closed == []
    clock.advance(0.1)
    clock.advance(4.9)
    assert listener.closed == []
    clock.advance(0.1)
    assert listener.reasons == [CloseReason.REPLAY_OVERFLOW]


def test_a_held_queue_stays_held_across_streams(client):
    """A client that lost the noop gets it again, and nothing behind it."""
    websocket = client.upgrade()
    websocket.send(frame("2probe"))
    client.session.send("held")
    client.stream.lose()
    stream = client.attach(1)
    assert stream.payloads == ["6"]
    websocket.send(frame("5"))
    assert websocket.texts == ["3probe", "4held"]


def test_a_detached_client_is_let_go_when_it_is_back(client):
    """After what was queued for it."""
    websocket = client.upgrade()
    client.stream.lose()
    client.session.send("one")
    websocket.send(frame("2probe"))
    assert client.attach(1).payloads == ["4one", "6"]


def test_a_session_that_ends_while_it_moves(client, clock, listener):
    """Says so on the stream, though its queue is held."""
    websocket = client.upgrade()
    websocket.send(frame("2probe"))
    client.session.abort()
    clock.advance(0)
    assert client.stream.payloads[1:] == ["6", "1"]
    assert client.stream.ended
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


# What the resource makes of it.


def test_a_stream_asked_for_with_an_upgrade_header(make_server, browse):
    """Only a WebSocket upgrades."""
    server = make_server(transports=ALL)
    assert browse(server).upgrade(QUERY).answers[0].status == 400


def test_headers_are_told_to_the_observers(make_server, browse):
    """Of the handshake, and of every attach."""
    seen = []
    observer = Observer()
    observer.headers = lambda headers, request, session: seen.append(session)
    server = make_server(transports=ALL, observers=[observer])
    client = Client(browse, server)
    client.attach(1)
    assert seen == [client.session, client.session]


def test_polling_has_no_other_stream(server):
    """A recording transport answers like the real ones: the fakes keep up."""
    transport = RecordingTransport()
    transport.prepare_upgrade()
    transport.cancel_upgrade()
    assert (transport.written, transport.calls) == ([NOOP], ["take back"])
    assert PONG is not None
    assert EngineIOResource(server).isLeaf


def test_a_goodbye_over_tcp_waits_for_its_socket(make_server, tcp_browse, clock):
    """The session is over once the socket has taken it."""
    server = make_server(transports=("sse",))
    browser = tcp_browse(server).get("EIO=4&transport=sse")
    browser.turn()
    [session] = server.sessions.values()
    session.close()
    clock.advance(0)
    assert server.sessions
    browser.turn()
    assert not server.sessions
    assert b"data: 1\n" in browser.socket.sent
    browser.lose()

"""A broadcast is compressed once, however many polling clients it goes to."""

from __future__ import annotations

import gzip
import json
import sys
import zlib

import pytest

from twisted_engineio import Encoded
from twisted_engineio.policy.compression import compress_once
from twisted_engineio.protocol import codec_v3, codec_v4
from twisted_engineio.protocol.packet import Packet, PacketType

POLLING = "EIO=4&transport=polling"
TEXT = "".join(chr(32 + number * number % 90) for number in range(40_000))
DATA = TEXT.encode()
CLIENTS = 12


class Poller:
    """A polling client, whose GETs each have a connection of their own."""

    def __init__(self, browse, server, query=POLLING, accepts="gzip, deflate"):
        self._browse = browse
        self._server = server
        self._accepts = accepts
        self._codec = codec_v3 if "EIO=3" in query else codec_v4
        browse(server).get(query)
        *_, sid = server.sessions
        self.session = server.sessions[sid]
        self._query = f"{query}&sid={sid}"
        self.waiting = None

    def poll(self):
        """Send a GET."""
        self.waiting = self._browse(self._server).get(
            self._query, Accept_Encoding=self._accepts
        )

    @property
    def heard(self):
        """What the last GET was answered: packets, messages as they are."""
        answer = self.waiting.answer
        unpack = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}
        body = unpack[answer.headers.get("content-encoding")](answer.body)
        kind = answer.headers["content-type"]
        if "javascript" in kind:
            body = json.loads(body[body.index(b'"') : -2]).encode()
        found = self._codec.decode_payload(body, binary="octet-stream" in kind)
        messages = (PacketType.MESSAGE,)
        return [
            each.data if isinstance(each, Packet) and each.type in messages else each
            for each in found
        ]


@pytest.fixture
def pollers(make_server, browse):
    """Make pollers on one server; each with a query, or what it accepts, of its own."""

    def make(queries=(POLLING,) * CLIENTS, accepts="gzip, deflate", **options):
        server = make_server(**options)
        kinds = [accepts] * len(queries) if isinstance(accepts, str) else accepts
        made = [
            Poller(browse, server, query, kind)
            for query, kind in zip(queries, kinds, strict=True)
        ]
        for each in made:
            each.poll()
        return server, made

    return make


@pytest.fixture
def compressions():
    """Count how often something is compressed while a function runs."""

    def count(function, *args):
        found = 0

        def profile(frame, event, called):
            nonlocal found
            found += event == "c_call" and called is zlib.compress

        sys.setprofile(profile)
        try:
            function(*args)
        finally:
            sys.setprofile(None)
        return found

    return count


@pytest.mark.parametrize("data", [TEXT, DATA], ids=["text", "binary"])
def test_a_broadcast_is_compressed_once(pollers, clock, compressions, data):
    """And every client gets it."""
    server, made = pollers()

    def send():
        server.broadcast(data)
        clock.advance(0)

    assert compressions(send) == 1
    assert all(each.heard == [data] for each in made)


def test_once_for_each_coding(pollers, clock, compressions):
    """And not at all for clients that take none."""
    accepts = ["gzip", "deflate", "gzip, br", "br", "deflate;q=0.5", ""] * 3
    server, made = pollers([POLLING] * len(accepts), accepts)

    def send():
        server.broadcast(TEXT)
        clock.advance(0)

    assert compressions(send) == 2
    assert all(each.heard == [TEXT] for each in made)


def test_once_for_a_message_of_the_application_s_own_making(pollers, compressions):
    """Who sends one ``Encoded`` to some sessions does what a broadcast does."""
    _, made = pollers()
    message = Encoded(TEXT)

    def send():
        for each in made:
            each.session.send(message)

    assert compressions(send) == 1
    assert all(each.heard == [TEXT] for each in made)


def test_once_for_clients_that_poll_later(pollers, clock, compressions):
    """As long as it waits for one of them."""
    server, made = pollers()
    server.broadcast("first")
    clock.advance(0)
    server.broadcast(TEXT)
    clock.advance(0)

    def poll():
        for each in made:
            each.poll()

    assert compressions(poll) == 1
    assert all(each.heard == [TEXT] for each in made)


def test_broadcasts_that_leave_together_are_compressed_together(
    pollers, clock, compressions
):
    """Once for each number of them that a client has not had yet."""
    server, made = pollers()
    late = made[: CLIENTS // 2]
    for each in late:
        each.session.send("own")  # whose GETs are answered then

    def send():
        server.broadcast(TEXT)
        server.broadcast("small")
        server.broadcast(TEXT[::-1])
        clock.advance(0)

    assert compressions(send) == 1
    everything = [TEXT, "small", TEXT[::-1]]
    assert all(each.heard == everything for each in made if each not in late)

    def poll():
        for each in late:
            each.poll()

    assert compressions(poll) == 0
    assert all(each.heard == everything for each in late)


@pytest.mark.parametrize("before", [True, False])
def test_a_client_s_own_messages_leave_apart(pollers, clock, compressions, before):
    """Else each answer would be another; nothing is lost or reordered."""
    server, made = pollers()

    def send():
        if not before:
            server.broadcast(TEXT)
        for number, each in enumerate(made):
            # Not at once, as a broadcast does not leave at once either.
            each.session.transport.cork()
            each.session.send(f"own {number}")
        if before:
            server.broadcast(TEXT)
        clock.advance(0)
        for each in made:
            each.session.transport.uncork()

    heard = [[] for _ in made]

    def all_of_it():
        send()
        for _ in range(2):
            for each, so_far in zip(made, heard, strict=True):
                so_far += each.heard
                each.poll()

    assert compressions(all_of_it) == 1
    for number, so_far in enumerate(heard):
        own = [f"own {number}"]
        assert so_far == ([*own, TEXT] if before else [TEXT, *own])


def test_a_message_that_is_not_to_be_compressed_is_one_s_own(pollers, compressions):
    """Beside a broadcast it would make each answer another."""
    _, made = pollers()
    message = Encoded(TEXT)

    def send():
        for each in made:
            each.session.transport.cork()
            each.session.send(each.session.sid, compress=False)
            each.session.send(message)
            each.session.transport.uncork()
            each.poll()

    assert compressions(send) == 1
    assert all(each.heard == [TEXT] for each in made)


def test_small_ones_do_not(pollers, clock):
    """To compress them takes less time than to poll again."""
    server, (one, *_) = pollers()
    server.broadcast("x" * 2000)
    one.session.send("own")
    clock.advance(0)
    assert one.heard == ["x" * 2000, "own"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"http_compression": False}, Encoded(TEXT)),
        ({}, Encoded(TEXT, compress=False)),
    ],
)
def test_nor_do_those_that_are_not_compressed(pollers, options, message):
    """There is nothing to share."""
    _, (one, *_) = pollers(**options)
    one.session.transport.cork()
    one.session.send("own")
    one.session.send(message)
    one.session.transport.uncork()
    assert one.heard == ["own", TEXT]


@pytest.mark.parametrize("data", [TEXT, DATA], ids=["text", "binary"])
def test_once_for_each_form(pollers, clock, compressions, data):
    """Each revision and JSONP write it otherwise; revision 3 writes binary in two."""
    queries = [
        POLLING,
        f"{POLLING}&j=0",
        "EIO=3&transport=polling",
        "EIO=3&transport=polling&b64=1",
        "EIO=3&transport=polling&j=0",
    ] * 3
    server, made = pollers(queries, jsonp=True, allow_eio3=True)

    def send():
        server.broadcast(data)
        clock.advance(0)

    assert compressions(send) == (5 if data is DATA else 4)
    assert all(each.heard == [data] for each in made)


def test_clients_cannot_fill_the_memory_with_forms(pollers, compressions):
    """Nor make others pay for theirs: what is used last is kept."""
    queries = [query for n in range(CLIENTS) for query in (f"{POLLING}&j={n}", POLLING)]
    _, made = pollers(queries, jsonp=True)
    message = Encoded(TEXT)

    def send():
        for each in made:
            each.session.send(message)

    assert compressions(send) == CLIENTS + 1
    assert len(message.compressed) == 8
    assert all(each.heard == [TEXT] for each in made)


def test_an_answer_with_an_id_is_nobody_else_s(make_server, browse, listener):
    """What opens a session is not kept for others."""
    message = Encoded(TEXT)
    listener.on_opened = lambda session: session.send(message)
    server = make_server()
    answer = browse(server).get(POLLING, Accept_Encoding="gzip").answer
    assert answer.headers["content-encoding"] == "gzip"
    assert message.compressed == []


def test_the_last_broadcast_is_compressed_twice_at_most(pollers, clock, compressions):
    """Before a server stops: with the close packet behind it, and without."""
    server, made = pollers(low_water_mark=65_536)

    def stop():
        server.broadcast(TEXT)
        server.stop()
        clock.advance(0)

    assert compressions(stop) <= 2
    assert all(each.heard[0] == TEXT for each in made)


def test_a_body_is_told_from_another_by_all_of_it():
    """And one coding from the other."""
    known = []
    bodies = [b"a" * 2000, b"a" * 1999 + b"b", b"a" * 2001]
    for _ in range(2):
        for body in bodies:
            assert gzip.decompress(compress_once(body, "gzip", known)) == body
            assert zlib.decompress(compress_once(body, "deflate", known)) == body
    assert len(known) == 6
    first = compress_once(bodies[0], "gzip", known)
    assert compress_once(bytes(bodies[0]), "gzip", known) is first

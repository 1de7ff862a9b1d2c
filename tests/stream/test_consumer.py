"""A session as a consumer and as a producer, with Twisted's own at the other end."""

from __future__ import annotations

from io import BytesIO

import pytest
from fakes import Onlooker
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.protocols.basic import FileSender
from zope.interface.verify import verifyObject

from twisted_engineio import CloseReason, Flow

HIGH = 65_536


class Producer:
    """Writes down what it is asked, and writes what a test gives it."""

    def __init__(self):
        self.calls = []
        self.on_resume = lambda: None

    def pauseProducing(self):
        self.calls.append("pause")

    def resumeProducing(self):
        self.calls.append("resume")
        self.on_resume()

    def stopProducing(self):
        self.calls.append("stop")


@pytest.fixture
def flow(session):
    """Give a session's flow; its transport is not writable."""
    session.transport.writable = False
    return IConsumer(session)


@pytest.fixture
def producer():
    """Give a producer."""
    return Producer()


@pytest.mark.parametrize("interface", [IConsumer, IPushProducer])
@pytest.mark.parametrize("observers", [[], [Onlooker()]])
def test_a_session_can_be_adapted(make_server, open_session, interface, observers):
    """Of whichever class it is; a flow is both at once."""
    session = open_session(make_server(observers=observers))
    flow = interface(session)
    assert isinstance(flow, Flow)
    assert flow.session is session
    assert verifyObject(IConsumer, flow)
    assert verifyObject(IPushProducer, flow)
    assert interface(flow) is flow


# As a consumer, of what pushes.


def test_what_is_written_is_sent(flow):
    """Each piece is a message, with or without a producer."""
    flow.write("text")
    flow.write(b"bytes")
    flow.session.transport.ready()
    assert flow.session.transport.written == ["text", b"bytes"]


def test_a_producer_is_paused_when_the_session_is_full(flow, producer, clock):
    """And resumed once it is drained, in a later turn."""
    flow.registerProducer(producer, True)
    flow.write(b"x" * HIGH)
    assert producer.calls == []
    flow.write(b"y")
    flow.write(b"z")
    assert producer.calls == ["pause"]
    flow.session.transport.ready()
    assert producer.calls == ["pause"]
    clock.advance(0)
    assert producer.calls == ["pause", "resume"]


def test_a_producer_may_fill_the_session_again_at_once(flow, producer, clock):
    """Then it is paused again."""
    flow.registerProducer(producer, True)
    flow.write(b"x" * (HIGH + 1))

    def fill():
        flow.session.transport.writable = False
        flow.write(b"y" * (HIGH + 1))

    producer.on_resume = fill
    flow.session.transport.ready()
    clock.advance(0)
    assert producer.calls == ["pause", "resume", "pause"]


def test_a_producer_is_paused_at_once_if_the_session_is_full_already(
    flow, producer, clock
):
    """Somebody else has filled it."""
    flow.session.send(b"x" * (HIGH + 1))
    flow.registerProducer(producer, True)
    assert producer.calls == ["pause"]
    flow.session.transport.ready()
    clock.advance(0)
    assert producer.calls == ["pause", "resume"]


def test_a_producer_that_has_left_is_asked_no_more(flow, producer, clock):
    """Whether the session is full, drained, or about to ask."""
    for turns in range(2):
        flow.registerProducer(producer, True)
        flow.session.transport.writable = False
        flow.write(b"x" * (HIGH + 1))
        if turns:
            flow.session.transport.ready()
        flow.unregisterProducer()
        flow.session.transport.ready()
        clock.advance(0)
    assert producer.calls == ["pause", "pause"]
    flow.unregisterProducer()


@pytest.mark.parametrize("leaves", [False, True])
def test_a_producer_that_comes_back_is_asked_once(flow, producer, clock, leaves):
    """Though it has waited for the same drain twice; or never, if it leaves again."""
    flow.write(b"x" * (HIGH + 1))
    flow.registerProducer(producer, True)
    flow.unregisterProducer()
    flow.registerProducer(producer, True)
    flow.session.transport.ready()
    if leaves:
        flow.unregisterProducer()
    clock.advance(0)
    assert producer.calls == ["pause", "pause"] + ["resume"] * (not leaves)


def test_only_one_producer_at_a_time(flow, producer):
    """As every consumer of Twisted's says."""
    flow.registerProducer(producer, True)
    with pytest.raises(RuntimeError, match="was never unregistered"):
        flow.registerProducer(Producer(), True)
    flow.unregisterProducer()
    flow.registerProducer(Producer(), True)


# As a consumer, of what is pulled.


def test_a_pull_producer_is_asked_for_one_piece_at_a_time(flow, producer, clock):
    """Each in a turn of its own, while the session takes more."""
    flow.registerProducer(producer, False)
    assert producer.calls == []
    clock.advance(0)
    assert producer.calls == ["resume"]
    clock.advance(1)
    assert producer.calls == ["resume"]  # it has given nothing yet
    flow.write("piece")
    clock.advance(0)
    assert producer.calls == ["resume", "resume"]


def test_a_pull_producer_is_asked_when_the_session_is_drained(flow, producer, clock):
    """Above the low water mark it waits."""
    pieces = [b"x" * 10_000, b"y" * 10_000, b"z"]
    producer.on_resume = lambda: flow.write(pieces.pop(0)) if pieces else None
    flow.registerProducer(producer, False)
    for _ in range(4):
        clock.advance(0)
    assert len(pieces) == 1
    flow.session.transport.ready()
    clock.advance(0)
    assert pieces == []


def test_a_file_is_sent_at_its_reader_s_pace(flow, clock):
    """Twisted's FileSender works, and never fills the queue."""
    content = bytes(range(256)) * 1000
    done = []
    sent = FileSender().beginFileTransfer(BytesIO(content), flow)
    sent.addCallback(done.append)
    transport = flow.session.transport
    while not done:
        clock.advance(0)
        assert flow.session.buffered <= 2 * 16_384
        transport.ready(room=1)
    transport.ready()
    assert b"".join(transport.written) == content
    assert len(transport.written) == 16


# The end.


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("size", [1, HIGH + 1])
def test_a_producer_is_stopped_when_the_session_ends(
    flow, producer, clock, streaming, size
):
    """Once, whatever it was waiting for; what it still writes is dropped."""
    flow.registerProducer(producer, streaming)
    flow.write(b"x" * size)
    flow.session.fail(CloseReason.TRANSPORT_ERROR)
    assert producer.calls[-1] == "stop"
    flow.write("too late")
    clock.advance(1)
    assert producer.calls.count("stop") == 1
    assert "resume" not in producer.calls
    assert clock.getDelayedCalls() == []


def test_what_is_written_to_a_session_that_closes_is_dropped(flow, producer, clock):
    """Its goodbye is its last word; the producer is stopped when it is over."""
    flow.registerProducer(producer, True)
    flow.session.close()
    flow.write("too late")
    clock.advance(0)
    flow.session.transport.ready()
    assert "too late" not in flow.session.transport.written
    assert producer.calls == ["stop"]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_producer_that_comes_too_late_is_stopped(flow, producer, streaming):
    """As Twisted's transports do."""
    flow.session.fail(CloseReason.TRANSPORT_ERROR)
    flow.registerProducer(producer, streaming)
    assert producer.calls == ["stop"]
    flow.registerProducer(Producer(), streaming)


def test_the_end_of_a_session_without_a_producer_stops_nobody(flow):
    """There is nobody."""
    flow.session.fail(CloseReason.TRANSPORT_ERROR)
    assert flow.session.reason is CloseReason.TRANSPORT_ERROR


# As a producer.


def test_a_session_is_held_back_by_who_takes_its_messages(session, listener, clock):
    """Its reading waits, and goes on."""
    producer = IPushProducer(session)
    producer.pauseProducing()
    session.receive("one")
    assert listener.received == []
    producer.resumeProducing()
    clock.advance(0)
    assert listener.received == ["one"]


def test_a_session_whose_messages_nobody_takes_is_closed(session, clock, listener):
    """In good order: what is queued leaves first."""
    session.transport.writable = False
    session.send("last words")
    IPushProducer(session).stopProducing()
    clock.advance(0)
    session.transport.ready()
    assert session.transport.written[0] == "last words"
    assert listener.reasons == [CloseReason.FORCED_CLOSE]


def test_two_sessions_pass_on_what_they_are_sent(server, open_session, listener, clock):
    """Neither faster than the other reads; when one ends, the other does."""
    one, other = open_session(server), open_session(server)
    flows = {one: IConsumer(one), other: IConsumer(other)}
    flows[one].registerProducer(flows[other], True)
    flows[other].registerProducer(flows[one], True)
    across = {one: flows[other], other: flows[one]}
    listener.on_message = lambda session, data: across[session].write(data)

    other.transport.writable = False
    one.receive(b"x" * (HIGH + 1))
    assert one.transport.calls == ["pause"]
    one.receive("y")
    other.receive("the other way is free")
    assert one.transport.written == ["the other way is free"]
    assert other.buffered == HIGH + 1
    other.transport.ready()
    clock.advance(0)
    clock.advance(0)
    assert one.transport.calls == ["pause", "resume"]
    assert other.transport.written == [b"x" * (HIGH + 1), "y"]

    one.fail(CloseReason.TRANSPORT_CLOSE)
    clock.advance(0)
    assert listener.reasons == [CloseReason.TRANSPORT_CLOSE, CloseReason.FORCED_CLOSE]

"""
The upgrade, in any interleaving: nothing is lost, doubled or reordered.

The client keeps to the protocol, but hypothesis chooses what comes next: polls, posts,
WebSockets, probes, upgrades, messages from both sides, time that passes, an application
that is busy, sockets that are full, candidates and connections that are lost.
"""

from __future__ import annotations

from fakes import BINARY, CLOSE_FRAME, TEXT, Browser, Listener, frame
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from twisted_engineio import (
    CloseReason,
    Config,
    EngineIOResource,
    EngineIOSite,
    PacketType,
    Server,
)
from twisted_engineio.protocol import codec_v4

COUNTS = st.integers(1, 4)


class Upgrades(RuleBasedStateMachine):
    """A server, a client, and everything that both have sent and received."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.listener = Listener()
        # Pings come often, and are answered whenever the client gets to it.
        config = Config(
            ping_interval=7.0,
            ping_timeout=3600.0,
            first_poll_timeout=10_000.0,
            max_upgrade_attempts=1000,
        )
        self.server = Server(self.listener, config, clock=self.clock)
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(self.server))
        self.site = EngineIOSite(root, self.server)
        self.number = 0
        self.connections = []
        self.get = self.post = self.websocket = None

    # The client.

    def connect(self):
        """Open a session on polling."""
        self.get = self.post = self.websocket = None
        opened = self.browse().get("EIO=4&transport=polling").answer.open()
        self.query = f"EIO=4&transport=polling&sid={opened['sid']}"
        self.session = self.server.sessions[opened["sid"]]
        self.listener.received.clear()
        self.listener.closed.clear()
        self.listener.on_message = lambda *_: None
        self.jobs = []
        self.sent, self.received = [], []  # server to client
        self.posted = []  # client to server
        self.seen = 0  # of the WebSocket's frames
        self.probed = self.upgraded = self.full = self.corked = False

    def browse(self):
        """Open a connection; those that are done with are closed."""
        for each in self.connections:
            if each not in (self.get, self.post, self.websocket):
                each.lose()
        self.connections = [each for each in self.connections if each.wire.connected]
        self.connections.append(Browser(self.site))
        return self.connections[-1]

    def messages(self, count):
        """Make messages that are all different, text and binary in turn."""
        numbers = range(self.number, self.number + count)
        self.number += count
        return [str(each) if each % 2 else b"%d" % each for each in numbers]

    def collect(self):
        """Read whatever has come: answers first, for they were asked for first."""
        if self.post is not None and self.post.answers:
            assert self.post.answer.body == b"ok"
            self.post.lose()
            self.post = None
        if self.get is not None and self.get.answers:
            answer, self.get = self.get.answer, None
            assert answer.status == 200
            for packet in codec_v4.decode_payload(answer.body, binary=False):
                self.take(packet)
        while self.websocket is not None and len(self.websocket.frames) > self.seen:
            opcode, payload = self.websocket.frames[self.seen]
            self.seen += 1
            if opcode == CLOSE_FRAME:
                self.drop_websocket()
            elif opcode == BINARY:
                self.take(payload)
            else:
                assert opcode == TEXT
                self.take(codec_v4.decode_packet(payload.decode()))

    def take(self, packet):
        """Act on a packet as a client does."""
        if isinstance(packet, (str, bytes)):
            self.received.append(packet)
        elif packet.type is PacketType.MESSAGE:
            self.received.append(packet.data)
        elif packet.type is PacketType.PING:
            self.pong()
        else:
            assert packet.type in (PacketType.NOOP, PacketType.PONG)

    def pong(self):
        """Answer a ping where that is possible now; else the server waits."""
        if self.upgraded:
            self.websocket.send(frame("3"))
        elif self.post is None:
            self.start_post(b"3")

    def start_post(self, body):
        self.post = self.browse().post(self.query, body)

    def drop_websocket(self):
        assert not self.upgraded
        self.websocket.lose()
        self.websocket, self.seen = None, 0
        self.probed = self.full = False

    # Steps.

    @initialize()
    def begin(self):
        self.connect()

    @precondition(lambda self: not self.upgraded and self.get is None)
    @rule()
    def poll(self):
        self.get = self.browse().get(self.query)
        self.collect()

    @precondition(lambda self: not self.upgraded and self.post is None)
    @rule(count=COUNTS)
    def send_by_post(self, count):
        messages = self.messages(count)
        self.posted += messages
        self.start_post(codec_v4.encode_payload(messages, binary=False)[0])
        self.collect()

    @rule(count=COUNTS, together=st.booleans())
    def send_from_the_server(self, count, together):
        messages = self.messages(count)
        self.sent += messages
        if together:
            self.session.send_many(messages)
        else:
            for each in messages:
                self.session.send(each)
        self.collect()

    @rule(turn=st.booleans())
    def broadcast(self, turn):
        (message,) = self.messages(1)
        self.sent.append(message)
        self.server.broadcast(message)
        self.corked = not turn
        if turn:
            self.clock.advance(0)
        self.collect()

    @precondition(lambda self: self.websocket is None)
    @rule(probe=st.booleans(), at_once=st.booleans())
    def open_websocket(self, probe, at_once):
        query = self.query.replace("polling", "websocket")
        self.websocket = self.browse().upgrade(query)
        assert self.websocket.answer.status == 101
        self.collect()  # a ping may have fallen due in the moment that it took
        if probe and at_once:
            self.probe_and_upgrade_at_once()
        elif probe:
            self.send_probe()

    @precondition(lambda self: self.websocket is not None and not self.probed)
    @rule()
    def send_probe(self):
        self.websocket.send(frame("2probe"))
        assert self.websocket.texts == ["3probe"]
        self.probed = True
        self.collect()

    @precondition(lambda self: self.websocket is not None and not self.probed)
    @rule()
    def probe_and_upgrade_at_once(self):
        self.websocket.send(frame("2probe") + frame("5"))
        self.probed = self.upgraded = True
        self.collect()

    @precondition(lambda self: self.probed and not self.upgraded)
    @rule(count=st.integers(0, 3))
    def upgrade(self, count):
        """The client has chosen; messages may stand right behind."""
        messages = self.messages(count)
        self.posted += messages
        behind = b"".join(
            frame("4" + each if isinstance(each, str) else each) for each in messages
        )
        self.websocket.send(frame("5") + behind)
        self.upgraded = True
        self.collect()
        assert self.get is None, "the waiting GET was let go"

    @precondition(lambda self: self.upgraded)
    @rule(count=COUNTS)
    def send_by_websocket(self, count):
        messages = self.messages(count)
        self.posted += messages
        for each in messages:
            self.websocket.send(frame("4" + each if isinstance(each, str) else each))
        self.collect()

    @precondition(lambda self: self.websocket is not None and not self.upgraded)
    @rule()
    def lose_the_candidate(self):
        self.drop_websocket()

    @precondition(lambda self: self.websocket is not None and not self.upgraded)
    @rule(bad=st.sampled_from(["4early", "1", "6", "2", "3", "9bad", ""]))
    def spoil_the_candidate(self, bad):
        """Anything that is no step of an upgrade ends the candidate only."""
        self.websocket.send(frame(bad))
        self.collect()
        assert self.websocket is None

    @rule()
    def open_a_second_websocket(self):
        """During an upgrade or after it: closed, and the session lives on."""
        if self.websocket is not None:
            other = self.browse().upgrade(self.query.replace("polling", "websocket"))
            assert other.frames[0][0] == CLOSE_FRAME
            other.lose()

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 10.0]))
    def let_time_pass(self, seconds):
        """Pings fall due, upgrades time out."""
        self.clock.advance(seconds)
        self.corked = False
        self.collect()

    @precondition(lambda self: not self.jobs)
    @rule()
    def keep_the_application_busy(self):
        def work(*_):
            self.jobs.append(Deferred())
            return self.jobs[-1]

        self.listener.on_message = work

    @rule()
    def let_the_application_go_on(self):
        self.listener.on_message = lambda *_: None
        while self.jobs:
            self.jobs.pop(0).callback(None)
        self.collect()

    @precondition(lambda self: self.websocket is not None)
    @rule(full=st.booleans())
    def fill_the_socket(self, full):
        producer = self.websocket.wire.producer
        (producer.pauseProducing if full else producer.resumeProducing)()
        self.full = full
        self.collect()

    @precondition(lambda self: self.get is not None or self.upgraded)
    @rule()
    def lose_the_connection(self):
        """The session ends; what came until then was right, and a new one begins."""
        (self.websocket if self.upgraded else self.get).lose()
        # What came before the end is delivered before it to a busy application.
        self.let_the_application_go_on()
        assert self.listener.received == self.posted
        assert len(self.listener.closed) == 1
        self.leave()
        self.connect()

    # What must be true.

    @invariant()
    def nothing_is_lost_doubled_or_reordered(self):
        if hasattr(self, "sent"):
            assert self.received == self.sent[: len(self.received)]
            assert self.listener.received == self.posted[: len(self.listener.received)]

    @invariant()
    def nothing_waits_that_can_go(self):
        """A waiting GET, or a socket that is not full, leaves nothing in the queue."""
        ready = self.get is not None or (self.upgraded and not self.full)
        if ready and not self.corked:
            assert self.received == self.sent

    @invariant()
    def timers_are_few(self):
        """One for the session, for a probe, for the turn, and for each connection."""
        if self.corked:
            self.let_time_pass(0.0)
        assert len(self.clock.getDelayedCalls()) <= 3 + len(self.connections)

    def leave(self):
        """Close every connection that is still open."""
        for each in (self.get, self.post, self.websocket):
            if each is not None:
                each.lose()

    def teardown(self):
        """Let everything arrive, then end; nothing is left behind."""
        if not hasattr(self, "session"):
            return
        assert self.listener.closed == []
        self.let_the_application_go_on()
        self.clock.advance(0)
        self.collect()
        if self.upgraded:
            self.websocket.wire.producer.resumeProducing()
            self.collect()
        while not self.upgraded and len(self.received) < len(self.sent):
            self.poll()
        assert self.received == self.sent
        assert self.listener.received == self.posted
        self.session.abort()
        self.clock.advance(0)
        self.leave()
        for browser in [*self.connections]:
            browser.lose()
        assert self.listener.reasons == [CloseReason.FORCED_CLOSE]
        assert self.server.sessions == {}
        self.server.flush_log()
        assert self.clock.getDelayedCalls() == []


TestUpgrades = Upgrades.TestCase
TestUpgrades.settings = settings(
    max_examples=250, stateful_step_count=40, deadline=None
)

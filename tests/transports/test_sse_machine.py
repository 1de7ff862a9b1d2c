"""
A stream that is cut, resumed and left, in any order: nothing is lost or doubled.

The client keeps to the protocol, but hypothesis chooses what comes next: streams that
attach and break, at an event or in the middle of one, with events on their way that
come late or never, GETs that overtake each other, upgrades from polling and to
WebSocket, once and again, acknowledgements, sockets that are full, rings that are, time
that passes.
"""

from __future__ import annotations

from fakes import BINARY, CLOSE_FRAME, Browser, Listener, frame
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from listening import QUERY, Stream, read_payload
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

COUNTS = st.integers(1, 6)
AWKWARD = "%\r\n\x00\u2028\x85 "


class Streams(RuleBasedStateMachine):
    """A server, a client, and everything that both have sent and received."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.listener = Listener()
        config = Config(
            transports=("polling", "sse", "websocket"),
            ping_interval=7.0,
            ping_timeout=3600.0,
            first_poll_timeout=10_000.0,
            max_upgrade_attempts=1000,
            sse_ring_events=8,
            sse_ring_bytes=1500,
            sse_max_bytes=3000,
            sse_max_age=60.0,
            high_water_mark=500,
            low_water_mark=100,
        )
        self.server = Server(self.listener, config, clock=self.clock)
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(self.server))
        self.site = EngineIOSite(root, self.server)
        self.connections = []
        self.number = 0

    # The client.

    @initialize(direct=st.booleans(), told=st.booleans())
    def connect(self, direct, told):
        """Open a session, on a stream or on polling."""
        self.told = told  # whether the server ends it, when all is done
        self.listener.received.clear()
        self.listener.closed.clear()
        self.get = self.stream = self.websocket = None
        self.sent, self.received, self.posted = [], [], []
        self.pongs = []  # owed to the server
        self.seen = None  # the id of the last event
        self.read = self.frames = 0
        self.on = "sse" if direct else "polling"
        self.tried = False  # whether it has begun to move to a WebSocket
        self.probed = False  # whether the candidate was told 3probe
        self.let_go = False  # whether the last event was a noop
        self.late = False  # whether what is written to the stream arrives later
        if direct:
            self.stream = Stream(self.browse())
        else:
            self.browse().get("EIO=4&transport=polling")
        (self.sid,) = self.server.sessions
        self.session = self.server.sessions[self.sid]
        self.collect()

    def browse(self):
        """Open a connection."""
        self.connections.append(Browser(self.site))
        return self.connections[-1]

    def query(self, transport):
        return f"EIO=4&transport={transport}&sid={self.sid}"

    def post(self, body, transport=None):
        browser = self.browse().post(self.query(transport or self.on), body)
        assert browser.answer.body == b"ok"
        browser.lose()

    def messages(self, count):
        """Make messages that are all different, text and binary in turn."""
        numbers = range(self.number, self.number + count)
        self.number += count
        return [f"{each}{AWKWARD}" if each % 2 else b"%d" % each for each in numbers]

    def collect(self):
        """Read whatever has come."""
        if self.get is not None and self.get.answers:
            answer, self.get = self.get.answer, None
            for packet in codec_v4.decode_payload(answer.body, binary=False):
                self.take(packet)
        if self.stream is not None and not self.late:
            self.listen()
        while self.websocket is not None and len(self.websocket.frames) > self.frames:
            opcode, payload = self.websocket.frames[self.frames]
            self.frames += 1
            if opcode == CLOSE_FRAME:
                self.drop_websocket()
            elif opcode == BINARY:
                self.take(payload)
            else:
                self.take(codec_v4.decode_packet(payload.decode()))

    def listen(self, most=None):
        """Read what has come, or some of it."""
        events = self.stream.events
        stop = len(events) if most is None else min(self.read + most, len(events))
        for event_id, data in events[self.read : stop]:
            if event_id is not None:
                self.follows(event_id)
            for packet in read_payload(data):
                self.take(packet)
        self.read = stop
        over = self.stream.ended or self.stream.browser.wire.disconnected
        if over and stop == len(events):
            self.lose_stream()
            if self.on == "polling":
                self.forget_candidate()

    def forget_candidate(self):
        self.seen, self.probed = None, False

    def follows(self, event_id):
        """No event is missed, or comes again."""
        sid, _, number = event_id.rpartition(".")
        assert sid == self.sid
        assert int(number) == (self.seen or 0) + 1
        self.seen = int(number)

    def take(self, packet):
        """Act on a packet as a client does."""
        if packet != (PacketType.PONG, "probe"):
            self.let_go = packet == (PacketType.NOOP, "") and self.on == "sse"
        if isinstance(packet, (str, bytes)):
            self.received.append(packet)
        elif packet.type is PacketType.MESSAGE:
            self.received.append(packet.data)
        elif packet.type is PacketType.PING:
            self.pongs.append(b"3")
        elif packet.type is PacketType.PONG:
            self.probed = True
        elif packet.type is PacketType.CLOSE:
            assert self.on == "polling" or self.stream.ended or self.full
        else:
            assert packet.type in (PacketType.NOOP, PacketType.OPEN)

    def lose_stream(self):
        self.stream.lose()
        self.stream, self.read, self.late = None, 0, False

    def drop_websocket(self):
        self.websocket.lose()
        self.websocket, self.frames, self.probed = None, 0, False

    @property
    def full(self):
        """Whether the socket of its stream takes no more."""
        return self.stream is not None and self.stream.browser.wire.full

    @property
    def paused(self):
        """Whether it is moving to a WebSocket, and says nothing until it has."""
        return self.on == "sse" and self.websocket is not None and self.probed

    # Messages.

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

    @rule()
    def broadcast(self):
        (message,) = self.messages(1)
        self.sent.append(message)
        self.server.broadcast(message)
        self.clock.advance(0)
        self.collect()

    @precondition(lambda self: not self.paused)
    @rule(count=COUNTS)
    def send_to_the_server(self, count):
        messages = self.messages(count)
        self.posted += messages
        if self.on == "websocket":
            for each in messages:
                body = "4" + each if isinstance(each, str) else each
                self.websocket.send(frame(body))
        else:
            self.post(codec_v4.encode_payload(messages, binary=False)[0])
        self.collect()

    @precondition(lambda self: self.pongs and not self.paused)
    @rule()
    def acknowledge(self):
        """Answer the oldest ping."""
        pong = self.pongs.pop(0)
        if self.on == "websocket":
            self.websocket.send(frame("3"))
        else:
            self.post(pong)
        self.collect()

    @precondition(lambda self: self.on == "polling" and self.get is None)
    @rule()
    def poll(self):
        self.get = self.browse().get(self.query("polling"))
        self.collect()

    # Streams.

    @precondition(lambda self: self.on == "sse" and not (self.paused and self.let_go))
    @rule(header=st.booleans(), first_url=st.booleans())
    def attach(self, header, first_url):
        """Go on from the last event: also while the last stream seems alive."""
        if self.seen is None:
            first_url = False
        url = QUERY if first_url else self.query("sse")
        headers = {}
        if self.seen is not None and header:
            headers["Last_Event_ID"] = f"{self.sid}.{self.seen}"
        elif self.seen is not None:
            url += f"&lastEventId={self.sid}.{self.seen}"
        old, self.stream = self.stream, Stream(self.browse(), url, **headers)
        self.read, self.late = 0, False
        assert self.stream.status == 200
        if old is not None:
            old.lose()
        self.collect()

    @precondition(lambda self: self.stream is not None and self.on == "sse")
    @rule(unread=st.integers(0, 3), count=COUNTS)
    def cut(self, unread, count):
        """The stream breaks; some events were written and never arrive."""
        messages = self.messages(unread and count)
        self.sent += messages
        for each in messages:
            self.session.send(each)
        self.lose_stream()

    @precondition(lambda self: self.stream is not None and not self.full)
    @rule()
    def fill_the_socket(self):
        self.stream.browser.wire.fill()

    @precondition(lambda self: self.stream is not None)
    @rule()
    def narrow_the_socket(self):
        """From now on every event fills it."""
        self.stream.browser.wire.fills_at = b"data: "

    @precondition(lambda self: self.full)
    @rule()
    def empty_the_socket(self):
        self.stream.browser.wire.empty()
        self.collect()

    @precondition(lambda self: self.stream is not None and self.on == "sse")
    @rule()
    def be_late(self):
        """From now on what is written is on its way, and may never arrive."""
        self.late = True

    @precondition(lambda self: self.late)
    @rule(most=st.integers(1, 3))
    def arrive(self, most):
        """Some of it does, in order."""
        self.listen(most)

    @precondition(lambda self: self.late)
    @rule()
    def be_on_time(self):
        self.late = False
        self.collect()

    @precondition(lambda self: self.on == "sse" and self.seen)
    @rule(before=st.integers(0, 5))
    def an_old_get_comes_late(self, before):
        """A GET that its client has given up is read after newer ones."""
        event = f"{self.sid}.{max(self.seen - before, 0)}"
        old = Stream(self.browse(), QUERY, Last_Event_ID=event)
        assert old.status in (200, 400)
        old.lose()
        self.collect()

    @precondition(lambda self: self.on == "sse" and self.seen)
    @rule(number=st.integers(1, 9))
    def lie(self, number):
        """An event that never was is refused, and changes nothing."""
        event = f"{self.sid}.{self.seen + 1000 + number}"
        assert Stream(self.browse(), QUERY, Last_Event_ID=event).status == 400

    # Upgrades.

    @precondition(lambda self: self.on == "polling" and self.stream is None)
    @rule()
    def try_a_stream(self):
        self.session.probe and self.session.probe.cancel()
        self.stream = Stream(self.browse(), self.query("sse"))
        self.read, self.seen, self.probed = 0, None, False
        assert self.stream.status == 200
        self.collect()

    @precondition(lambda self: self.on == "polling" and self.stream and not self.probed)
    @rule()
    def probe_by_post(self):
        self.post(b"2probe", "sse")
        self.collect()
        assert self.probed or self.full
        if not self.probed:
            self.give_up_the_stream()

    @precondition(lambda self: self.on == "polling" and self.stream)
    @rule()
    def give_up_the_stream(self):
        self.post(b"1", "sse")
        self.lose_stream()
        self.forget_candidate()

    @precondition(
        lambda self: (
            self.on == "polling" and self.stream and self.probed and not self.get
        )
    )
    @rule()
    def move_to_the_stream(self):
        self.post(b"5", "sse")
        event("an upgrade to a stream")
        self.on, self.probed = "sse", False
        self.collect()

    @precondition(lambda self: self.on == "polling" and self.stream is None)
    @rule()
    def upgrade_to_a_stream(self):
        """All steps at once."""
        self.try_a_stream()
        self.probe_by_post()
        self.move_to_the_stream()

    @precondition(lambda self: self.on == "sse" and self.websocket is None)
    @rule(together=st.booleans())
    def try_a_websocket(self, together):
        self.websocket = self.browse().upgrade(self.query("websocket"))
        self.frames, self.probed = 0, False
        self.websocket.send(frame("2probe"))
        self.collect()
        if not self.probed:
            assert self.tried  # and what follows that is not acknowledged
            assert self.websocket is None
            event("an upgrade refused for an earlier one")
            return
        self.tried = True
        if together and self.let_go:
            self.move_to_the_websocket()

    @precondition(lambda self: self.paused and self.let_go)
    @rule()
    def move_to_the_websocket(self):
        """The last event was a noop, so all before it are here."""
        self.websocket.send(frame("5"))
        if self.stream is not None:
            self.lose_stream()
        event("an upgrade to a WebSocket")
        self.on, self.let_go = "websocket", False
        self.collect()

    @precondition(lambda self: self.on == "sse" and self.websocket is not None)
    @rule()
    def lose_the_websocket(self):
        """The probe fails; the queue flows on."""
        self.drop_websocket()
        self.collect()

    # Time.

    @rule(seconds=st.sampled_from([0, 1, 4, 7, 10]), answer=st.booleans())
    def let_time_pass(self, seconds, answer):
        """Pings fall due, comments too; upgrades, streams and patience end."""
        for _ in range(seconds):
            self.clock.advance(1.0)
            if self.listener.closed:
                self.overflow()
                return
            self.collect()
            while answer and self.pongs and not self.paused and self.on == "sse":
                self.acknowledge()
        if self.on == "polling" and self.stream and self.session.probe is None:
            self.lose_stream()
            self.forget_candidate()

    def overflow(self):
        """The session is over: the client listened, and owed an acknowledgement."""
        assert self.listener.reasons == [CloseReason.REPLAY_OVERFLOW]
        assert self.on == "sse"
        assert self.stream.browser.wire.disconnecting or self.stream.ended or self.full
        assert self.received == self.sent[: len(self.received)]
        event("a replay overflow")
        self.lose_stream()
        if self.websocket is not None:
            self.drop_websocket()
        self.connect(direct=True, told=self.told)

    # What must be true at any time.

    @invariant()
    def nothing_is_lost_doubled_or_reordered(self):
        if hasattr(self, "session"):
            assert self.received == self.sent[: len(self.received)]
            assert self.listener.received == self.posted

    @invariant()
    def timers_are_few(self):
        """One or two for each stream, and for each connection one."""
        assert len(self.clock.getDelayedCalls()) <= 6 + len(self.connections)

    def teardown(self):
        """Let everything arrive, then end; nothing is left behind."""
        if not hasattr(self, "session"):
            return
        assert self.listener.closed == []
        if self.on == "sse" and self.websocket is not None:
            self.lose_the_websocket()
        if self.told:
            self.session.close()
            self.clock.advance(0)
            self.collect()
            event(f"closed on {self.on}, full: {self.full}, late: {self.late}")
        for _ in range(1000):
            if self.listener.closed if self.told else self.received == self.sent:
                break
            self.go_on()
        self.late = False
        self.collect()
        assert self.received == self.sent
        assert self.listener.received == self.posted
        self.session.abort()
        self.clock.advance(0)
        assert self.listener.reasons == [CloseReason.FORCED_CLOSE]
        self.leave()

    def go_on(self):
        """Do what a client does who waits for more."""
        if self.on == "polling" and self.get is None:
            self.poll()
        elif self.on == "sse" and self.full:
            self.empty_the_socket()
        elif self.on == "sse" and self.late:
            self.be_on_time()
        elif self.on == "sse" and self.stream is None:
            self.attach(True, False)
        while self.pongs and self.on == "sse" and not self.listener.closed:
            self.acknowledge()

    def leave(self):
        for each in self.connections:
            each.lose()
        assert self.server.sessions == {}
        self.server.flush_log()
        assert self.clock.getDelayedCalls() == []


TestStreams = Streams.TestCase
TestStreams.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)

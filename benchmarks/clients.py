"""
Sessions as seen from the outside: WebSockets that echo, listen, visit, and polls.

Each knows how long an answer must be and counts bytes instead of parsing frames; the
first answer it compares byte by byte. Whatever a client gets that it doesn't expect
ends the run, as does a server that hangs up.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from benchmarks import wire
from benchmarks.loop import Loop, Stuck, Wire

NEVER = 1 << 62


@dataclass
class Tally:
    """What the clients of one workload have seen; latencies in seconds."""

    messages: int = 0
    latencies: array[float] = field(default_factory=lambda: array("d"))


@dataclass(frozen=True)
class Work:
    """
    Frames to send and to expect.

    Args:
        opcode: Of both frames, text or binary.
        sent: The payload a client sends.
        answer: The payload it must get.
        window: How many are on their way at a time.
        batch: How many answers to await before sending as many again.

    """

    opcode: int
    sent: bytes
    answer: bytes
    window: int = 1
    batch: int = 1

    def lumps(self) -> list[bytes]:
        """Return 0, 1, 2 ... ``window`` frames on end, each ready to be sent."""
        frame = wire.client_frame(self.opcode, self.sent)
        return [frame * n for n in range(self.window + 1)]

    def expected(self) -> bytes:
        """Return the frame that a server must send."""
        return wire.server_frame(self.opcode, self.answer)


class WebSocket(Wire):
    """A WebSocket session up to its open packet; then ``opened`` is called."""

    __slots__ = ("begun", "data", "opened")

    def __init__(self, loop: Loop) -> None:
        """Connect and ask for the upgrade."""
        self.begun = perf_counter()
        super().__init__(loop)
        self.data = b""
        self.opened: Callable[[], None] | None = None
        self.write(wire.upgrade_request(loop.port))

    def readable(self) -> None:
        """Read the 101 and the open packet."""
        data = self.receive()
        if not data:
            raise Stuck(f"the server hung up after {self.data!r}")
        self.data += data
        head, separator, rest = self.data.partition(wire.SEPARATOR)
        if not separator:
            return
        if not head.startswith(b"HTTP/1.1 101"):
            raise Stuck(f"refused: {self.data[:300]!r}")
        frame = wire.frame_in(rest)
        if frame is None:
            return
        if frame[0] != wire.TEXT or not frame[1].startswith(wire.OPEN_PACKET):
            raise Stuck(f"not an open packet: {frame!r}")
        self.data = b""
        if self.opened:
            self.opened()


class Echo(WebSocket):
    """Sends, waits for as much to come back, and sends again."""

    __slots__ = (
        *("tally", "lumps", "expected", "length", "window", "batch", "owed"),
        *("open", "partial", "received", "mark", "marked_at", "verified"),
    )

    def __init__(self, loop: Loop, tally: Tally, work: Work, lumps: list[bytes]):
        """Open a session that will do ``work`` once ``begin`` is called."""
        super().__init__(loop)
        self.tally, self.lumps = tally, lumps
        self.expected = work.expected()
        self.length = len(self.expected)
        self.window, self.batch = work.window, work.batch
        self.open = self.verified = False
        self.partial = self.received = self.owed = 0
        self.mark, self.marked_at = NEVER, 0.0
        self.opened = self._opened

    def _opened(self) -> None:
        self.open = True

    def begin(self) -> None:
        """Send as much as may be on its way."""
        self.marked_at = perf_counter()
        self.mark = self.window
        self.write(self.lumps[self.window])

    def readable(self) -> None:
        """Count the answers that are whole, and send as many messages."""
        if not self.open:
            super().readable()
            return
        buffer = self.loop.buffer
        size = self.socket.recv_into(buffer)
        if not size:
            raise Stuck("the server hung up")
        if not self.verified:
            self._verify(bytes(buffer[:size]))
        count, self.partial = divmod(self.partial + size, self.length)
        if count:
            self.answered(count)

    def answered(self, count: int) -> None:
        """So many answers have come."""
        self.tally.messages += count
        self.received += count
        if self.received >= self.mark:
            now = perf_counter()
            self.tally.latencies.append(now - self.marked_at)
            self.mark, self.marked_at = self.received + self.window, now
        self.owed += count
        if self.owed >= self.batch:
            owed, self.owed = self.owed, 0
            self.write(self.lumps[owed])

    def _verify(self, data: bytes) -> None:
        """Compare the first answer, or as much of it as there is, with what it must be.

        Raises:
            Stuck: If it is another.

        """
        self.data += data
        first = self.data[: self.length]
        if not self.expected.startswith(first):
            raise Stuck(f"got {first[:80]!r} instead of {self.expected[:80]!r}")
        if len(first) == self.length:
            self.verified, self.data = True, b""


class Crowd:
    """Broadcasts on their way to a number of listeners; the first of them speaks."""

    def __init__(self, size: int) -> None:
        """Expect every message ``size`` times."""
        self.size = size
        self.missing: dict[int, int] = {}
        self.sent_at: dict[int, float] = {}
        self.sent = 0
        self.speaker: Listener | None = None

    def say(self, count: int) -> None:
        """Let the speaker send so many messages in one write."""
        assert self.speaker is not None
        now = perf_counter()
        for number in range(self.sent, self.sent + count):
            self.missing[number] = self.size
            self.sent_at[number] = now
        self.sent += count
        self.speaker.write(self.speaker.lumps[count])

    def heard(self, start: int, stop: int, tally: Tally) -> None:
        """One listener has got the messages from ``start`` up to ``stop``."""
        complete = 0
        for number in range(start, stop):
            left = self.missing[number] - 1
            self.missing[number] = left
            if not left:
                complete += 1
                del self.missing[number]
                tally.latencies.append(perf_counter() - self.sent_at.pop(number))
        if complete:
            self.say(complete)


class Listener(Echo):
    """One of a crowd."""

    __slots__ = ("crowd",)

    def __init__(
        self, loop: Loop, tally: Tally, work: Work, lumps: list[bytes], crowd: Crowd
    ):
        """Open a session that tells ``crowd`` what it hears."""
        super().__init__(loop, tally, work, lumps)
        self.crowd = crowd

    def answered(self, count: int) -> None:
        """So many broadcasts have come."""
        self.tally.messages += count
        start = self.received
        self.received = start + count
        self.crowd.heard(start, self.received, self.tally)


class Visitor(WebSocket):
    """Opens a session, closes it as a browser does, and sends the next one in."""

    __slots__ = ("goodbye", "leaving", "tally")

    def __init__(self, loop: Loop, tally: Tally, goodbye: bytes):
        """Come in; ``goodbye`` is the close frame to leave with."""
        super().__init__(loop)
        self.tally, self.goodbye, self.leaving = tally, goodbye, False
        self.opened = self._opened

    def _opened(self) -> None:
        self.tally.latencies.append(perf_counter() - self.begun)
        self.leaving = True
        self.write(self.goodbye)

    def readable(self) -> None:
        """Read until the server hangs up."""
        if not self.leaving:
            super().readable()
        elif not self.receive():
            self.close()
            self.tally.messages += 1
            Visitor(self.loop, self.tally, self.goodbye)


class Asker(Wire):
    """A browser's keep-alive connection: one request, one answer, and again."""

    __slots__ = ("answered", "data")

    def __init__(self, loop: Loop, answered: Callable[[bytes], None]):
        """Connect; ``answered`` is called with the body of every answer."""
        super().__init__(loop)
        self.answered = answered
        self.data = b""

    def readable(self) -> None:
        """Read an answer."""
        data = self.receive()
        if not data:
            raise Stuck(f"the server hung up after {self.data!r}")
        self.data += data
        body = wire.answer_in(self.data)
        if body is not None:
            self.data = b""
            self.answered(body)


class Knocker:
    """Asks for one polling session after the other, and leaves each of them alone."""

    def __init__(self, loop: Loop, tally: Tally):
        """Ask for the first."""
        self.tally = tally
        self.request = wire.poll_request(loop.port)
        self.asker = Asker(loop, self._opened)
        self._ask()

    def _ask(self) -> None:
        self.asked = perf_counter()
        self.asker.write(self.request)

    def _opened(self, body: bytes) -> None:
        if not body.startswith(wire.OPEN_PACKET):
            raise Stuck(f"not an open packet: {body!r}")
        self.tally.latencies.append(perf_counter() - self.asked)
        self.tally.messages += 1
        self._ask()


class Poller:
    """A polling session: a GET waits, a POST delivers, the echo comes, and again."""

    def __init__(self, loop: Loop, tally: Tally, packet: bytes):
        """Open a session that will send ``packet`` once ``begin`` is called."""
        self.tally, self.packet = tally, packet
        self.sid = ""
        self.getter = Asker(loop, self._opened)
        self.poster = Asker(loop, self._posted)
        self.getter.write(wire.poll_request(loop.port))

    @property
    def open(self) -> bool:
        """Whether the open packet has come."""
        return bool(self.sid)

    def _opened(self, body: bytes) -> None:
        self.sid = json.loads(body[1:])["sid"]
        port = self.getter.loop.port
        self.get = wire.poll_request(port, self.sid)
        self.post = wire.post_request(port, self.sid, self.packet)
        self.getter.answered = self._got

    def begin(self) -> None:
        """Let a GET wait, then POST."""
        self.missing = 2
        self.begun = perf_counter()
        self.getter.write(self.get)
        self.poster.write(self.post)

    def _posted(self, body: bytes) -> None:
        # The reference answers "ok", python-engineio "OK".
        if body.lower() != b"ok":
            raise Stuck(f"not ok: {body!r}")
        self._one_less()

    def _got(self, body: bytes) -> None:
        if body != self.packet:
            raise Stuck(f"not what was sent: {body!r}")
        self.tally.latencies.append(perf_counter() - self.begun)
        self._one_less()

    def _one_less(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.tally.messages += 1
            self.begin()

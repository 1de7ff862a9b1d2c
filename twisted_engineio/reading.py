"""
The half of a session that reads: to the application, or first to an inbox.

Rules of this file:

1. What comes in is delivered in order. While anything holds the reading it waits in the
   inbox, and the transport is paused; there is an inbox only then.
2. When nothing holds the reading any more, what waits is read first, one by one, for
   each message may hold it again; then the transport is resumed.
3. What the application raises ends this session, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from .conversation import Conversation, State
from .exceptions import CloseReason
from .inbox import Hold, Inbox
from .packet import Packet, PacketType

__all__ = ["Reading"]

_BEATS = (PacketType.PING, PacketType.PONG)
_OPEN = State.OPEN  # a name of the module's own, for the message path


class Reading(Conversation):
    """What a transport feeds, and what pauses it; ``Session`` is the rest of it."""

    __slots__ = ()

    # The application's side.

    def pause_reading(self) -> None:
        """
        Take no more from the client, until ``resume_reading``.

        What has been read already waits. The client notices when the socket is full, or
        when its POST is not answered; it is not given up for silence meanwhile.
        """
        if self.state is State.OPEN:
            self._hold(Hold.PAUSED)

    def resume_reading(self) -> None:
        """Read on in a later turn, unless something else still holds the reading."""
        if self._inbox is not None and self._inbox.holds(Hold.PAUSED):
            # Not at once: rule 4.
            self._hold(Hold.PAUSED, 0.0)

    @property
    def busy(self) -> bool:
        """
        Whether its application holds the reading, so that the client may seem silent.

        A client that is too fast for a limit on the rate has only itself to blame.
        """
        inbox = self._inbox
        return inbox is not None and (
            inbox.holds(Hold.BUSY) or inbox.holds(Hold.PAUSED)
        )

    # The transport's side.

    def receive(self, data: str | bytes) -> None:
        """
        Deliver a message to the application.

        Args:
            data: The message.

        """
        if self._inbox is not None:
            self._inbox.append(data)
        elif self.state is _OPEN:
            if self._fresh:
                self._fresh = False
                # What Socket.IO begins with; "0" costs a call, all else none.
                if data[:1] == "0" and self._is_mistaken(data):
                    return
            # As _call does, without the call: this is the message path.
            try:
                result = self.server.application.message_received(
                    self,  # type: ignore[arg-type]  # whose half this is
                    data,
                )
            except Exception:
                self._application_failed(Failure())
            else:
                if result is not None:
                    self._wait_for(result)
        elif self.state is State.OPENING:
            self._finish(CloseReason.TRANSPORT_ERROR)

    def _is_mistaken(self, data: str | bytes) -> bool:
        return self.server.is_mistaken(self, data)  # type: ignore[arg-type]  # as above

    def receive_packet(self, packet: Packet) -> None:
        """
        Act on a packet as the table above says.

        Args:
            packet: Any packet, a message too.

        """
        if self._inbox is not None:
            self._inbox.append(packet)
        elif packet.type is PacketType.MESSAGE:
            self.receive(packet.data)
        elif packet.type is PacketType.CLOSE:
            self._finish(CloseReason.TRANSPORT_CLOSE)
        elif packet.type in _BEATS:
            self._beat(packet)

    def _beat(self, packet: Packet) -> None:
        if self.state is State.OPENING:
            self._finish(CloseReason.TRANSPORT_ERROR)
        elif self.state is State.OPEN:
            heart = self._heartbeat
            ping = packet.type is PacketType.PING
            if heart.ping(packet) if ping else heart.pong():
                self._beaten()
        elif packet.type is PacketType.PONG:
            self._heartbeat.answered()

    # The application, called.

    def _call(self, method: Callable[..., object], *args: object) -> None:
        try:
            result = method(*args)
        except Exception:
            self._application_failed(Failure())
        else:
            if result is not None:
                self._wait_for(result)

    def _wait_for(self, result: object) -> None:
        """Hold what comes in until an async method of the application is done."""
        if hasattr(result, "__await__") and not isinstance(result, Deferred):
            # What has __await__ is a coroutine here; a type checker can't know.
            result = ensureDeferred(result)  # type: ignore[arg-type]
        if not isinstance(result, Deferred):
            return
        done: list[object] = []
        result.addCallbacks(done.append, self._application_failed)
        result.addCallback(lambda _: done.append(None))
        if done or self.state is State.CLOSED:
            return  # at once: nothing has to wait
        self._hold(Hold.BUSY)
        result.addCallback(lambda _: self._let_go(Hold.BUSY))

    # What holds the reading.

    def _hold(self, why: Hold, seconds: float | None = None) -> None:
        """Hold what comes in from now on, for a time or until told otherwise."""
        inbox = self._inbox
        if inbox is None:
            inbox = self._inbox = Inbox(self.server.clock)
            self.transport.pause()
        if seconds is None:
            inbox.hold(why)
        else:
            inbox.hold_for(why, seconds, partial(self._let_go, why))

    def _let_go(self, why: Hold) -> None:
        inbox = self._inbox
        if inbox is not None and inbox.let_go(why):
            self._inbox = None
            self._read_on(inbox)

    def _read_on(self, held: Inbox) -> None:
        """Read what waited, until something holds the reading again."""
        while held and self.state is not State.CLOSED:
            item = held.popleft()
            if isinstance(item, CloseReason):
                self._finish(item)
            elif isinstance(item, Packet):
                self.receive_packet(item)
            else:
                self.receive(item)
            if self._inbox is not None:
                # Not the other way round: much may wait, and would be moved each time.
                held.go_on_as(self._inbox)
                self._inbox = held
                last = held[-1] if held else None
                if isinstance(last, CloseReason) and held.holds(Hold.RATE):
                    self._finish(last)  # as if it had come now
                return
        if self.state is not State.CLOSED:
            self.transport.resume()

    def _application_failed(self, failure: Failure) -> None:
        self.server.log.failure(
            "the application failed; session {sid}... ends",
            failure=failure,
            sid=self.sid[:6],
        )
        self._finish(CloseReason.APPLICATION_ERROR)

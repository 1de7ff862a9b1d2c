"""
The half of a session that reads: to the application, or first to an inbox.

Rules of this file:

1. What comes in is delivered in order. While anything holds the reading it waits in the
   inbox, and the transport is paused; there is an inbox only then.
2. When nothing holds the reading any more, what waits is read first, one by one, for
   each message may hold it again; then the transport is resumed.
3. A paused transport reads on while there is ``room``, so that the end of its client is
   seen at once. Pings and pongs that come meanwhile never wait, also one too many: or
   a client that has answered would seem to be silent. Messages do.
4. When the client is gone its transport is abandoned, and what came before that is
   still delivered. For ``handler_timeout`` seconds: then a handler that has not
   finished is cancelled, and so is each later one that does not finish at once.
5. An application that takes no message for ``paused_timeout`` seconds, while the
   transport has stopped or the client is gone, ends the session.
6. What the application raises ends this session, and nothing else. A handler that is
   cancelled by rule 4 raises nothing that counts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.python.failure import Failure

from ..exceptions import CloseReason
from ..protocol.packet import Packet, PacketType
from .interfaces import READ_AHEAD
from .receive_queue import ClientPresence, Hold, ReceiveQueue
from .state import SessionBase, State

__all__ = ["BEATS", "Receiving"]

BEATS = (PacketType.PING, PacketType.PONG)
_OPEN = State.OPEN  # a name of the module's own, for the message path


class Receiving(SessionBase):
    """What a transport feeds, and what pauses it; ``Session`` is the rest of it."""

    __slots__ = ()

    # The application's side.

    def pause_reading(self) -> None:
        """
        Take no more from the client, until ``resume_reading``.

        What has been read already waits, and so does what is read on, up to 64 KiB.
        Then the client notices, for the socket is full, or its POST is not answered. It
        is not given up for silence from then on, but ``paused_timeout`` bounds how long
        the application may take no message.
        """
        if self.state is State.OPEN:
            self._hold(Hold.PAUSED)

    def resume_reading(self) -> None:
        """Read on in a later turn, unless something else still holds the reading."""
        if self._inbox is not None and self._inbox.holds(Hold.PAUSED):
            # Not at once: rule 4 of session.py.
            self._hold(Hold.PAUSED, 0.0)

    @property
    def busy(self) -> bool:
        """
        Whether its application keeps what its client says from being read.

        A client that is too fast for a limit on the rate has only itself to blame.
        """
        return self._held_by_application and not self.transport.reads_ahead

    @property
    def _held_by_application(self) -> bool:
        inbox = self._inbox
        return inbox is not None and (
            inbox.holds(Hold.BUSY) or inbox.holds(Hold.PAUSED)
        )

    # The transport's side.

    @property
    def room(self) -> int:
        """How many bytes more may be read while the reading is held."""
        inbox = self._inbox
        assert inbox is not None  # only a transport that is paused asks
        if inbox.holds(Hold.RATE):
            return 0  # what is too fast is left in the socket: it is not to get ahead
        behind = self._reading
        return READ_AHEAD - inbox.size - (0 if behind is None else behind.size)

    def reading_stopped(self) -> None:
        """Wait no longer than ``paused_timeout`` for the application."""
        inbox, timeout = self._inbox, self.server.config.paused_timeout
        if inbox is not None and timeout is not None and self._held_by_application:
            inbox.give_up_after(timeout, self._paused_too_long)

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
                if data[:1] == "0" and self._is_socketio(data):
                    return
            # As _call does, without the call: this is the message path.
            try:
                result = self.server.application.message_received(self, data)
            except Exception:
                self._application_failed(Failure())
            else:
                if result is not None:
                    self._wait_for(result)
        elif self.state is State.OPENING:
            self._finish(CloseReason.TRANSPORT_ERROR)

    def _is_socketio(self, data: str | bytes) -> bool:
        return self.server.is_socketio(self, data)

    def receive_packet(self, packet: Packet) -> None:
        """
        Act on a packet as the table above says.

        Args:
            packet: Any packet, a message too.

        """
        if self._inbox is not None and not self._reads_now(packet):
            self._inbox.append(packet)
            if packet.type is PacketType.CLOSE and not self._inbox.holds(Hold.RATE):
                self._client_gone(CloseReason.TRANSPORT_CLOSE)
        elif packet.type is PacketType.MESSAGE:
            self.receive(packet.data)
        elif packet.type is PacketType.CLOSE:
            self._finish(CloseReason.TRANSPORT_CLOSE)
        elif packet.type in BEATS:
            self._beat(packet)

    def _reads_now(self, packet: Packet) -> bool:
        """Return whether a packet is acted on at once, though messages wait."""
        if packet.type in BEATS:
            return True
        inbox = self._inbox
        assert inbox is not None  # or there is nothing to wait for
        # An end may pass if nothing came before it, unless that was too fast.
        close = packet.type is PacketType.CLOSE
        return close and not inbox and not inbox.holds(Hold.RATE)

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
        if done:
            return  # at once: nothing has to wait
        if self.state is State.CLOSED:
            self.server.limit_handler(result)
            return
        self._hold(Hold.BUSY).handler = result
        mine = ref(result)  # not itself: it would never be freed, if it never fires
        result.addCallback(lambda _: self._handled(mine()))

    def _handled(self, handler: Deferred[object] | None) -> None:
        """Read on, unless the handler was given up before it finished."""
        inbox = self._inbox
        if inbox is not None and inbox.handler is handler:
            self._let_go(Hold.BUSY)

    # What holds the reading.

    def _hold(self, why: Hold, seconds: float | None = None) -> ReceiveQueue:
        """Hold what comes in from now on, for a time or until told otherwise."""
        inbox, held = self._inbox, self._inbox is not None
        if inbox is None:
            inbox = self._inbox = ReceiveQueue(self.server.clock)
        if seconds is None:
            inbox.hold(why)
        else:
            inbox.hold_for(why, seconds, partial(self._let_go, why))
        if not held:
            self.transport.pause()  # now that there is a reason, on which it depends
        return inbox

    def _let_go(self, why: Hold) -> None:
        inbox = self._inbox
        assert inbox is not None  # it holds the reading for this
        if why is Hold.BUSY:
            inbox.handler = None
        if inbox.let_go(why):
            self._inbox = None
            inbox.give_up_never()
            self._read_on(inbox)
        elif why is Hold.RATE:
            self.transport.pause()  # there is room again

    def _read_on(self, held: ReceiveQueue) -> None:
        """Read what waited, until something holds the reading again."""
        self._reading = held
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
                self._inbox, self._reading = held, None
                if not self._goes_on(held):
                    return
                self._inbox, self._reading = None, held
        self._reading = None
        if self.state is not State.CLOSED:
            self.transport.resume()

    def _goes_on(self, held: ReceiveQueue) -> bool:
        """Return whether reading goes on though it has just been held again."""
        if held.client is not ClientPresence.HERE and held.holds(Hold.RATE):
            self._finish(held.end)  # as if it had come now
        elif held.client is ClientPresence.OVERDUE and self._give_up_handler(held):
            return True
        elif held.client is not ClientPresence.HERE:
            self._await_last_messages(held)
        return False

    # A client that is gone.

    def _client_gone(self, reason: CloseReason) -> None:
        """Free its connection: the end waits in the inbox, behind its messages."""
        inbox = self._inbox
        assert inbox is not None  # it has the end
        self._heartbeat.cancel()
        probe, self.probe = self.probe, None
        if probe is not None:
            probe.cancel()
        self.transport.abandon(reason)
        inbox.client = ClientPresence.GONE
        self._await_last_messages(inbox)
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            # Nobody reads what is queued; let handlers that wait for that go on.
            outbox.clear()
            for waiter in outbox.settled(0):
                waiter.callback(None)

    def _await_last_messages(self, inbox: ReceiveQueue) -> None:
        self.reading_stopped()
        if inbox.client is ClientPresence.GONE and inbox.handler is not None:
            inbox.client = ClientPresence.BOUNDED
            self.server.handlers.begin(self._handler_late)

    def _handler_late(self) -> None:
        inbox = self._inbox
        assert inbox is not None  # or the session is over, and this was ended
        if inbox.handler is None:
            inbox.client = (
                ClientPresence.GONE
            )  # it is paused: the next one has its time
            return
        inbox.client = ClientPresence.OVERDUE
        if self._give_up_handler(inbox):
            self._inbox = None
            inbox.give_up_never()
            self._read_on(inbox)

    def _give_up_handler(self, inbox: ReceiveQueue) -> bool:
        """Cancel the running handler, if any; return whether reading may go on."""
        handler, inbox.handler = inbox.handler, None
        if handler is not None:
            handler.cancel()  # before we look: it may end the session, or pause it
        return self.state is not State.CLOSED and inbox.let_go(Hold.BUSY)

    def _application_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) and self.is_over():
            return  # it was cancelled because of that
        self.server.log.failure(
            "the application failed; session {sid}... ends",
            failure=failure,
            sid=self.sid[:6],
        )
        self._finish(CloseReason.APPLICATION_ERROR)

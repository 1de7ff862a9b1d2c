"""
The receiving half of a session: to the application, directly or through a queue.

Rules of this file:

1. Received items are delivered in order. While reading is paused for any reason they
   wait in the receive queue, and the transport is paused; the queue exists only then.
2. When no reason is left, queued items are delivered first, one by one, for each
   message may pause reading again; then the transport is resumed.
3. A paused transport reads on while there is ``room``, so that a disconnect is detected
   at once. Pings and pongs that are received meanwhile never wait, even over a rate
   limit: otherwise a client that has answered would time out. Messages do.
4. When the client has disconnected, its transport is abandoned, and messages received
   before are still delivered, for at most ``handler_timeout`` seconds: then an
   unfinished handler is cancelled, and so is each later one that does not finish at
   once.
5. A session is ended if its application takes no message for ``paused_timeout`` seconds
   while the transport has stopped reading or the client has disconnected.
6. An exception of the application ends this session, and nothing else. The exception of
   a handler that rule 4 cancels is ignored.
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
from .receive_queue import ClientPresence, PauseReason, ReceiveQueue
from .state import SessionBase, State

__all__ = ["HEARTBEATS", "Receiving"]

HEARTBEATS = (PacketType.PING, PacketType.PONG)
_OPEN = State.OPEN  # a module global is looked up faster, on the message path


class Receiving(SessionBase):
    """The methods that a transport calls, and the pausing of reads; see ``Session``."""

    __slots__ = ()

    # The application's side.

    def pause_reading(self) -> None:
        """
        Stop delivering messages until ``resume_reading``.

        Messages that were read already are queued, and so are those that are read
        meanwhile, up to 64 KiB. Then the client is slowed down, for its socket is full,
        or its POST is not answered. From then on it is not timed out for silence, but
        ``paused_timeout`` limits how long the application may take no message.
        """
        if self.state is State.OPEN:
            self._pause(PauseReason.PAUSED)

    def resume_reading(self) -> None:
        """Resume delivery in a later turn, unless paused for another reason."""
        if self._inbox is not None and self._inbox.is_paused_by(PauseReason.PAUSED):
            # Not at once: rule 4 of session.py.
            self._pause(PauseReason.PAUSED, 0.0)

    @property
    def busy(self) -> bool:
        """
        Whether its application keeps the client's packets from being read.

        Not while only a rate limit does: then the client itself is the cause.
        """
        return self._paused_by_application and not self.transport.reads_ahead

    @property
    def _paused_by_application(self) -> bool:
        inbox = self._inbox
        return inbox is not None and (
            inbox.is_paused_by(PauseReason.BUSY)
            or inbox.is_paused_by(PauseReason.PAUSED)
        )

    # The transport's side.

    @property
    def room(self) -> int:
        """Bytes that may still be read while reading is paused."""
        inbox = self._inbox
        assert inbox is not None  # only a paused transport calls this
        if inbox.is_paused_by(PauseReason.RATE):
            return 0  # left in the socket, so that TCP slows the client down
        reading = self._reading
        return READ_AHEAD - inbox.size - (0 if reading is None else reading.size)

    def reading_stopped(self) -> None:
        """Wait no longer than ``paused_timeout`` for the application."""
        inbox, timeout = self._inbox, self.server.config.paused_timeout
        if inbox is not None and timeout is not None and self._paused_by_application:
            inbox.set_deadline(timeout, self._paused_too_long)

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
                # Only a message that may be Socket.IO's costs a call.
                if data[:1] == "0" and self._is_socketio(data):
                    return
            # _call, inlined: this is the message path.
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
        return self.server.check_first_message(self, data)

    def receive_packet(self, packet: Packet) -> None:
        """
        Handle a packet, as the table in ``session.py`` says.

        Args:
            packet: Any packet, including a message.

        """
        if self._inbox is not None and not self._reads_now(packet):
            self._inbox.append(packet)
            if packet.type is PacketType.CLOSE and not self._inbox.is_paused_by(
                PauseReason.RATE
            ):
                self._client_gone(CloseReason.TRANSPORT_CLOSE)
        elif packet.type is PacketType.MESSAGE:
            self.receive(packet.data)
        elif packet.type is PacketType.CLOSE:
            self._finish(CloseReason.TRANSPORT_CLOSE)
        elif packet.type in HEARTBEATS:
            self._handle_heartbeat(packet)

    def _reads_now(self, packet: Packet) -> bool:
        """Return whether a packet is handled at once, before queued messages."""
        if packet.type in HEARTBEATS:
            return True
        inbox = self._inbox
        assert inbox is not None  # else nothing is queued
        # A close packet need not wait if nothing is queued before it, unless the rate
        # limit is what pauses reading.
        close = packet.type is PacketType.CLOSE
        return close and not inbox and not inbox.is_paused_by(PauseReason.RATE)

    def _handle_heartbeat(self, packet: Packet) -> None:
        if self.state is State.OPENING:
            self._finish(CloseReason.TRANSPORT_ERROR)
        elif self.state is State.OPEN:
            heartbeat = self._heartbeat
            ping = packet.type is PacketType.PING
            if heartbeat.ping(packet) if ping else heartbeat.pong():
                self._heartbeat_received()
        elif packet.type is PacketType.PONG:
            self._heartbeat.pong_while_closing()

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
        """Pause delivery until an async method of the application is done."""
        if hasattr(result, "__await__") and not isinstance(result, Deferred):
            # An object with __await__ is a coroutine here; mypy cannot infer that.
            result = ensureDeferred(result)  # type: ignore[arg-type]
        if not isinstance(result, Deferred):
            return
        done: list[object] = []
        result.addCallbacks(done.append, self._application_failed)
        result.addCallback(lambda _: done.append(None))
        if done:
            return  # it had its result already
        if self.state is State.CLOSED:
            self.server.cancel_after_timeout(result)
            return
        self._pause(PauseReason.BUSY).handler = result
        mine = ref(result)  # weak: a Deferred that never fires would keep itself alive
        result.addCallback(lambda _: self._handled(mine()))

    def _handled(self, handler: Deferred[object] | None) -> None:
        """Resume delivery, unless the handler was cancelled before it finished."""
        inbox = self._inbox
        if inbox is not None and inbox.handler is handler:
            self._resume(PauseReason.BUSY)

    # Pausing and resuming.

    def _pause(self, why: PauseReason, seconds: float | None = None) -> ReceiveQueue:
        """Pause delivery for a reason, for a time or until ``_resume``."""
        inbox, held = self._inbox, self._inbox is not None
        if inbox is None:
            inbox = self._inbox = ReceiveQueue(self.server.clock)
        if seconds is None:
            inbox.pause(why)
        else:
            inbox.pause_for(why, seconds, partial(self._resume, why))
        if not held:
            self.transport.pause()  # after the reason is added: room depends on it
        return inbox

    def _resume(self, why: PauseReason) -> None:
        inbox = self._inbox
        assert inbox is not None  # it has this reason
        if why is PauseReason.BUSY:
            inbox.handler = None
        if inbox.resume(why):
            self._inbox = None
            inbox.cancel_deadline()
            self._deliver_queued(inbox)
        elif why is PauseReason.RATE:
            self.transport.pause()  # there is room again

    def _deliver_queued(self, held: ReceiveQueue) -> None:
        """Deliver the queued items, until reading is paused again."""
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
                # The new queue into the old one, which may be long: moving the items of
                # that for each message would take quadratic time.
                held.merge(self._inbox)
                self._inbox, self._reading = held, None
                if not self._may_continue(held):
                    return
                self._inbox, self._reading = None, held
        self._reading = None
        if self.state is not State.CLOSED:
            self.transport.resume()

    def _may_continue(self, held: ReceiveQueue) -> bool:
        """Return whether delivery continues though reading was just paused again."""
        if held.client is not ClientPresence.HERE and held.is_paused_by(
            PauseReason.RATE
        ):
            self._finish(held.end)  # at once, as Session.fail does under a rate limit
        elif held.client is ClientPresence.OVERDUE and self._cancel_handler(held):
            return True
        elif held.client is not ClientPresence.HERE:
            self._await_last_messages(held)
        return False

    # A client that has disconnected.

    def _client_gone(self, reason: CloseReason) -> None:
        """Release the connection; the reason is queued after the client's messages."""
        inbox = self._inbox
        assert inbox is not None  # it holds the close reason
        self._heartbeat.cancel()
        probe, self.probe = self.probe, None
        if probe is not None:
            probe.cancel()
        self.transport.abandon(reason)
        inbox.client = ClientPresence.GONE
        self._await_last_messages(inbox)
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            # The send queue is lost: fire the Deferreds of handlers that wait for it.
            outbox.clear()
            for waiter in outbox.pop_ready(0):
                waiter.callback(None)

    def _await_last_messages(self, inbox: ReceiveQueue) -> None:
        self.reading_stopped()
        if inbox.client is ClientPresence.GONE and inbox.handler is not None:
            inbox.client = ClientPresence.BOUNDED
            self.server.handlers.begin(self._handler_late)

    def _handler_late(self) -> None:
        inbox = self._inbox
        assert inbox is not None  # else the session is over, and this cancelled
        if inbox.handler is None:
            # Paused between two handlers: the next one gets the whole timeout.
            inbox.client = ClientPresence.GONE
            return
        inbox.client = ClientPresence.OVERDUE
        if self._cancel_handler(inbox):
            self._inbox = None
            inbox.cancel_deadline()
            self._deliver_queued(inbox)

    def _cancel_handler(self, inbox: ReceiveQueue) -> bool:
        """Cancel the running handler, if any; return whether delivery may continue."""
        handler, inbox.handler = inbox.handler, None
        if handler is not None:
            handler.cancel()  # before the check: it may end the session, or pause it
        return self.state is not State.CLOSED and inbox.resume(PauseReason.BUSY)

    def _application_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) and self.is_over():
            return  # cancelled by rule 4
        self.server.log.failure(
            "the application failed; session {sid}... ends",
            failure=failure,
            sid=self.sid[:6],
        )
        self._finish(CloseReason.APPLICATION_ERROR)

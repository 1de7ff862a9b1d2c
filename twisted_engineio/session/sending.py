"""
The sending half of a session: directly to the transport, or through a queue.

Rules of this file:

1. Queued items are sent in order, and no later item overtakes them. A queue exists only
   while it has items or a Deferred is waiting for it.
2. The buffered bytes are those of the queue and those that the transport still holds. A
   writable transport holds few (``Transport.writable``), so the message path does not
   check.
3. A client that reads too slowly is disconnected a turn later, never while the
   application sends.
4. When the client has disconnected, nothing is buffered and no Deferred waits: messages
   that are sent while its last messages are delivered are dropped. The heartbeat has
   stopped then: ``_GONE``.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred, fail, succeed

from ..exceptions import SessionClosed
from ..protocol.packet import Buffer, Encoded, Message, Outgoing, as_message
from .heartbeat import Waiting
from .send_queue import SendQueue, size_of
from .state import SessionBase, State

__all__ = ["Sending"]

_MESSAGES = (str, bytes, Encoded)
_GONE = Waiting.IDLE  # only an open session whose client has disconnected is idle
_OPEN = State.OPEN  # the attribute lookup would cost more than the rest of send


class Sending(SessionBase):
    """The methods with which an application sends; see ``Session``."""

    __slots__ = ()

    def send(
        self,
        data: Message | Buffer,
        *,
        compress: bool = True,
        volatile: bool = False,
    ) -> bool:
        """
        Send a message, or queue it if the transport is not writable.

        Args:
            data: Text, bytes, or an ``Encoded`` that many sessions share. A bytearray
                or a memoryview is copied: change it afterwards as you like.
            compress: Whether a transport that compresses may compress it.
            volatile: Whether to drop it if it cannot be sent now.

        Returns:
            False if more than ``high_water_mark`` bytes are buffered: then wait for
            ``drained``. For a volatile message: False if it was dropped.

        Raises:
            SessionClosed: If the session is not open yet, closing or closed.
            TypeError: If ``data`` is not a message.
            UnicodeEncodeError: If it is text with a lone surrogate.

        """
        if self.state is not _OPEN:
            raise SessionClosed(self.sid, self.reason, self.state.value)
        # A buffer is replaced below; asking isinstance here would cost every message.
        item: Message = data  # type: ignore[assignment]
        if type(data) not in _MESSAGES:
            item = as_message(data)
        if not compress and not isinstance(item, Encoded):
            item = Encoded(item, compress=False)
        transport = self.transport
        if transport.writable and self._outbox is None:
            transport.send(item)
            return self.transport.writable or self._check_buffered() or volatile
        return self._enqueue_volatile(item) if volatile else self._enqueue(item)

    def send_many(self, messages: Iterable[Message | Buffer]) -> bool:
        """
        Send messages together, in as few writes as the transport allows.

        Args:
            messages: Messages as ``send`` accepts them.

        Returns:
            As ``send``.

        Raises:
            SessionClosed: If the session is not open yet, closing or closed.
            TypeError: If one is not a message.
            UnicodeEncodeError: If one is text with a lone surrogate.

        If it raises, no message was sent.

        """
        if self.state is not State.OPEN:
            raise SessionClosed(self.sid, self.reason, self.state.value)
        items = list(map(as_message, messages))
        for data in items:
            size_of(data)  # raises what _enqueue would
        below = True
        for data in items:
            below = self._enqueue(data)
        self.transport_ready()
        return below

    def drained(self) -> Deferred[None]:
        """
        Return a Deferred that fires when at most ``low_water_mark`` bytes are buffered.

        Returns:
            A Deferred; it fails with ``SessionClosed`` if the session ends first. When
            the client has disconnected and its last messages are delivered, it fires at
            once.

        """
        return self._when_at_most(self.server.config.low_water_mark)

    def flushed(self) -> Deferred[None]:
        """
        Return a Deferred that fires when all queued items were written to the socket.

        Returns:
            A Deferred, as that of ``drained``.

        """
        return self._when_at_most(-1)

    def _when_at_most(self, size: int) -> Deferred[None]:
        if self.state is State.CLOSED:
            return fail(SessionClosed(self.sid, self.reason))
        if self.is_over():
            return succeed(None)
        outbox = self._outbox
        queued = outbox.size if outbox is not None else 0
        all_sent = outbox is None or outbox.all_sent
        if all_sent if size < 0 else queued + self._held() <= size:
            return succeed(None)
        if outbox is None:
            outbox = self._outbox = SendQueue()
        return outbox.when_at_most(size)

    @property
    def buffered(self) -> int:
        """
        The bytes in the queue, and those that the transport still holds.

        0 if the session is over, or its client has disconnected.
        """
        if self._heartbeat.waiting is _GONE:
            return 0
        queued = 0 if self._outbox is None else self._outbox.size
        return queued + self.transport.buffered

    def _held(self) -> int:
        """Return the bytes that the transport holds; 0 while it is writable."""
        return 0 if self.transport.writable else self.transport.buffered

    # The transport's side.

    def transport_ready(self) -> None:
        """Send the queue: the transport is writable."""
        outbox = self._outbox
        if outbox is None or not self.transport.writable:
            return
        if outbox:
            self.transport.flush(outbox)
        ready = outbox.pop_ready(self._held())
        if not outbox and not outbox.has_waiters:
            self._outbox = None
        for waiter in ready:
            waiter.callback(None)

    # The queue.

    def write(self, item: Outgoing) -> None:
        """Send a packet or message, or queue it until the transport is writable."""
        if self.transport.writable and self._outbox is None:
            self.transport.send(item)
        else:
            self._enqueue(item)

    def _queue(self, item: Outgoing) -> None:
        if self._outbox is None:
            self._outbox = SendQueue()
        self._outbox.append(item)

    def _enqueue(self, item: Outgoing) -> bool:
        waiting = self._heartbeat.waiting
        if waiting is Waiting.PENDING_CLOSE or waiting is _GONE:
            # Dropped. With a pending close, more than max_buffered is buffered: False.
            return waiting is _GONE
        self._queue(item)
        return self._check_buffered()

    def _enqueue_volatile(self, data: Message) -> bool:
        """Queue a message if it is sent once uncorked; return whether it is."""
        config, size = self.server.config, self.buffered
        goes = (
            self.transport.corked
            and self._heartbeat.waiting not in (Waiting.PENDING_CLOSE, _GONE)
            and size <= config.high_water_mark
            and size + size_of(data) <= config.max_buffered
        )
        if goes:
            self._enqueue(data)
        return goes

    def _check_buffered(self) -> bool:
        """Return whether few bytes are buffered; end the session above the limit."""
        size = self.buffered
        config = self.server.config
        if size > config.max_buffered:
            self._heartbeat.arm(Waiting.PENDING_CLOSE, 0.0, self._too_slow)
        return size <= config.high_water_mark

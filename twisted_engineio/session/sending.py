"""
The half of a session that sends: now if it can, else from a queue.

Rules of this file:

1. What is queued leaves in order, and nothing overtakes it. There is a queue only while
   something is in it or somebody waits for it.
2. Buffered is what is queued and what the transport still holds. A transport that is
   writable holds little (``Transport.writable``), so the message path need not ask.
3. Who reads too slowly is ended a turn later, never while the application sends.
4. When the client is gone, nothing is buffered and nobody waits: what is sent while its
   last messages are delivered is dropped. The heart has stopped then: ``_GONE``.
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
_GONE = Waiting.NOTHING  # as an open session does whose client is gone, and no other
_OPEN = State.OPEN  # to look it up takes longer than all else that send asks


class Sending(SessionBase):
    """What an application sends with; ``Session`` is the rest of it."""

    __slots__ = ()

    def send(
        self,
        data: Message | Buffer,
        *,
        compress: bool = True,
        volatile: bool = False,
    ) -> bool:
        """
        Send a message; it goes now if it can, or is queued.

        Args:
            data: Text, bytes, or an ``Encoded`` that many sessions share. A bytearray
                or a memoryview is copied: change it afterwards as you like.
            compress: Whether a transport that compresses may compress it.
            volatile: Whether to drop it if it can't go now.

        Returns:
            False if more than ``high_water_mark`` bytes are buffered: better wait for
            ``drained``. Of a volatile message: False if it was dropped.

        Raises:
            SessionClosed: If the session is closing or closed.
            TypeError: If ``data`` is no message.
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
            return self.transport.writable or self._weigh() or volatile
        return self._enqueue_volatile(item) if volatile else self._enqueue(item)

    def send_many(self, messages: Iterable[Message | Buffer]) -> bool:
        """
        Send messages together, in as few writes as the transport allows.

        Args:
            messages: Messages as ``send`` takes them.

        Returns:
            As ``send``.

        Raises:
            SessionClosed: If the session is closing or closed.
            TypeError: If one is no message.
            UnicodeEncodeError: If one is text with a lone surrogate.

        Whatever is raised, none was sent.

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
        Wait until ``low_water_mark`` bytes or less are buffered.

        Returns:
            A Deferred; it fails with ``SessionClosed`` if the session ends first. When
            the client is gone and its last messages are delivered, it fires at once.

        """
        return self._when_at_most(self.server.config.low_water_mark)

    def flushed(self) -> Deferred[None]:
        """
        Wait until all that was sent so far has left the queue, for the socket.

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
        spent = outbox is None or outbox.spent
        if spent if size < 0 else queued + self._held() <= size:
            return succeed(None)
        if outbox is None:
            outbox = self._outbox = SendQueue()
        return outbox.when_at_most(size)

    @property
    def buffered(self) -> int:
        """
        The bytes that are queued, and those that the transport still holds.

        When the session is over, or its client is gone, there are none.
        """
        if self._heartbeat.waiting is _GONE:
            return 0
        queued = 0 if self._outbox is None else self._outbox.size
        return queued + self.transport.buffered

    def _held(self) -> int:
        """Count what the transport holds, if it is worth waiting for."""
        return 0 if self.transport.writable else self.transport.buffered

    # The transport's side.

    def transport_ready(self) -> None:
        """Send what is queued: the transport can take it now."""
        outbox = self._outbox
        if outbox is None or not self.transport.writable:
            return
        if outbox:
            self.transport.flush(outbox)
        ready = outbox.settled(self._held())
        if not outbox and not outbox.awaited:
            self._outbox = None
        for waiter in ready:
            waiter.callback(None)

    # The queue.

    def write(self, item: Outgoing) -> None:
        """Send a packet or message, now or when there is a way."""
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
        if waiting is Waiting.VERDICT or waiting is _GONE:
            return waiting is _GONE  # or it is too much
        self._queue(item)
        return self._weigh()

    def _enqueue_volatile(self, data: Message) -> bool:
        """Queue what leaves once the transport is uncorked; tell whether that is so."""
        config, size = self.server.config, self.buffered
        goes = (
            self.transport.corked
            and self._heartbeat.waiting not in (Waiting.VERDICT, _GONE)
            and size <= config.high_water_mark
            and size + size_of(data) <= config.max_buffered
        )
        if goes:
            self._enqueue(data)
        return goes

    def _weigh(self) -> bool:
        """Tell whether little is buffered; end the session if it is far too much."""
        size = self.buffered
        config = self.server.config
        if size > config.max_buffered:
            self._heartbeat.arm(Waiting.VERDICT, 0.0, self._too_slow)
        return size <= config.high_water_mark

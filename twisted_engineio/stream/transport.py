"""
A session, as the transport of a Twisted protocol.

Rules of this file:

1. A session's messages are a stream of bytes; where one of them ends means nothing.
   Text from a client counts as its UTF-8; what goes to it is always binary.
2. Nothing that a protocol asks of its transport calls the protocol back. It is done
   when the protocol has returned, or in a later turn, in ``_settle``. Only a producer
   is paused at once, as by TCP.
3. What is written in one turn leaves together, in messages of ``PIECE`` bytes at most.
4. A session has no half to close: ``loseWriteConnection`` closes both, as
   ``loseConnection`` does. What comes after either is not delivered.
5. It owns one timer, for the later turn; it is cancelled in ``_settle`` and ``lost``.

Driven by its protocol (``write``, ``loseConnection`` and whatever else a Twisted
transport has), by its session (``connect``, ``deliver``, ``lost``, and what ``drained``
gives) and by the clock.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    ILoggingContext,
    IPushProducer,
    ISSLTransport,
    ITransport,
)
from twisted.python.failure import Failure
from twisted.python.log import callWithContext
from zope.interface import alsoProvides, implementer

from ..exceptions import CloseReason
from ..session.session import State

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IDelayedCall

    from ..session.session import Session

__all__ = ["PIECE", "SessionLost", "StreamTransport"]

PIECE: Final = 65_536
"""Bytes of the largest message that a stream is cut into: what Twisted's own transports
read at once, and far below the size that any client takes for too much."""

_CLEAN: Final = (
    CloseReason.TRANSPORT_CLOSE,
    CloseReason.FORCED_CLOSE,
    CloseReason.SERVER_CLOSE,
)
"""Ends with which somebody said goodbye."""


class SessionLost(ConnectionLost):
    """
    A session ended without a goodbye.

    Attributes:
        reason: Why.

    """

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class StreamStage(enum.Enum):
    """Where a stream is in its life; it only ever moves down this list."""

    OPEN = "open"
    LOSING = "losing"  # asked to close once all is written
    CLOSING = "closing"  # the session says goodbye
    ABORTED = "aborted"
    LOST = "lost"


class StreamFlow(enum.Enum):
    """Whether one direction moves."""

    FLOWING = "flowing"
    HELD = "held"


@implementer(ITransport, IConsumer, IPushProducer, ILoggingContext)
class StreamTransport:
    """
    A session, as the transport of a Twisted protocol.

    It provides ``ISSLTransport`` if the session's handshake came over TLS: protocols
    ask for that to know whether they may ask for a password. There is no certificate
    of the client's then, for the TLS may have been a proxy's.

    Attributes:
        session: The session: its ``handshake`` says who the client is.
        protocol: The protocol that uses it.

    """

    def __init__(self, session: Session) -> None:
        """
        Make a transport.

        Args:
            session: The session, open.

        """
        self.session = session
        self.protocol: Any = None
        self._clock = session.server.clock
        self._prefix = ""
        self._stage = StreamStage.OPEN
        self._reading = StreamFlow.FLOWING
        self._resumed: Deferred[None] | None = None  # what the session waits for
        self._written: list[bytes] = []
        self._size = 0
        self._room = StreamFlow.FLOWING  # held while the session has too much to send
        self._producer: Any = None
        self._pulls = False  # as the producer said when it was registered
        self._producing = StreamFlow.FLOWING
        self._turn: IDelayedCall | None = None
        if session.handshake.is_secure:
            alsoProvides(self, ISSLTransport)

    # The session's side.

    def connect(self, protocol: Any) -> Deferred[Any] | None:
        """
        Give it to a protocol.

        Args:
            protocol: An ``IProtocol`` that has no transport.

        Returns:
            What the session must wait for before it reads, if anything.

        """
        self.protocol = protocol
        name = type(protocol).__name__
        if ILoggingContext.providedBy(protocol):
            name = protocol.logPrefix()
        client = self.session.handshake.client_address
        self._prefix = f"{name},{self.session.sid[:6]},{client or 'unix'}"
        self._in_context(protocol.makeConnection, self)
        return self._done()

    def deliver(self, data: bytes) -> Deferred[Any] | None:
        """
        Give bytes to the protocol, now or when it reads again.

        Args:
            data: What came.

        Returns:
            What the session must wait for before it reads on, if anything.

        """
        if self._stage is not StreamStage.OPEN:
            return None
        if self._reading is StreamFlow.HELD:
            resumed = self._when_resumed()
            return resumed.addCallback(lambda _: self.deliver(data))
        self._in_context(self.protocol.dataReceived, data)
        return self._done()

    def lost(self, reason: CloseReason) -> None:
        """
        Tell the protocol, and its producer, that the session is over.

        Args:
            reason: Why.

        """
        error: Exception = SessionLost(reason)
        if self._stage is StreamStage.ABORTED:
            error = ConnectionAborted()
        elif reason in _CLEAN:
            error = ConnectionDone()
        self._stage = StreamStage.LOST
        self._cancel_turn()
        self._resumed = None
        self._written.clear()
        producer, self._producer = self._producer, None
        try:
            if producer is not None:
                self._in_context(producer.stopProducing)
        finally:
            self._in_context(self.protocol.connectionLost, Failure(error))

    def _done(self) -> Deferred[Any] | None:
        """Do what the protocol asked for while it was called."""
        self._settle()
        return self._when_resumed() if self._reading is StreamFlow.HELD else None

    def _when_resumed(self) -> Deferred[Any]:
        self._resumed = Deferred()
        return self._resumed

    def _in_context(self, function: Callable[..., object], *args: object) -> None:
        """Call the protocol; what it logs shows whose it is."""
        callWithContext({"system": self._prefix}, function, *args)

    # The protocol's side: ITransport.

    def write(self, data: bytes) -> None:
        """
        Write bytes.

        Args:
            data: Bytes, or what gives them.

        Raises:
            TypeError: If they are none.

        """
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if data and self._stage in (StreamStage.OPEN, StreamStage.LOSING):
            self._written.append(data)
            self._size += len(data)
            if self._pulls:
                self._producing = StreamFlow.HELD  # it has done what it was asked
            if self._size >= PIECE:
                self._flush()
            self._settle_later()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Write bytes.

        Args:
            data: Bytes, in pieces.

        Raises:
            TypeError: If they are none.

        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Close once all is written.

        A producer that pulls, or that is paused, is asked to write on and waited for,
        until it is unregistered: as by TCP.
        """
        if self._stage is StreamStage.OPEN:
            self._stage = StreamStage.LOSING
            self._settle_later()

    def abortConnection(self) -> None:
        """Close at once; what is not sent is lost."""
        if self._stage not in (StreamStage.ABORTED, StreamStage.LOST):
            self._stage = StreamStage.ABORTED
            self._written.clear()
            self.session.abort()

    def getPeer(self) -> IAddress:
        """
        Give the client's address, as its handshake has it.

        Its port is 0: the connections of a session come and go.
        """
        return _address(self.session.handshake.client_address, 0)

    def getHost(self) -> IAddress:
        """Give the address that the handshake came to."""
        return _address(*self.session.handshake.server_address or (None, 0))

    @property
    def disconnecting(self) -> bool:
        """Whether it is closing; Twisted's protocols stop reading then."""
        return self._stage is not StreamStage.OPEN

    def logPrefix(self) -> str:
        """Name the protocol, the session and the client, for a log."""
        return self._prefix

    # The protocol's side: ISSLTransport, and what it inherits from ITCPTransport.

    def getPeerCertificate(self) -> None:
        """Know no certificate of the client's."""

    def loseWriteConnection(self) -> None:
        """Close both ways: a session has no half to close."""
        self.loseConnection()

    def getTcpNoDelay(self) -> bool:
        """Tell that what is written leaves in the same turn."""
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Change nothing."""

    def getTcpKeepAlive(self) -> bool:
        """Tell that a dead client is noticed: there is a heartbeat."""
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Change nothing."""

    # The protocol's side: IPushProducer, of what the client sends.

    def pauseProducing(self) -> None:
        """
        Deliver no more, and read no more than 64 KiB ahead.

        A client is not given up for silence while it is not read, but after
        ``paused_timeout``.
        """
        self._reading = StreamFlow.HELD

    def resumeProducing(self) -> None:
        """Deliver again, in a later turn."""
        self._reading = StreamFlow.FLOWING
        if self._resumed is not None:
            self._settle_later()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # The protocol's side: IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let a producer write as fast as the client reads.

        Args:
            producer: An ``IPushProducer``, or an ``IPullProducer``.
            streaming: Whether it is the former.

        Raises:
            RuntimeError: If there is one already.

        """
        if self._producer is not None:
            raise RuntimeError(
                f"cannot register {producer!r}: {self._producer!r} was not unregistered"
            )
        if self._stage in (StreamStage.ABORTED, StreamStage.LOST):
            producer.stopProducing()
            return
        self._producer, self._pulls = producer, not streaming
        self._producing = StreamFlow.FLOWING if streaming else StreamFlow.HELD
        self._settle_later()

    def unregisterProducer(self) -> None:
        """Have no producer any more."""
        self._producer, self._pulls = None, False
        self._settle_later()

    # What was asked for, done.

    def _settle_later(self) -> None:
        if self._turn is None and self._stage is not StreamStage.LOST:
            self._turn = self._clock.callLater(0, self._settle_now)

    def _cancel_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None and turn.active():
            turn.cancel()

    def _settle_now(self) -> None:
        """Settle in a turn of its own: who fails ends this session, and no other."""
        try:
            self._settle()
        except Exception:
            self.session.server.log.failure("a producer failed; its session ends")
            self.session.fail(CloseReason.APPLICATION_ERROR)

    def _settle(self) -> None:
        self._cancel_turn()
        self._flush()
        if self._producer is not None and self._producing is StreamFlow.HELD:
            # It has more to write, also if it is closing: as by TCP.
            if self._room is StreamFlow.FLOWING:
                self._signal_producer(StreamFlow.FLOWING)
        elif self._stage is StreamStage.LOSING and not self._pulls:
            self._stage = StreamStage.CLOSING
            # Not at once: a goodbye waits no longer than close_timeout.
            self.session.flushed().addCallbacks(lambda _: self.session.close(), _ignore)
        if self._reading is StreamFlow.FLOWING and self._resumed is not None:
            resumed, self._resumed = self._resumed, None
            resumed.callback(None)

    def _flush(self) -> None:
        """Hand to the session what was written."""
        data = b"".join(self._written)
        self._written.clear()
        self._size = 0
        if not data:
            return
        if self.session.state is not State.OPEN:
            self._room = StreamFlow.HELD  # for ever: somebody else has closed it
            return
        pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
        if not self.session.send_many(pieces):
            self._full()

    def _full(self) -> None:
        """Write no more until the session has sent most of what it has."""
        if self._room is StreamFlow.FLOWING:
            self._room = StreamFlow.HELD
            self.session.drained().addCallbacks(self._drained, _ignore)
        pushes = self._producer is not None and not self._pulls
        if pushes and self._producing is StreamFlow.FLOWING:
            self._signal_producer(StreamFlow.HELD)

    def _drained(self, _: None) -> None:
        self._room = StreamFlow.FLOWING
        self._settle_later()

    def _signal_producer(self, flow: StreamFlow) -> None:
        self._producing = flow
        held = flow is StreamFlow.HELD
        producer = self._producer
        self._in_context(producer.pauseProducing if held else producer.resumeProducing)


def _address(host: str | None, port: int) -> IAddress:
    if host is None:
        return UNIXAddress(None)
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, port)


def _ignore(_: Failure) -> None:
    """Hear that the session is over; ``lost`` says so too."""

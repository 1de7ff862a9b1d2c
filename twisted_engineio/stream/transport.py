"""
A session as the transport of a Twisted protocol.

Rules of this file:

1. The messages of a session form a stream of bytes; message boundaries have no meaning.
   Text from a client is delivered as UTF-8; data to the client is always binary.
2. No method of the transport calls the protocol back. Requests take effect when the
   protocol has returned, or in a later reactor turn, in ``_settle``. Only a producer is
   paused immediately, as by TCP.
3. Data written in one turn is sent together, in messages of at most ``PIECE`` bytes.
4. A session cannot be half-closed: ``loseWriteConnection`` closes both directions, as
   ``loseConnection`` does. Data that arrives after either is not delivered.
5. It owns one timer, for the later turn; ``_settle`` and ``lost`` cancel it.

Driven by its protocol (``write``, ``loseConnection`` and the other methods of a Twisted
transport), by its session (``connect``, ``deliver``, ``lost``, the Deferreds of
``drained``) and by the clock.
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
"""Bytes of the largest message that a stream is split into: the read size of Twisted's
own transports, and far below the message limit of any client."""

_CLEAN: Final = (
    CloseReason.TRANSPORT_CLOSE,
    CloseReason.FORCED_CLOSE,
    CloseReason.SERVER_CLOSE,
)
"""Reasons for which the session was closed by one of the peers, not lost."""


class SessionLost(ConnectionLost):
    """
    The session ended without having been closed by either peer.

    Attributes:
        reason: The reason.

    """

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class StreamStage(enum.Enum):
    """The state of a stream; transitions only go down this list."""

    OPEN = "open"
    LOSING = "losing"  # to be closed once all data is written
    CLOSING = "closing"  # the session is sending its close packet
    ABORTED = "aborted"
    LOST = "lost"


class StreamFlow(enum.Enum):
    """Whether data may flow in one direction."""

    FLOWING = "flowing"
    HELD = "held"


@implementer(ITransport, IConsumer, IPushProducer, ILoggingContext)
class StreamTransport:
    """
    A session as the transport of a Twisted protocol.

    It provides ``ISSLTransport`` if the session's handshake came over TLS: protocols
    check for it before they ask for a password. ``getPeerCertificate`` returns None
    even then, because a proxy may have terminated the TLS connection.

    Attributes:
        session: The session: its ``handshake`` describes the client.
        protocol: The protocol that uses the transport.

    """

    def __init__(self, session: Session) -> None:
        """
        Create a transport.

        Args:
            session: An open session.

        """
        self.session = session
        self.protocol: Any = None
        self._clock = session.server.clock
        self._prefix = ""
        self._stage = StreamStage.OPEN
        self._reading = StreamFlow.FLOWING
        self._resumed: Deferred[None] | None = None  # the session waits for it
        self._written: list[bytes] = []
        self._size = 0
        self._room = StreamFlow.FLOWING  # HELD while the session's buffer is full
        self._producer: Any = None
        self._pulls = False  # whether the producer is a pull producer
        self._producing = StreamFlow.FLOWING
        self._turn: IDelayedCall | None = None
        if session.handshake.is_secure:
            alsoProvides(self, ISSLTransport)

    # Called by the session's application.

    def connect(self, protocol: Any) -> Deferred[Any] | None:
        """
        Connect a protocol to the transport.

        Args:
            protocol: An ``IProtocol`` without a transport.

        Returns:
            A Deferred that the session must wait for before it reads, or None.

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
        Deliver bytes to the protocol, now or when it resumes reading.

        Args:
            data: The received bytes.

        Returns:
            A Deferred that the session must wait for before it reads on, or None.

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
        Disconnect the protocol, and stop its producer: the session has ended.

        Args:
            reason: The reason.

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
        """Apply what the protocol requested while it was called."""
        self._settle()
        return self._when_resumed() if self._reading is StreamFlow.HELD else None

    def _when_resumed(self) -> Deferred[Any]:
        self._resumed = Deferred()
        return self._resumed

    def _in_context(self, function: Callable[..., object], *args: object) -> None:
        """Call the protocol with its log prefix, which its log lines then show."""
        callWithContext({"system": self._prefix}, function, *args)

    # Called by the protocol: ITransport.

    def write(self, data: bytes) -> None:
        """
        Write bytes.

        Args:
            data: Bytes, or an object that supports the buffer protocol.

        Raises:
            TypeError: If ``data`` is anything else.

        """
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if data and self._stage in (StreamStage.OPEN, StreamStage.LOSING):
            self._written.append(data)
            self._size += len(data)
            if self._pulls:
                self._producing = StreamFlow.HELD  # it has produced one piece
            if self._size >= PIECE:
                self._flush()
            self._settle_later()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Write several pieces of bytes.

        Args:
            data: The pieces.

        Raises:
            TypeError: If a piece is not bytes.

        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Close the session once all data is written.

        A pull producer, or a paused one, is resumed and waited for until it is
        unregistered, as by TCP.
        """
        if self._stage is StreamStage.OPEN:
            self._stage = StreamStage.LOSING
            self._settle_later()

    def abortConnection(self) -> None:
        """Close the session immediately; unsent data is lost."""
        if self._stage not in (StreamStage.ABORTED, StreamStage.LOST):
            self._stage = StreamStage.ABORTED
            self._written.clear()
            self.session.abort()

    def getPeer(self) -> IAddress:
        """
        Return the client's address, taken from its handshake.

        The port is 0, because a session may use any number of connections.
        """
        return _address(self.session.handshake.client_address, 0)

    def getHost(self) -> IAddress:
        """Return the server's address, taken from the handshake."""
        return _address(*self.session.handshake.server_address or (None, 0))

    @property
    def disconnecting(self) -> bool:
        """Whether it is closing; Twisted's protocols then stop reading."""
        return self._stage is not StreamStage.OPEN

    def logPrefix(self) -> str:
        """Return the protocol's name, the session id and the client, for log lines."""
        return self._prefix

    # Called by the protocol: ISSLTransport and its base ITCPTransport.

    def getPeerCertificate(self) -> None:
        """Return None: no client certificate is available."""

    def loseWriteConnection(self) -> None:
        """Close both directions: a session cannot be half-closed."""
        self.loseConnection()

    def getTcpNoDelay(self) -> bool:
        """Return True: data leaves in the turn in which it is written."""
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Ignore the option, which a session does not have."""

    def getTcpKeepAlive(self) -> bool:
        """Return True: the heartbeat detects dead clients."""
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Ignore the option, which a session does not have."""

    # Called by the protocol: IPushProducer, for data from the client.

    def pauseProducing(self) -> None:
        """
        Pause delivery; up to 64 KiB are still read ahead.

        While it is paused, the client is not disconnected for missing pongs, but it is
        after ``paused_timeout``.
        """
        self._reading = StreamFlow.HELD

    def resumeProducing(self) -> None:
        """Resume delivery, in a later reactor turn."""
        self._reading = StreamFlow.FLOWING
        if self._resumed is not None:
            self._settle_later()

    def stopProducing(self) -> None:
        """Close the session once all data is written."""
        self.loseConnection()

    # Called by the protocol: IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Register a producer, which may write as fast as the client reads.

        Args:
            producer: An ``IPushProducer`` or an ``IPullProducer``.
            streaming: Whether it is an ``IPushProducer``.

        Raises:
            RuntimeError: If another producer is registered.

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
        """Unregister the producer."""
        self._producer, self._pulls = None, False
        self._settle_later()

    # Effects.

    def _settle_later(self) -> None:
        if self._turn is None and self._stage is not StreamStage.LOST:
            self._turn = self._clock.callLater(0, self._settle_now)

    def _cancel_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None and turn.active():
            turn.cancel()

    def _settle_now(self) -> None:
        """Settle from a timer: an exception ends this session and no other."""
        try:
            self._settle()
        except Exception:
            self.session.server.log.failure("a producer failed; its session ends")
            self.session.fail(CloseReason.APPLICATION_ERROR)

    def _settle(self) -> None:
        self._cancel_turn()
        self._flush()
        if self._producer is not None and self._producing is StreamFlow.HELD:
            # It has more to write, even while closing: as by TCP.
            if self._room is StreamFlow.FLOWING:
                self._signal_producer(StreamFlow.FLOWING)
        elif self._stage is StreamStage.LOSING and not self._pulls:
            self._stage = StreamStage.CLOSING
            # session.close() alone would give the data only close_timeout seconds.
            self.session.flushed().addCallbacks(lambda _: self.session.close(), _ignore)
        if self._reading is StreamFlow.FLOWING and self._resumed is not None:
            resumed, self._resumed = self._resumed, None
            resumed.callback(None)

    def _flush(self) -> None:
        """Send the written data as messages of the session."""
        data = b"".join(self._written)
        self._written.clear()
        self._size = 0
        if not data:
            return
        if self.session.state is not State.OPEN:
            self._room = StreamFlow.HELD  # for good: the application closed the session
            return
        pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
        if not self.session.send_many(pieces):
            self._full()

    def _full(self) -> None:
        """Pause the producer until the session is drained."""
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
    """Ignore the end of the session, which ``lost`` handles."""

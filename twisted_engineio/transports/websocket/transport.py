"""
The WebSocket transport: Autobahn implements RFC 6455, this file drives a session.

Rules of this file:

1. Frames, masks, UTF-8, limits and the handshake are Autobahn's; only the handling of
   complete messages, and of protocol violations, is ours.
2. A connection that violates the protocol is closed with a code and no reason, and its
   session is notified at once; data that it sends afterwards is dropped.
3. Twisted pauses us when more than ``low_water_mark`` bytes wait for the socket: then
   ``writable`` is False and the session's queue, which is bounded, is used. Of the
   pings that are received meanwhile one is answered.
4. The time and memory that a client may use while it sends or closes is limited in
   ``limits.py``, the base class.

Driven by Autobahn (``_onOpen``, ``onMessage``, ``onClose``), by the TCP transport as
its producer (``pauseProducing``, ``resumeProducing``), and by the session.

Engine.IO protocol v4, "WebSocket".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ...exceptions import CloseReason, InvalidPacket, PayloadTooLarge
from ...protocol.codec import Codec
from ...protocol.packet import Encoded, Outgoing, Packet, PacketType
from ...session.interfaces import NULL_RECEIVER, Receiver
from ...session.send_queue import SendQueue
from ..write_buffer import pause_above, unsent
from .limits import LimitedWebSocket

if TYPE_CHECKING:
    from autobahn.websocket.types import ConnectionRequest

    from .factory import WebSocketFactory
    from .opening_handshake import OpeningHandshake

__all__ = ["DEFLATE", "MESSAGE", "WebSocketTransport"]

DEFLATE: Final = (
    "_compressor",
    "_decompressor",
    "client_no_context_takeover",
    "server_no_context_takeover",
)
"""Attributes of Autobahn's ``PerMessageDeflate`` that are used here."""

MESSAGE: Final = (
    "_isMessageCompressed",
    "inside_message",
    "message_data",
    "message_is_binary",
    "utf8validateIncomingCurrentMessage",
)
"""Attributes that Autobahn sets on its protocol when a message begins."""

_NORMAL: Final = 1000
_POLICY_VIOLATION: Final = 1008
_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: %b\r\n"
)
"""RFC 6455, 4.2.1: the minimal handshake that Autobahn accepts."""
_REASONS: Final = {1007: CloseReason.PARSE_ERROR, 1009: CloseReason.PAYLOAD_TOO_LARGE}
"""Close reasons of a session by the code with which its WebSocket fails; the default is
a transport error."""


@implementer(IPushProducer)
class WebSocketTransport(LimitedWebSocket):
    """
    A session's WebSocket.

    Driven by Autobahn, the TCP transport and the session.

    Attributes:
        name: ``"websocket"``.
        may_move: Always True; unused, as there is no upgrade from a WebSocket.
        close_pending: Always False: the closing handshake has its own timeout.
        corked: Always False: see ``cork``.
        writable: Whether it is open and the socket has room.
        buffered: Bytes that wait for the socket.
        receiver: The recipient of received packets.
        codec: Parses and encodes packets.
        base64: Whether binary is sent as text; the handshake's ``b64=1``.

    """

    name = "websocket"
    may_move = True
    close_pending = False
    corked = False
    _fragments = 0
    # Autobahn's attributes, which it does not declare.
    data: bytes
    _isMessageCompressed = False
    _perMessageCompress: Any
    inside_message: bool
    message_is_binary: bool
    maxMessagePayloadSize: int
    utf8validateIncomingCurrentMessage = False

    def __init__(
        self,
        opened: Callable[[WebSocketTransport], None],
        headers: dict[str, list[str]],
        codec: Codec,
        *,
        base64: bool = False,
        sends_first: bool = False,
    ) -> None:
        """
        Make a transport whose handshake is not answered yet.

        Args:
            opened: Called once when the WebSocket is open.
            headers: Headers for the answer to the handshake.
            codec: Parses and encodes packets.
            base64: See the attribute.
            sends_first: Whether the server sends the first message. If the answer and a
                message arrive together, a client may emit "open" and the message before
                a listener is attached (npm's ws does): so the answer is sent a moment
                earlier.

        """
        super().__init__()
        self.receiver: Receiver = NULL_RECEIVER
        self.writable = False
        self.base64 = base64
        self.codec = codec
        self._sends_first = sends_first
        self._opened = opened
        self._headers = headers

    def begin(self, opening: OpeningHandshake, rest: bytes) -> None:
        """
        Open, after a handshake that was parsed and checked.

        Args:
            opening: The opening handshake.
            rest: Data that the client sent right after it.

        """
        data = _HANDSHAKE % opening.key.encode()
        if opening.subprotocol is not None:
            data += b"Sec-WebSocket-Protocol: %b\r\n" % opening.subprotocol.encode()
        if opening.deflate is not None:
            data += b"Sec-WebSocket-Extensions: %b\r\n" % opening.deflate.encode()
        self.dataReceived(data + b"\r\n" + rest)

    # Autobahn's side.

    @property
    def log(self) -> Any:
        """The log for Autobahn: rate-limited, as clients cause its lines."""
        return self.factory.client_log

    @classmethod
    def for_factory(cls, factory: WebSocketFactory) -> type[WebSocketTransport]:
        """
        Return the class of a factory's transports.

        Args:
            factory: The factory, with its options set.

        """
        return cls

    def onConnect(self, request: ConnectionRequest) -> Any:
        """Accept the handshake: the client is admitted, its subprotocol chosen."""
        return next(iter(request.protocols), None), self._headers

    def failHandshake(
        self, reason: str, code: int = 400, responseHeaders: Any = None
    ) -> None:
        """Abort the connection: Autobahn refused the handshake of ``begin``."""
        # Not Autobahn's own answer, which echoes the reason in the status line.
        self.log.error(
            "Autobahn refused a generated handshake: {reason}", reason=reason[:120]
        )
        self.transport.abortConnection()

    def _onOpen(self) -> None:
        self._unread = bytearray(self.data)
        self.data = b""
        if self._sends_first:
            self.factory.opening.begin(self._open)
        else:
            self._open()

    def _open(self) -> None:
        """Open the transport, and handle data that was received before."""
        early, self._unread = self._unread, None
        self.writable = True
        self._watch_socket()
        self._notify_opened()
        if early:
            self.dataReceived(bytes(early))

    def _watch_socket(self) -> None:
        """Register with the socket, to be paused when it is full."""
        pause_above(self.transport, self.factory.low_water_mark)
        self.transport.registerProducer(self, True)

    def _notify_opened(self) -> None:
        opened = self._opened
        self._forget_handshake()  # it refers to the whole request
        opened(self)

    def _forget_handshake(self) -> None:
        del self._sends_first, self._opened, self._headers

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Pass a complete message to the receiver."""
        if isBinary:
            prefix = self.codec.BINARY_PREFIX
            if payload.startswith(prefix):
                self.receiver.receive(payload[len(prefix) :])
            else:
                self.receiver.fail(CloseReason.PARSE_ERROR)
            return
        text = payload.decode()
        if text[:1] == "4":
            self.receiver.receive(text[1:])
            return
        try:
            packet = self.codec.decode_packet(text)
        except InvalidPacket:
            self.receiver.fail(CloseReason.PARSE_ERROR)
        else:
            self.receiver.receive_packet(packet)

    def onMessageBegin(self, isBinary: bool) -> None:
        """Reset the count of a message's fragments."""
        self._fragments = 0
        super().onMessageBegin(isBinary)

    def onMessageFrameBegin(self, length: int) -> None:
        """Count a fragment: empty ones would never reach the size limit."""
        self._fragments += 1
        super().onMessageFrameBegin(length)
        if self._fragments > self.factory.max_fragments and not self.failedByMe:
            self.receiver.limit_reached("max_fragments")
            self._fail_connection(_POLICY_VIOLATION, "too many fragments")
            # More may follow: leave it in the socket until the close times out.
            self._stop_reading()

    def onMessageEnd(self) -> None:
        """Deliver a message, without Autobahn's listeners, which are unused."""
        data, self.message_data = bytes(self.message_data), None
        deflate = self._perMessageCompress
        if deflate is not None and deflate.client_no_context_takeover:
            # Frees 7 to 40 KB; the next message makes its own.
            deflate._decompressor = None
        if not self.failedByMe:
            self.onMessage(data, self.message_is_binary)

    def onCloseFrame(self, code: Any, reasonRaw: Any) -> bool | None:
        """Reply to a close frame, as Autobahn does, and notify the receiver."""
        failed = super().onCloseFrame(code, reasonRaw)
        self._lost(CloseReason.TRANSPORT_CLOSE)
        return failed

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Called when the connection is closed, with or without a close frame."""
        self._lost(CloseReason.TRANSPORT_CLOSE)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancel the timers, and notify the receiver."""
        if self._unread is not None:
            self._read_rest()
        self._cancel_timers()
        super().connectionLost(reason)
        self.factory.lost()

    def _cancel_timers(self) -> None:
        self.factory.opening.end(self._open)
        if self._unread is not None:
            self.factory.slices.remove(self._read_on)
        if self._close_due:
            self.factory.closes.end(self._abort_now)

    def _max_message_size_exceeded(self, size: int, limit: int, reason: str) -> None:
        # The size is a lower bound: Autobahn decompresses no more than the limit.
        self.factory.too_large(PayloadTooLarge(max(size, limit + 1), limit))
        self._fail_connection(1009, reason)

    def _fail_connection(self, code: int = 1001, reason: str = "going away") -> None:
        """Close with a code and no reason, as RFC 6455, 7.1.7, and the reference."""
        if self.state == self.STATE_OPEN:
            self.failedByMe = True
            if self._isMessageCompressed or code == 1007:
                # Skip the rest of the message. Else each read would be inflated, and
                # be another violation, after which no close frame is awaited.
                self._isMessageCompressed = False
                self.utf8validateIncomingCurrentMessage = False
            self.sendCloseFrame(code=code)
            self._lost(_REASONS.get(code, CloseReason.TRANSPORT_ERROR))
        elif self.state == self.STATE_CLOSING:
            # A second violation: no close frame is awaited. Autobahn would write two
            # log lines for each such client.
            self.failedByMe = True
            self.state = self.STATE_CLOSED
            self.unregisterProducer()
            self._closeConnection()

    def _lost(self, reason: CloseReason) -> None:
        self.writable = False
        self.receiver.fail(reason)

    # The TCP transport's side.

    def pauseProducing(self) -> None:
        """Stop writing: the socket is full."""
        self.writable = False

    def resumeProducing(self) -> None:
        """Resume writing, if the WebSocket is still open."""
        if self.state == self.STATE_OPEN:
            self.writable = True
            self._answer_ping()
            self.receiver.transport_ready()

    def stopProducing(self) -> None:
        """Stop writing: the connection is lost; ``connectionLost`` does the rest."""
        self.writable = False

    # The session's side.

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the socket has not taken."""
        return unsent(self.transport)

    def send(self, item: Outgoing) -> None:
        """Write one packet or message as a frame."""
        data = item.data if isinstance(item, Encoded) else item
        # Not sendMessage, which applies the limit for received messages here as well.
        compress = not isinstance(item, Encoded) or item.compress
        if isinstance(data, bytes) and not self.base64:
            frame = self.codec.BINARY_PREFIX + data
            self._send_frame(self.MESSAGE_TYPE_BINARY, frame, compress)
        elif isinstance(data, Packet) and data.type is PacketType.CLOSE:
            # As the reference: a close frame replaces the close packet.
            self.sendClose(int(data.data or _NORMAL))
            self.writable = False
        else:
            text = self.codec.encode_packet(data).encode()
            self._send_frame(self.MESSAGE_TYPE_TEXT, text, compress)

    def _send_frame(self, opcode: int, payload: bytes, compress: bool) -> None:
        deflate = self._perMessageCompress
        small = len(payload) < self.factory.deflate_threshold
        if deflate is None or small or not compress:
            self.sendFrame(opcode=opcode, payload=payload)
            return
        deflate.start_compress_message()
        body = deflate.compress_message_data(payload)
        body += deflate.end_compress_message()
        if deflate.server_no_context_takeover:
            deflate._compressor = None  # frees some 260 KB, likewise
        self.sendFrame(opcode=opcode, payload=body, rsv=4)

    def close_with(self, code: int, message: str) -> None:
        """
        Close the connection with a code and a message, which a browser's page can read.

        Args:
            code: From 4000 to 4999.
            message: The reason.

        """
        self.writable = False
        self.sendClose(code, message)

    def flush(self, outbox: SendQueue) -> None:
        """Write the queue, until the socket is full."""
        while outbox and self.writable:
            self.send(outbox.popleft())

    def cork(self) -> bool:
        """Return False: each frame is a write of its own here."""
        return False

    def uncork(self) -> None:
        """Do nothing: no frame was buffered."""

    def take_over(self, *, pinged: bool) -> None:
        """Do nothing: a pong acknowledges nothing on a WebSocket."""

    def prepare_upgrade(self) -> None:
        """Do nothing: there is no upgrade from a WebSocket."""

    def cancel_upgrade(self) -> None:
        """Do nothing: there is no upgrade from a WebSocket."""

    def retire(self) -> None:
        """Close the connection: the session uses another transport."""
        self.abandon(CloseReason.TRANSPORT_CLOSE)

    def abandon(self, reason: CloseReason) -> None:
        """Close the connection: the session is over, or rejected this transport."""
        self.receiver = NULL_RECEIVER
        self.writable = False
        self.resume()  # to read the client's close frame, or its TLS close alert
        if self.state != self.STATE_OPEN:
            return
        if reason is CloseReason.SLOW_CLIENT:
            # It does not read, so it would not read a close frame either.
            self._abort_now()
            return
        if reason is CloseReason.RATE_EXCEEDED:
            self.sendCloseFrame(code=_POLICY_VIOLATION)
        else:
            self.sendClose(_NORMAL)
        if reason in (CloseReason.PING_TIMEOUT, CloseReason.RATE_EXCEEDED):
            # The client is silent, or sends too much: do not wait for its close frame.
            # Not with loseConnection of the transport: TLS drops later writes.
            self.unregisterProducer()
            self._closeConnection()

"""
WebSocket: Autobahn speaks RFC 6455, this file feeds a session.

Rules of this file:

1. Frames, masks, UTF-8, limits and the handshake are Autobahn's; only what happens to
   a whole message, and to a broken one, is ours.
2. A connection that breaks the rules is closed with a code and no reason, and its
   session told, at once; what it still sends is not delivered.
3. Twisted pauses us when more than ``low_water_mark`` bytes wait for the socket: then
   ``writable`` is False and the session's queue, which is bounded, takes over. Of the
   pings that come meanwhile one is answered.
4. What a client may take of time and memory while it sends or closes is bounded in
   ``limits.py``, beneath this file.

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
"""What is known here of Autobahn's ``PerMessageDeflate``."""

MESSAGE: Final = (
    "_isMessageCompressed",
    "inside_message",
    "message_data",
    "message_is_binary",
    "utf8validateIncomingCurrentMessage",
)
"""What Autobahn sets on its protocol when a message begins."""

_NORMAL: Final = 1000
_POLICY_VIOLATION: Final = 1008
_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: %b\r\n"
)
"""RFC 6455, 4.2.1: what Autobahn must read to open a WebSocket."""
_REASONS: Final = {1007: CloseReason.PARSE_ERROR, 1009: CloseReason.PAYLOAD_TOO_LARGE}
"""Why a session ends when its WebSocket is failed with a code; else it is a
transport error."""


@implementer(IPushProducer)
class WebSocketTransport(LimitedWebSocket):
    """
    A session's WebSocket.

    Attributes:
        name: ``"websocket"``.
        may_move: Always: from here a session moves nowhere.
        close_pending: Never: a goodbye has a time of its own here.
        corked: Never: see ``cork``.
        writable: Whether it is open and the socket takes more.
        buffered: The bytes that wait for the socket.
        receiver: Whom it feeds.
        codec: Reads and writes packets.
        base64: Whether binary goes out as text; the handshake's ``b64=1``.

    """

    name = "websocket"
    may_move = True
    close_pending = False
    corked = False
    _fragments = 0
    # Autobahn's own, which it sets where no type checker looks.
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
        Make a transport that waits for its handshake.

        Args:
            opened: Called once when the WebSocket is open.
            headers: Headers for the answer to the handshake.
            codec: Reads and writes packets.
            base64: See the attribute.
            sends_first: Whether the server speaks first. A client may hear "open" and a
                message before it listens for messages, if both come in one piece (npm's
                ws does): then the answer to the handshake leaves a moment sooner.

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
        Open, after a handshake that has been read and checked.

        Args:
            opening: What of it a WebSocket is opened with.
            rest: What the client sent right behind it.

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
        """Where Autobahn logs: limited in rate, for clients cause its lines."""
        return self.factory.client_log

    @classmethod
    def for_factory(cls, factory: WebSocketFactory) -> type[WebSocketTransport]:
        """
        Give the class of which a factory's transports are.

        Args:
            factory: The factory, with its options set.

        """
        return cls

    def onConnect(self, request: ConnectionRequest) -> Any:
        """Accept: the client was admitted, and its subprotocol chosen."""
        return next(iter(request.protocols), None), self._headers

    def failHandshake(
        self, reason: str, code: int = 400, responseHeaders: Any = None
    ) -> None:
        """Cut the connection: ``begin`` wrote what Autobahn does not understand."""
        # Not Autobahn's own answer, which would be the reason in a status line.
        self.log.error(
            "Autobahn refused a handshake of ours: {reason}", reason=reason[:120]
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
        """Say that it is open, to whom it concerns."""
        early, self._unread = self._unread, None
        self.writable = True
        self._watch_socket()
        self._notify_opened()
        if early:
            self.dataReceived(bytes(early))

    def _watch_socket(self) -> None:
        """Be told when the socket is full."""
        pause_above(self.transport, self.factory.low_water_mark)
        self.transport.registerProducer(self, True)

    def _notify_opened(self) -> None:
        opened = self._opened
        self._forget_handshake()  # it leads to the whole request
        opened(self)

    def _forget_handshake(self) -> None:
        del self._sends_first, self._opened, self._headers

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Feed a whole message to the receiver."""
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
        """Begin to count a message's fragments."""
        self._fragments = 0
        super().onMessageBegin(isBinary)

    def onMessageFrameBegin(self, length: int) -> None:
        """Count a fragment: endless empty ones never reach the size limit."""
        self._fragments += 1
        super().onMessageFrameBegin(length)
        if self._fragments > self.factory.max_fragments and not self.failedByMe:
            self.receiver.limit_reached("max_fragments")
            self._fail_connection(_POLICY_VIOLATION, "too many fragments")
            # The flood goes on: leave it in the socket until the close times out.
            self._stop_reading()

    def onMessageEnd(self) -> None:
        """Deliver a message; Autobahn would call listeners, and there are none."""
        data, self.message_data = bytes(self.message_data), None
        deflate = self._perMessageCompress
        if deflate is not None and deflate.client_no_context_takeover:
            deflate._decompressor = None  # 7 to 40 KB; the next message has its own
        if not self.failedByMe:
            self.onMessage(data, self.message_is_binary)

    def onCloseFrame(self, code: Any, reasonRaw: Any) -> bool | None:
        """Let Autobahn answer a close frame, and tell the receiver."""
        failed = super().onCloseFrame(code, reasonRaw)
        self._lost(CloseReason.TRANSPORT_CLOSE)
        return failed

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Hear that the connection is gone, with or without a close frame."""
        self._lost(CloseReason.TRANSPORT_CLOSE)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancel its timers, and tell the receiver."""
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
        # Of a compressed message Autobahn unpacks the limit and no more.
        self.factory.too_large(PayloadTooLarge(max(size, limit + 1), limit))
        self._fail_connection(1009, reason)

    def _fail_connection(self, code: int = 1001, reason: str = "going away") -> None:
        """Close with a code and no reason: RFC 6455, 7.1.7, and the reference."""
        if self.state == self.STATE_OPEN:
            self.failedByMe = True
            if self._isMessageCompressed or code == 1007:
                # The rest of the message is skipped. Else each read of it was inflated,
                # and a second broken rule: no close frame would be waited for.
                self._isMessageCompressed = False
                self.utf8validateIncomingCurrentMessage = False
            self.sendCloseFrame(code=code)
            self._lost(_REASONS.get(code, CloseReason.TRANSPORT_ERROR))
        elif self.state == self.STATE_CLOSING:
            # A second broken rule: no close frame is to be expected. Autobahn would
            # write two lines to the log for each client that does it.
            self.failedByMe = True
            self.state = self.STATE_CLOSED
            self.unregisterProducer()
            self._closeConnection()

    def _lost(self, reason: CloseReason) -> None:
        self.writable = False
        self.receiver.fail(reason)

    # The TCP transport's side.

    def pauseProducing(self) -> None:
        """Write no more: the socket is full."""
        self.writable = False

    def resumeProducing(self) -> None:
        """Write again, if it is still open."""
        if self.state == self.STATE_OPEN:
            self.writable = True
            self._answer_ping()
            self.receiver.transport_ready()

    def stopProducing(self) -> None:
        """Write no more: the connection is gone; ``connectionLost`` says the rest."""
        self.writable = False

    # The session's side.

    @property
    def buffered(self) -> int:
        """The bytes that were written and that the socket has not taken."""
        return unsent(self.transport)

    def send(self, item: Outgoing) -> None:
        """Write one packet or message as a frame."""
        data = item.data if isinstance(item, Encoded) else item
        # Not sendMessage: its limit, meant for what comes in, holds for what goes out.
        compress = not isinstance(item, Encoded) or item.compress
        if isinstance(data, bytes) and not self.base64:
            frame = self.codec.BINARY_PREFIX + data
            self._send_frame(self.MESSAGE_TYPE_BINARY, frame, compress)
        elif isinstance(data, Packet) and data.type is PacketType.CLOSE:
            # A WebSocket has a goodbye of its own, and the reference says only that.
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
            deflate._compressor = None  # some 260 KB, likewise
        self.sendFrame(opcode=opcode, payload=body, rsv=4)

    def close_with(self, code: int, message: str) -> None:
        """
        Close the connection with a code and a message that a browser's page can read.

        Args:
            code: From 4000 to 4999.
            message: Why.

        """
        self.writable = False
        self.sendClose(code, message)

    def flush(self, outbox: SendQueue) -> None:
        """Write what is queued, until the socket is full."""
        while outbox and self.writable:
            self.send(outbox.popleft())

    def cork(self) -> bool:
        """Hold nothing back: each frame is a write of its own here."""
        return False

    def uncork(self) -> None:
        """Send nothing: nothing was held back."""

    def take_over(self, *, pinged: bool) -> None:
        """Do nothing: a pong is a pong."""

    def prepare_upgrade(self) -> None:
        """Do nothing: from here a session moves nowhere."""

    def cancel_upgrade(self) -> None:
        """Do nothing: it was not let go."""

    def retire(self) -> None:
        """Give way to another transport."""
        self.abandon(CloseReason.TRANSPORT_CLOSE)

    def abandon(self, reason: CloseReason) -> None:
        """Close the connection: the session is over, or will not have it."""
        self.receiver = NULL_RECEIVER
        self.writable = False
        self.resume()  # the client's own goodbye is still to be read, or its TLS's
        if self.state != self.STATE_OPEN:
            return
        if reason is CloseReason.SLOW_CLIENT:
            # It reads nothing: it would not read a close frame either.
            self._abort_now()
            return
        if reason is CloseReason.RATE_EXCEEDED:
            self.sendCloseFrame(code=_POLICY_VIOLATION)
        else:
            self.sendClose(_NORMAL)
        if reason in (CloseReason.PING_TIMEOUT, CloseReason.RATE_EXCEEDED):
            # It answers nothing, or sends without end: no answer is waited for. Not the
            # transport's loseConnection: TLS drops what is written after that.
            self.unregisterProducer()
            self._closeConnection()

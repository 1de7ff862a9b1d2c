"""
The fast path for complete frames: parsing and writing them without Autobahn.

Rules of this file:

1. The fast path handles complete, final, masked, uncompressed data frames that are
   within the limit, and complete control frames between two messages. From the first
   byte of anything else, data goes to Autobahn, until Autobahn is between two messages
   again.
2. It is optional: ``WebSocketTransport`` does the same with more calls.
   ``tests/transports/test_frames.py`` feeds both the same bytes and compares.
3. Frames that are written while data is read, or while the server corks, are sent
   together.
4. The attributes of Autobahn and Twisted that it uses are listed in ``AUTOBAHN`` and
   ``TWISTED``, and a test asserts that they still exist.

Driven like ``limits.py`` and ``transport.py``, whose methods it overrides.

RFC 6455, 5.2; measured: an echo makes six Python calls here, and ninety-five without.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from autobahn.websocket import xormasker
from twisted.internet import tcp, unix
from twisted.internet.protocol import connectionDone

from ...exceptions import CloseReason
from ...protocol.packet import Encoded, Outgoing, Packet, PacketType
from .low_memory import LowMemoryWebSocketTransport
from .transport import WebSocketTransport

__all__ = ["AUTOBAHN", "TWISTED", "FastWebSocketTransport"]

AUTOBAHN: Final = (
    "state",
    "data",
    "current_frame",
    "inside_message",
    "failedByMe",
    "wasClean",
    "_connectionMade",
    "_connectionLost",
    "_onOpen",
    "CONFIG_ATTRS",
)
"""Attributes of Autobahn's ``WebSocketServerProtocol`` that the fast path uses."""

TWISTED: Final = ("TLS", "dataBuffer", "_tempDataBuffer", "producer", "disconnecting")
"""Attributes of a TCP or UNIX transport that it reads, to check that no data is unsent;
it also sets the last, when it closes one without unsent data."""

_from_bytes: Final = int.from_bytes
_masker: Final[Any] = xormasker.create_xor_masker  # type: ignore[attr-defined]
_KINDS: Final = (0x81, 0x82)
"""First bytes of data frames of the fast path: FIN, no reserved bit, text or binary."""
_PINGS: Final = (0x89, 0x8A)
"""First bytes of its control frames: FIN, ping or pong."""
_OPEN: Final = WebSocketTransport.STATE_OPEN
_SMALL_MASK: Final = 1536
"""Bytes up to which Python's integers unmask faster than Autobahn's C: the C takes 2.3
microseconds to set up, the integers 1.6 per 1,000 bytes."""

_STRIDE: Final = 1024
"""Bytes of small frames that are handled between two reads of the clock."""

_MAX_HELD: Final = 64
_MAX_HELD_BYTES: Final = 16_384
"""Maximum number of corked frames, and of their bytes in total."""
_SMALL_FRAME: Final = _MAX_HELD_BYTES // _MAX_HELD
"""Bytes of a frame up to which only the number of frames is checked."""

_TEXT: Final = [bytes((0x81, length, 0x34)) for length in range(126)]
"""The header of a small text message by its length: FIN and text, length, ``4``."""
_CLOSE_CODES: Final = (1000 & 0xFF, 1001 & 0xFF)
"""Low bytes of the codes with which browsers close or leave; the high byte is 3."""
_CLOSE_REPLY: Final = b"\x88\x02\x03\xe8"
"""The close frame that Autobahn replies: code 1000."""
_MORE: Final[int] = getattr(socket, "MSG_MORE", 0)
"""On Linux, sends the last data in one segment with the FIN."""
_BINARY: Final = [bytes((0x82, length)) for length in range(126)]


def head(kind: int, length: int) -> bytes:
    """
    Encode the header of a final, unmasked frame.

    RFC 6455, 5.2.

    Args:
        kind: 1 for text, 2 for binary.
        length: The length of the payload, in bytes.

    """
    if length < 126:
        return bytes((0x80 | kind, length))
    if length < 65536:
        return bytes((0x80 | kind, 126)) + length.to_bytes(2, "big")
    return bytes((0x80 | kind, 127)) + length.to_bytes(8, "big")


def unmask(payload: bytes, mask: bytes) -> bytes:
    """
    Remove a client's mask.

    RFC 6455, 5.3.

    Args:
        payload: The masked payload.
        mask: The masking key, four bytes.

    """
    length = len(payload)
    if length > _SMALL_MASK:
        unmasked: bytes = _masker(mask, length).process(payload)
        return unmasked
    masks = int.from_bytes((mask * ((length >> 2) + 1))[:length], "little")
    return (int.from_bytes(payload, "little") ^ masks).to_bytes(length, "little")


class FastWebSocketTransport(LowMemoryWebSocketTransport):
    """A session's WebSocket, with a fast path for common frames."""

    _held: list[bytes] | None  # frames to send together; None unless corked
    _begun: bytearray | None  # an incomplete frame
    _lacking = 0  # minimum number of bytes that it lacks
    _between: bool  # whether Autobahn is between two messages
    _socket: socket.socket | None = None  # of a plain transport
    _bare: bool  # whether a binary message is sent as a frame without a prefix
    _small: int  # the largest payload, in bytes, whose length is one byte

    def connectionMade(self) -> None:
        """Initialize a connection."""
        super().connectionMade()
        # On the instance, unlike other initial values: these are read for each message,
        # and Python finds instance attributes ten times as fast.
        self._begun = self._held = self._unread = self._pinged = None
        self._between = True
        self._bare = not (self.base64 or self.codec.BINARY_PREFIX)
        self._small = min(self.maxMessagePayloadSize, 125)
        transport = self.transport
        if type(transport) in (tcp.Server, unix.Server) and not transport.TLS:
            self._socket = transport.getHandle()
            self.factory.descriptors.take(transport)

    # Reading.

    def dataReceived(self, data: bytes) -> None:  # noqa: C901  the message path
        """Handle frames for a time slice; write what is sent meanwhile together."""
        if self._begun is not None:
            self._begun += data
            self._lacking -= len(data)
            if self._lacking > 0:
                return
            data = bytes(self._begun)
            self._begun = None
        corked = self._held is not None
        if not corked:
            self._held = []
        position, end = 0, len(data)
        until = 0.0  # the end of the time slice; most reads need none
        if self._unread is not None:
            self._unread += data
            position = end
        while position < end:  # once, for most reads
            began = position
            if self._between and self.state == _OPEN:
                # The message path: small messages are parsed inline, in this call.
                # Other frames go to _read, and those it rejects to Autobahn.
                small = self._small
                last = (end if end - position <= _STRIDE else position + _STRIDE) - 6
                while position < last:
                    kind = data[position]
                    start = position + 6
                    length = data[position + 1] - 0x80
                    stop = start + length
                    if not 0 < length <= small or stop > end:
                        break
                    mask = data[position + 2 : start]
                    payload = (
                        _from_bytes(data[start:stop], "little")
                        ^ _from_bytes((mask * 32)[:length], "little")
                    ).to_bytes(length, "little")
                    if kind == 0x81 and payload[0] == 0x34 and payload.isascii():
                        self.receiver.receive(payload[1:].decode())
                    elif kind == 0x82 and self._bare:
                        self.receiver.receive(payload)
                    else:
                        break
                    position = stop
                if position == end:
                    break
                if position < last or end - position <= 6:
                    position = self._read(data, position)
            if position == began:
                position = self._feed(data, position)
            if position < end:
                if not until:
                    until = self.factory.slices.begin()
                elif self.factory.slices.is_over(until):
                    position = self._read_later(data, position)
        if self._pinged is not None:
            self._answer_ping()
        if not corked:
            held, self._held = self._held, None
            if held:
                self._write(held[0] if len(held) == 1 else b"".join(held))

    def _feed(self, data: bytes, position: int) -> int:
        """Pass data to Autobahn, until it is between two messages again: rule 1."""
        position = super()._feed(data, position)
        self._between = (
            not self.data
            and not self.inside_message
            and self.current_frame is None
            and not self.failedByMe
        )
        return position

    def _read(self, data: bytes, position: int) -> int:  # noqa: C901  likewise
        """
        Parse some complete frames of any size.

        Returns:
            The position after them; unchanged if the first is not for the fast path.

        """
        end = len(data)
        limit = position + _STRIDE
        while position < end and position < limit:
            if data[position] == 0x88 and self._answer_close(data, position):
                return end
            if 0x88 <= data[position] <= 0x8A:
                beyond = self._read_control(data, position, limit)
                if beyond == position:
                    return position
                position = beyond
                continue
            start, length = self._frame_at(data, position)
            stop = start + length
            if length < 0:
                return position
            if stop > end:
                self._begun = bytearray(data[position:])
                # After one byte it is unknown whether the frame is masked.
                self._lacking = stop - end if end - position > 1 else 1
                return end
            payload = unmask(data[start:stop], data[start - 4 : start])
            if data[position] == 0x82:
                if self._bare:
                    self.receiver.receive(payload)
                else:
                    self.onMessage(payload, True)
            else:
                is_message = payload[:1] == b"4"
                try:
                    text = payload[1:].decode() if is_message else payload.decode()
                except UnicodeDecodeError:
                    return position  # Autobahn closes the connection with 1007
                if is_message:
                    self.receiver.receive(text)
                else:
                    self.onMessage(payload, False)
            position = stop
        return position

    def _read_control(self, data: bytes, position: int, limit: int) -> int:
        """
        Parse complete pings and pongs.

        Handling a flood of them must cost less than sending it: of the pings only the
        last is unmasked, for only that one is answered.

        Returns:
            The position after them.

        """
        end, ping, count = len(data), b"", 0
        while position < limit and end - position >= 6:
            kind, length = data[position], data[position + 1] - 0x80
            stop = position + 6 + length
            if kind not in _PINGS or not 0 <= length <= 125 or stop > end:
                break
            if kind == 0x89:
                ping = data[position:stop]
            position = stop
            count += 1
        if ping:
            self._pinged = unmask(ping[6:], ping[2:6])
        if self._pinged is not None and position < end and data[position] not in _PINGS:
            self._answer_ping()
        if count:
            self.receiver.control_frames(count)
        return position

    def _frame_at(self, data: bytes, position: int) -> tuple[int, int]:
        """
        Parse the header of a frame.

        Returns:
            The start of its payload, and its length; a negative length if it is not for
            the fast path. If the header is incomplete, a start beyond the data.

        """
        if data[position] not in _KINDS:
            return 0, -1
        short = data[position + 1] if len(data) - position > 1 else 0x80
        start = position + 6
        length = short - 0x80
        if short < 0x80:
            return 0, -1  # not masked
        if length > 125:
            size, least = (2, 126) if length == 126 else (8, 65536)
            start += size
            if start > len(data):
                return start, 0
            length = _from_bytes(data[position + 2 : position + 2 + size], "big")
            if length < least:
                return 0, -1  # not the shortest form
        limit: int = self.maxMessagePayloadSize
        return (start, length) if length <= limit else (0, -1)

    def _answer_close(self, data: bytes, position: int) -> bool:
        """Reply to a close frame as browsers send it; return whether it was one."""
        frame = data[position : position + 8]
        if frame[1:2] != b"\x82" or len(frame) < 8 or self.state != _OPEN:
            return False
        if frame[6] ^ frame[2] != 3 or frame[7] ^ frame[3] not in _CLOSE_CODES:
            return False
        # The same steps as Autobahn's, in its order.
        self.wasClean = True
        self.sendData(_CLOSE_REPLY)
        self.transport.unregisterProducer()
        self.state = self.STATE_CLOSED
        self._closeConnection()
        self._lost(CloseReason.TRANSPORT_CLOSE)
        return True

    # Writing.

    def send(self, item: Outgoing) -> None:
        """Write one packet or message as a frame."""
        if type(item) is str:
            payload = item.encode()
            length = len(payload) + 1
            if length < 126:
                frame = _TEXT[length] + payload
            else:
                frame = head(1, length) + b"4" + payload
        elif type(item) is bytes and self._bare:
            length = len(item)
            frame = (_BINARY[length] if length < 126 else head(2, length)) + item
        elif isinstance(item, Encoded) and self._bare:
            if item.frame is None:
                item.frame = self._frame_of(item.data)
            frame = item.frame
        elif isinstance(item, Packet) and item.type is not PacketType.CLOSE:
            payload = self.codec.encode_packet(item).encode()
            frame = head(1, len(payload)) + payload
        else:
            super().send(item)
            return
        held = self._held
        if held is None:
            self._write(frame)
            return
        held.append(frame)
        if len(held) > _MAX_HELD or (
            len(frame) > _SMALL_FRAME
            and len(held) > 1
            and sum(map(len, held)) > _MAX_HELD_BYTES
        ):
            # Write now: else a full socket would not make the transport unwritable.
            self.uncork()
            self._held = []

    def _frame_of(self, data: str | bytes) -> bytes:
        if isinstance(data, bytes):
            return head(2, len(data)) + data
        payload = b"4" + data.encode()
        return head(1, len(payload)) + payload

    def sendData(
        self, data: bytes, sync: bool = False, chopsize: int | None = None
    ) -> None:
        """Write Autobahn's data, in order with corked frames."""
        if self._held is not None:
            self._held.append(data)
        else:
            self._write(data)

    def _write(self, data: bytes, flags: int = 0) -> None:
        """Write data: directly to the socket if no data is unsent."""
        transport = self.transport
        if self._socket is not None:
            if not (
                transport.disconnecting
                or transport.dataBuffer
                or transport._tempDataBuffer
            ):
                try:
                    sent = self._socket.send(data, flags)
                except OSError:
                    sent = 0  # full, broken or closed: the transport handles it
                if sent == len(data):
                    return
                data = data[sent:]
            if transport.producer is None and self.state == _OPEN:
                super()._watch_socket()
        transport.write(data)

    def _watch_socket(self) -> None:
        """Do nothing for a plain socket: it is registered once data is unsent."""
        if self._socket is None:
            super()._watch_socket()

    @property
    def buffered(self) -> int:
        """Bytes that wait for the socket, or for the end of the turn."""
        return super().buffered + sum(map(len, self._held or ()))

    def cork(self) -> bool:
        """Buffer frames from now on; return False if they already are."""
        if self._held is not None:
            return False
        self._held = []
        return True

    def uncork(self, flags: int = 0) -> None:
        """Write the buffered frames, in one piece."""
        held, self._held = self._held, None
        if held:
            self._write(held[0] if len(held) == 1 else b"".join(held), flags)

    def _closeConnection(self, abort: bool = False) -> None:
        if self._held:
            self.uncork(0 if abort else _MORE)
            self._held = []
        transport = self.transport
        if (
            abort
            or self._socket is None
            or transport.dataBuffer
            or transport._tempDataBuffer
        ):
            super()._closeConnection(abort)
            return
        # As loseConnection, which would first wait until the socket is writable, though
        # no data is unsent: that takes four system calls.
        transport.disconnecting = True
        self.factory.closing.begin(self._disconnect)

    def _disconnect(self) -> None:
        self.transport.connectionLost(connectionDone)

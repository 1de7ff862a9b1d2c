"""
HTTP long-polling: a GET waits for packets, a POST delivers them.

Rules of this file:

1. At most one GET waits; a second one ends the session. POSTs: see ``http_post.py``.
2. A request is forgotten the moment it is answered or lost; nothing is written to one
   whose client has gone.
3. While a POST is read nothing is written, so that all its replies leave in one answer.
4. An answer is buffered until the socket of its connection has taken it: a client may
   poll on a new connection each time, and read nothing on any.

Driven by the resource (``poll``, ``post``), by the site where it is ours (``begin``,
``discard_post``), and by the session.

Engine.IO protocol v4, "HTTP long-polling".
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any, Final

from twisted.python.failure import Failure
from twisted.web.http import Request

from ..exceptions import CloseReason
from ..policy.compression import choose_coding, compress, compress_once
from ..protocol.codec import Codec
from ..protocol.packet import Encoded, Outgoing, Packet, PacketType
from ..session.interfaces import NULL_RECEIVER
from ..session.send_queue import SendQueue
from .http_post import PostingTransport
from .http_response import BINARY, PLAIN, answer
from .packed_headers import pack
from .write_buffer import unsent

if TYPE_CHECKING:
    from ..config import Config

__all__ = ["PollingTransport"]

_COUNTED: Final = 512
"""Bytes of an answer from which on it is buffered until its socket has taken it."""
_APART: Final = 16_384
"""Bytes of a broadcast from which on it does not share an answer with messages that are
not: to compress it for each client would take longer than another poll."""
_CLOSE: Final = Packet(PacketType.CLOSE)
_NOOP: Final = Packet(PacketType.NOOP)


class PollingTransport(PostingTransport):
    """
    A session's polling requests.

    Attributes:
        name: ``"polling"``.
        close_pending: Never: a goodbye goes alone, or behind little.
        may_move: Always: whatever GET waits is answered when the client moves.
        writable: Whether a GET waits and no POST is being read.
        receiver: Whom it feeds.

    """

    __slots__ = ("_answered", "_binary", "_config", "_get")

    name = "polling"
    close_pending = False
    may_move = True

    def __init__(self, codec: Codec, config: Config, *, binary: bool = True) -> None:
        """
        Make a transport without a request.

        Args:
            codec: Reads and writes payloads.
            config: How much goes into one answer, and what is compressed.
            binary: Whether the client takes binary payloads, where there are any.

        """
        super().__init__(codec, config.max_packets)
        self._config = config
        self._binary = binary
        self._get: Request | None = None
        # Bytes of answers, by the connection that has not sent all of them.
        self._answered: dict[Any, int] = {}

    # The resource's side.

    def poll(self, request: Request) -> None:
        """
        Let a GET wait until there is something to send.

        Args:
            request: The GET; it is answered at once if another waits.

        """
        if self._get is not None:
            self.receiver.fail(CloseReason.TRANSPORT_ERROR)
            answer(request, 400, PLAIN, b"")
            return
        self._get = request
        request.notifyFinish().addBoth(self._over, request)
        self.writable = True
        self.receiver.transport_ready()
        if self._get is request:
            pack(request)

    # The session's side.

    @property
    def buffered(self) -> int:
        """The bytes of answers that no socket has taken."""
        if not self._answered:
            return 0
        self._forget_sent()
        return sum(self._answered.values())

    def _forget_sent(self) -> None:
        # What else the connection has to send is not ours: another page, say.
        left = {
            connection: min(size, unsent(connection))
            for connection, size in self._answered.items()
        }
        self._answered = {each: size for each, size in left.items() if size}

    @property
    def corked(self) -> bool:
        """Whether a GET waits for a POST to be read."""
        return self._get is not None and not self.writable

    def send(self, item: Outgoing) -> None:
        """Answer the waiting GET with one packet."""
        self._answer([item])

    def flush(self, outbox: SendQueue) -> None:
        """Answer the waiting GET with as much as one answer takes."""
        config = self._config
        apart = _APART if config.http_compression else inf
        self._answer(outbox.take(config.max_payload, config.low_water_mark, apart))

    def cork(self) -> bool:
        """Let the GET wait, so that what is sent leaves in one answer."""
        corked, self.writable = self.writable, False
        return corked

    def uncork(self) -> None:
        """Answer the GET, if it is still there."""
        self.writable = self._get is not None
        self.receiver.transport_ready()

    def take_over(self, *, pinged: bool) -> None:
        """Do nothing: no session moves to polling."""

    def prepare_upgrade(self) -> None:
        """Let the waiting GET go: the client has paused its polling, or is about to."""
        self._answer([_NOOP])

    def cancel_upgrade(self) -> None:
        """Go on as before: the next GET waits again."""

    def retire(self) -> None:
        """Let the waiting GET go: the session has moved."""
        self._leave(_NOOP)

    def abandon(self, reason: CloseReason) -> None:
        """Let the waiting GET go: the session is over."""
        # A client that closed has no use for a close packet; the reference answers so.
        self._leave(_NOOP if reason is CloseReason.TRANSPORT_CLOSE else _CLOSE)

    def _leave(self, last: Packet) -> None:
        self.receiver = NULL_RECEIVER
        if self._get is not None:
            self._answer([last])
        self.resume()

    def _answer(self, items: list[Outgoing]) -> None:
        kind, body = self._payload(items)
        request, self._get = self._get, None
        self.writable = False
        assert request is not None  # only called while writable
        config = self._config
        if config.http_compression and len(body) >= config.http_compression_threshold:
            body = _compressed(request, body, items)
        connection = request.transport or request.channel  # a stream of HTTP/2
        answer(request, 200, kind, body)
        # What is small has room in a socket, or waits behind what counts.
        if len(body) >= _COUNTED and unsent(connection):
            self._forget_sent()
            size = self._answered.get(connection, 0) + len(body)
            self._answered[connection] = size

    # The dressing: what JSONP does otherwise.

    def _payload(self, items: list[Outgoing]) -> tuple[bytes, bytes]:
        """Write an answer's content type and body."""
        # A client learns with the open packet that it is understood: that is text.
        opens = isinstance(items[0], Packet) and items[0].type is PacketType.OPEN
        binary = self._binary and not opens
        body, binary = self._codec.encode_payload(items, binary=binary)
        return BINARY if binary else PLAIN, body

    def _over(self, result: Failure | None, request: Request) -> None:
        """Hear that a GET is over; one that still waits has lost its client."""
        if request is self._get:
            self._get = None
            self.writable = False
            self.receiver.fail(CloseReason.TRANSPORT_ERROR)


def _compressed(request: Request, body: bytes, items: Iterable[Outgoing]) -> bytes:
    """Compress a body if the client takes that, and not all in it is to be plain."""
    if all(isinstance(item, Encoded) and not item.compress for item in items):
        return body
    if request.responseHeaders.hasHeader(b"Content-Encoding"):
        return body  # somebody around us does it
    request.responseHeaders.addRawHeader(b"Vary", b"Accept-Encoding")
    accepted = request.getHeader(b"accept-encoding") or b""
    coding = choose_coding(accepted.decode("latin-1"))
    if coding is None:
        return body
    request.setHeader(b"Content-Encoding", coding.encode())
    shared = _shared_by(items)
    if shared is None:
        return compress(body, coding)
    return compress_once(body, coding, shared.compressed)


def _shared_by(items: Iterable[Outgoing]) -> Encoded | None:
    """Return the last message of an answer that others may get; None if none may."""
    last = None
    for item in items:
        if isinstance(item, Encoded) and item.compress:
            last = item
        elif not isinstance(item, Packet) or item.type is PacketType.OPEN:
            return None
    return last

"""
HTTP long-polling: a GET waits for packets, a POST delivers them.

Rules of this file:

1. At most one GET waits; a second one ends the session. For POSTs see ``http_post.py``.
2. A request is dropped as soon as it is answered or lost; nothing is written to one
   whose client has disconnected.
3. While a POST is handled nothing is written, so that all replies are sent in one
   answer.
4. An answer counts as buffered until the socket of its connection has taken it: a
   client may poll on a new connection each time, and read nothing on any.

Driven by the resource (``poll``, ``post``), by our own site (``begin``,
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

_COUNT_FROM: Final = 512
"""Bytes of an answer from which on it counts as buffered until its socket has taken
it."""
_SEPARATE_FROM: Final = 16_384
"""Bytes of a broadcast from which on it does not share an answer with other messages:
compressing it for each client would take longer than another poll."""
_CLOSE: Final = Packet(PacketType.CLOSE)
_NOOP: Final = Packet(PacketType.NOOP)


class PollingTransport(PostingTransport):
    """
    A session's polling requests.

    Driven by the resource, the site and the session.

    Attributes:
        name: ``"polling"``.
        close_pending: Always False: a close packet is sent alone, or after little data.
        may_move: Always True: the waiting GET is answered when the client upgrades.
        writable: Whether a GET waits and no POST is being handled.
        receiver: The recipient of received packets.

    """

    __slots__ = ("_answered", "_binary", "_config", "_get")

    name = "polling"
    close_pending = False
    may_move = True

    def __init__(self, codec: Codec, config: Config, *, binary: bool = True) -> None:
        """
        Make a transport without a request.

        Args:
            codec: Parses and encodes payloads.
            config: The limits of an answer, and what is compressed.
            binary: Whether the client accepts binary payloads, if the revision has
                them.

        """
        super().__init__(codec, config.max_packets)
        self._config = config
        self._binary = binary
        self._get: Request | None = None
        # Bytes of unsent answers, by connection.
        self._answered: dict[Any, int] = {}

    # The resource's side.

    def poll(self, request: Request) -> None:
        """
        Keep a GET until there is something to send.

        Args:
            request: The GET; it is refused at once if another waits.

        """
        if self._get is not None:
            self.receiver.fail(CloseReason.TRANSPORT_ERROR)
            answer(request, 400, PLAIN, b"")
            return
        self._get = request
        request.notifyFinish().addBoth(self._over, request)
        self.writable = True
        self.receiver.transport_ready()
        if self._get is request:  # not answered from the queue
            pack(request)

    # The session's side.

    @property
    def buffered(self) -> int:
        """Bytes of answers that no socket has taken."""
        if not self._answered:
            return 0
        self._forget_sent()
        return sum(self._answered.values())

    def _forget_sent(self) -> None:
        # The connection may have more unsent data, of other resources.
        left = {
            connection: min(size, unsent(connection))
            for connection, size in self._answered.items()
        }
        self._answered = {each: size for each, size in left.items() if size}

    @property
    def corked(self) -> bool:
        """Whether a GET waits until a POST is handled."""
        return self._get is not None and not self.writable

    def send(self, item: Outgoing) -> None:
        """Answer the waiting GET with one packet."""
        self._answer([item])

    def flush(self, outbox: SendQueue) -> None:
        """Answer the waiting GET with as many items as one answer may hold."""
        config = self._config
        separate_from = _SEPARATE_FROM if config.http_compression else inf
        self._answer(
            outbox.take(config.max_payload, config.low_water_mark, separate_from)
        )

    def cork(self) -> bool:
        """Keep the GET waiting, so that all that is sent leaves in one answer."""
        corked, self.writable = self.writable, False
        return corked

    def uncork(self) -> None:
        """Make the transport writable if the GET is still waiting."""
        self.writable = self._get is not None
        self.receiver.transport_ready()

    def take_over(self, *, pinged: bool) -> None:
        """Do nothing: no session upgrades to polling."""

    def prepare_upgrade(self) -> None:
        """Answer the waiting GET with a noop: the client stops polling to upgrade."""
        self._answer([_NOOP])

    def cancel_upgrade(self) -> None:
        """Do nothing: the next GET waits again."""

    def retire(self) -> None:
        """Answer the waiting GET with a noop: the session has upgraded."""
        self._leave(_NOOP)

    def abandon(self, reason: CloseReason) -> None:
        """Answer the waiting GET: the session is over."""
        # A client that closed needs no close packet; the reference sends a noop, too.
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
        # A small answer fits into the socket, or waits after one that is counted.
        if len(body) >= _COUNT_FROM and unsent(connection):
            self._forget_sent()
            size = self._answered.get(connection, 0) + len(body)
            self._answered[connection] = size

    # Encoding; overridden for JSONP.

    def _payload(self, items: list[Outgoing]) -> tuple[bytes, bytes]:
        """Return an answer's content type and body."""
        # From the open packet the client learns that its revision is accepted: it is
        # always text.
        opens = isinstance(items[0], Packet) and items[0].type is PacketType.OPEN
        binary = self._binary and not opens
        body, binary = self._codec.encode_payload(items, binary=binary)
        return BINARY if binary else PLAIN, body

    def _over(self, result: Failure | None, request: Request) -> None:
        """Called when a GET is over; one that was still waiting lost its client."""
        if request is self._get:
            self._get = None
            self.writable = False
            self.receiver.fail(CloseReason.TRANSPORT_ERROR)


def _compressed(request: Request, body: bytes, items: Iterable[Outgoing]) -> bytes:
    """Compress a body if the client accepts that and not all items opt out."""
    if all(isinstance(item, Encoded) and not item.compress for item in items):
        return body
    if request.responseHeaders.hasHeader(b"Content-Encoding"):
        return body  # a resource that wraps ours compresses it
    request.responseHeaders.addRawHeader(b"Vary", b"Accept-Encoding")
    accepted = request.getHeader(b"accept-encoding") or b""
    coding = choose_coding(accepted.decode("latin-1"))
    if coding is None:
        return body
    request.setHeader(b"Content-Encoding", coding.encode())
    shared = _shared_message(items)
    if shared is None:
        return compress(body, coding)
    return compress_once(body, coding, shared.compressed)


def _shared_message(items: Iterable[Outgoing]) -> Encoded | None:
    """Return the last message of an answer that other clients may get, or ``None``."""
    last = None
    for item in items:
        if isinstance(item, Encoded) and item.compress:
            last = item
        elif not isinstance(item, Packet) or item.type is PacketType.OPEN:
            return None
    return last

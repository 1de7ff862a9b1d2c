"""
HTTP long-polling: a GET waits for packets, a POST delivers them.

Rules of this file:

1. At most one GET waits and one POST is in progress; a second of either ends the
   session.
2. A request is forgotten the moment it is answered or lost; nothing is written to one
   whose client has gone.
3. While a POST is read nothing is written, so that all its replies leave in one answer.

Driven by the resource (``poll``, ``post``), by the site where it is ours (``begin``,
``break_off``), and by the session.

Engine.IO protocol v4, "HTTP long-polling".
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from twisted.python.failure import Failure
from twisted.web.http import Request

from ..answer import BINARY, HTML, PLAIN, answer
from ..codecs import Codec
from ..compression import choose_coding, compress
from ..exceptions import CloseReason, InvalidPacket
from ..outbox import Outbox
from ..packet import Encoded, Outgoing, Packet, PacketType
from ..transport import NOBODY, Receiver

if TYPE_CHECKING:
    from ..config import Config

__all__ = ["PollingTransport"]

_CLOSE: Final = Packet(PacketType.CLOSE)
_NOOP: Final = Packet(PacketType.NOOP)


class Stage(enum.Enum):
    """How far the POST in progress has come."""

    ARRIVING = "arriving"
    READING = "reading"
    READ = "read"


class PollingTransport:
    """
    A session's polling requests.

    Attributes:
        name: ``"polling"``.
        writable: Whether a GET waits and no POST is being read.
        receiver: Whom it feeds.

    """

    __slots__ = (
        "_binary",
        "_busy",
        "_codec",
        "_config",
        "_get",
        "_post",
        "_stage",
        "receiver",
        "writable",
    )

    name = "polling"

    def __init__(self, codec: Codec, config: Config, *, binary: bool = True) -> None:
        """
        Make a transport without a request.

        Args:
            codec: Reads and writes payloads.
            config: How much goes into one answer, and what is compressed.
            binary: Whether the client takes binary payloads, where there are any.

        """
        self.receiver: Receiver = NOBODY
        self.writable = False
        self._codec = codec
        self._config = config
        self._binary = binary
        self._get: Request | None = None
        self._post: Request | None = None
        self._stage = Stage.ARRIVING
        self._busy = False  # the application's state, not this file's: it says so

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

    def post(self, request: Request, body: bytes) -> None:
        """
        Deliver the packets of a POST, and answer it once they are taken.

        Args:
            request: The POST; it is answered at once if another is in progress.
            body: Its whole body.

        """
        if self._post is not request:
            if self._post is not None:
                self.receiver.fail(CloseReason.TRANSPORT_ERROR)
                answer(request, 400, PLAIN, b"")
                return
            self.begin(request)
        self.cork()
        self._stage = Stage.READING
        good = self._read(request, body)
        self._stage = Stage.READ
        if not good:
            self._post = None
            self.receiver.fail(CloseReason.PARSE_ERROR)
            answer(request, 400, PLAIN, b"")
        elif not self._busy:
            self._take()
        self.uncork()

    def _read(self, request: Request, body: bytes) -> bool:
        """Feed the packets to the receiver; tell whether all could be read."""
        kind = request.getHeader(b"content-type") or b""
        binary = kind.lower().startswith(b"application/octet-stream")
        try:
            for item in self._packets(body, binary):
                if isinstance(item, Packet):
                    self.receiver.receive_packet(item)
                else:
                    self.receiver.receive(item)
        except InvalidPacket:
            return False
        return True

    # The site's side.

    def begin(self, request: Request) -> None:
        """
        See a POST begin to arrive.

        Args:
            request: The POST, its body still to come.

        """
        if self._post is not None:
            self.receiver.fail(CloseReason.TRANSPORT_ERROR)
        else:
            self._post = request
            self._stage = Stage.ARRIVING
            request.notifyFinish().addBoth(self._over, request)

    def break_off(self, request: Request) -> None:
        """
        Forget a POST that will not come to its end, though its client is there.

        Args:
            request: The POST, refused.

        """
        if self._post is request:
            self._post = None

    # The session's side.

    def send(self, item: Outgoing) -> None:
        """Answer the waiting GET with one packet."""
        self._answer([item])

    def flush(self, outbox: Outbox) -> None:
        """Answer the waiting GET with as much as one answer takes, one at least."""
        start = outbox.size
        items = [outbox.popleft()]
        while outbox and start - outbox.size < self._config.max_payload:
            items.append(outbox.popleft())
        self._answer(items)

    def cork(self) -> bool:
        """Let the GET wait, so that what is sent leaves in one answer."""
        corked, self.writable = self.writable, False
        return corked

    def uncork(self) -> None:
        """Answer the GET, if it is still there."""
        self.writable = self._get is not None
        self.receiver.transport_ready()

    def retire(self) -> None:
        """Let the waiting GET go: the session has moved."""
        self._leave(_NOOP)

    def abandon(self, reason: CloseReason) -> None:
        """Let the waiting GET go: the session is over."""
        # A client that closed has no use for a close packet; the reference answers so.
        self._leave(_NOOP if reason is CloseReason.TRANSPORT_CLOSE else _CLOSE)

    def pause(self) -> None:
        """Hold the POST that is being read, or the next."""
        self._busy = True

    def resume(self) -> None:
        """Answer the POST that was held."""
        self._busy = False
        if self._stage is Stage.READ:
            self._take()

    def _take(self) -> None:
        request, self._post = self._post, None
        if request is not None:
            answer(request, 200, HTML, b"ok")

    def _leave(self, last: Packet) -> None:
        self.receiver = NOBODY
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
        answer(request, 200, kind, body)

    # The dressing: what JSONP does otherwise.

    def _packets(self, body: bytes, binary: bool) -> Iterator[str | bytes | Packet]:
        """Read the packets of a POST's body."""
        return self._codec.decode_payload(body, binary=binary)

    def _payload(self, items: list[Outgoing]) -> tuple[bytes, bytes]:
        """Write an answer's content type and body."""
        # A client learns with the open packet that it is understood: that is text.
        opens = isinstance(items[0], Packet) and items[0].type is PacketType.OPEN
        binary = self._binary and not opens
        body, binary = self._codec.encode_payload(items, binary=binary)
        return BINARY if binary else PLAIN, body

    def _over(self, result: Failure | None, request: Request) -> None:
        """Hear that a request was answered elsewhere, or that its client left."""
        if request is self._get:
            self._get = None
            self.writable = False
        elif request is self._post:
            self._post = None
        else:
            return
        if result is not None:
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
    return compress(body, coding)

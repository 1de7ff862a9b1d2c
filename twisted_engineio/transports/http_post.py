"""
Receiving packets by POST, as polling and server-sent events do.

Rules of this file:

1. At most one POST is in progress; a second one ends the session.
2. A POST is answered once its packets are handled, and dropped as soon as it is
   answered or lost.
3. A POST that is aborted delivers nothing, and ends the session.

Driven by the resource (``post``), by our own site (``begin``, ``discard_post``), and by
the session.

Engine.IO protocol v4, "HTTP long-polling".
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from twisted.python.failure import Failure
from twisted.web.http import Request

from ..exceptions import CloseReason, InvalidPacket
from ..protocol.codec import Codec
from ..protocol.packet import Packet
from ..session.interfaces import NULL_RECEIVER, Receiver
from .http_response import HTML, PLAIN, answer

__all__ = ["PostingTransport"]


class PostStage(enum.Enum):
    """The progress of the current POST."""

    ARRIVING = "arriving"
    READING = "reading"
    READ = "read"


class PostingTransport:
    """
    A session's POSTs; a subclass sends packets to the client.

    Driven by the resource, the site and the session.

    Attributes:
        writable: Whether ``send`` may be called now.
        receiver: The recipient of received packets.

    """

    __slots__ = (
        "_codec",
        "_max_packets",
        "_paused",
        "_post",
        "_stage",
        "receiver",
        "writable",
    )

    def __init__(self, codec: Codec, max_packets: int) -> None:
        """
        Make a transport without a request.

        Args:
            codec: Parses and encodes payloads.
            max_packets: The maximum number of packets in one POST.

        """
        self.receiver: Receiver = NULL_RECEIVER
        self.writable = False
        self._codec = codec
        self._max_packets = max_packets
        self._post: Request | None = None
        self._stage = PostStage.ARRIVING
        self._paused = False  # whether the session has paused the transport

    # The resource's side.

    def post(self, request: Request, body: bytes) -> None:
        """
        Deliver the packets of a POST, and answer it once they are handled.

        Args:
            request: The POST; it is refused at once if another is in progress.
            body: Its whole body.

        """
        if self._post is not request:
            if self._post is not None:
                self.receiver.fail(CloseReason.TRANSPORT_ERROR)
                answer(request, 400, PLAIN, b"")
                return
            self.begin(request)
        self.cork()  # the replies to all its packets leave together
        self._stage = PostStage.READING
        valid = self._read(request, body)
        self._stage = PostStage.READ
        if not valid:
            self._post = None
            self.receiver.fail(CloseReason.PARSE_ERROR)
            answer(request, 400, PLAIN, b"")
        else:
            self._answer_or_delay()
        self.uncork()

    def _read(self, request: Request, body: bytes) -> bool:
        """Pass the packets to the receiver; return whether all were valid."""
        kind = request.getHeader(b"content-type") or b""
        binary = kind.lower().startswith(b"application/octet-stream")
        try:
            for number, item in enumerate(self._packets(body, binary), 1):
                if number > self._max_packets:
                    self.receiver.limit_reached("max_packets")
                    return False
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
        Register a POST whose headers have been received.

        Args:
            request: The POST, without its body.

        """
        if self._post is not None:
            self.receiver.fail(CloseReason.TRANSPORT_ERROR)
        else:
            self._post = request
            self._stage = PostStage.ARRIVING
            request.notifyFinish().addBoth(self._post_over, request)

    def discard_post(self, request: Request) -> None:
        """
        Drop a POST that was refused before its end; its client is still connected.

        Args:
            request: The refused POST.

        """
        if self._post is request:
            self._post = None

    # The session's side.

    @property
    def buffered(self) -> int:
        """Always 0: the answer to a POST is two bytes."""
        return 0

    def cork(self) -> bool:
        """Buffer what is sent, to send it together."""
        raise NotImplementedError

    def uncork(self) -> None:
        """Send what was buffered."""
        raise NotImplementedError

    @property
    def reads_ahead(self) -> bool:
        """Whether the client may send a POST: none is waiting for its answer."""
        return self._post is None or self._stage is not PostStage.READ

    def pause(self) -> None:
        """Delay the answer to the current or a later POST, once there is no room."""
        self._paused = True
        if self._stage is PostStage.READ:
            self._answer_or_delay()

    def resume(self) -> None:
        """Answer the POST that was delayed."""
        self._paused = False
        if self._stage is PostStage.READ:
            self._answer_post()

    def _answer_or_delay(self) -> None:
        """Answer the POST if the session has room for the next."""
        if not self._paused or self.receiver.room > 0:
            self._answer_post()
        else:
            self.receiver.reading_stopped()

    def _answer_post(self) -> None:
        request, self._post = self._post, None
        if request is not None:
            answer(request, 200, HTML, b"ok")

    def _packets(self, body: bytes, binary: bool) -> Iterator[str | bytes | Packet]:
        """Parse the packets of a POST's body."""
        return self._codec.decode_payload(body, binary=binary)

    def _post_over(self, result: Failure | None, request: Request) -> None:
        """Called when a POST was answered elsewhere, or its client has disconnected."""
        if request is self._post:
            self._post = None
            if result is not None:
                self.receiver.fail(CloseReason.TRANSPORT_ERROR)

"""
What a WebSocket connection costs to open and to keep, without what nobody asks for.

Rules of this file:

1. What Autobahn sets to the same value on each of its protocols stands on a class made
   once for each factory, ``for_factory``: 29 options, copied and printed for a log, and
   some forty first values.
2. What only the handshake needs is forgotten once the WebSocket is open.
3. It may be left out: ``WebSocketTransport`` does the same with more time and memory.
   ``tests/transports/test_low_memory.py`` compares the two, and asserts that what it
   knows of Autobahn, named in ``AUTOBAHN``, still exists.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from autobahn.websocket.protocol import TrafficStats, WebSocketProtocol
from autobahn.websocket.utf8validator import Utf8Validator
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ...exceptions import CloseReason
from ...session.interfaces import NULL_RECEIVER, Receiver
from .opening_handshake import switching_protocols
from .transport import WebSocketTransport

if TYPE_CHECKING:
    from ...protocol.codec import Codec
    from .factory import WebSocketFactory
    from .opening_handshake import OpeningHandshake

__all__ = ["AUTOBAHN", "HANDSHAKE", "LowMemoryWebSocketTransport"]

AUTOBAHN: Final = (
    "CONFIG_ATTRS",
    "_connectionMade",
    "_connectionLost",
    "_onOpen",
    "is_open",
    "is_closed",
)
"""What is known here of Autobahn's ``WebSocketServerProtocol``."""

HANDSHAKE: Final = (
    "_sends_first",
    "_headers",
    "_opened",
    "_wskey",
    "http_headers",
    "http_request_data",
    "http_request_host",
    "http_request_params",
    "http_request_path",
    "http_request_uri",
    "http_response_data",
    "http_status_line",
    "websocket_extensions",
    "websocket_extensions_in_use",
    "websocket_origin",
    "websocket_protocol_in_use",
    "websocket_protocols",
    "websocket_version",
)
"""What is set by a handshake and not read after it; ``websocket_version`` is 13."""


class _UnusedDeferred:
    """A Deferred for an event that nobody waits for."""

    def callback(self, result: object) -> None:
        """Tell nobody."""


class LowMemoryWebSocketTransport(WebSocketTransport):
    """A session's WebSocket, made with little."""

    is_open: Any = _UnusedDeferred()
    is_closed: Any = _UnusedDeferred()
    websocket_version = 13
    inside_message = False
    current_frame: Any = None
    trafficStats = TrafficStats()  # one for all: nobody reads it
    send_queue: Any = ()  # for writes in slices, which nobody asks for
    _wskey: Any = None  # a handshake's key, where Autobahn has read it

    @classmethod
    def for_factory(cls, factory: WebSocketFactory) -> type[WebSocketTransport]:
        """
        Make a class that has on it what Autobahn would set on each instance.

        Args:
            factory: The factory, with its options set.

        """
        options = {name: getattr(factory, name) for name in cls.CONFIG_ATTRS}
        options["log"] = factory.client_log
        # A function in a class would be a method.
        accept = staticmethod(options.pop("perMessageCompressionAccept"))
        subclass: type[WebSocketTransport] = type(
            cls.__name__,
            (cls,),
            {
                **options,
                "perMessageCompressionAccept": accept,
                "CONFIG_ATTRS": (),
                "__module__": cls.__module__,
            },
        )
        template = subclass.__new__(subclass)
        template.factory = factory
        WebSocketProtocol._connectionMade(template)
        for name, value in vars(template).items():
            if value is None or type(value) in (bool, int, bytes):
                setattr(subclass, name, value)
        return subclass

    def __init__(
        self,
        opened: Callable[[WebSocketTransport], None],
        headers: dict[str, list[str]],
        codec: Codec,
        *,
        base64: bool = False,
        sends_first: bool = False,
    ) -> None:
        # Not Autobahn's __init__: it makes two Deferreds and a description.
        self.receiver: Receiver = NULL_RECEIVER
        self.writable = False
        self.base64 = base64
        self.codec = codec
        self._sends_first = sends_first
        self._opened = opened
        self._headers = headers

    def connectionMade(self) -> None:
        """Begin a connection: as Autobahn does, but for what stands on the class."""
        self.state = self.STATE_CONNECTING
        self.data = b""
        self.factory.countConnections += 1

    # Autobahn sets an attribute, and a cached property takes its place.
    @cached_property
    def utf8validator(self) -> Utf8Validator:  # type: ignore[override]
        """What Autobahn checks text with: most connections never need it."""
        return Utf8Validator()

    def begin(self, opening: OpeningHandshake, rest: bytes) -> None:
        """Open without Autobahn, which would read it all again."""
        if opening.deflate is not None:
            super().begin(opening, rest)
            return
        self.sendData(switching_protocols(opening, self._headers))
        self.state = self.STATE_OPEN
        self.data = rest
        self._onOpen()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End a connection."""
        if self._unread is not None:
            self._read_rest()
        self._cancel_timers()
        if self.state == self.STATE_CLOSED:
            self._lost(CloseReason.TRANSPORT_CLOSE)  # all that Autobahn would do now
        else:
            WebSocketProtocol._connectionLost(self, reason)  # type: ignore[arg-type]
        self.factory.countConnections -= 1
        self.factory.lost()

    def _notify_opened(self) -> None:
        if self._wskey is not None:
            super()._notify_opened()
            return
        # Autobahn had no part in it: without a call, for each connection.
        opened = self._opened
        del self._sends_first, self._opened, self._headers
        opened(self)

    def _forget_handshake(self) -> None:
        # Not by asking for the dictionary: Python has made none so far.
        # A new dictionary: one that was large stays large.
        self.__dict__ = {
            name: value
            for name, value in self.__dict__.items()
            if name not in HANDSHAKE
        }

"""
Reduced cost of opening and keeping a WebSocket, without unused parts of Autobahn.

Rules of this file:

1. Attributes that Autobahn sets to the same value on each protocol are set on a class
   that is made once per factory, ``for_factory``: 29 options, which it copies and
   formats for a log, and some forty initial values.
2. Attributes that only the handshake needs are deleted once the WebSocket is open.
3. It is optional: ``WebSocketTransport`` does the same with more time and memory.
   ``tests/transports/test_low_memory.py`` compares the two, and asserts that the names
   of Autobahn that are used, listed in ``AUTOBAHN``, still exist.

Driven like ``transport.py``, whose methods it overrides.
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
"""Attributes of Autobahn's ``WebSocketServerProtocol`` that are used here."""

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
"""Attributes that a handshake sets and that are unused after it; ``websocket_version``
is always 13."""


class _UnusedDeferred:
    """Stands for a Deferred of Autobahn's that has no callbacks."""

    def callback(self, result: object) -> None:
        """Do nothing: there is no callback."""


class LowMemoryWebSocketTransport(WebSocketTransport):
    """A session's WebSocket, with few attributes of its own."""

    is_open: Any = _UnusedDeferred()
    is_closed: Any = _UnusedDeferred()
    websocket_version = 13
    inside_message = False
    current_frame: Any = None
    trafficStats = TrafficStats()  # one shared instance, as it is never read
    send_queue: Any = ()  # for chopped writes, which are unused
    _wskey: Any = None  # a handshake's key, if Autobahn has parsed it

    @classmethod
    def for_factory(cls, factory: WebSocketFactory) -> type[WebSocketTransport]:
        """
        Return a subclass with the attributes that Autobahn would set on each instance.

        Args:
            factory: The factory, with its options set.

        """
        options = {name: getattr(factory, name) for name in cls.CONFIG_ATTRS}
        options["log"] = factory.client_log
        # A plain function in a class would become a method.
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
        # Without Autobahn's __init__, which makes two Deferreds and transport details.
        self.receiver: Receiver = NULL_RECEIVER
        self.writable = False
        self.base64 = base64
        self.codec = codec
        self._sends_first = sends_first
        self._opened = opened
        self._headers = headers

    def connectionMade(self) -> None:
        """Initialize a connection, except for the attributes of the class."""
        self.state = self.STATE_CONNECTING
        self.data = b""
        self.factory.countConnections += 1

    # Autobahn sets this as an attribute; a cached property makes it on first use.
    @cached_property
    def utf8validator(self) -> Utf8Validator:  # type: ignore[override]
        """Autobahn's validator of text: most connections never need it."""
        return Utf8Validator()

    def begin(self, opening: OpeningHandshake, rest: bytes) -> None:
        """Open without Autobahn, which would parse the handshake again."""
        if opening.deflate is not None:  # Autobahn negotiates compression
            super().begin(opening, rest)
            return
        self.sendData(switching_protocols(opening, self._headers))
        self.state = self.STATE_OPEN
        self.data = rest
        self._onOpen()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Clean up a closed connection."""
        if self._unread is not None:
            self._read_rest()
        self._cancel_timers()
        if self.state == self.STATE_CLOSED:
            self._lost(CloseReason.TRANSPORT_CLOSE)  # all that Autobahn would do here
        else:
            WebSocketProtocol._connectionLost(self, reason)  # type: ignore[arg-type]
        self.factory.countConnections -= 1
        self.factory.lost()

    def _notify_opened(self) -> None:
        if self._wskey is not None:
            super()._notify_opened()
            return
        # Opened without Autobahn: inlined, as this runs for each connection.
        opened = self._opened
        del self._sends_first, self._opened, self._headers
        opened(self)

    def _forget_handshake(self) -> None:
        # Replaced, not emptied: a dictionary that was large never shrinks.
        self.__dict__ = {
            name: value
            for name, value in self.__dict__.items()
            if name not in HANDSHAKE
        }

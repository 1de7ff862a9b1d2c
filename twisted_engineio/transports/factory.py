"""
What all WebSockets of a server share: options, timers, and who watches them.

Autobahn asks its factory for all of it. The options stand on a class of transports that
is made once, where a transport knows how (``for_factory``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket.compress import PerMessageDeflateOfferAccept
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..deadlines import Deadlines
from ..exceptions import PayloadTooLarge
from .descriptors import Descriptors
from .websocket import WebSocketTransport

if TYPE_CHECKING:
    from ..config import Config

__all__ = ["WebSocketFactory"]

_GAP: Final = 0.001
"""Seconds between the answer to a handshake and the first message. With less, a client
that is busy finds both in one read; the reference leaves no more."""


def _accept_deflate(config: Config) -> Callable[[list[Any]], Any]:
    """Make what Autobahn asks how to take a client's offer of compression."""
    keep = config.per_message_deflate_takeover

    def accept(offers: list[Any]) -> PerMessageDeflateOfferAccept:
        (offer,) = offers  # the one that websocket_handshake.py has chosen
        return PerMessageDeflateOfferAccept(
            offer,
            request_no_context_takeover=(not keep and offer.accept_no_context_takeover),
            no_context_takeover=not keep or offer.request_no_context_takeover,
        )

    return accept


class _Timers:
    """What Autobahn asks for a timer, on our clock."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def call_later(self, delay: float, call: Callable[[], Any]) -> IDelayedCall:
        return self._clock.callLater(delay, call)


class WebSocketFactory(WebSocketServerFactory):
    """
    The options that all WebSockets of a server share.

    Attributes:
        protocol: Makes a transport; called as ``WebSocketTransport`` is.
        max_fragments: Frames that one message may be cut into.
        low_water_mark: Bytes that may wait for a socket before more is queued.
        deflate_threshold: Bytes from which on a message is compressed, if at all.
        too_large: Called with the error when a message is over ``max_payload``.
        lost: Called when a connection is gone.
        opening: Opens those that are to speak first, a moment after their handshake.
        closing: Closes those that have nothing more to say, at the end of a turn.
        descriptors: Watches the plain connections among them.

    """

    protocol: Any
    lost: Callable[[], None]

    def __init__(
        self,
        config: Config,
        clock: IReactorTime,
        too_large: Callable[[PayloadTooLarge], None],
        protocol: type[WebSocketTransport] = WebSocketTransport,
    ) -> None:
        super().__init__(server=None, reactor=clock)
        self._batched_timer = _Timers(clock)
        self.opening = Deadlines(clock, _GAP)
        self.closing = Deadlines(clock, 0.0)
        self.descriptors = Descriptors(clock)
        self.max_fragments = config.max_fragments
        self.low_water_mark = config.low_water_mark
        self.too_large = too_large
        self.lost = lambda: None
        self.setProtocolOptions(
            webStatus=False,
            failByDrop=False,
            openHandshakeTimeout=0,  # the request is there before the protocol is
            closeHandshakeTimeout=config.close_timeout,
            maxFramePayloadSize=config.max_payload,
            maxMessagePayloadSize=config.max_payload,
            allowNullOrigin=True,  # origins are checked in resource.py, for all wires
            perMessageCompressionAccept=_accept_deflate(config),
        )
        self.deflate_threshold = config.per_message_deflate_threshold
        self.use(protocol)

    def use(self, protocol: type[WebSocketTransport]) -> None:
        """
        Make transports of another class from now on.

        Args:
            protocol: ``WebSocketTransport``, or one that does the same with less.

        """
        self.protocol = protocol.for_factory(self)

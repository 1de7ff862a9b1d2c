"""
What all WebSockets of a server share: options, timers, and the descriptor group.

Autobahn reads the options from its factory, or from a subclass of the transport that is
made once, if the transport supports that (``for_factory``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket.compress import PerMessageDeflateOfferAccept
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ...exceptions import PayloadTooLarge
from ...policy.limited_log import LimitedLog, LineLimit
from ...session.shared_timeout import SharedTimeout
from ..descriptors import Descriptors
from ..time_slices import TimeSlices

if TYPE_CHECKING:
    from ...config import Config

__all__ = ["WebSocketFactory"]

_OPENING_DELAY: Final = 0.001
"""Seconds between the answer to a handshake and the first message. With less, a client
that is busy receives both in one read; the reference leaves no more."""

_SLICE_LENGTH: Final = 0.002
"""Seconds for which one connection is read in a turn of the reactor, and for which all
connections with unread data are read in the next: some 500 echoes. Twisted reads a
socket in pieces of up to 64 KiB, which may be 10,000 frames."""


def _accept_deflate(config: Config) -> Callable[[list[Any]], Any]:
    """Return the function with which Autobahn accepts an offer of compression."""
    keep = config.per_message_deflate_takeover

    def accept(offers: list[Any]) -> PerMessageDeflateOfferAccept:
        (offer,) = offers  # the one that opening_handshake.py has chosen
        if not keep:
            # RFC 7692, 7.1.1.2: a server may require it without an offer, and browsers
            # never offer it.
            offer.accept_no_context_takeover = True
        return PerMessageDeflateOfferAccept(
            offer,
            request_no_context_takeover=not keep,
            # None: as the client requested.
            no_context_takeover=None if keep else True,
        )

    return accept


class _AutobahnLog(LimitedLog):
    """The log of Autobahn's protocols: rate-limited, as clients cause its lines."""

    def debug(self, format: str, **values: Any) -> None:
        """Do nothing, as Autobahn's own log does at its level, info."""


class WebSocketFactory(WebSocketServerFactory):
    """
    The options that all WebSockets of a server share.

    Attributes:
        protocol: Makes a transport; called as ``WebSocketTransport`` is.
        max_fragments: The maximum number of frames of one message.
        low_water_mark: Bytes that a socket may have unsent before messages are queued.
        deflate_threshold: Bytes from which on a message is compressed, if at all.
        too_large: Called with the error when a message is over ``max_payload``.
        lost: Called when a connection is closed.
        opening: Delays the opening of connections on which the server sends first.
        closing: Closes connections without unsent data, at the end of a turn.
        closes: Aborts connections whose close takes longer than ``close_timeout``.
        slices: Schedules connections with unread data.
        descriptors: The group that polls the plain connections.
        client_log: The log for Autobahn.

    """

    protocol: Any
    lost: Callable[[], None]

    def __init__(
        self,
        config: Config,
        clock: IReactorTime,
        too_large: Callable[[PayloadTooLarge], None],
        protocol: Any,
        *,
        log: LineLimit,
    ) -> None:
        super().__init__(server=None, reactor=clock)
        self.opening = SharedTimeout(clock, _OPENING_DELAY)
        self.closing = SharedTimeout(clock, 0.0)
        self.closes = SharedTimeout(clock, config.close_timeout)
        self.slices = TimeSlices(clock, _SLICE_LENGTH)
        self.descriptors = Descriptors(clock)
        self.descriptors.log = LimitedLog(Descriptors.log, log)
        self.client_log = _AutobahnLog(Logger("autobahn.websocket"), log)
        self.max_fragments = config.max_fragments
        self.low_water_mark = config.low_water_mark
        self.too_large = too_large
        self.lost = lambda: None
        self.setProtocolOptions(
            webStatus=False,
            failByDrop=False,
            openHandshakeTimeout=0,  # the request is read before the protocol is made
            closeHandshakeTimeout=0,  # every close has a deadline: ``closes``
            maxFramePayloadSize=config.max_payload,
            maxMessagePayloadSize=config.max_payload,
            allowNullOrigin=True,  # resource.py checks origins, for all transports
            perMessageCompressionAccept=_accept_deflate(config),
        )
        self.deflate_threshold = config.per_message_deflate_threshold
        self.use(protocol)

    def use(self, protocol: Any) -> None:
        """
        Set the class of new transports.

        Args:
            protocol: ``WebSocketTransport``, or an equivalent optimized subclass.

        """
        self.protocol = protocol.for_factory(self)

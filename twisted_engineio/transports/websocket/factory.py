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

_GAP: Final = 0.001
"""Seconds between the answer to a handshake and the first message. With less, a client
that is busy finds both in one read; the reference leaves no more."""

_SLICE: Final = 0.002
"""Seconds that one connection may be read for in a turn of the reactor, and all of
those that have more to read in the next one: some 500 echoes. A socket is read up to
64 KiB at a time, which may be 10,000 frames."""


def _accept_deflate(config: Config) -> Callable[[list[Any]], Any]:
    """Make what Autobahn asks how to take a client's offer of compression."""
    keep = config.per_message_deflate_takeover

    def accept(offers: list[Any]) -> PerMessageDeflateOfferAccept:
        (offer,) = offers  # the one that opening_handshake.py has chosen
        if not keep:
            # RFC 7692, 7.1.1.2: a server may ask for it whatever was offered, and
            # browsers offer nothing of the kind.
            offer.accept_no_context_takeover = True
        return PerMessageDeflateOfferAccept(
            offer,
            request_no_context_takeover=not keep,
            # None: as the client has asked.
            no_context_takeover=None if keep else True,
        )

    return accept


class _AutobahnLog(LimitedLog):
    """What Autobahn's protocols log, which clients can cause."""

    def debug(self, format: str, **values: Any) -> None:
        """Write nothing, as Autobahn's own log: its level is info."""


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
        closes: Aborts those whose close takes longer than ``close_timeout``.
        slices: Shares the time for what they have received and not read yet.
        descriptors: Watches the plain connections among them.
        client_log: Where Autobahn logs what clients do.

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
        self.opening = SharedTimeout(clock, _GAP)
        self.closing = SharedTimeout(clock, 0.0)
        self.closes = SharedTimeout(clock, config.close_timeout)
        self.slices = TimeSlices(clock, _SLICE)
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
            openHandshakeTimeout=0,  # the request is there before the protocol is
            closeHandshakeTimeout=0,  # every close has a deadline: ``closes``
            maxFramePayloadSize=config.max_payload,
            maxMessagePayloadSize=config.max_payload,
            allowNullOrigin=True,  # origins are checked in resource.py, for all wires
            perMessageCompressionAccept=_accept_deflate(config),
        )
        self.deflate_threshold = config.per_message_deflate_threshold
        self.use(protocol)

    def use(self, protocol: Any) -> None:
        """
        Make transports of another class from now on.

        Args:
            protocol: ``WebSocketTransport``, or one that does the same with less.

        """
        self.protocol = protocol.for_factory(self)

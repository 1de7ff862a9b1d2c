"""
What an operator may watch: every event of a server and its sessions.

Each method does nothing; override what you need and give an instance to
``Server(observers=[...])``. With none given, the message path pays nothing, and what
nobody overrides costs nothing either: that is looked up when the server is made. An
observer that raises is logged, and changes nothing for the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .session.observed import ObserverHooks

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

    from .exceptions import CloseReason, PayloadTooLarge, Refused, Reject
    from .protocol.handshake import Handshake
    from .protocol.packet import Outgoing, PacketType
    from .session.session import Session

__all__ = ["Observer", "hooks_of"]


class Observer:
    """
    An onlooker that is told everything and decides nothing.

    Attributes:
        whole_requests: Whether ``headers`` and ``connection_refused`` shall see every
            header of every request. Say False in a class that overrides one of them and
            reads little: then our own site may drop, before they are read, those
            headers of a session's later requests that no answer depends on.

    """

    whole_requests = True

    def session_opened(self, session: Session) -> None:
        """See a session open, before its application does."""

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """See a session end, after its application did."""

    def headers(
        self, headers: Headers, request: Handshake, session: Session | None
    ) -> None:
        """
        See the headers of an answer before it leaves; the one place to add some.

        Args:
            headers: The answer's; what twisted.web adds is not there yet.
            request: What was asked; the first request of a session has no ``sid`` in
                its query.
            session: Its session; ``None`` if it has none, or none yet.

        """

    def flushing(self, session: Session) -> None:
        """See what was sent begin to leave, at once or from the queue."""

    def flushed(self, session: Session) -> None:
        """See that nothing is left to send."""

    def connection_refused(self, error: Refused | Reject, request: Handshake) -> None:
        """
        See a request refused.

        Args:
            error: It has the code, the status, the message and the context.
            request: Whose it was.

        """

    def payload_refused(self, error: PayloadTooLarge) -> None:
        """See a request body or a message refused: the error has size and limit."""

    def limit_reached(self, limit: str, about: Session | Handshake) -> None:
        """
        See one of the operator's limits hit, and what it is for done.

        Args:
            limit: The option's name in ``Config``, like ``"max_sessions"``. For
                ``max_payload`` there is ``payload_refused``, which says more.
            about: The session that went too far, or the first request of a client that
                was refused; for ``max_connections``, of which nothing has been read,
                one that has only ``client_address``.

        """

    def upgrading(self, session: Session, transport: str) -> None:
        """See a client try another transport."""

    def upgraded(self, session: Session, transport: str) -> None:
        """See a session move to another transport."""

    def packet_received(
        self, session: Session, kind: PacketType, data: str | bytes
    ) -> None:
        """See a packet come in, before the session acts on it."""

    def packet_sent(self, session: Session, item: Outgoing) -> None:
        """See a packet or message go out, to the transport or the queue."""

    def heartbeat(self, session: Session) -> None:
        """See a client answer a ping."""


def hooks_of(observers: Sequence[Observer]) -> ObserverHooks:
    """
    Collect the methods that observers override.

    Args:
        observers: The observers, in the order in which they are notified.

    """
    *events, _ = (each.name for each in fields(ObserverHooks))
    overriding = {
        name: [each for each in observers if _overrides(each, name)] for name in events
    }
    methods: dict[str, Any] = {
        name: tuple(getattr(each, name) for each in overriding[name]) for name in events
    }
    shown = overriding["headers"] + overriding["connection_refused"]
    whole = any(each.whole_requests for each in shown)
    return ObserverHooks(**methods, whole_requests=whole)


def _overrides(observer: Observer, name: str) -> bool:
    method = getattr(observer, name)
    return getattr(method, "__func__", None) is not getattr(Observer, name)

"""
The observer interface: every event of a server and its sessions, for monitoring.

Each method does nothing by default; override those that you need and pass an instance
to ``Server(observers=[...])``. Without observers the message path has no extra cost,
and a method that no observer overrides costs nothing either: overrides are looked up
when the server is made. An exception that an observer raises is logged, and does not
affect the session.
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
    Base class of observers, which are notified of events and cannot influence them.

    Attributes:
        whole_requests: Whether ``headers`` and ``connection_refused`` need every header
            of every request. Set it to False in a class that overrides one of them and
            reads few headers: then our own site may discard, before parsing, those
            headers of a session's later requests that do not affect the answer.

    """

    whole_requests = True

    def session_opened(self, session: Session) -> None:
        """Called when a session opens, before its application is notified."""

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """Called when a session has ended, after its application was notified."""

    def headers(
        self, headers: Headers, request: Handshake, session: Session | None
    ) -> None:
        """
        Called with the headers of an answer before it is sent; may add some.

        Args:
            headers: The answer's headers, without those that twisted.web adds later.
            request: The request; the first request of a session has no ``sid`` in its
                query.
            session: Its session; ``None`` if it has none, or none yet.

        """

    def flushing(self, session: Session) -> None:
        """Called when sent items are about to be written, at once or from the queue."""

    def flushed(self, session: Session) -> None:
        """Called when no unsent item is left."""

    def connection_refused(self, error: Refused | Reject, request: Handshake) -> None:
        """
        Called when a request is refused.

        Args:
            error: The error, with code, status, message and context.
            request: The refused request.

        """

    def payload_refused(self, error: PayloadTooLarge) -> None:
        """Called when a request body or message is over ``max_payload``."""

    def limit_reached(self, limit: str, about: Session | Handshake) -> None:
        """
        Called when one of the operator's limits was reached and has been enforced.

        Args:
            limit: The option's name in ``Config``, like ``"max_sessions"``. For
                ``max_payload``, ``payload_refused`` is called instead, with more
                detail.
            about: The session that exceeded it, or the first request of a client that
                was refused; for ``max_connections``, where no request has been read,
                one that has only ``client_address``.

        """

    def upgrading(self, session: Session, transport: str) -> None:
        """Called when a client starts an upgrade to another transport."""

    def upgraded(self, session: Session, transport: str) -> None:
        """Called when a session has moved to another transport."""

    def packet_received(
        self, session: Session, kind: PacketType, data: str | bytes
    ) -> None:
        """Called with each received packet, before the session handles it."""

    def packet_sent(self, session: Session, item: Outgoing) -> None:
        """Called with each packet or message passed to the transport or queue."""

    def heartbeat(self, session: Session) -> None:
        """Called when a client has answered a ping."""


def hooks_of(observers: Sequence[Observer]) -> ObserverHooks:
    """
    Return the methods that observers override, by event.

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

"""
Run any Twisted protocol over Engine.IO: an application for a protocol factory.

The transport of each protocol is a ``StreamTransport`` on top of its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..application import Application
from .transport import SessionLost, StreamTransport

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IProtocolFactory

    from ..exceptions import CloseReason
    from ..session.session import Session

__all__ = ["SessionLost", "StreamApplication", "StreamTransport", "wrap"]


class StreamApplication(Application):
    """
    Runs a protocol of a Twisted factory over each session.

    Override ``admit`` to check a client's handshake before a protocol is created; the
    protocol finds the handshake as ``self.transport.session.handshake``.

    Attributes:
        factory: The protocol factory.

    """

    def __init__(self, factory: IProtocolFactory) -> None:
        """
        Create an application for a factory; the caller starts and stops the factory.

        Args:
            factory: Builds a protocol for each session, or returns ``None`` to refuse
                it.

        """
        self.factory = factory
        self._streams: dict[Session, StreamTransport] = {}

    def session_opened(self, session: Session) -> Deferred[Any] | None:
        """Create the session's protocol; close the session if the factory refuses."""
        stream = StreamTransport(session)
        protocol = self.factory.buildProtocol(stream.getPeer())
        if protocol is None:
            session.close()
            return None
        self._streams[session] = stream
        return stream.connect(protocol)

    def message_received(
        self, session: Session, data: str | bytes
    ) -> Deferred[Any] | None:
        """Pass a message's bytes to the session's protocol."""
        if isinstance(data, str):
            data = data.encode()
        return self._streams[session].deliver(data)

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """Disconnect the session's protocol, if it had one."""
        stream = self._streams.pop(session, None)
        if stream is not None:
            stream.lost(reason)


def wrap(factory: IProtocolFactory) -> StreamApplication:
    """
    Create an application for a factory, and start the factory.

    Call the factory's ``doStop`` after ``server.stop()``.

    Args:
        factory: Builds a protocol for each session, or returns ``None`` to refuse it.

    """
    factory.doStart()
    return StreamApplication(factory)

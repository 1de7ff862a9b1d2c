"""
Any Twisted protocol over Engine.IO: an application that runs a factory's protocols.

Each session's protocol has a transport, which ``stream/transport.py`` makes of the
session.
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

    Override ``admit`` to see a client's handshake before there is a protocol; the
    protocol finds it as ``self.transport.session.handshake``.

    Attributes:
        factory: The factory.

    """

    def __init__(self, factory: IProtocolFactory) -> None:
        """
        Make an application of a factory that whoever listens starts and stops.

        Args:
            factory: Makes a protocol for each session, or ``None`` to refuse it.

        """
        self.factory = factory
        self._streams: dict[Session, StreamTransport] = {}

    def session_opened(self, session: Session) -> Deferred[Any] | None:
        """Make a protocol; without one, the session ends."""
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
        """Give the bytes to the session's protocol."""
        if isinstance(data, str):
            data = data.encode()
        return self._streams[session].deliver(data)

    def session_closed(self, session: Session, reason: CloseReason) -> None:
        """Tell the session's protocol, if it had one."""
        stream = self._streams.pop(session, None)
        if stream is not None:
            stream.lost(reason)


def wrap(factory: IProtocolFactory) -> StreamApplication:
    """
    Make an application of a factory, and start the factory.

    Call the factory's ``doStop`` after ``server.stop()``.

    Args:
        factory: Makes a protocol for each session, or ``None`` to refuse it.

    """
    factory.doStart()
    return StreamApplication(factory)

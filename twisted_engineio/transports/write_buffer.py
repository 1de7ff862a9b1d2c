"""
Measuring data that was written and is buffered in the process: the socket is full.

Twisted's transports count it, and pause their producer above a limit, but have no
public way to return the count. The attributes that are read are listed in ``TWISTED``,
and a test asserts that they still exist. With TLS, encrypted data counts; plaintext
that is collected until the end of a turn, 64,000 bytes at most, does not.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from twisted.internet.abstract import FileDescriptor
from twisted.protocols.policies import ProtocolWrapper

__all__ = [
    "STREAMS",
    "TWISTED",
    "Position",
    "has_moved",
    "pause_above",
    "position",
    "unsent",
]

TWISTED: Final = (
    "dataBuffer",
    "offset",
    "_tempDataLen",
    "bufferSize",
    "disconnected",
)
"""Attributes of ``FileDescriptor``, the base of TCP and UNIX transports, that are used
here."""
STREAMS: Final = ("_conn", "streamID", "_outboundStreamQueues")
"""Attributes of an HTTP/2 stream, and of its connection, that are used here."""


Position: TypeAlias = tuple[bytes, int]
"""The progress of a socket: the buffer that is being written, and the bytes written of
it."""


def _bare(transport: Any) -> Any:
    """Return the transport that owns the socket, below TLS and other wrappers."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def unsent(transport: Any) -> int:
    """
    Return the bytes that a transport has buffered and its socket has not taken.

    Args:
        transport: Any transport, or an HTTP/2 stream, for which the connection buffers
            what its flow control window has no room for. 0 for a closed transport, and
            for one of an unknown kind.

    """
    bare = _bare(transport)
    if not isinstance(bare, FileDescriptor):
        return _unsent_of_stream(bare)
    if bare.disconnected:
        return 0
    return len(bare.dataBuffer) - bare.offset + bare._tempDataLen


def position(transport: Any) -> Position | None:
    """
    Return a value that changes whenever the socket takes data.

    The amount of buffered data is not enough: it is unchanged if as much was written as
    the socket took.

    Args:
        transport: Any transport.

    Returns:
        ``None`` if no data is buffered that the socket was offered.

    """
    bare = _bare(transport)
    if not isinstance(bare, FileDescriptor) or bare.disconnected:
        return None
    if len(bare.dataBuffer) <= bare.offset:
        return None  # data written in this turn has not been offered to the socket yet
    return bare.dataBuffer, bare.offset


def has_moved(before: Position | None, now: Position) -> bool:
    """
    Return whether a socket has taken data between two values of ``position``.

    Args:
        before: The earlier one.
        now: The later one.

    """
    return before is None or before[0] is not now[0] or before[1] != now[1]


def _unsent_of_stream(stream: Any) -> int:
    # Duck typing: without h2, twisted.web has no class for it.
    queues = getattr(getattr(stream, "_conn", None), "_outboundStreamQueues", {})
    waiting = queues.get(getattr(stream, "streamID", None), ())
    return sum(len(each) for each in waiting if isinstance(each, bytes))


def pause_above(transport: Any, size: int) -> bool:
    """
    Set the buffer size above which a transport pauses its producer.

    Args:
        transport: Any transport; one without a socket is left unchanged.
        size: In bytes; Twisted's default is 65,536.

    Returns:
        Whether it was set.

    """
    bare = _bare(transport)
    if not isinstance(bare, FileDescriptor):
        return False
    bare.bufferSize = size
    return True

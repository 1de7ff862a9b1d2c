"""
What was written and still waits in the process, because a socket is full.

Twisted's transports count it, and pause their producer above a limit, but tell nobody
how much it is. What is read of them is named in ``TWISTED``, and a test asserts that it
still exists. Of TLS, what it has encrypted counts; what it still collects until the end
of a turn, 64,000 bytes at most, does not.
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
"""What is known here of ``FileDescriptor``, which a TCP or UNIX transport is."""
STREAMS: Final = ("_conn", "streamID", "_outboundStreamQueues")
"""What is known of a stream of HTTP/2, and of its connection."""


Position: TypeAlias = tuple[bytes, int]
"""Where a socket stands in what it is to take: the bytes, and how many it has taken."""


def _bare(transport: Any) -> Any:
    """Find the transport that has the socket, under TLS and the like."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def unsent(transport: Any) -> int:
    """
    Count the bytes that a transport was given and its socket has not taken.

    Args:
        transport: Any, or a stream of HTTP/2, whose connection keeps what its client
            has given it no room for. Of one that is lost nothing waits any more, and
            of another kind nothing is known.

    """
    bare = _bare(transport)
    if not isinstance(bare, FileDescriptor):
        return _unsent_of_stream(bare)
    if bare.disconnected:
        return 0
    return len(bare.dataBuffer) - bare.offset + bare._tempDataLen


def position(transport: Any) -> Position | None:
    """
    Return what stays the same for as long as a socket takes nothing.

    How much waits does not tell: it is the same again when as much was taken as was
    written.

    Args:
        transport: Any.

    Returns:
        ``None`` if nothing waits that the socket was offered.

    """
    bare = _bare(transport)
    if not isinstance(bare, FileDescriptor) or bare.disconnected:
        return None
    if len(bare.dataBuffer) <= bare.offset:
        return None  # what was written in this turn it is still to be offered
    return bare.dataBuffer, bare.offset


def has_moved(before: Position | None, now: Position) -> bool:
    """
    Return whether a socket has taken something between two looks at its ``position``.

    Args:
        before: The earlier one.
        now: The later one.

    """
    return before is None or before[0] is not now[0] or before[1] != now[1]


def _unsent_of_stream(stream: Any) -> int:
    # Not by its class: twisted.web has none where h2 is not installed.
    queues = getattr(getattr(stream, "_conn", None), "_outboundStreamQueues", {})
    waiting = queues.get(getattr(stream, "streamID", None), ())
    return sum(len(each) for each in waiting if isinstance(each, bytes))


def pause_above(transport: Any, size: int) -> bool:
    """
    Have a transport pause its producer when more waits in it than this.

    Args:
        transport: Any; what is no socket's is left as it is.
        size: In bytes; Twisted's own is 65,536.

    Returns:
        Whether it will.

    """
    bare = _bare(transport)
    if not isinstance(bare, FileDescriptor):
        return False
    bare.bufferSize = size
    return True

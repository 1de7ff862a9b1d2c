"""
Take over a connection from twisted.web during a request, for another protocol.

twisted.web has no public API for this. The private attributes that it needs are used in
one function, and ``tests/web/test_connection_takeover.py`` asserts that they exist.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocol
from twisted.protocols.policies import ProtocolWrapper
from twisted.web.http import HTTPChannel, Request

__all__ = ["attach", "can_take_over", "take_over"]


def can_take_over(request: Request) -> bool:
    """Return whether a request came over HTTP/1.1 and has been read completely."""
    # RFC 6455, 4.2.1: "an HTTP/1.1 or higher GET request".
    modern: bool = request.clientproto == b"HTTP/1.1"
    channel: Any = request.channel
    # While a body is arriving, its next bytes would be parsed as frames.
    return modern and isinstance(channel, HTTPChannel) and channel.length == 0


def take_over(request: Request, protocol: IProtocol) -> bytes:
    """
    Hand a request's connection to a protocol; the request must not be used afterwards.

    Args:
        request: A request without an answer, on an open HTTP/1.1 connection.
        protocol: The protocol that owns the connection from now on.

    Returns:
        The bytes that the client sent after the request.

    """
    channel = request.channel
    transport: Any = channel.transport
    # Bytes after the request are in _buffer if the request was answered while it was
    # being parsed, and in _dataBuffer if the answer was delayed.
    rest = b"".join(channel._dataBuffer) + channel._buffer
    channel._dataBuffer, channel._buffer = [], b""

    channel.setTimeout(None)
    producer: Any = channel._networkProducer
    producer.unregisterProducer()
    channel.requests.clear()
    taken_over = getattr(channel, "taken_over", None)
    if taken_over is not None:  # an EngineIOChannel
        taken_over()
    channel.transport = None
    attach(transport, protocol)
    protocol.makeConnection(transport)
    # The channel may have paused it because the client pipelines requests.
    producer.resumeProducing()
    return rest


def attach(transport: Any, protocol: IProtocol) -> None:
    """
    Make a transport deliver its data to another protocol from now on.

    Args:
        transport: A connection, plain or wrapped.
        protocol: The protocol; the caller must call its ``makeConnection``.

    """
    if isinstance(transport, ProtocolWrapper):  # TLS, or the PROXY protocol
        transport.wrappedProtocol = protocol
    elif isinstance(transport.protocol, ProtocolWrapper):  # after startTLS
        transport.protocol.wrappedProtocol = protocol
    else:
        transport.protocol = protocol

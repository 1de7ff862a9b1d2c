"""
Take a connection from twisted.web, in the middle of a request, for another protocol.

twisted.web has no public way to do this. The private attributes that it takes are named
in one function, and ``tests/web/test_connection_takeover.py`` asserts that they still
exist.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocol
from twisted.protocols.policies import ProtocolWrapper
from twisted.web.http import HTTPChannel, Request

__all__ = ["attach", "can_take_over", "take_over"]


def can_take_over(request: Request) -> bool:
    """Tell whether a request came over HTTP/1.1, and all of it is there."""
    # RFC 6455, 4.2.1: "an HTTP/1.1 or higher GET request".
    modern: bool = request.clientproto == b"HTTP/1.1"
    channel: Any = request.channel
    # Of a body that still comes, the next bytes would be taken for frames.
    return modern and isinstance(channel, HTTPChannel) and channel.length == 0


def take_over(request: Request, protocol: IProtocol) -> bytes:
    """
    Hand a request's connection to a protocol; the request must not be used afterwards.

    Args:
        request: A request that is not answered, on a live HTTP/1.1 connection.
        protocol: What is to own the connection from now on.

    Returns:
        What the client has sent right behind the request.

    """
    channel = request.channel
    transport: Any = channel.transport
    # Bytes behind the request wait in the one if the request was answered at once, in
    # the other if somebody thought about it.
    rest = b"".join(channel._dataBuffer) + channel._buffer
    channel._dataBuffer, channel._buffer = [], b""

    channel.setTimeout(None)
    producer: Any = channel._networkProducer
    producer.unregisterProducer()
    channel.requests.clear()
    taken_over = getattr(channel, "taken_over", None)
    if taken_over is not None:  # it is one of ours
        taken_over()
    channel.transport = None
    attach(transport, protocol)
    protocol.makeConnection(transport)
    # The channel may have paused it, to hold back a client that sends ahead.
    producer.resumeProducing()
    return rest


def attach(transport: Any, protocol: IProtocol) -> None:
    """
    Let a transport feed another protocol from now on.

    Args:
        transport: A connection, plain or wrapped.
        protocol: Whom it shall feed; still to be given the transport.

    """
    if isinstance(transport, ProtocolWrapper):  # TLS, or the PROXY protocol
        transport.wrappedProtocol = protocol
    elif isinstance(transport.protocol, ProtocolWrapper):  # TLS begun in mid-stream
        transport.protocol.wrappedProtocol = protocol
    else:
        transport.protocol = protocol

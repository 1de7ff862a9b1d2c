"""
A testing kit for applications: a server and its clients in memory.

No sockets, no threads, no sleeping::

    def test_a_message_reaches_the_other_client():
        with MemoryServer(Chat()) as server:
            ada, bob = server.connect(), server.connect("websocket")
            ada.send("hello")
            assert bob.received[-1] == "Guest 1: hello"
"""

from __future__ import annotations

from .client import ClientState, HandshakeRefused, MemoryClient
from .server import MemoryServer

__all__ = ["ClientState", "HandshakeRefused", "MemoryClient", "MemoryServer"]

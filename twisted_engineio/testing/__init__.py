"""
For those who test their own applications: clients and a server in memory.

No socket, no thread, no sleeping::

    def test_what_one_says_the_other_hears():
        with MemoryServer(Chat()) as server:
            ada, bob = server.connect(), server.connect("websocket")
            ada.send("hello")
            assert bob.received[-1] == "Guest 1: hello"
"""

from __future__ import annotations

from .client import ClientState, HandshakeRefused, MemoryClient
from .server import MemoryServer

__all__ = ["ClientState", "HandshakeRefused", "MemoryClient", "MemoryServer"]

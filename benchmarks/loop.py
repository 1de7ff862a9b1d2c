"""
One epoll and the sockets on it: a load generator's inner loop.

It is lean so that the server's core runs dry later than ours: per answer it makes one
``recv_into`` a shared buffer and one ``send`` of bytes that were made beforehand.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from time import perf_counter

READ = select.EPOLLIN
READ_WRITE = select.EPOLLIN | select.EPOLLOUT


class Stuck(Exception):
    """The server did not do, within the time allowed, what was asked of it."""


class Loop:
    """Calls whoever has something to read, until a deadline or a goal."""

    def __init__(self, port: int) -> None:
        """Prepare to talk to 127.0.0.1, ``port``."""
        self.port = port
        self.epoll = select.epoll()
        self.wires: dict[int, Wire] = {}
        self.buffer = memoryview(bytearray(1 << 18))

    def run(self, seconds: float) -> None:
        """Serve the wires for so many seconds."""
        poll, wires = self.epoll.poll, self.wires
        end = perf_counter() + seconds
        while (left := end - perf_counter()) > 0:
            for fd, mask in poll(left):
                wires[fd].ready(mask)

    def run_until(self, goal: Callable[[], bool], seconds: float, what: str) -> None:
        """
        Serve the wires until ``goal`` is met, looking after every batch of events.

        Raises:
            Stuck: If that takes longer than ``seconds``.

        """
        end = perf_counter() + seconds
        while not goal():
            if perf_counter() > end:
                raise Stuck(f"{what}: not within {seconds:.0f} s")
            for fd, mask in self.epoll.poll(0.1):
                self.wires[fd].ready(mask)

    def close(self) -> None:
        """Close every wire, and the epoll."""
        for wire in list(self.wires.values()):
            wire.close()
        self.epoll.close()


class Wire:
    """A TCP connection that never blocks and never loses the rest of a write."""

    __slots__ = ("fd", "loop", "rest", "socket")

    def __init__(self, loop: Loop) -> None:
        """Connect; on the loopback interface that takes no waiting."""
        self.loop = loop
        self.socket = socket.socket()
        self.socket.settimeout(5)
        self.socket.connect(("127.0.0.1", loop.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.fd = self.socket.fileno()
        self.rest = b""
        loop.epoll.register(self.fd, READ)
        loop.wires[self.fd] = self

    def ready(self, mask: int) -> None:
        """Something happened on the socket; ``mask`` tells what."""
        if mask & select.EPOLLOUT:
            self.loop.epoll.modify(self.fd, READ)
            rest, self.rest = self.rest, b""
            self.write(rest)
        if mask & ~select.EPOLLOUT:
            self.readable()

    def readable(self) -> None:
        """Read; for subclasses."""
        raise NotImplementedError

    def receive(self) -> bytes:
        """Take what is there. Empty: the server has hung up."""
        try:
            return self.socket.recv(1 << 16)
        except BlockingIOError:  # pragma: no cover - a spurious wake-up
            raise Stuck("woken for nothing") from None

    def write(self, data: bytes) -> None:
        """Send, and keep for later what the socket doesn't take."""
        if self.rest:
            self.rest += data
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.rest = data[sent:]
            self.loop.epoll.modify(self.fd, READ_WRITE)

    def close(self) -> None:
        """Close the socket; a closed one stays closed."""
        if self.loop.wires.pop(self.fd, None) is not None:
            self.socket.close()

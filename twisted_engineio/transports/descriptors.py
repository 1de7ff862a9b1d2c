"""
A group of connections that the reactor polls as one descriptor.

Rules of this file:

1. To the reactor this is one descriptor, readable whenever one of its connections is
   ready. Its ``doRead`` does for those what the reactor does for each, in the same
   order, but without a log context: that takes nine calls, more than an echo's own six.
2. To a connection this is the reactor: every other attribute is delegated to that, and
   so is each descriptor that is not a connection of ours. It handles only reads and
   writes.
3. An exception of one connection closes that connection, is logged, and affects no
   other.
4. It is optional, and unused with every reactor but Twisted's for epoll. asyncio's, for
   one, gives each connection its own context, which would be shared here.

Driven by the reactor (``doRead``, ``connectionLost``) and by the connections
(``addReader`` and the similar methods).

For a connection it does what ``_doReadOrWrite`` of ``twisted.internet.posixbase`` does;
measured: an echo on each of 100 connections takes a quarter less time.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.internet.error import (
    ConnectionDone,
    ConnectionFdescWentAway,
    ConnectionLost,
)
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IReadDescriptor,
    IReadWriteDescriptor,
)
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

__all__ = ["TWISTED", "Descriptors"]

TWISTED: Final = ("dataBuffer", "_tempDataBuffer", "reactor", "server")
"""Attributes of a TCP or UNIX transport that are used here and are not in its
interface. Its ``server`` is the port, whose documented ``transport`` attribute makes
the next ones."""

_IN: Final[int] = getattr(select, "EPOLLIN", 1)
_OUT: Final[int] = getattr(select, "EPOLLOUT", 4)
_GONE: Final[int] = getattr(select, "EPOLLERR", 8) | getattr(select, "EPOLLHUP", 16)

_WENT_AWAY: Final = ConnectionFdescWentAway("File descriptor lost")
_REASONS: Final[dict[type[BaseException], Failure]] = {
    ConnectionDone: Failure(CONNECTION_DONE),
    ConnectionLost: Failure(CONNECTION_LOST),
}


class Descriptors:
    """
    The connections of one reactor that are polled together.

    Driven by the reactor and by the connections.

    Attributes:
        log: The log for exceptions of connections.
        fileno: Returns the file descriptor that is readable when a connection is ready.

    """

    log: Any = Logger()
    fileno: Callable[[], int]

    def __init__(self, reactor: Any) -> None:
        """
        Make a group without connections.

        Args:
            reactor: The reactor that polls it. Connections of other reactors are
                rejected.

        """
        self._reactor = reactor
        self._epoll: Any = None
        if _is_for_epoll(reactor):
            # Now, while descriptors are available; made later, it would look like
            # one more that is never closed.
            with suppress(OSError):
                self._epoll = select.epoll()
                self.fileno = self._epoll.fileno
        directlyProvides(self, IReadDescriptor, providedBy(reactor))
        self._events: dict[int, int] = {}  # the events polled for, by file descriptor
        self._selectables: dict[int, Any] = {}

    @property
    def connections(self) -> list[Any]:
        """The connections in the group, which are not registered with the reactor."""
        return list(self._selectables.values())

    def __repr__(self) -> str:
        """List the connections, for the error report of an unclean reactor."""
        return f"<Descriptors {self.connections!r}>"

    def __getattr__(self, name: str) -> Any:
        """Delegate every other public attribute to the reactor."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._reactor, name)

    # For the owner of a connection.

    def take(self, connection: Any) -> bool:
        """
        Poll a connection in this group from now on, if possible.

        Args:
            connection: A plain TCP or UNIX transport that is reading.

        Returns:
            Whether it is in the group now.

        """
        if (
            self._epoll is None
            or connection.reactor is not self._reactor
            or connection.dataBuffer
            or connection._tempDataBuffer
        ):
            return connection.reactor is self
        connection.stopReading()
        connection.reactor = self
        connection.startReading()
        return True

    def take_all(self, connection: Any) -> None:
        """
        Poll a connection, and those that its port accepts later, in this group.

        Args:
            connection: As for ``take``; its port is ours.

        """
        port = connection.server  # None if it was accepted elsewhere
        if connection.reactor is not self and self.take(connection) and port:
            make = port.transport
            port.transport = lambda socket, protocol, client, server, number, _: make(
                socket, protocol, client, server, number, self
            )

    # For connections: IReactorFDSet.

    def addReader(self, reader: IReadDescriptor) -> None:
        """Poll a connection for reading."""
        if getattr(reader, "reactor", None) is self:
            self._watch(reader, _IN)
        else:
            self._reactor.addReader(reader)

    def addWriter(self, writer: IReadWriteDescriptor) -> None:
        """Poll a connection for writing."""
        if getattr(writer, "reactor", None) is self:
            self._watch(writer, _OUT)
        else:
            self._reactor.addWriter(writer)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Stop polling a connection for reading."""
        if getattr(reader, "reactor", None) is self:
            self._ignore(reader, _IN)
        else:
            self._reactor.removeReader(reader)

    def removeWriter(self, writer: IReadWriteDescriptor) -> None:
        """Stop polling a connection for writing."""
        if getattr(writer, "reactor", None) is self:
            self._ignore(writer, _OUT)
        else:
            self._reactor.removeWriter(writer)

    def _watch(self, selectable: Any, event: int) -> None:
        fd = selectable.fileno()
        events = self._events.get(fd, 0)
        if events & event:
            return
        if events:
            self._epoll.modify(fd, events | event)
        else:
            self._epoll.register(fd, event)
            # Each time: a call of removeAll() may have removed it from the reactor.
            self._reactor.addReader(self)
            self._selectables[fd] = selectable
        self._events[fd] = events | event

    def _ignore(self, selectable: Any, event: int) -> None:
        fd = selectable.fileno()
        if fd == -1:
            self._forget(selectable)
            return
        events = self._events.get(fd, 0)
        if not events & event:
            return
        if events != event:
            self._events[fd] = events - event
            self._epoll.modify(fd, events - event)
            return
        del self._events[fd], self._selectables[fd]
        self._epoll.unregister(fd)
        if not self._events:
            self._reactor.removeReader(self)

    def _forget(self, selectable: object) -> None:
        """Remove a connection that is closed, or whose socket was taken over."""
        for fd, each in self._selectables.items():
            if each is selectable:
                del self._events[fd], self._selectables[fd]
                with suppress(OSError):
                    self._epoll.unregister(fd)
                break
        if not self._events:
            self._reactor.removeReader(self)

    # For the reactor: IReadDescriptor.

    def logPrefix(self) -> str:
        """Return the name that the reactor logs."""
        return "Engine.IO"

    def doRead(self) -> None:
        """Read from and write to all connections that are ready."""
        selectables = self._selectables
        # epoll refuses a maximum of 0 events.
        for fd, event in self._epoll.poll(0, max(len(selectables), 1)):
            selectable = selectables.get(fd)
            if selectable is None:
                continue  # closed or paused while an earlier one was handled
            reading = False
            lost: BaseException | None = None
            try:
                if selectable.fileno() == -1:
                    lost = _WENT_AWAY
                elif event & _IN:
                    lost = selectable.doRead()
                    reading = True
                elif event & _GONE:
                    reading = bool(self._events[fd] & _IN)
                    lost = CONNECTION_DONE if reading else CONNECTION_LOST
                if event & _OUT and not lost:
                    lost = selectable.doWrite()
                    reading = False
            except BaseException as error:
                self.log.failure("a connection raised; it is closed")
                lost = error
            if lost:
                self._notify(self._end, selectable, lost, reading)

    def _end(self, selectable: Any, lost: BaseException, reading: bool) -> None:
        self._ignore(selectable, _IN)
        reason = _REASONS.get(type(lost)) or Failure(lost)
        half = reading and type(lost) is ConnectionDone
        if half and IHalfCloseableDescriptor.providedBy(selectable):
            selectable.readConnectionLost(reason)
        else:
            self._ignore(selectable, _OUT)
            selectable.connectionLost(reason)

    def _notify(self, end: Callable[..., object], *about: object) -> None:
        try:
            end(*about)
        except BaseException:
            # BaseException: the reactor would attribute it to this descriptor, and
            # disconnect the whole group.
            self.log.failure("a connection raised while it was closed")

    def connectionLost(self, reason: Failure) -> None:
        """Close all connections: the reactor stops."""
        for each in self.connections:
            self._notify(each.connectionLost, reason)
        self._events.clear()
        self._selectables.clear()


def _is_for_epoll(reactor: object) -> bool:
    if not hasattr(select, "epoll"):
        return False
    # Not at module level: without epoll this import raises.
    from twisted.internet.epollreactor import EPollReactor

    return isinstance(reactor, EPollReactor)

"""
Connections that are watched together: the reactor looks after all of them as one.

Rules of this file:

1. To the reactor this is one descriptor, readable whenever one of its connections is
   ready. Its ``doRead`` does for those what the reactor does for each, in its order,
   but that it makes no log context: that is nine calls, more than an echo's own six.
2. To a connection this is the reactor: whatever else is asked of that is passed on, and
   so is what is not a connection of ours. It is here for reading and for writing.
3. Whatever one of them raises ends that one, is logged, and reaches no other.
4. It may be left out, and is with every reactor but Twisted's for epoll. asyncio's, for
   one, gives each connection a context of its own, and they would share one here.

Driven by the reactor (``doRead``, ``connectionLost``) and by the connections
(``addReader`` and its like).

What it does for a connection is ``twisted.internet.posixbase``'s ``_doReadOrWrite``;
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
"""What is known here of a TCP or UNIX transport besides its interface. The port that
it has as its ``server`` has a ``transport``, documented, that makes the next ones."""

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
    The connections of one reactor that are watched together.

    Attributes:
        log: Where it logs.
        fileno: Gives the file descriptor that is readable when one of them is ready.

    """

    log: Any = Logger()
    fileno: Callable[[], int]

    def __init__(self, reactor: Any) -> None:
        """
        Make one without connections.

        Args:
            reactor: What watches it. Connections of another reactor it leaves alone.

        """
        self._reactor = reactor
        self._epoll: Any = None
        if _is_for_epoll(reactor):
            # Now, when there are descriptors: later it would be one more that stays.
            with suppress(OSError):
                self._epoll = select.epoll()
                self.fileno = self._epoll.fileno
        directlyProvides(self, IReadDescriptor, providedBy(reactor))
        self._events: dict[int, int] = {}  # what is waited for, by file descriptor
        self._selectables: dict[int, Any] = {}

    @property
    def connections(self) -> list[Any]:
        """The connections that it watches; the reactor knows of none of them."""
        return list(self._selectables.values())

    def __repr__(self) -> str:
        """Name the connections to whoever finds this in a reactor that is not clean."""
        return f"<Descriptors {self.connections!r}>"

    def __getattr__(self, name: str) -> Any:
        """Be the reactor in all else that is public."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._reactor, name)

    # For whoever has a connection.

    def take(self, connection: Any) -> bool:
        """
        Watch a connection from now on, if that can be.

        Args:
            connection: A plain TCP or UNIX transport that reads.

        Returns:
            Whether it is watched here now.

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
        Watch a connection, and all that its port will accept after it.

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
        """Watch whether there is something to read."""
        if getattr(reader, "reactor", None) is self:
            self._watch(reader, _IN)
        else:
            self._reactor.addReader(reader)

    def addWriter(self, writer: IReadWriteDescriptor) -> None:
        """Watch whether something may be written."""
        if getattr(writer, "reactor", None) is self:
            self._watch(writer, _OUT)
        else:
            self._reactor.addWriter(writer)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Watch no longer whether there is something to read."""
        if getattr(reader, "reactor", None) is self:
            self._ignore(reader, _IN)
        else:
            self._reactor.removeReader(reader)

    def removeWriter(self, writer: IReadWriteDescriptor) -> None:
        """Watch no longer whether something may be written."""
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
            # Each time: somebody may have had the reactor forget all that it watches.
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
        """Ignore what is closed, or what somebody has taken the socket from."""
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
        """Name it in logs that know no better."""
        return "Engine.IO"

    def doRead(self) -> None:
        """Read from, and write to, all that are ready."""
        selectables = self._selectables
        for fd, event in self._epoll.poll(0, max(len(selectables), 1)):
            selectable = selectables.get(fd)
            if selectable is None:
                continue  # lost, or paused, by what another one said
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
                self.log.failure("a connection failed; it is cut")
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
            # Whatever it is: the reactor would take it for ours, and end us all.
            self.log.failure("a connection failed when it was lost")

    def connectionLost(self, reason: Failure) -> None:
        """End all connections: the reactor stops."""
        for each in self.connections:
            self._notify(each.connectionLost, reason)
        self._events.clear()
        self._selectables.clear()


def _is_for_epoll(reactor: object) -> bool:
    if not hasattr(select, "epoll"):
        return False
    # Not above: where there is no epoll this raises.
    from twisted.internet.epollreactor import EPollReactor

    return isinstance(reactor, EPollReactor)

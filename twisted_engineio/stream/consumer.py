"""
A session as Twisted's producers and consumers see one.

``IConsumer(session)`` takes what a producer gives, be it a ``FileSender``, a pull
producer or another session; ``IPushProducer(session)`` lets whoever is given the
session's messages hold its client back. Each call makes a ``Flow``, which is both: keep
it for as long as you use it::

    flow = IConsumer(session)
    FileSender().beginFileTransfer(file, flow)

Rules of this file:

1. A producer is asked for more when the session is drained, in a later turn: none is
   entered again while it produces.
2. Whether the producer may produce is one state, ``Demand``.
3. When the session ends its producer is stopped, once, and what it still writes is
   dropped, as a TCP connection's is.
"""

from __future__ import annotations

import enum
from typing import Protocol

from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IProducer,
    IPushProducer,
)
from twisted.python.components import registerAdapter
from zope.interface import implementer

from ..exceptions import CloseReason
from ..session.session import Session, State

__all__ = ["Flow"]


class Producer(Protocol):
    """What a producer is asked; a pull producer has no ``pauseProducing``."""

    def pauseProducing(self) -> None:
        """Produce no more for now."""

    def resumeProducing(self) -> None:
        """Produce again, or one piece."""

    def stopProducing(self) -> None:
        """Produce no more for ever."""


class Demand(enum.Enum):
    """What is wanted of the producer."""

    NOTHING = "there is none"
    PUSH = "it may go on"
    PULL = "it is asked for one piece at a time"
    WAIT = "it has to wait until the session is drained"


@implementer(IConsumer, IPushProducer)
class Flow:
    """
    A session's two directions, as a consumer and as a producer.

    Attributes:
        session: The session.

    """

    def __init__(self, session: Session) -> None:
        """
        Make a flow without a producer.

        Args:
            session: The session.

        """
        self.session = session
        self._producer: Producer | None = None
        self._usual = Demand.NOTHING
        self._demand = Demand.NOTHING
        self._turn: IDelayedCall | None = None
        session.ended().addCallback(self._ended)

    # As a producer: the client's messages, which the application is given.

    def pauseProducing(self) -> None:
        """Read no further from the client."""
        self.session.pause_reading()

    def resumeProducing(self) -> None:
        """Read on."""
        self.session.resume_reading()

    def stopProducing(self) -> None:
        """End the session, for nobody takes what it says; what is queued leaves."""
        self.session.close()

    # As a consumer: messages to the client.

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Take from a producer until it is unregistered, at the client's pace.

        Args:
            producer: The producer; each piece that it writes is a message.
            streaming: Whether it goes on by itself; if not it is a pull producer, and
                asked for each piece.

        Raises:
            RuntimeError: If there is one already.

        """
        if self._producer is not None:
            raise RuntimeError(
                f"cannot register {producer!r}: {self._producer!r} was never"
                " unregistered"
            )
        if self.session.state is not State.OPEN:
            producer.stopProducing()
            return
        self._producer = producer  # type: ignore[assignment]  # an interface is no type
        self._usual = self._demand = Demand.PUSH if streaming else Demand.PULL
        if not streaming:
            self._wait()
        elif self._is_full():
            self._hold()

    def unregisterProducer(self) -> None:
        """Take from nobody; does nothing if there is no producer."""
        self._producer = None
        self._usual = self._demand = Demand.NOTHING
        if self._turn is not None and self._turn.active():
            self._turn.cancel()

    def write(self, data: str | bytes) -> None:
        """
        Send a message, and hold the producer back if the client is slow.

        Args:
            data: Text or bytes.

        """
        if self.session.state is not State.OPEN:
            return
        below = self.session.send(data)
        if self._demand is Demand.PULL:
            self._wait()
        elif self._demand is Demand.PUSH and not below:
            self._hold()

    def _is_full(self) -> bool:
        return self.session.buffered > self.session.server.config.high_water_mark

    def _hold(self) -> None:
        assert self._producer is not None  # its demand says so
        self._wait()
        self._producer.pauseProducing()

    def _wait(self) -> None:
        """Ask for more when the session is drained."""
        self._demand = Demand.WAIT
        producer = self._producer
        drained = self.session.drained()
        # If the session ends first, _ended hears of it.
        drained.addCallbacks(lambda _: self._later(producer), lambda _: None)

    def _later(self, producer: Producer | None) -> None:
        if self._turn is not None and self._turn.active():
            return  # it has left and come back, and waited both times
        if producer is not None and producer is self._producer:
            self._turn = self.session.server.clock.callLater(0, self._ask)

    def _ask(self) -> None:
        assert self._producer is not None  # or the turn was cancelled
        self._demand = self._usual
        self._producer.resumeProducing()

    def _ended(self, reason: CloseReason) -> None:
        producer = self._producer
        self.unregisterProducer()
        if producer is not None:
            producer.stopProducing()


registerAdapter(Flow, Session, IConsumer)
registerAdapter(Flow, Session, IPushProducer)

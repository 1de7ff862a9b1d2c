"""
A session as a Twisted producer and consumer.

``IConsumer(session)`` accepts the data of a producer: a ``FileSender``, another pull
producer, or another session. ``IPushProducer(session)`` lets the consumer of a
session's messages pause the client. Each call creates a ``Flow``, which provides both
interfaces: keep it for as long as you use it::

    flow = IConsumer(session)
    FileSender().beginFileTransfer(file, flow)

Rules of this file:

1. A producer is asked for more when the session is drained, in a later reactor turn: it
   is never called from within its own ``write``.
2. Whether the producer may produce is one state, ``Demand``.
3. When the session ends, its producer is stopped, once. Anything it still writes is
   dropped, as it is by a TCP connection.

Driven by the producer (``registerProducer``, ``write``), by the consumer
(``pauseProducing``, ``resumeProducing``) and by the session.
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
    """The methods of a producer; a pull producer has no ``pauseProducing``."""

    def pauseProducing(self) -> None:
        """Stop producing until ``resumeProducing``."""

    def resumeProducing(self) -> None:
        """Produce again; a pull producer produces one piece."""

    def stopProducing(self) -> None:
        """Stop producing for good."""


class Demand(enum.Enum):
    """What the producer may do."""

    NOTHING = "no producer is registered"
    PUSH = "it may produce"
    PULL = "it is asked for one piece at a time"
    WAIT = "it must wait until the session is drained"


@implementer(IConsumer, IPushProducer)
class Flow:
    """
    A session's two directions, as a consumer and as a producer.

    Attributes:
        session: The session.

    """

    def __init__(self, session: Session) -> None:
        """
        Create a flow without a producer.

        Args:
            session: The session.

        """
        self.session = session
        self._producer: Producer | None = None
        self._usual = Demand.NOTHING
        self._demand = Demand.NOTHING
        self._turn: IDelayedCall | None = None
        session.ended().addCallback(self._ended)

    # The producer side: the client's messages, which the application receives.

    def pauseProducing(self) -> None:
        """Pause reading from the client."""
        self.session.pause_reading()

    def resumeProducing(self) -> None:
        """Resume reading from the client."""
        self.session.resume_reading()

    def stopProducing(self) -> None:
        """Close the session, because its messages have no consumer; flush the queue."""
        self.session.close()

    # The consumer side: messages to the client.

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Accept a producer's data until it is unregistered, at the client's pace.

        Args:
            producer: The producer; each piece that it writes is a message.
            streaming: True for a push producer; False for a pull producer, which is
                asked for each piece.

        Raises:
            RuntimeError: If another producer is registered.

        """
        if self._producer is not None:
            raise RuntimeError(
                f"cannot register {producer!r}: {self._producer!r} was never"
                " unregistered"
            )
        if self.session.state is not State.OPEN:
            producer.stopProducing()
            return
        self._producer = producer  # type: ignore[assignment]  # mypy: not a Protocol
        self._usual = self._demand = Demand.PUSH if streaming else Demand.PULL
        if not streaming:
            self._wait()
        elif self._is_full():
            self._hold()

    def unregisterProducer(self) -> None:
        """Unregister the producer; has no effect if there is none."""
        self._producer = None
        self._usual = self._demand = Demand.NOTHING
        if self._turn is not None and self._turn.active():
            self._turn.cancel()

    def write(self, data: str | bytes) -> None:
        """
        Send a message; pause the producer if the client is slow.

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
        assert self._producer is not None  # guaranteed by the callers
        self._wait()
        self._producer.pauseProducing()

    def _wait(self) -> None:
        """Ask the producer for more when the session is drained."""
        self._demand = Demand.WAIT
        producer = self._producer
        drained = self.session.drained()
        # If the session ends first, _ended stops the producer.
        drained.addCallbacks(lambda _: self._later(producer), lambda _: None)

    def _later(self, producer: Producer | None) -> None:
        if self._turn is not None and self._turn.active():
            return  # unregistered and registered again: both waits have fired
        if producer is not None and producer is self._producer:
            self._turn = self.session.server.clock.callLater(0, self._ask)

    def _ask(self) -> None:
        assert self._producer is not None  # unregisterProducer cancels this call
        self._demand = self._usual
        self._producer.resumeProducing()

    def _ended(self, reason: CloseReason) -> None:
        producer = self._producer
        self.unregisterProducer()
        if producer is not None:
            producer.stopProducing()


registerAdapter(Flow, Session, IConsumer)
registerAdapter(Flow, Session, IPushProducer)

"""The bridge's state of one session: public name, calls, subscriptions."""

from __future__ import annotations

from typing import Any

from autobahn.wamp.exception import ApplicationError
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.python.failure import Failure

from ..protocol.packet import Encoded
from ..session.session import Session, State
from .messages import Id, Problem, WampRequest, write

__all__ = ["Subscription", "WampClient"]


class WampClient:
    """A session of the bridge, with its calls and subscriptions."""

    def __init__(self, session: Session, name: str, max_calls: int) -> None:
        self.session = session
        self.name = name
        self.slots = DeferredSemaphore(max_calls)
        self.calls: set[Deferred[None]] = set()
        self.subscriptions: dict[str, Subscription] = {}

    def send(self, message: Encoded, *, volatile: bool = False) -> None:
        """Send a message if the session is still open."""
        if self.session.state is State.OPEN:
            self.session.send(message, volatile=volatile)

    def answer(self, id: Id, **reply: Any) -> None:
        """Answer a request with data from the router."""
        try:
            self.send(write(id=id, **reply))
        except (TypeError, ValueError) as error:
            self.fail(id, Problem.NOT_JSON, f"the answer cannot be sent: {error}")

    def fail(self, id: Id, problem: Problem, what: str) -> None:
        """Answer a request with an error of the bridge."""
        self.send(write("error", id=id, error=problem.value, args=[what]))

    def done(self, call: Deferred[None]) -> None:
        """Remove an answered call, and release its slot."""
        self.calls.discard(call)
        self.slots.release()


class Subscription:
    """A session's subscription to a topic: a ``subscriptions.Listener``."""

    def __init__(self, member: WampClient, request: WampRequest) -> None:
        self._member = member
        self._uri = request.uri
        self._volatile = request.volatile
        # The id of the request to answer; None once it is answered.
        self._id = request.id

    def granted(self) -> None:
        """Answer the session's request; later calls, after a rejoin, do nothing."""
        if self._id is not None:
            self._member.send(write("subscribed", id=self._id))
            self._id = None

    def refused(self, failure: Failure) -> None:
        """Remove the subscription, and send the reason to the session."""
        del self._member.subscriptions[self._uri]
        error: Any = failure.value
        if not isinstance(error, ApplicationError):
            error = ApplicationError(
                Problem.FAILED.value, "the router did not subscribe"
            )
        self._member.answer(
            self._id, op="error", uri=self._uri, error=error.error, args=error.args
        )

    def event_received(self, event: Encoded) -> None:
        """Send an event to the session."""
        self._member.send(event, volatile=self._volatile)

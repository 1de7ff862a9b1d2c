"""A session, as the bridge sees it: its name, what it waits for, what it listens to."""

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
    """A session, to the bridge."""

    def __init__(self, session: Session, name: str, max_calls: int) -> None:
        self.session = session
        self.name = name
        self.slots = DeferredSemaphore(max_calls)
        self.calls: set[Deferred[None]] = set()
        self.subscriptions: dict[str, Subscription] = {}

    def send(self, message: Encoded, *, volatile: bool = False) -> None:
        """Send something, if there is still somebody to hear it."""
        if self.session.state is State.OPEN:
            self.session.send(message, volatile=volatile)

    def answer(self, id: Id, **reply: Any) -> None:
        """Answer a request with what others wrote."""
        try:
            self.send(write(id=id, **reply))
        except (TypeError, ValueError) as error:
            self.fail(id, Problem.NOT_JSON, f"the answer cannot be sent: {error}")

    def fail(self, id: Id, problem: Problem, what: str) -> None:
        """Answer a request with a sentence of our own."""
        self.send(write("error", id=id, error=problem.value, args=[what]))

    def done(self, call: Deferred[None]) -> None:
        """Forget a call that is answered, and make room for another."""
        self.calls.discard(call)
        self.slots.release()


class Subscription:
    """A session's interest in a topic: a ``topics.Listener``."""

    def __init__(self, member: WampClient, request: WampRequest) -> None:
        self._member = member
        self._uri = request.uri
        self._volatile = request.volatile
        # What to answer; None once it is answered.
        self._id = request.id

    def granted(self) -> None:
        """Answer the session, the first time."""
        if self._id is not None:
            self._member.send(write("subscribed", id=self._id))
            self._id = None

    def refused(self, failure: Failure) -> None:
        """Tell the session why it will hear nothing, now or any more."""
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
        """Pass an event on."""
        self._member.send(event, volatile=self._volatile)

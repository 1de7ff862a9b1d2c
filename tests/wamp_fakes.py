"""Stand-ins for a WAMP router, as a session of Autobahn's shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from autobahn.wamp.exception import ApplicationError
from twisted.internet.defer import Deferred


@dataclass(eq=False)
class Asked:
    """
    What a router was asked.

    Attributes:
        answer: What the asker waits for.
        cancelled: Whether the asker does not wait any more.

    """

    router: FakeRouter
    kind: str
    uri: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: Any = None
    handler: Any = None
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.answer: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.cancelled = True

    def yes(self, result: Any = None) -> None:
        """Do it."""
        if self.kind == "subscribe":
            result = Subscription(self.router, self.uri)
        self.answer.callback(result)

    def no(
        self, error: str = "wamp.error.not_authorized", *args: Any, **kwargs: Any
    ) -> None:
        """Refuse it."""
        self.answer.errback(ApplicationError(error, *args, **kwargs))


@dataclass(eq=False)
class Subscription:
    """A subscription that a router has made."""

    router: FakeRouter
    uri: str

    def unsubscribe(self) -> Deferred[Any]:
        return self.router.ask("unsubscribe", self.uri)


class FakeRouter:
    """
    A router that answers when the test says so.

    Attributes:
        asked: What it was asked and the test has not looked at yet.

    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def ask(self, kind: str, uri: str, **more: Any) -> Deferred[Any]:
        self.asked.append(Asked(self, kind, uri, **more))
        return self.asked[-1].answer

    def call(self, procedure: str, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return self.ask("call", procedure, args=args, kwargs=kwargs)

    def publish(self, topic: str, *args: Any, options: Any, **kwargs: Any) -> Any:
        answer = self.ask("publish", topic, args=args, kwargs=kwargs, options=options)
        return answer if options.acknowledge else None

    def subscribe(self, handler: Any, topic: str) -> Deferred[Any]:
        return self.ask("subscribe", topic, handler=handler)

    def register(self, procedure: Any, uri: str) -> Deferred[Any]:
        return self.ask("register", uri, handler=procedure)

    def take(self, kind: str) -> Asked:
        """Take what it was asked first; the test expected it."""
        asked = self.asked.pop(0)
        assert asked.kind == kind, asked
        return asked

    def leave(self) -> None:
        """Let everything fail that is under way, as a lost connection does."""
        asked, self.asked = self.asked, []
        for each in asked:
            each.no("wamp.close.transport_lost")


def said(messages: list[Any]) -> list[Any]:
    """Read what was written to a session, and forget it."""
    read = [json.loads(each.data) for each in messages]
    messages.clear()
    return read

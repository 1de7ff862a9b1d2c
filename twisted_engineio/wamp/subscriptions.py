"""
Topics that sessions listen to, each subscribed to once, however many listen.

Rules of this file:

1. What is wished, that somebody listens, outlives the router; what the router knows
   does not, and follows.
2. For each topic one request is under way at a time. Whatever happens meanwhile is
   looked at when its answer comes.
3. An answer of a router that has left counts for nothing.

Driven by the bridge (``add``, ``remove``, ``joined``, ``left``) and by the router's
answers and events.

=============== ============== ================ =============== ==============
event           ABSENT         ASKED            HELD            ENDING
=============== ============== ================ =============== ==============
add             ask -> ASKED   --               granted         --
remove, last    forget         --               end -> ENDING   --
answer: yes     --             -> HELD, granted --              -> ABSENT; ask
                               (nobody: end)                    (nobody: forget)
answer: no      --             refused, forget  --              as yes
router left     --             -> ABSENT        -> ABSENT       -> ABSENT
router joined   ask -> ASKED   --               --              --
=============== ============== ================ =============== ==============
"""

from __future__ import annotations

import enum
from functools import partial
from typing import Any, Protocol

from autobahn.wamp.interfaces import ISession
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..protocol.packet import Encoded
from .messages import write

__all__ = ["Listener", "Subscriptions"]


class Listener(Protocol):
    """One session's interest in one topic."""

    def granted(self) -> None:
        """Hear that the router sends events from now on; again whenever it rejoins."""

    def refused(self, failure: Failure) -> None:
        """Hear that the router sends none; it is no listener any more."""

    def event_received(self, event: Encoded) -> None:
        """Hear an event."""


class _Standing(enum.Enum):
    """What the router knows of a topic."""

    ABSENT = "absent"
    REQUESTED = "asked"
    HELD = "held"
    ENDING = "ending"


class _Topic:
    __slots__ = ("listeners", "standing", "subscription", "uri")

    def __init__(self, uri: str) -> None:
        self.uri = uri
        # A dict, for its order: who came first hears first.
        self.listeners: dict[Listener, None] = {}
        self.standing = _Standing.ABSENT
        self.subscription: Any = None


class Subscriptions:
    """Every topic that somebody listens to."""

    log = Logger()

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}
        self._router: ISession | None = None

    def __len__(self) -> int:
        return len(self._topics)

    def add(self, uri: str, listener: Listener) -> None:
        """
        Let somebody listen to a topic; told at once or later whether it does.

        Args:
            uri: The topic.
            listener: Who listens.

        """
        topic = self._topics.setdefault(uri, _Topic(uri))
        topic.listeners[listener] = None
        if topic.standing is _Standing.HELD:
            listener.granted()
        else:
            self._settle(topic)

    def remove(self, uri: str, listener: Listener) -> None:
        """
        Let somebody listen no more.

        Args:
            uri: The topic.
            listener: Who listened to it.

        """
        topic = self._topics[uri]
        del topic.listeners[listener]
        self._settle(topic)

    def joined(self, router: ISession) -> None:
        """
        Subscribe to everything that somebody listens to.

        Args:
            router: A session that is joined to a realm.

        """
        self._router = router
        for topic in list(self._topics.values()):
            self._settle(topic)

    def left(self) -> None:
        """Forget what the router knew: it is gone, or this bridge for it."""
        self._router = None
        for topic in list(self._topics.values()):
            topic.standing = _Standing.ABSENT
            topic.subscription = None
            self._settle(topic)

    def _settle(self, topic: _Topic) -> None:
        """Make what the router knows what is wished, if nothing is under way."""
        if topic.standing is _Standing.ABSENT and not topic.listeners:
            del self._topics[topic.uri]
        elif topic.standing is _Standing.ABSENT and self._router is not None:
            self._subscribe(topic, self._router)
        elif topic.standing is _Standing.HELD and not topic.listeners:
            self._unsubscribe(topic, self._router)

    def _subscribe(self, topic: _Topic, router: ISession) -> None:
        topic.standing = _Standing.REQUESTED
        event_received = partial(self._event, topic)
        asked: Deferred[Any] = maybeDeferred(
            router.subscribe, event_received, topic.uri
        )
        asked.addCallbacks(
            partial(self._subscribed, topic, router),
            partial(self._subscribe_failed, topic, router),
        )

    def _unsubscribe(self, topic: _Topic, router: ISession | None) -> None:
        topic.standing = _Standing.ENDING
        ended: Deferred[Any] = maybeDeferred(topic.subscription.unsubscribe)
        ended.addErrback(partial(self._unsubscribe_failed, topic, router))
        ended.addCallback(partial(self._unsubscribed, topic, router))

    def _subscribed(self, topic: _Topic, router: ISession, subscription: Any) -> None:
        if router is not self._router:
            return
        topic.standing = _Standing.HELD
        topic.subscription = subscription
        for listener in list(topic.listeners):
            listener.granted()
        self._settle(topic)

    def _subscribe_failed(
        self, topic: _Topic, router: ISession, failure: Failure
    ) -> None:
        if router is not self._router:
            return
        topic.standing = _Standing.ABSENT
        listeners, topic.listeners = topic.listeners, {}
        self._settle(topic)
        for listener in listeners:
            listener.refused(failure)

    def _unsubscribe_failed(
        self, topic: _Topic, router: ISession | None, failure: Failure
    ) -> None:
        if router is self._router:
            self.log.failure(
                "the router would not end the subscription to {uri}",
                failure=failure,
                uri=topic.uri,
            )

    def _unsubscribed(self, topic: _Topic, router: ISession | None, _: object) -> None:
        if router is self._router:
            topic.standing = _Standing.ABSENT
            topic.subscription = None
            self._settle(topic)

    def _event(self, topic: _Topic, /, *args: Any, **kwargs: Any) -> None:
        try:
            event = write("event", uri=topic.uri, args=args, kwargs=kwargs)
        except (TypeError, ValueError) as error:
            self.log.error(
                "an event of {uri} is dropped, JSON cannot carry it: {error}",
                uri=topic.uri,
                error=error,
            )
            return
        for listener in list(topic.listeners):
            listener.event_received(event)

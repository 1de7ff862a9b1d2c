"""
Subscriptions to topics: one per topic at the router, shared by its listeners.

Rules of this file:

1. The listeners of a topic are kept when the router disconnects; the router's state is
   not, and is restored from them when it rejoins.
2. One request per topic is in progress at a time. Changes in the meantime are applied
   when its answer arrives.
3. An answer of a router that has disconnected is ignored.

Driven by the bridge (``add``, ``remove``, ``joined``, ``left``) and by the router's
answers and events.

=============== =============== ================ =============== ===============
event           ABSENT          REQUESTED        HELD            ENDING
=============== =============== ================ =============== ===============
add             subscribe,      --               granted         --
                -> REQUESTED
remove, last    forget          --               unsubscribe,    --
                                                 -> ENDING
answer: success --              -> HELD, granted --              -> ABSENT;
                                (no listeners:                   subscribe
                                unsubscribe)                     (no listeners:
                                                                 forget)
answer: error   --              refused, forget  --              as success
router left     --              -> ABSENT        -> ABSENT       -> ABSENT
router joined   subscribe,      --               --              --
                -> REQUESTED
=============== =============== ================ =============== ===============
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
    """One session's subscription to one topic."""

    def granted(self) -> None:
        """Called when the router has subscribed; again whenever it rejoins."""

    def refused(self, failure: Failure) -> None:
        """Called when the router refuses; the listener is removed."""

    def event_received(self, event: Encoded) -> None:
        """Called with each event of the topic."""


class _Standing(enum.Enum):
    """The state of a topic at the router."""

    ABSENT = "absent"
    REQUESTED = "requested"
    HELD = "held"
    ENDING = "ending"


class _Topic:
    __slots__ = ("listeners", "standing", "subscription", "uri")

    def __init__(self, uri: str) -> None:
        self.uri = uri
        # A dict because it is ordered: events are delivered in order of subscription.
        self.listeners: dict[Listener, None] = {}
        self.standing = _Standing.ABSENT
        self.subscription: Any = None


class Subscriptions:
    """The topics with at least one listener."""

    log = Logger()

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}
        self._router: ISession | None = None

    def __len__(self) -> int:
        return len(self._topics)

    def add(self, uri: str, listener: Listener) -> None:
        """
        Add a listener to a topic; ``granted`` or ``refused`` is called now or later.

        Args:
            uri: The topic.
            listener: The listener.

        """
        topic = self._topics.setdefault(uri, _Topic(uri))
        topic.listeners[listener] = None
        if topic.standing is _Standing.HELD:
            listener.granted()
        else:
            self._settle(topic)

    def remove(self, uri: str, listener: Listener) -> None:
        """
        Remove a listener from a topic.

        Args:
            uri: The topic.
            listener: The listener.

        """
        topic = self._topics[uri]
        del topic.listeners[listener]
        self._settle(topic)

    def joined(self, router: ISession) -> None:
        """
        Subscribe to every topic that has listeners.

        Args:
            router: A session that has joined a realm.

        """
        self._router = router
        for topic in list(self._topics.values()):
            self._settle(topic)

    def left(self) -> None:
        """Discard the router's state: it has disconnected."""
        self._router = None
        for topic in list(self._topics.values()):
            topic.standing = _Standing.ABSENT
            topic.subscription = None
            self._settle(topic)

    def _settle(self, topic: _Topic) -> None:
        """Subscribe or unsubscribe if needed, unless a request is in progress."""
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
                "the router refused to unsubscribe from {uri}",
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
                "dropped an event of {uri} that JSON cannot represent: {error}",
                uri=topic.uri,
                error=error,
            )
            return
        for listener in list(topic.listeners):
            listener.event_received(event)

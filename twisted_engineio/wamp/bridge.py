"""
The application whose sessions use a WAMP router.

Rules of this file:

1. A session is a member from its opening to its end. When it ends, its calls are
   cancelled and its subscriptions removed.
2. Each request is answered once, even if the router disconnects. A malformed request
   does not end the session.
3. A session with ``max_calls`` unanswered calls is not read until one is answered.

Driven by its sessions, like every application, and by its connection to the router
(``joined``, ``left``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from autobahn.exception import PayloadExceededError
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.interfaces import ISession
from autobahn.wamp.types import CallResult, PublishOptions
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    maybeDeferred,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..application import Application
from ..exceptions import CloseReason
from ..protocol.packet import Encoded
from ..session.session import Session, State
from .client import Subscription, WampClient
from .messages import BadRequest, Op, Problem, WampRequest, read, write
from .subscriptions import Subscriptions

__all__ = ["WampApplication"]

_RESERVED: Final = ("wamp.", "crossbar.")
"""URI prefixes that a router reserves for itself."""


def make_id() -> str:
    """Return a unique public name for a session: 64 random bits."""
    return secrets.token_hex(8)


class WampApplication(Application):
    """
    Lets sessions call procedures, publish and subscribe through a WAMP router.

    Override ``authorize`` to decide what each session may do, and ``describe`` to
    describe sessions to components. A subclass that overrides ``session_opened`` or
    ``session_closed`` must call ``super()``.

    Attributes:
        prefix: The URI prefix of the procedures with which components reach sessions:
            ``engineio.send`` and others; ``None`` to register none.
        max_calls: Maximum number of unanswered calls and acknowledged publications of a
            session; above it, the session is not read until one is answered.
        max_subscriptions: Maximum number of topics that a session subscribes to.

    """

    prefix: str | None = "engineio"
    max_calls = 64
    max_subscriptions = 256
    log = Logger()

    def __init__(self, *, make_id: Callable[[], str] = make_id) -> None:
        """
        Create a bridge that is not joined to a router.

        Args:
            make_id: Returns the public name of a session, by which components address
                it. Not the session id, which only the client may know.

        """
        self._make_id = make_id
        self._members: dict[Session, WampClient] = {}
        self._by_name: dict[str, WampClient] = {}
        self._topics = Subscriptions()
        self._router: ISession | None = None

    # To be overridden.

    def authorize(self, session: Session, action: str, uri: str) -> object:
        """
        Decide whether a session may perform an action.

        By default a session may do everything that the router allows the bridge, except
        with URIs that are reserved for the router or the bridge: ``wamp.``,
        ``crossbar.`` and the prefix.

        May be async, or return a Deferred; the session's next request waits for it.

        Args:
            session: The session that sent the request.
            action: ``"call"``, ``"publish"`` or ``"subscribe"``.
            uri: The procedure or topic.

        Returns:
            ``True`` to allow it. A mapping allows it, too: its items are added to the
            keyword arguments of the call or publication, such as the user's identity,
            and override the client's. Any other value refuses the request.

        """
        own = (*_RESERVED, f"{self.prefix}.") if self.prefix else _RESERVED
        return not uri.startswith(own)

    def describe(self, session: Session) -> dict[str, Any]:
        """
        Return what components learn about a session from ``engineio.sessions``.

        Args:
            session: An open session.

        """
        return {
            "transport": session.transport.name,
            "address": session.handshake.client_address,
        }

    # Application's hooks.

    def session_opened(self, session: Session) -> object:
        """
        Register a new session, and send its public name.

        Args:
            session: The new session.

        """
        member = WampClient(session, self._make_id(), self.max_calls)
        self._members[session] = self._by_name[member.name] = member
        member.send(write("welcome", session=member.name))
        return None

    async def message_received(self, session: Session, data: str | bytes) -> None:
        """
        Process a request of a session, if it is authorized.

        Args:
            session: The session that sent it.
            data: The request, as JSON.

        """
        member = self._members[session]
        try:
            request = read(data)
        except BadRequest as error:
            member.fail(error.id, Problem.BAD_REQUEST, error.problem)
            return
        if request.op is Op.UNSUBSCRIBE:
            self._unsubscribe(member, request)
            return
        allowed = self.authorize(session, request.op.value, request.uri)
        if isinstance(allowed, Deferred) or hasattr(allowed, "__await__"):
            allowed = await allowed
        if session not in self._members:
            return  # the session ended while the request was being authorized
        if allowed is not True and not isinstance(allowed, Mapping):
            what = f"this session is not authorized to {request.op.value} here"
            member.fail(request.id, Problem.NOT_AUTHORIZED, what)
        elif request.op is Op.SUBSCRIBE:
            self._subscribe(member, request)
        else:
            added = {} if allowed is True else allowed
            await self._forward(member, request, added)

    def session_closed(self, session: Session, reason: CloseReason) -> object:
        """
        Cancel the calls of a session, and remove its subscriptions.

        Args:
            session: The session that ended.
            reason: The reason.

        """
        # Not registered if a subclass raised in session_opened before super().
        # It has no name if a subclass raised before it was opened here.
        member = self._members.pop(session, None)
        if member is not None:
            del self._by_name[member.name]
            for uri in list(member.subscriptions):
                self._topics.remove(uri, member.subscriptions.pop(uri))
            for call in list(member.calls):
                call.cancel()
        return None

    # Requests.

    def _subscribe(self, member: WampClient, request: WampRequest) -> None:
        if request.uri in member.subscriptions:
            member.fail(
                request.id,
                Problem.ALREADY_SUBSCRIBED,
                "this session is subscribed to it already",
            )
        elif len(member.subscriptions) >= self.max_subscriptions:
            what = f"a session may have {self.max_subscriptions} subscriptions"
            member.fail(request.id, Problem.TOO_MANY_SUBSCRIPTIONS, what)
        else:
            subscription = Subscription(member, request)
            member.subscriptions[request.uri] = subscription
            self._topics.add(request.uri, subscription)

    def _unsubscribe(self, member: WampClient, request: WampRequest) -> None:
        subscription = member.subscriptions.pop(request.uri, None)
        if subscription is None:
            what = "this session is not subscribed to it"
            member.fail(request.id, Problem.NO_SUCH_SUBSCRIPTION, what)
        else:
            self._topics.remove(request.uri, subscription)
            member.send(write("unsubscribed", id=request.id))

    async def _forward(
        self, member: WampClient, request: WampRequest, added: Mapping[str, Any]
    ) -> None:
        """Send a request to the router; wait first if ``max_calls`` are unanswered."""
        await member.slots.acquire()
        if member.session not in self._members:
            return
        call = Deferred.fromCoroutine(self._request(member, request, added))
        member.calls.add(call)
        call.addErrback(self._log_unanswered, member)
        call.addCallback(lambda _: member.done(call))

    def _log_unanswered(self, failure: Failure, member: WampClient) -> None:
        log = member.session.server.log  # limited in rate: clients cause these lines
        log.failure("answering a WAMP request failed", failure=failure)

    async def _request(
        self, member: WampClient, request: WampRequest, added: Mapping[str, Any]
    ) -> None:
        router = self._router
        if router is None:
            member.fail(
                request.id, Problem.NO_ROUTER, "no router is connected; try again later"
            )
            return
        try:
            reply = await _to_router(router, request, {**request.kwargs, **added})
        except CancelledError:
            return  # session_closed has cancelled it
        except Exception as error:
            if router is not self._router:
                what = "the router disconnected; the request may have been completed"
                member.fail(request.id, Problem.NO_ROUTER, what)
            else:
                self._failed(member, request, error)
            return
        if request.id is not None:
            member.answer(request.id, **reply)

    def _failed(
        self, member: WampClient, request: WampRequest, error: Exception
    ) -> None:
        if isinstance(error, ApplicationError):
            member.answer(
                request.id,
                op="error",
                error=error.error,
                args=error.args,
                kwargs=error.kwargs,
            )
        elif isinstance(error, PayloadExceededError):
            member.fail(
                request.id, Problem.TOO_LARGE, "the request is too large for the router"
            )
        else:
            member.session.server.log.failure("a WAMP request to the router failed")
            member.fail(request.id, Problem.FAILED, "the request failed")

    # The router.

    def joined(self, router: ISession) -> None:
        """
        Use a router from now on; called by the connection to it.

        Args:
            router: A session that has joined a realm.

        """
        self._router = router
        if self.prefix:
            self._register(router, f"{self.prefix}.send", self._send)
            self._register(router, f"{self.prefix}.broadcast", self._broadcast)
            self._register(router, f"{self.prefix}.sessions", self._sessions)
        self._topics.joined(router)

    def left(self) -> None:
        """Stop using the router; called when the connection to it is lost."""
        self._router = None
        self._topics.left()

    def _register(
        self, router: ISession, uri: str, procedure: Callable[..., object]
    ) -> None:
        def failed(failure: Failure) -> None:
            if router is self._router:
                self.log.error(
                    "the router refused to register {uri}: {error}; set another prefix,"
                    " or grant the permission to the bridge's role",
                    uri=uri,
                    error=failure.getErrorMessage(),
                )

        registered: Deferred[Any] = maybeDeferred(router.register, procedure, uri)
        registered.addErrback(failed)

    # Procedures for components.

    def _send(self, name: str, /, *args: Any, **kwargs: Any) -> bool:
        """Send a message to one session; return False if its client is slow."""
        member = self._by_name.get(name)
        if member is None or member.session.state is not State.OPEN:
            raise ApplicationError(
                Problem.NO_SUCH_SESSION.value, "no session has this name"
            )
        return member.session.send(_message(args, kwargs))

    def _broadcast(self, /, *args: Any, **kwargs: Any) -> int:
        """Send a message to every session; return their number."""
        message = _message(args, kwargs)
        for member in list(self._members.values()):
            member.send(message)
        return len(self._members)

    def _sessions(self) -> list[dict[str, Any]]:
        """Return the name of every session, and what ``describe`` returns for it."""
        return [
            {**self.describe(member.session), "session": member.name}
            for member in self._members.values()
        ]


async def _to_router(
    router: ISession, request: WampRequest, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Send a request to the router, and return the fields of the answer."""
    if request.op is Op.PUBLISH:
        # All sessions publish through one WAMP session. By default a router does not
        # send an event to its publisher, so they would not receive each other's.
        options = PublishOptions(acknowledge=request.id is not None, exclude_me=False)
        published = router.publish(
            request.uri, *request.args, **kwargs, options=options
        )
        if published is not None:
            await published
        return {"op": "published"}
    result = await router.call(request.uri, *request.args, **kwargs)
    if isinstance(result, CallResult):
        return {"op": "result", "args": result.results, "kwargs": result.kwresults}
    return {"op": "result", "args": [result]}


def _message(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Encoded:
    try:
        return write("message", args=args, kwargs=kwargs)
    except (TypeError, ValueError) as error:
        raise ApplicationError(Problem.NOT_JSON.value, str(error)) from None

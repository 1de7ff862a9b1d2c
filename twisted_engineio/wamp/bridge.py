"""
The application whose sessions use a WAMP router.

Rules of this file:

1. A session is a member from its opening to its end. What it asked for ends with it:
   its calls are cancelled, its subscriptions given up.
2. A request is answered once, whatever happens to the router, and a session whose
   request is bad goes on.
3. A session whose calls pile up is not read any further until one is done.

Driven by its sessions, as every application, and by its connection to the router
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
"""What a router calls its own procedures and topics."""


def make_id() -> str:
    """Make a name for a session that no other has had: 64 random bits."""
    return secrets.token_hex(8)


class WampApplication(Application):
    """
    Lets sessions call procedures, publish and subscribe through a WAMP router.

    Override ``authorize`` to decide who may do what, and ``describe`` to tell
    components who a session is. Whoever overrides ``session_opened`` or
    ``session_closed`` calls ``super()``.

    Attributes:
        prefix: What the procedures by which components reach sessions are called by:
            ``engineio.send`` and so on; ``None`` to register none.
        max_calls: Calls and acknowledged publications that a session may have waiting;
            then it is not read until one is answered.
        max_subscriptions: Topics that a session may listen to at a time.

    """

    prefix: str | None = "engineio"
    max_calls = 64
    max_subscriptions = 256
    log = Logger()

    def __init__(self, *, make_id: Callable[[], str] = make_id) -> None:
        """
        Make a bridge that is not joined to a router.

        Args:
            make_id: Makes the name of a session, by which components know it. Not the
                session's id, which is a secret between it and its client.

        """
        self._make_id = make_id
        self._members: dict[Session, WampClient] = {}
        self._by_name: dict[str, WampClient] = {}
        self._topics = Subscriptions()
        self._router: ISession | None = None

    # To be overridden.

    def authorize(self, session: Session, action: str, uri: str) -> object:
        """
        Decide whether a session may do something.

        By default it may do what the router lets the bridge do, but for what is the
        router's own or the bridge's: ``wamp.``, ``crossbar.`` and its prefix.

        May be async, or return a Deferred: the session's next request waits for it.

        Args:
            session: Who asks.
            action: ``"call"``, ``"publish"`` or ``"subscribe"``.
            uri: The procedure or topic.

        Returns:
            ``True`` if it may; or a mapping, if it may: keyword arguments for its call
            or publication, which it cannot choose by itself, such as who it is.
            Anything else refuses it.

        """
        own = (*_RESERVED, f"{self.prefix}.") if self.prefix else _RESERVED
        return not uri.startswith(own)

    def describe(self, session: Session) -> dict[str, Any]:
        """
        Tell components what there is to know of a session, in ``engineio.sessions``.

        Args:
            session: An open session.

        """
        return {
            "transport": session.transport.name,
            "address": session.handshake.client_address,
        }

    # As every application.

    def session_opened(self, session: Session) -> object:
        """
        Tell a new session its name.

        Args:
            session: The new session.

        """
        member = WampClient(session, self._make_id(), self.max_calls)
        self._members[session] = self._by_name[member.name] = member
        member.send(write("welcome", session=member.name))
        return None

    async def message_received(self, session: Session, data: str | bytes) -> None:
        """
        Do what a session asks for, if it may.

        Args:
            session: Where it came from.
            data: A request, as JSON.

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
            return  # it left while somebody thought about it
        if allowed is not True and not isinstance(allowed, Mapping):
            what = f"this session may not {request.op.value} here"
            member.fail(request.id, Problem.NOT_AUTHORIZED, what)
        elif request.op is Op.SUBSCRIBE:
            self._subscribe(member, request)
        else:
            added = {} if allowed is True else allowed
            await self._forward(member, request, added)

    def session_closed(self, session: Session, reason: CloseReason) -> object:
        """
        Give up what a session asked for.

        Args:
            session: The session that ended.
            reason: Why it ended.

        """
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
                "this session listens to it already",
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
            what = "this session does not listen to it"
            member.fail(request.id, Problem.NO_SUCH_SUBSCRIPTION, what)
        else:
            self._topics.remove(request.uri, subscription)
            member.send(write("unsubscribed", id=request.id))

    async def _forward(
        self, member: WampClient, request: WampRequest, added: Mapping[str, Any]
    ) -> None:
        """Ask the router, and go on as soon as there is room for another question."""
        await member.slots.acquire()
        if member.session not in self._members:
            return
        call = Deferred.fromCoroutine(self._request(member, request, added))
        member.calls.add(call)
        call.addErrback(self._log_unanswered, member)
        call.addCallback(lambda _: member.done(call))

    def _log_unanswered(self, failure: Failure, member: WampClient) -> None:
        log = member.session.server.log  # limited in rate: clients cause these lines
        log.failure("a request was not answered", failure=failure)

    async def _request(
        self, member: WampClient, request: WampRequest, added: Mapping[str, Any]
    ) -> None:
        router = self._router
        if router is None:
            member.fail(
                request.id, Problem.NO_ROUTER, "the router is away; try again later"
            )
            return
        try:
            reply = await _to_router(router, request, {**request.kwargs, **added})
        except CancelledError:
            return  # its session is over
        except Exception as error:
            if router is not self._router:
                what = "the router left before it answered: it may be done or not"
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
                request.id, Problem.TOO_LARGE, "the router takes nothing that large"
            )
        else:
            member.session.server.log.failure("a request to the router failed")
            member.fail(request.id, Problem.FAILED, "the request failed")

    # The router.

    def joined(self, router: ISession) -> None:
        """
        Use a router from now on; called by the connection to it.

        Args:
            router: A session that is joined to a realm.

        """
        self._router = router
        if self.prefix:
            self._register(router, f"{self.prefix}.send", self._send)
            self._register(router, f"{self.prefix}.broadcast", self._broadcast)
            self._register(router, f"{self.prefix}.sessions", self._sessions)
        self._topics.joined(router)

    def left(self) -> None:
        """Use no router until there is one again; called by the connection to it."""
        self._router = None
        self._topics.left()

    def _register(
        self, router: ISession, uri: str, procedure: Callable[..., object]
    ) -> None:
        def failed(failure: Failure) -> None:
            if router is self._router:
                self.log.error(
                    "the router does not let the bridge register {uri}: {error}; give"
                    " it another prefix, or its role the permission",
                    uri=uri,
                    error=failure.getErrorMessage(),
                )

        registered: Deferred[Any] = maybeDeferred(router.register, procedure, uri)
        registered.addErrback(failed)

    # What components call.

    def _send(self, name: str, /, *args: Any, **kwargs: Any) -> bool:
        """Send to one session; False if it reads too slowly."""
        member = self._by_name.get(name)
        if member is None or member.session.state is not State.OPEN:
            raise ApplicationError(
                Problem.NO_SUCH_SESSION.value, "no session is called so"
            )
        return member.session.send(_message(args, kwargs))

    def _broadcast(self, /, *args: Any, **kwargs: Any) -> int:
        """Send to every session; how many there are."""
        message = _message(args, kwargs)
        for member in list(self._members.values()):
            member.send(message)
        return len(self._members)

    def _sessions(self) -> list[dict[str, Any]]:
        """List every session: its name, and what ``describe`` says."""
        return [
            {**self.describe(member.session), "session": member.name}
            for member in self._members.values()
        ]


async def _to_router(
    router: ISession, request: WampRequest, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Pass a request on, and say what to answer when it is done."""
    if request.op is Op.PUBLISH:
        # All sessions publish through one of the router's: without this none of them
        # would hear what another publishes.
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

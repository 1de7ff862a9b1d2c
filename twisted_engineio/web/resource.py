"""
The module that reads URLs: a twisted.web Resource in front of a ``Server``.

Rules of this file:

1. The checks stand in one order, the reference's: transport, Origin, sid, method,
   admission, version. The first that fails answers.
2. An answer never echoes what the client sent.
3. A connection is handed to Autobahn only when nothing is left to refuse.

Engine.IO protocol v4, "HTTP long-polling", "WebSocket", "Upgrade".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ..exceptions import (
    CloseReason,
    ErrorCode,
    PayloadTooLarge,
    Refused,
    Reject,
    require,
)
from ..policy.cors import is_well_formed
from ..server.server import Entry, Server
from ..session.open_packet import upgrades_from
from ..session.revision import REVISION_4, revision_of
from ..session.session import Session, State
from ..transports.http_response import JSON, PLAIN, answer
from ..transports.jsonp import JSONPTransport, index_of
from ..transports.packed_headers import pack
from ..transports.polling import PollingTransport
from ..transports.sse.transport import EventSourceTransport
from .access_log import redact_log_of
from .body_limit import HTTPTransport
from .http1.channel import EngineIOChannel
from .request_info import RequestInfo

if TYPE_CHECKING:
    from twisted.web.server import Request

    from ..transports.websocket.transport import WebSocketTransport

__all__ = ["EngineIOResource"]


class EngineIOResource(Resource):
    """
    Serves a ``Server`` at the place where it is put, in any twisted.web site.

    It answers with and without a trailing slash, and nothing below it::

        root.putChild(b"engine.io", EngineIOResource(Server(Chat())))

    Attributes:
        engineio: The server; ``server`` is twisted.web's own attribute.
        proxies: Whose word about a client counts; None if nobody's.

    """

    isLeaf = True

    def __init__(self, server: Server) -> None:
        """
        Make a resource.

        Args:
            server: Whose sessions it serves.

        Raises:
            TypeError: If it is no Server.

        """
        require(Server, server, "EngineIOResource")
        super().__init__()
        self.engineio = server
        self._cors = server.cors
        self.proxies = server.proxies
        self._site: Any = None  # the one that the last request came to

    def render(self, request: Request) -> int:
        """Answer a request, now or later."""
        if request.site is not self._site:
            self._meet(request.site)
        asked = RequestInfo(request, self.proxies)
        if request.postpath not in ([], [b""]):
            self._cors.add_error_headers(asked)
            answer(request, 404, PLAIN, b"")
            return NOT_DONE_YET
        try:
            self._serve(asked)
        except (Refused, Reject) as error:
            self._refuse(asked, error)
        return NOT_DONE_YET

    def _meet(self, site: Any) -> None:
        """Redact the access log of a Site at the first request that comes to it."""
        self._site = site
        if hasattr(site, "_logFormatter"):
            redact_log_of(site)

    # Checks.

    def _serve(self, asked: RequestInfo) -> None:
        fault = getattr(asked.request, "engineio_fault", None)
        if fault is not None:
            self._refuse_head(asked, fault)
        method = asked.request.method
        config = self.engineio.config
        if method == b"OPTIONS" and not config.cors_preflight_continue:
            self._check_origin(asked)
            self._tell_headers(asked, None)
            answer(asked.request, 204, PLAIN, b"")
            return
        wants_script = "j" in asked.query and asked.wants_script
        if asked.transport not in config.transports or (
            wants_script and not config.jsonp
        ):
            self._refuse_transport(asked)
        self._check_origin(asked)
        if wants_script:
            self._check_script(asked)
        sid, seen = asked.of_session()
        if sid:
            session = self.engineio.find(sid)
            self._check_session(asked, session)
            if asked.upgrade:
                asked.check_websocket(deflate=config.per_message_deflate)
                self._count_attempt(session)
                self._tell_headers(asked, session)
                self._upgrade(asked, session)
            else:
                self._exchange(asked, session, seen)
        elif method != b"GET":
            raise Refused(ErrorCode.BAD_HANDSHAKE_METHOD, "a handshake is a GET")
        else:
            self._check_handshake(asked)
            self._admit(asked)

    def _refuse_head(self, asked: RequestInfo, fault: str) -> NoReturn:
        """Refuse what our own port found malformed, for observers to know."""
        self._cors.add_error_headers(asked)
        raise Refused(ErrorCode.BAD_REQUEST, fault)

    def _check_handshake(self, asked: RequestInfo) -> None:
        if asked.upgrade is not (asked.transport == "websocket"):
            raise Refused(ErrorCode.BAD_REQUEST, "only websocket upgrades, always")
        if asked.upgrade:
            deflate = self.engineio.config.per_message_deflate
            asked.check_websocket(deflate=deflate)
        if "j" in asked.query and asked.wants_script:
            index_of(asked.query)  # a bad one is refused before admission

    def _refuse_transport(self, asked: RequestInfo) -> NoReturn:
        self._cors.add_error_headers(asked)
        known = asked.transport in self.engineio.config.transports
        why = "jsonp is off" if known else "the transport is not known"
        raise Refused(ErrorCode.UNKNOWN_TRANSPORT, why)

    def _check_origin(self, asked: RequestInfo) -> None:
        origin = asked.origin
        if origin is not None:
            if not is_well_formed(origin):
                raise Refused(ErrorCode.BAD_REQUEST, "Origin must be printable ASCII")
            about = (origin, asked.host, asked.is_secure)
            if not self._ask_cors(self._cors.allows, *about):
                self._refuse_origin()
        if asked.request.method == b"OPTIONS":
            self._cors.add_preflight_headers(origin, asked.answer_headers)
        elif self._cors.lists:
            self._cors.add_headers(origin, asked.answer_headers)

    def _check_script(self, asked: RequestInfo) -> None:
        headers = asked.view.headers
        about = (headers, asked.host, asked.is_secure)
        if not self._ask_cors(self._cors.allows_script, *about):
            self._refuse_origin()

    def _ask_cors(self, decide: Callable[..., bool], *about: object) -> bool:
        """Decide about a page, perhaps with a function that the operator gave us."""
        try:
            return decide(*about)
        except Exception as error:
            self.engineio.log.failure("cors failed; the request is refused")
            raise Refused(ErrorCode.BAD_REQUEST, "cors raised") from error

    def _refuse_origin(self) -> None:
        raise Refused(ErrorCode.FORBIDDEN, "the origin is not listed in cors (--cors)")

    def _check_session(self, asked: RequestInfo, session: Session) -> None:
        config = self.engineio.config
        if not asked.upgrade and not self._may_exchange(asked, session):
            raise Refused(ErrorCode.BAD_REQUEST, "the session is on another transport")
        if asked.upgrade and asked.transport != "websocket":
            raise Refused(ErrorCode.BAD_REQUEST, "only websocket upgrades")
        if asked.upgrade and not config.allow_upgrades:
            raise Refused(ErrorCode.BAD_REQUEST, "allow_upgrades is off")
        if revision_of(asked.query, config) is not session.revision:
            raise Refused(ErrorCode.BAD_REQUEST, "the session has another EIO")
        if session.revision is not REVISION_4 and asked.listens:
            raise Refused(ErrorCode.BAD_REQUEST, "sse is of revision 4 only")

    def _count_attempt(self, session: Session) -> None:
        """Refuse one attempt too many to upgrade; the session goes on."""
        if not session.may_try_upgrade():
            session.limit_reached("max_upgrade_attempts")
            raise _too_many_attempts(session)

    def _may_exchange(self, asked: RequestInfo, session: Session) -> bool:
        name = asked.transport
        if name == session.transport.name or session.carrier(name) is not None:
            return name != "websocket"
        # The GET of a stream brings its candidate into being.
        upgrades = upgrades_from(session.transport.name, self.engineio.config)
        return asked.listens and "sse" in upgrades

    # Requests of a session.

    def _exchange(self, asked: RequestInfo, session: Session, seen: int) -> None:
        request, listens = asked.request, asked.listens
        if listens:
            transport: object = self._stream(session, seen)
        else:
            transport = session.carrier(asked.transport)
            if isinstance(transport, JSONPTransport) and not asked.wants_script:
                self._check_script(asked)  # its answers are scripts all the same
        assert isinstance(transport, (PollingTransport, EventSourceTransport))
        self._tell_headers(asked, session)
        if request.method == b"GET":
            if listens and transport is session.transport:
                session.client_resumed()
            _begin(transport, request, seen)
        elif request.method == b"POST":
            self._receive(asked, session, transport)
        else:
            request.setHeader(b"Allow", b"GET, POST, OPTIONS")
            answer(request, 405, PLAIN, b"")

    def _stream(self, session: Session, seen: int) -> EventSourceTransport:
        """Find what a stream attaches to, or make a candidate of it."""
        known = session.carrier("sse")
        if isinstance(known, EventSourceTransport):
            stream = known
        else:
            stream = self._eventsource(session.sid)
        if stream is not known:
            self._count_attempt(session)
        if not stream.can_resume(seen):
            raise Refused(ErrorCode.UNKNOWN_SID, "there is no such event to go on from")
        if stream is not known and not session.upgrade(stream):
            raise Refused(ErrorCode.BAD_REQUEST, "the session takes no upgrade now")
        return stream

    def _eventsource(self, sid: str) -> EventSourceTransport:
        config, clock = self.engineio.config, self.engineio.clock
        return EventSourceTransport(REVISION_4.codec, config, clock, sid)

    def _receive(
        self, asked: RequestInfo, session: Session, transport: HTTPTransport
    ) -> None:
        """Take a POST whose body is there, or have it collected."""
        request = asked.request
        collect = getattr(request, "engineio_collect", None)
        whole = partial(self._received, asked, session, transport)
        if collect is None or not collect(whole, transport):
            self._deliver(request, transport)
        elif session.is_over():
            # Another POST is in progress: that has ended it.
            raise Refused(ErrorCode.UNKNOWN_SID, "the session is over")

    def _received(
        self, asked: RequestInfo, session: Session, transport: HTTPTransport
    ) -> None:
        """Deliver a body that has come, unless its session has gone on meanwhile."""
        try:
            if session.is_over():
                raise Refused(ErrorCode.UNKNOWN_SID, "the session is over")
            if session.carrier(asked.transport) is not transport:
                raise Refused(
                    ErrorCode.BAD_REQUEST, "the session is on another transport"
                )
        except Refused as error:
            self._refuse(asked, error)
        else:
            self._deliver(asked.request, transport)

    def _deliver(self, request: Request, transport: HTTPTransport) -> None:
        assert request.content is not None  # twisted.web has read the body
        body = request.content.read()
        limit = self.engineio.config.max_payload
        if len(body) > limit:
            # Our own Site refuses it before it is here; another one cannot.
            self.engineio.too_large(PayloadTooLarge(len(body), limit))
            answer(request, 413, PLAIN, b"")
        else:
            transport.post(request, body)

    def _upgrade(self, asked: RequestInfo, session: Session) -> None:
        def opened(candidate: WebSocketTransport) -> None:
            try:
                if not session.upgrade(candidate):
                    candidate.abandon(CloseReason.TRANSPORT_CLOSE)
            except Exception:
                self._cut_off(candidate.transport)

        self._hand_over(asked, self._websocket(asked, session, opened))

    # Handshakes.

    def _admit(self, asked: RequestInfo) -> None:
        request = asked.request
        try:
            admitted = self._begun(request) or self.engineio.admit(asked.view)
            if isinstance(admitted, Entry):
                self._admitted(admitted, asked)
                return
        except BaseException:  # as a Deferred does
            admitted = fail()
        pack(request)
        request.notifyFinish().addErrback(lambda _: admitted.cancel())
        admitted.addCallback(self._admitted, asked)
        admitted.addErrback(self._not_admitted, asked)
        admitted.addErrback(self._not_answered, request)

    def _begun(self, request: Request) -> Deferred[Entry] | None:
        """Find the admission that ``knock`` has begun, if it has."""
        channel = request.channel
        return channel.take_admission() if type(channel) is EngineIOChannel else None

    def _admitted(self, entry: Entry, asked: RequestInfo) -> None:
        if _is_over(asked.request):
            return  # the application let a client in that had left
        if asked.upgrade:
            self._open_websocket(entry, asked)
            return
        transport = self._transport(entry, asked)
        if self.engineio.config.cookie is not None:
            self._set_cookie(entry, asked)
        session = self.engineio.open(entry, transport)
        if session.state is State.CLOSED:
            raise Refused(ErrorCode.BAD_REQUEST, "the application failed")
        self._tell_headers(asked, session)
        try:
            _begin(transport, asked.request)
        except BaseException:
            session.fail(CloseReason.TRANSPORT_ERROR)  # its client never hears of it
            raise
        if asked.transport == "polling":
            session.expect_client()

    def _transport(self, entry: Entry, asked: RequestInfo) -> HTTPTransport:
        codec, config = entry.revision.codec, self.engineio.config
        if asked.transport == "sse":
            if entry.revision is not REVISION_4:
                raise Refused(
                    ErrorCode.UNSUPPORTED_PROTOCOL_VERSION, "sse is of revision 4 only"
                )
            return self._eventsource(entry.sid)
        index = index_of(asked.query)
        if index is None:
            return PollingTransport(codec, config, binary=not entry.handshake.base64)
        return JSONPTransport(codec, config, index)

    def _open_websocket(self, entry: Entry, asked: RequestInfo) -> None:
        def opened(transport: WebSocketTransport) -> None:
            try:
                try:
                    self.engineio.open(entry, transport)
                except (Refused, Reject) as error:
                    self._tell_refused(asked, error)
                    transport.abandon(CloseReason.TRANSPORT_CLOSE)
            except Exception:
                self._cut_off(transport.transport)

        self.engineio.refuse_when_stopped()
        if self.engineio.config.cookie is not None:
            self._set_cookie(entry, asked)
        if self.engineio.hooks.headers:
            self._tell_headers(asked, None)
        transport = self._websocket(asked, entry, opened)
        self._hand_over(asked, transport)

    def _hand_over(self, asked: RequestInfo, transport: WebSocketTransport) -> None:
        connection = asked.connection
        try:
            asked.take_over(transport)
        except Exception:
            # Not to be answered: the connection is no longer twisted.web's.
            self._cut_off(connection)

    def _cut_off(self, connection: Any) -> None:
        """Leave nothing of a WebSocket that failed while it was opened."""
        self.engineio.log.failure("a WebSocket failed; its connection is cut")
        connection.abortConnection()

    def _set_cookie(self, entry: Entry, asked: RequestInfo) -> None:
        cookie = self.engineio.config.cookie
        assert cookie is not None  # or there is nothing to set
        asked.answer_headers.addRawHeader(b"Set-Cookie", cookie.header(entry.sid))

    def _websocket(
        self,
        asked: RequestInfo,
        session: Session | Entry,
        opened: Callable[[WebSocketTransport], None],
    ) -> WebSocketTransport:
        websockets, query = self.engineio.websockets, asked.query
        sends_first = not query.get("sid")
        transport: WebSocketTransport = websockets.protocol(
            opened,
            asked.extra_headers(),
            session.revision.codec,
            # A client says so for the session, or for the one transport.
            base64=query.get("b64") == "1"
            or (not sends_first and session.handshake.base64),
            sends_first=sends_first,
        )
        transport.factory = websockets
        return transport

    def _not_admitted(self, failure: Failure, asked: RequestInfo) -> None:
        error = failure.value
        if _is_over(asked.request):
            return  # the client has left; CancelledError says so, or anything else
        if not isinstance(error, (Refused, Reject)):
            self.engineio.log.failure("a handshake failed", failure=failure)
            error = Refused(ErrorCode.BAD_REQUEST, "an exception in the handshake")
        self._refuse(asked, error)

    def _not_answered(self, failure: Failure, request: Request) -> None:
        """Leave no client waiting for an answer that could not be made."""
        self.engineio.log.failure("no answer could be made", failure=failure)
        request.channel.loseConnection()

    # At the door.

    def knock(self, asked: RequestInfo) -> Deferred[Entry] | None:
        """
        Let in a WebSocket that asks for it plainly, before twisted.web reads it.

        Args:
            asked: A handshake that is whole and well-formed.

        Returns:
            None if it is in. Else it is twisted.web's: how far its admission has come
            for ``_admit`` to go on with.

        Raises:
            Refused: If it is not to be let in; nothing has happened yet, so twisted.web
                may read it for ``render`` to say why.

        """
        on = "websocket" in self.engineio.config.transports
        if asked.transport != "websocket" or not on:
            raise Refused(ErrorCode.UNKNOWN_TRANSPORT, "it names no WebSocket")
        origin, view = asked.origin, asked.view
        if origin is not None and (
            self._cors.asks_operator  # once for a request, not twice
            or not self._cors.allows(origin, asked.host, asked.is_secure)
        ):
            raise Refused(ErrorCode.FORBIDDEN, "the origin is not listed in cors")
        if self._cors.lists:
            self._cors.add_headers(origin, asked.answer_headers)
        sid = asked.query.get("sid")
        if sid:
            session = self.engineio.find(sid)
            self._check_session(asked, session)
            if not session.may_try_upgrade():
                raise _too_many_attempts(session)
            self._upgrade(asked, session)
            return None
        try:
            admitted: Entry | Deferred[Entry] = self.engineio.admit(view)
        except BaseException:  # as in _admit
            return fail()
        if not isinstance(admitted, Entry):
            return admitted
        try:
            self._open_websocket(admitted, asked)
        except (Refused, Reject) as error:
            return fail(error)
        return None

    # Refusals.

    def _tell_refused(self, asked: RequestInfo, error: Refused | Reject) -> None:
        self.engineio.log_refusal(error, asked)
        self.engineio.refused(error, asked)

    def _refuse(self, asked: RequestInfo, error: Refused | Reject) -> None:
        self._tell_refused(asked, error)
        request = asked.request
        for name, value in error.headers.items():
            request.setHeader(name, value)
        self._tell_headers(asked, None)
        if not asked.upgrade:
            answer(request, error.status, JSON, error.to_json())
        elif isinstance(error, Reject) and error.close_code:
            self._refuse_after_opening(asked, error)
        else:
            # The reference's form: no WebSocket client reads more.
            request.setHeader(b"Connection", b"close")
            # RFC 9112, 9.6: and nothing that was sent behind it is served.
            request.channel.persistent = False
            answer(request, error.status, PLAIN, error.message.encode())

    def _refuse_after_opening(self, asked: RequestInfo, error: Reject) -> None:
        websockets = self.engineio.websockets
        transport = websockets.protocol(
            lambda opened: opened.close_with(error.close_code, error.message),
            asked.extra_headers(),
            REVISION_4.codec,
        )
        transport.factory = websockets
        self._hand_over(asked, transport)

    def _tell_headers(self, asked: RequestInfo, session: Session | None) -> None:
        if self.engineio.hooks.headers:
            headers, view = asked.answer_headers, asked.view
            self.engineio.tell(lambda each: each.headers(headers, view, session))


def _is_over(request: Request) -> bool:
    """Tell whether its client has left, or has an answer: twisted.web forgets both."""
    return getattr(request, "channel", None) is None


def _too_many_attempts(session: Session) -> Refused:
    """Make the refusal of an attempt to upgrade; RFC 6585, 4."""
    interval, _ = session.intervals
    seconds = ceil(interval / session.server.config.max_upgrade_attempts)
    return Refused(
        ErrorCode.BAD_REQUEST,
        "max_upgrade_attempts was reached",
        status=429,
        headers={"Retry-After": str(seconds)},
    )


def _begin(transport: HTTPTransport, request: Request, seen: int = 0) -> None:
    """Give a GET to its transport."""
    if isinstance(transport, EventSourceTransport):
        transport.attach(request, seen)
    else:
        transport.poll(request)

"""
The HTTP front end of a ``Server``: a twisted.web Resource that routes its requests.

Rules of this file:

1. The checks run in the order of the reference implementation: transport, Origin, sid,
   method, admission, protocol revision. The first failure is the answer.
2. An answer never echoes data that the client sent.
3. A connection is handed to Autobahn only after the last check that can refuse it.

Driven by twisted.web (``render``) and by the fast path (``admit_websocket``).

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
    A twisted.web resource that serves a ``Server``, in any Site.

    It answers at its own path, with and without a trailing slash, and nothing below::

        root.putChild(b"engine.io", EngineIOResource(Server(Chat())))

    Attributes:
        engineio: The server; ``server`` is twisted.web's own attribute.
        proxies: The proxies whose ``Forwarded`` headers are trusted; None if none are.

    """

    isLeaf = True

    def __init__(self, server: Server) -> None:
        """
        Create a resource.

        Args:
            server: The server whose sessions it serves.

        Raises:
            TypeError: If ``server`` is no Server.

        """
        require(Server, server, "EngineIOResource")
        super().__init__()
        self.engineio = server
        self._cors = server.cors
        self.proxies = server.proxies
        self._site: Any = None  # the Site of the most recent request

    def render(self, request: Request) -> int:
        """Answer a request, now or later."""
        if request.site is not self._site:
            self._redact_access_log(request.site)
        info = RequestInfo(request, self.proxies)
        if request.postpath not in ([], [b""]):
            self._cors.add_error_headers(info)
            answer(request, 404, PLAIN, b"")
            return NOT_DONE_YET
        try:
            self._serve(info)
        except (Refused, Reject) as error:
            self._refuse(info, error)
        return NOT_DONE_YET

    def _redact_access_log(self, site: Any) -> None:
        """Redact the access log of a Site when its first request arrives."""
        self._site = site
        if hasattr(site, "_logFormatter"):
            redact_log_of(site)

    # Checks.

    def _serve(self, info: RequestInfo) -> None:
        fault = getattr(info.request, "engineio_fault", None)
        if fault is not None:
            self._refuse_head(info, fault)
        method = info.request.method
        config = self.engineio.config
        if method == b"OPTIONS" and not config.cors_preflight_continue:
            self._check_origin(info)
            self._notify_headers(info, None)
            answer(info.request, 204, PLAIN, b"")
            return
        wants_script = "j" in info.query and info.wants_script
        if info.transport not in config.transports or (
            wants_script and not config.jsonp
        ):
            self._refuse_transport(info)
        self._check_origin(info)
        if wants_script:
            self._check_script(info)
        sid, seen = info.of_session()
        if sid:
            session = self.engineio.find(sid)
            self._check_session(info, session)
            if info.upgrade:
                info.check_websocket(deflate=config.per_message_deflate)
                self._count_attempt(session)
                self._notify_headers(info, session)
                self._upgrade(info, session)
            else:
                self._exchange(info, session, seen)
        elif method != b"GET":
            raise Refused(ErrorCode.BAD_HANDSHAKE_METHOD, "a handshake is a GET")
        else:
            self._check_handshake(info)
            self._admit(info)

    def _refuse_head(self, info: RequestInfo, fault: str) -> NoReturn:
        """Refuse a malformed request that ``EngineIOChannel`` has passed on."""
        # The channel could refuse it itself, but observers would not be notified.
        self._cors.add_error_headers(info)
        raise Refused(ErrorCode.BAD_REQUEST, fault)

    def _check_handshake(self, info: RequestInfo) -> None:
        if info.upgrade is not (info.transport == "websocket"):
            raise Refused(ErrorCode.BAD_REQUEST, "only websocket upgrades, always")
        if info.upgrade:
            deflate = self.engineio.config.per_message_deflate
            info.check_websocket(deflate=deflate)
        if "j" in info.query and info.wants_script:
            index_of(info.query)  # refuse a malformed index before admission

    def _refuse_transport(self, info: RequestInfo) -> NoReturn:
        self._cors.add_error_headers(info)
        known = info.transport in self.engineio.config.transports
        why = "jsonp is off" if known else "the transport is not known"
        raise Refused(ErrorCode.UNKNOWN_TRANSPORT, why)

    def _check_origin(self, info: RequestInfo) -> None:
        origin = info.origin
        if origin is not None:
            if not is_well_formed(origin):
                raise Refused(ErrorCode.BAD_REQUEST, "Origin must be printable ASCII")
            about = (origin, info.host, info.is_secure)
            if not self._ask_cors(self._cors.allows, *about):
                self._refuse_origin()
        if info.request.method == b"OPTIONS":
            self._cors.add_preflight_headers(origin, info.answer_headers)
        elif self._cors.lists:
            self._cors.add_headers(origin, info.answer_headers)

    def _check_script(self, info: RequestInfo) -> None:
        headers = info.view.headers
        about = (headers, info.host, info.is_secure)
        if not self._ask_cors(self._cors.allows_script, *about):
            self._refuse_origin()

    def _ask_cors(self, decide: Callable[..., bool], *about: object) -> bool:
        """Apply the CORS policy, which may call a function of the operator's."""
        try:
            return decide(*about)
        except Exception as error:
            self.engineio.log.failure("cors failed; the request is refused")
            raise Refused(ErrorCode.BAD_REQUEST, "cors raised") from error

    def _refuse_origin(self) -> None:
        raise Refused(ErrorCode.FORBIDDEN, "the origin is not listed in cors (--cors)")

    def _check_session(self, info: RequestInfo, session: Session) -> None:
        config = self.engineio.config
        if not info.upgrade and not self._may_exchange(info, session):
            raise Refused(ErrorCode.BAD_REQUEST, "the session is on another transport")
        if info.upgrade and info.transport != "websocket":
            raise Refused(ErrorCode.BAD_REQUEST, "only websocket upgrades")
        if info.upgrade and not config.allow_upgrades:
            raise Refused(ErrorCode.BAD_REQUEST, "allow_upgrades is off")
        if revision_of(info.query, config) is not session.revision:
            raise Refused(ErrorCode.BAD_REQUEST, "the session has another EIO")
        if session.revision is not REVISION_4 and info.listens:
            raise Refused(ErrorCode.BAD_REQUEST, "sse is of revision 4 only")

    def _count_attempt(self, session: Session) -> None:
        """Refuse an upgrade attempt above the limit; the session stays open."""
        if not session.may_try_upgrade():
            session.limit_reached("max_upgrade_attempts")
            raise _too_many_attempts(session)

    def _may_exchange(self, info: RequestInfo, session: Session) -> bool:
        name = info.transport
        if name == session.transport.name or session.carrier(name) is not None:
            return name != "websocket"
        # The first GET of an event stream creates the upgrade candidate.
        upgrades = upgrades_from(session.transport.name, self.engineio.config)
        return info.listens and "sse" in upgrades

    # Requests of a session.

    def _exchange(self, info: RequestInfo, session: Session, seen: int) -> None:
        request, listens = info.request, info.listens
        if listens:
            transport: object = self._stream(session, seen)
        else:
            transport = session.carrier(info.transport)
            if isinstance(transport, JSONPTransport) and not info.wants_script:
                self._check_script(info)  # the answers of this session are scripts
        assert isinstance(transport, (PollingTransport, EventSourceTransport))
        self._notify_headers(info, session)
        if request.method == b"GET":
            if listens and transport is session.transport:
                session.client_resumed()
            _begin(transport, request, seen)
        elif request.method == b"POST":
            self._receive(info, session, transport)
        else:
            request.setHeader(b"Allow", b"GET, POST, OPTIONS")
            answer(request, 405, PLAIN, b"")

    def _stream(self, session: Session, seen: int) -> EventSourceTransport:
        """Return the stream to attach a GET to; create a candidate if there is none."""
        known = session.carrier("sse")
        if isinstance(known, EventSourceTransport):
            stream = known
        else:
            stream = self._eventsource(session.sid)
        if stream is not known:
            self._count_attempt(session)
        if not stream.can_resume(seen):
            raise Refused(ErrorCode.UNKNOWN_SID, "the event to resume after is unknown")
        if stream is not known and not session.upgrade(stream):
            raise Refused(ErrorCode.BAD_REQUEST, "the session cannot upgrade now")
        return stream

    def _eventsource(self, sid: str) -> EventSourceTransport:
        config, clock = self.engineio.config, self.engineio.clock
        return EventSourceTransport(REVISION_4.codec, config, clock, sid)

    def _receive(
        self, info: RequestInfo, session: Session, transport: HTTPTransport
    ) -> None:
        """Deliver a POST, or have its body collected if it has not arrived yet."""
        request = info.request
        collect = getattr(request, "engineio_collect", None)
        whole = partial(self._received, info, session, transport)
        if collect is None or not collect(whole, transport):
            self._deliver(request, transport)
        elif session.is_over():
            # engineio_collect found another POST in progress, which ended the session.
            raise Refused(ErrorCode.UNKNOWN_SID, "the session is over")

    def _received(
        self, info: RequestInfo, session: Session, transport: HTTPTransport
    ) -> None:
        """Deliver a collected body, unless the session has ended or moved since."""
        try:
            if session.is_over():
                raise Refused(ErrorCode.UNKNOWN_SID, "the session is over")
            if session.carrier(info.transport) is not transport:
                raise Refused(
                    ErrorCode.BAD_REQUEST, "the session is on another transport"
                )
        except Refused as error:
            self._refuse(info, error)
        else:
            self._deliver(info.request, transport)

    def _deliver(self, request: Request, transport: HTTPTransport) -> None:
        assert request.content is not None  # twisted.web has read the body
        body = request.content.read()
        limit = self.engineio.config.max_payload
        if len(body) > limit:
            # EngineIOSite refuses such a body before collecting it; other Sites cannot.
            self.engineio.too_large(PayloadTooLarge(len(body), limit))
            answer(request, 413, PLAIN, b"")
        else:
            transport.post(request, body)

    def _upgrade(self, info: RequestInfo, session: Session) -> None:
        def opened(candidate: WebSocketTransport) -> None:
            try:
                if not session.upgrade(candidate):
                    candidate.abandon(CloseReason.TRANSPORT_CLOSE)
            except Exception:
                self._cut_off(candidate.transport)

        self._hand_over(info, self._websocket(info, session, opened))

    # Handshakes.

    def _admit(self, info: RequestInfo) -> None:
        request = info.request
        try:
            admitted = self._begun(request) or self.engineio.admit(info.view)
            if isinstance(admitted, Entry):
                self._admitted(admitted, info)
                return
        except BaseException:  # a Deferred catches it as well
            admitted = fail()
        pack(request)
        request.notifyFinish().addErrback(lambda _: admitted.cancel())
        admitted.addCallback(self._admitted, info)
        admitted.addErrback(self._not_admitted, info)
        admitted.addErrback(self._not_answered, request)

    def _begun(self, request: Request) -> Deferred[Entry] | None:
        """Return the admission that ``admit_websocket`` has started, if any."""
        channel = request.channel
        return channel.take_admission() if type(channel) is EngineIOChannel else None

    def _admitted(self, entry: Entry, info: RequestInfo) -> None:
        if _is_over(info.request):
            return  # the client disconnected while the application decided
        if info.upgrade:
            self._open_websocket(entry, info)
            return
        transport = self._transport(entry, info)
        if self.engineio.config.cookie is not None:
            self._set_cookie(entry, info)
        session = self.engineio.open(entry, transport)
        if session.state is State.CLOSED:
            raise Refused(ErrorCode.BAD_REQUEST, "the application closed the session")
        self._notify_headers(info, session)
        try:
            _begin(transport, info.request)
        except BaseException:
            session.fail(CloseReason.TRANSPORT_ERROR)  # the client cannot learn its id
            raise
        if info.transport == "polling":
            session.expect_client()

    def _transport(self, entry: Entry, info: RequestInfo) -> HTTPTransport:
        codec, config = entry.revision.codec, self.engineio.config
        if info.transport == "sse":
            if entry.revision is not REVISION_4:
                raise Refused(
                    ErrorCode.UNSUPPORTED_PROTOCOL_VERSION, "sse is of revision 4 only"
                )
            return self._eventsource(entry.sid)
        index = index_of(info.query)
        if index is None:
            return PollingTransport(codec, config, binary=not entry.handshake.base64)
        return JSONPTransport(codec, config, index)

    def _open_websocket(self, entry: Entry, info: RequestInfo) -> None:
        def opened(transport: WebSocketTransport) -> None:
            try:
                try:
                    self.engineio.open(entry, transport)
                except (Refused, Reject) as error:
                    self._notify_refused(info, error)
                    transport.abandon(CloseReason.TRANSPORT_CLOSE)
            except Exception:
                self._cut_off(transport.transport)

        self.engineio.refuse_when_stopped()
        if self.engineio.config.cookie is not None:
            self._set_cookie(entry, info)
        if self.engineio.hooks.headers:
            self._notify_headers(info, None)
        transport = self._websocket(info, entry, opened)
        self._hand_over(info, transport)

    def _hand_over(self, info: RequestInfo, transport: WebSocketTransport) -> None:
        connection = info.connection
        try:
            info.take_over(transport)
        except Exception:
            # No HTTP answer is possible: twisted.web no longer owns the connection.
            self._cut_off(connection)

    def _cut_off(self, connection: Any) -> None:
        """Log a WebSocket that failed while it was opened, and abort its connection."""
        self.engineio.log.failure("opening a WebSocket failed; connection aborted")
        connection.abortConnection()

    def _set_cookie(self, entry: Entry, info: RequestInfo) -> None:
        cookie = self.engineio.config.cookie
        assert cookie is not None  # checked by the callers
        info.answer_headers.addRawHeader(b"Set-Cookie", cookie.header(entry.sid))

    def _websocket(
        self,
        info: RequestInfo,
        session: Session | Entry,
        opened: Callable[[WebSocketTransport], None],
    ) -> WebSocketTransport:
        websockets, query = self.engineio.websockets, info.query
        sends_first = not query.get("sid")
        transport: WebSocketTransport = websockets.protocol(
            opened,
            info.extra_headers(),
            session.revision.codec,
            # In revision 3, b64 may be set for the session or for one transport.
            base64=query.get("b64") == "1"
            or (not sends_first and session.handshake.base64),
            sends_first=sends_first,
        )
        transport.factory = websockets
        return transport

    def _not_admitted(self, failure: Failure, info: RequestInfo) -> None:
        error = failure.value
        if _is_over(info.request):
            return  # the client disconnected, and the admission was cancelled
        if not isinstance(error, (Refused, Reject)):
            self.engineio.log.failure(
                "opening a session failed; the client was refused",
                failure=failure,
            )
            error = Refused(ErrorCode.BAD_REQUEST, "an exception in the handshake")
        self._refuse(info, error)

    def _not_answered(self, failure: Failure, request: Request) -> None:
        """Close a connection whose answer could not be written."""
        self.engineio.log.failure(
            "answering a handshake failed; connection closed", failure=failure
        )
        request.channel.loseConnection()

    # The fast path.

    def admit_websocket(self, info: RequestInfo) -> Deferred[Entry] | None:
        """
        Admit a well-formed WebSocket handshake before twisted.web parses it.

        Args:
            info: A complete, well-formed handshake.

        Returns:
            None if the connection is a WebSocket now. Otherwise twisted.web must
            answer, and ``_admit`` continues with the returned admission.

        Raises:
            Refused: If the handshake is to be refused. Nothing has changed yet, so
                twisted.web can parse it and ``render`` can write the refusal.

        """
        on = "websocket" in self.engineio.config.transports
        if info.transport != "websocket" or not on:
            raise Refused(ErrorCode.UNKNOWN_TRANSPORT, "not a WebSocket handshake")
        origin, view = info.origin, info.view
        if origin is not None and (
            self._cors.asks_operator  # its function must run once per request
            or not self._cors.allows(origin, info.host, info.is_secure)
        ):
            raise Refused(ErrorCode.FORBIDDEN, "the origin is not listed in cors")
        if self._cors.lists:
            self._cors.add_headers(origin, info.answer_headers)
        sid = info.query.get("sid")
        if sid:
            session = self.engineio.find(sid)
            self._check_session(info, session)
            if not session.may_try_upgrade():
                raise _too_many_attempts(session)
            self._upgrade(info, session)
            return None
        try:
            admitted: Entry | Deferred[Entry] = self.engineio.admit(view)
        except BaseException:  # as in _admit
            return fail()
        if not isinstance(admitted, Entry):
            return admitted
        try:
            self._open_websocket(admitted, info)
        except (Refused, Reject) as error:
            return fail(error)
        return None

    # Refusals.

    def _notify_refused(self, info: RequestInfo, error: Refused | Reject) -> None:
        self.engineio.log_refusal(error, info)
        self.engineio.refused(error, info)

    def _refuse(self, info: RequestInfo, error: Refused | Reject) -> None:
        self._notify_refused(info, error)
        request = info.request
        for name, value in error.headers.items():
            request.setHeader(name, value)
        self._notify_headers(info, None)
        if not info.upgrade:
            answer(request, error.status, JSON, error.to_json())
        elif isinstance(error, Reject) and error.close_code:
            self._refuse_after_opening(info, error)
        else:
            # As in the reference implementation: a WebSocket client reads no more.
            request.setHeader(b"Connection", b"close")
            # RFC 9112, 9.6: later requests on this connection are not served either.
            request.channel.persistent = False
            answer(request, error.status, PLAIN, error.message.encode())

    def _refuse_after_opening(self, info: RequestInfo, error: Reject) -> None:
        websockets = self.engineio.websockets
        transport = websockets.protocol(
            lambda opened: opened.close_with(error.close_code, error.message),
            info.extra_headers(),
            REVISION_4.codec,
        )
        transport.factory = websockets
        self._hand_over(info, transport)

    def _notify_headers(self, info: RequestInfo, session: Session | None) -> None:
        if self.engineio.hooks.headers:
            headers, view = info.answer_headers, info.view
            self.engineio.notify(lambda each: each.headers(headers, view, session))


def _is_over(request: Request) -> bool:
    """Return whether the client has disconnected or was answered."""
    # In both cases twisted.web clears request.channel.
    return getattr(request, "channel", None) is None


def _too_many_attempts(session: Session) -> Refused:
    """Return the refusal of an upgrade attempt above the limit: RFC 6585, 4."""
    interval, _ = session.intervals
    seconds = ceil(interval / session.server.config.max_upgrade_attempts)
    return Refused(
        ErrorCode.BAD_REQUEST,
        "max_upgrade_attempts was reached",
        status=429,
        headers={"Retry-After": str(seconds)},
    )


def _begin(transport: HTTPTransport, request: Request, seen: int = 0) -> None:
    """Pass a GET to its transport."""
    if isinstance(transport, EventSourceTransport):
        transport.attach(request, seen)
    else:
        transport.poll(request)

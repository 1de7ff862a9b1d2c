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
from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from .answer import JSON, PLAIN, answer
from .cors import Cors, is_well_formed
from .exceptions import CloseReason, ErrorCode, PayloadTooLarge, Refused, Reject
from .handshake import Handshake, parse_query
from .revision import revision_of
from .session import Session, State
from .transports.polling import PollingTransport
from .transports.takeover import can_take_over, take_over

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.web.server import Request

    from .codecs import Codec
    from .revision import Revision
    from .server import Server
    from .transport import Transport
    from .transports.websocket import WebSocketTransport

__all__ = ["EngineIOResource"]


class EngineIOResource(Resource):
    """
    Serves a ``Server`` at the place where it is put, in any twisted.web site.

    It answers with and without a trailing slash, and nothing below it::

        root.putChild(b"engine.io", EngineIOResource(Server(Chat())))

    Attributes:
        engineio: The server; ``server`` is twisted.web's own attribute.

    """

    isLeaf = True

    def __init__(self, server: Server) -> None:
        """
        Make a resource.

        Args:
            server: Whose sessions it serves.

        """
        super().__init__()
        self.engineio = server
        self._cors = Cors(server.config)

    def render(self, request: Request) -> int:
        """Answer a request, now or later."""
        if request.postpath not in ([], [b""]):
            answer(request, 404, PLAIN, b"")
            return NOT_DONE_YET
        upgrade = _wants_websocket(request)
        try:
            self._serve(request, _query_of(request), upgrade)
        except (Refused, Reject) as error:
            self._refuse(request, error, upgrade)
        return NOT_DONE_YET

    # Checks.

    def _serve(self, request: Request, query: Mapping[str, str], upgrade: bool) -> None:
        config = self.engineio.config
        name = query.get("transport", "")
        if name not in config.transports and request.method != b"OPTIONS":
            raise Refused(ErrorCode.UNKNOWN_TRANSPORT, "the transport is not known")
        self._check_origin(request)
        if request.method == b"OPTIONS":
            answer(request, 204, PLAIN, b"")
        elif sid := query.get("sid"):
            session = self.engineio.find(sid)
            self._check_session(session, name, query, upgrade)
            if upgrade:
                self._upgrade(request, session)
            else:
                self._exchange(request, session.transport)
        elif request.method != b"GET":
            raise Refused(ErrorCode.BAD_HANDSHAKE_METHOD, "a handshake is a GET")
        elif upgrade is not (name == "websocket"):
            raise Refused(ErrorCode.BAD_REQUEST, "only websocket upgrades, always")
        else:
            self._admit(request, name, query, upgrade)

    def _check_origin(self, request: Request) -> None:
        raw = request.getHeader(b"origin")
        origin = None if raw is None else raw.decode("latin-1")
        if origin is not None and not is_well_formed(origin):
            raise Refused(ErrorCode.BAD_REQUEST, "control characters in Origin")
        host = (request.getHeader(b"host") or b"").decode("latin-1")
        if not self._cors.allows(origin, host):
            self.engineio.log.info(
                "refused a page of origin {origin!r}: list it in cors (--cors) if it"
                " may use this server",
                origin=origin,
            )
            raise Refused(ErrorCode.FORBIDDEN, "the origin is not listed in cors")
        if request.method == b"OPTIONS":
            self._cors.add_preflight_headers(origin, request.responseHeaders)
        else:
            self._cors.add_headers(origin, request.responseHeaders)

    def _check_session(
        self, session: Session, name: str, query: Mapping[str, str], upgrade: bool
    ) -> None:
        if not upgrade and session.transport.name != name:
            raise Refused(ErrorCode.BAD_REQUEST, "the session is on another transport")
        if upgrade and name != "websocket":
            raise Refused(ErrorCode.BAD_REQUEST, "only websocket upgrades")
        if upgrade and not self.engineio.config.allow_upgrades:
            raise Refused(ErrorCode.BAD_REQUEST, "allow_upgrades is off")
        if revision_of(query, self.engineio.config) is not session.revision:
            raise Refused(ErrorCode.BAD_REQUEST, "the session has another EIO")

    # Requests of a session.

    def _exchange(self, request: Request, transport: Transport) -> None:
        assert isinstance(transport, PollingTransport)  # _check_session compared names
        if request.method == b"GET":
            transport.poll(request)
        elif request.method == b"POST":
            self._deliver(request, transport)
        else:
            request.setHeader(b"Allow", b"GET, POST, OPTIONS")
            answer(request, 405, PLAIN, b"")

    def _deliver(self, request: Request, transport: PollingTransport) -> None:
        assert request.content is not None  # twisted.web has read the body
        body = request.content.read()
        limit = self.engineio.config.max_payload
        if len(body) > limit:
            # Our own Site refuses it before it is here; another one cannot.
            self.engineio.too_large(PayloadTooLarge(len(body), limit))
            answer(request, 413, PLAIN, b"")
        else:
            transport.post(request, body)

    def _upgrade(self, request: Request, session: Session) -> None:
        def opened(candidate: WebSocketTransport) -> None:
            if not session.upgrade(candidate):
                candidate.abandon(CloseReason.TRANSPORT_CLOSE)

        codec = session.revision.codec
        self._hand_over(request, opened, codec, base64=session.handshake.base64)

    # Handshakes.

    def _admit(
        self, request: Request, name: str, query: Mapping[str, str], upgrade: bool
    ) -> None:
        handshake = Handshake.read(
            name,
            query,
            request.requestHeaders.getAllRawHeaders(),
            client_address=_address_of(request),
            is_secure=request.isSecure(),
        )
        gone: Deferred[None] = request.notifyFinish()
        admitted = self.engineio.admit(handshake)
        gone.addErrback(lambda _: admitted.cancel())
        admitted.addCallback(lambda _: self._admitted(request, handshake, gone))
        admitted.addErrback(self._not_admitted, request, upgrade, gone)

    def _admitted(
        self, request: Request, handshake: Handshake, gone: Deferred[None]
    ) -> None:
        if gone.called:
            return  # the application let a client in that had left
        revision = revision_of(handshake.query, self.engineio.config)
        if revision is None:
            raise Refused(
                ErrorCode.UNSUPPORTED_PROTOCOL_VERSION,
                "EIO is neither 4 nor, where allow_eio3 is on, 3",
            )
        if handshake.transport == "websocket":
            self._hand_over(
                request,
                lambda opened: self._open_websocket(handshake, revision, opened),
                revision.codec,
                base64=handshake.base64,
            )
            return
        transport = PollingTransport(
            revision.codec,
            self.engineio.config.max_payload,
            binary=not handshake.base64,
        )
        session = self.engineio.open(handshake, revision, transport)
        if session.state is State.CLOSED:
            raise Refused(ErrorCode.BAD_REQUEST, "the application failed")
        transport.poll(request)

    def _open_websocket(
        self, handshake: Handshake, revision: Revision, transport: WebSocketTransport
    ) -> None:
        try:
            self.engineio.open(handshake, revision, transport)
        except (Refused, Reject) as error:
            self.engineio.refused(error)
            transport.abandon(CloseReason.TRANSPORT_CLOSE)

    def _not_admitted(
        self, failure: Failure, request: Request, upgrade: bool, gone: Deferred[None]
    ) -> None:
        error = failure.value
        if gone.called:
            return  # the client has left; CancelledError says so, or anything else
        if not isinstance(error, (Refused, Reject)):
            self.engineio.log.failure("a handshake failed", failure=failure)
            error = Refused(ErrorCode.BAD_REQUEST, "an exception in the handshake")
        self._refuse(request, error, upgrade)

    def _hand_over(
        self,
        request: Request,
        opened: Callable[[WebSocketTransport], None],
        codec: Codec,
        *,
        base64: bool,
    ) -> None:
        if not can_take_over(request):
            raise Refused(ErrorCode.BAD_REQUEST, "WebSocket needs HTTP/1.1")
        websockets = self.engineio.websockets
        transport = websockets.protocol(opened, {}, codec, base64=base64)
        transport.factory = websockets
        take_over(request, transport)

    # Refusals.

    def _refuse(self, request: Request, error: Refused | Reject, upgrade: bool) -> None:
        self.engineio.refused(error)
        if upgrade:
            # The reference's form: no WebSocket client reads more.
            channel = request.channel
            request.setHeader(b"Connection", b"close")
            answer(request, error.status, PLAIN, error.message.encode())
            channel.loseConnection()
        else:
            answer(request, error.status, JSON, error.to_json())


def _query_of(request: Request) -> dict[str, str]:
    # Not request.args: twisted.web mixes a form's fields in with the query's.
    return parse_query(request.uri.partition(b"?")[2])


def _wants_websocket(request: Request) -> bool:
    if request.method != b"GET":
        return False
    upgrade: bytes = request.getHeader(b"upgrade") or b""
    return upgrade.strip().lower() == b"websocket"


def _address_of(request: Request) -> str | None:
    address = request.getClientAddress()
    return address.host if isinstance(address, (IPv4Address, IPv6Address)) else None

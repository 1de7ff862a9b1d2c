"""
The half of a server that lets clients in: to a place, by the application, with an id.

Rules of this file:

1. First whether there is room, then what the application says, then whether the
   revision is spoken, and then the id. The first that says no is the answer.
2. Nobody who waits for an answer is counted when there is one: ``quota.py``.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from os import urandom
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    ensureDeferred,
)
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..config import Config
from ..exceptions import ErrorCode, Refused, Reject, Unavailable
from ..policy.limited_log import LimitedLog
from ..policy.quota import Quota
from ..protocol.handshake import Handshake
from ..session.interfaces import Admission
from ..session.revision import Revision, revision_of
from ..session.session import Session

if TYPE_CHECKING:
    from ..application import Application

__all__ = ["AdmissionControl", "Entry", "make_sid"]

_PLAIN: Final = Admission()
_AT_ONCE: Final = (type(None), str, Admission)
"""What a function returns that has not to be waited for, as a rule."""
_FULL: Final = "{limit} is reached; clients refused since the last such line: {count}"
_OF_ALL: Final = ("max_sessions", "max_connections", "max_handshakes_per_second")
"""The limits of the whole server: whoever is refused, its operator should know."""


class Entry(NamedTuple):
    """
    A client that was admitted and has no session yet.

    Attributes:
        handshake: Its first request.
        revision: The revision that it is made in.
        sid: What its session's id will be.
        admission: What the application said of it.

    """

    handshake: Handshake
    revision: Revision
    sid: str
    admission: Admission


def make_sid(handshake: Handshake) -> str:
    """Make an id that cannot be guessed: 120 random bits, URL-safe."""
    return urlsafe_b64encode(urandom(15)).decode()  # 15 bytes need no padding


class AdmissionControl:
    """Who may open a session; ``Server`` is the rest of it."""

    # The server's.
    log: LimitedLog
    rare_log: LimitedLog
    clock: IReactorTime
    config: Config
    application: Application
    sessions: Mapping[str, Session]
    _make_sid: Callable[[Handshake], object]
    _quota: Quota
    if TYPE_CHECKING:

        def refuse_when_stopped(self) -> None:
            """Let nobody in who comes too late."""

        def limit_reached(self, limit: str, about: Session | Handshake) -> None:
            """Hear that a client went beyond one of the operator's limits."""

    def admit(self, handshake: Handshake) -> Any:
        """
        Ask whether a client may open a session, and as what.

        The application is asked first, then whether its revision is spoken, and then
        the session is given its id. Until it is opened, no client can find it.

        Args:
            handshake: The client's first request.

        Returns:
            An ``Entry`` if it may; or, where somebody thinks about it, a Deferred that
            fires with one, and fails as this raises. Cancel it if the client leaves.

        Raises:
            Reject: If the application refuses, or the server stops.
            Refused: If the client may not open a session for another reason.

        """
        self.refuse_when_stopped()
        self._let_in(self._quota.begin_handshake, handshake)
        entry = self._judge(handshake)
        if not isinstance(entry, Entry):
            handshake.forget_parsed()
            address = handshake.client_address
            self._quota.reserve(address)
            entry.addBoth(self._judged, address)
        return entry

    def refuse_connection(self, address: str | None) -> None:
        """
        Log a connection that was closed because there are too many; tell observers.

        Args:
            address: The IP address that it came from, or ``None`` on a UNIX socket.

        """
        self._tell_operator("max_connections")
        # Nothing has been read from it.
        about = Handshake("", {}, {}, address)
        self.limit_reached("max_connections", about)

    def _let_in(
        self, check: Callable[[str | None], None], handshake: Handshake
    ) -> None:
        """Ask whether there is room, and tell of the limit if there is none."""
        try:
            check(handshake.client_address)
        except Unavailable as error:
            self._tell_operator(str(error.limit))
            self.limit_reached(str(error.limit), handshake)
            raise

    def _tell_operator(self, limit: str) -> None:
        """Warn once a minute at most that the whole server takes no more."""
        if limit in _OF_ALL:
            self.rare_log.warn(
                _FULL,
                kind=limit,
                more=_FULL,
                limit=limit,
                count=1,
            )

    def _judged(self, entry: Any, address: str | None) -> Any:
        """Count a client no longer that waited for what was said of it."""
        self._quota.release(address)
        return entry

    def _judge(self, handshake: Handshake) -> Any:
        said = self._ask(self.application.admit, handshake)
        if said is not None and isinstance(said, Deferred):
            return said.addCallback(self._identify, handshake)
        return self._identify(said, handshake)

    def _identify(self, admission: object, handshake: Handshake) -> Any:
        """Choose the revision and the id of a client that the application admits."""
        revision = revision_of(handshake.query, self.config)
        if revision is None:
            raise Refused(
                ErrorCode.UNSUPPORTED_PROTOCOL_VERSION,
                "EIO is neither 4 nor, where allow_eio3 is on, 3",
            )
        if admission is None:
            admission = _PLAIN
        elif not isinstance(admission, Admission):
            self._require_yes(admission)
            admission = _PLAIN
        sid = self._ask(self._make_sid, handshake)
        if not isinstance(sid, str) and isinstance(sid, Deferred):
            return sid.addCallback(self._enter, handshake, revision, admission)
        return self._enter(sid, handshake, revision, admission)

    def _require_yes(self, said: object) -> None:
        """Refuse whom the application admits with anything but a plain yes."""
        # Elsewhere returning False refuses a client: who means that must not let
        # everybody in, and whoever means something else is to hear of it.
        if said is not True:
            self.log.error(
                "admit returned {said}, and not None, True or an Admission; the"
                " client is refused: raise Reject to refuse one",
                said=repr(said),
            )
            raise Refused(ErrorCode.FORBIDDEN, "admit returned no Admission")

    def _enter(
        self,
        sid: object,
        handshake: Handshake,
        revision: Revision,
        admission: Admission,
    ) -> Entry:
        known = sid in self.sessions
        if not isinstance(sid, str) or not sid or not sid.isprintable() or known:
            self.log.error("make_sid gave no new id; the client is refused")
            raise Refused(ErrorCode.BAD_REQUEST, "no id could be made")
        return Entry(handshake, revision, sid, admission)

    def _ask(
        self, function: Callable[[Handshake], object], handshake: Handshake
    ) -> object:
        """Call what the operator gave us; a Deferred if it is async."""
        try:
            result = function(handshake)
        except Exception:
            return self._no_answer(Failure())
        if type(result) in _AT_ONCE:
            return result
        if hasattr(result, "__await__"):  # a Deferred has it, too
            # What has __await__ is a coroutine here; a type checker can't know.
            result = ensureDeferred(result)  # type: ignore[arg-type]
            result.addErrback(self._no_answer)
        return result

    def _no_answer(self, failure: Failure) -> NoReturn:
        if failure.check(Reject, CancelledError):
            failure.raiseException()
        self.log.failure("a handshake failed; the client is refused", failure=failure)
        raise Refused(ErrorCode.BAD_REQUEST, "an exception was raised")

"""
Admission control: quota, ``Application.admit``, protocol revision, session id.

Rules of this file:

1. The checks run in this order, and the first refusal is the answer.
2. A handshake whose admission is asynchronous counts against the quota until its
   Deferred has fired, and no longer: ``quota.py``.

Driven by the resource (``admit``) and by the site (``refuse_connection``); calls the
application and ``make_sid``, either of which may return a Deferred.
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
_IMMEDIATE: Final = (type(None), str, Admission)
"""Types of results that are certainly not awaitable: checked first, for speed."""
_FULL: Final = "{limit} is reached; clients refused since the last such line: {count}"
_SERVER_LIMITS: Final = ("max_sessions", "max_connections", "max_handshakes_per_second")
"""Limits of the whole server: a client that they refuse is worth a warning."""


class Entry(NamedTuple):
    """
    A client that was admitted and has no session yet.

    Attributes:
        handshake: The client's first request.
        revision: The protocol revision of the request.
        sid: The id of the session to open.
        admission: The application's ``Admission``.

    """

    handshake: Handshake
    revision: Revision
    sid: str
    admission: Admission


def make_sid(handshake: Handshake) -> str:
    """Return an unguessable session id: 120 random bits, URL-safe."""
    return urlsafe_b64encode(urandom(15)).decode()  # 15 bytes need no padding


class AdmissionControl:
    """The part of ``Server`` that decides which clients may open a session."""

    # Set by Server.
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
            """Raise ``Unavailable`` unless the server is accepting sessions."""

        def limit_reached(self, limit: str, about: Session | Handshake) -> None:
            """Notify the observers that a client exceeded one of the limits."""

    def admit(self, handshake: Handshake) -> Any:
        """
        Decide whether a client may open a session.

        Checks the quota, then calls ``Application.admit``, then checks the protocol
        revision, and last makes the session id. The id cannot be looked up until the
        session is opened.

        Args:
            handshake: The client's first request.

        Returns:
            An ``Entry`` if the client is admitted. If the application or ``make_sid``
            is asynchronous, a Deferred that fires with one or fails as listed below;
            cancel it if the client disconnects.

        Raises:
            Reject: If the application refuses the client.
            Unavailable: If the server is stopping, or a limit is reached.
            Refused: If the handshake is refused for another reason.

        """
        self.refuse_when_stopped()
        self._check_quota(self._quota.begin_handshake, handshake)
        entry = self._call_admit(handshake)
        if not isinstance(entry, Entry):
            handshake.forget_parsed()
            address = handshake.client_address
            self._quota.reserve(address)
            entry.addBoth(self._release, address)
        return entry

    def refuse_connection(self, address: str | None) -> None:
        """
        Log a connection that was closed because there are too many; notify observers.

        Args:
            address: The client's IP address, or ``None`` on a UNIX socket.

        """
        self._warn_operator("max_connections")
        # No bytes were read from this connection: the handshake has an address only.
        about = Handshake("", {}, {}, address)
        self.limit_reached("max_connections", about)

    def _check_quota(
        self, check: Callable[[str | None], None], handshake: Handshake
    ) -> None:
        """Run a quota check; if it refuses, report which limit was reached."""
        try:
            check(handshake.client_address)
        except Unavailable as error:
            self._warn_operator(str(error.limit))
            self.limit_reached(str(error.limit), handshake)
            raise

    def _warn_operator(self, limit: str) -> None:
        """Log a warning, at most once a minute, that a server-wide limit is reached."""
        if limit in _SERVER_LIMITS:
            self.rare_log.warn(
                _FULL,
                kind=limit,
                more=_FULL,
                limit=limit,
                count=1,
            )

    def _release(self, entry: Any, address: str | None) -> Any:
        """Release the quota of a handshake whose admission was asynchronous."""
        self._quota.release(address)
        return entry

    def _call_admit(self, handshake: Handshake) -> Any:
        said = self._call(self.application.admit, handshake)
        if said is not None and isinstance(said, Deferred):
            return said.addCallback(self._identify, handshake)
        return self._identify(said, handshake)

    def _identify(self, admission: object, handshake: Handshake) -> Any:
        """Determine the protocol revision and session id of an admitted client."""
        revision = revision_of(handshake.query, self.config)
        if revision is None:
            raise Refused(
                ErrorCode.UNSUPPORTED_PROTOCOL_VERSION,
                "EIO is neither 4 nor, where allow_eio3 is on, 3",
            )
        if admission is None:
            admission = _PLAIN
        elif not isinstance(admission, Admission):
            self._require_admission(admission)
            admission = _PLAIN
        sid = self._call(self._make_sid, handshake)
        if not isinstance(sid, str) and isinstance(sid, Deferred):
            return sid.addCallback(self._enter, handshake, revision, admission)
        return self._enter(sid, handshake, revision, admission)

    def _require_admission(self, said: object) -> None:
        """Refuse a client if ``admit`` returned anything but a documented value."""
        # In other frameworks False refuses a client. Treating an unknown value as
        # consent would admit clients that the application meant to refuse.
        if said is not True:
            self.log.error(
                "Application.admit returned {said}; the client was refused. Return"
                " None, True or an Admission to admit it, raise Reject to refuse it",
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
            self.log.error(
                "make_sid returned no unused session id; the client was refused."
                " Return a new, printable string for each call"
            )
            raise Refused(ErrorCode.BAD_REQUEST, "no id could be made")
        return Entry(handshake, revision, sid, admission)

    def _call(
        self, function: Callable[[Handshake], object], handshake: Handshake
    ) -> object:
        """Call an application's function; return a Deferred if it is async."""
        try:
            result = function(handshake)
        except Exception:
            return self._refuse_failed(Failure())
        if type(result) in _IMMEDIATE:
            return result
        if hasattr(result, "__await__"):  # Deferreds have it as well
            # An object with __await__ is a coroutine here; mypy cannot know.
            result = ensureDeferred(result)  # type: ignore[arg-type]
            result.addErrback(self._refuse_failed)
        return result

    def _refuse_failed(self, failure: Failure) -> NoReturn:
        if failure.check(Reject, CancelledError):
            failure.raiseException()
        self.log.failure(
            "a handshake failed with an exception; the client was refused",
            failure=failure,
        )
        raise Refused(ErrorCode.BAD_REQUEST, "an exception was raised")

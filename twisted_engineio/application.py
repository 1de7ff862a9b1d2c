"""
The application interface: the four methods that a server calls.

Each method is called with the session it concerns. An exception that it raises is
logged and ends that one session, never the server. Only ``session_closed`` is
guaranteed: it is called exactly once for each session that was opened.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from types import FunctionType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .exceptions import CloseReason
    from .protocol.handshake import Handshake
    from .session.session import Session

__all__ = ["Application", "EchoApplication", "misspelt_hooks"]

HOOKS: Final = ("admit", "session_opened", "message_received", "session_closed")
"""The methods that a server calls."""
_MIN_SIMILARITY: Final = 0.9
"""Similarity threshold of names: two letters of ``message_received`` may be swapped, or
one be missing, but ``message_received_count`` is a different name."""


class Application:
    """Base class of applications: override the methods that you need."""

    def admit(self, handshake: Handshake) -> object:
        """
        Decide whether a client may open a session; by default every client may.

        May be async, or return a Deferred: the client waits for the result. An async
        method awaits Deferreds: an asyncio coroutine needs ``twistd --reactor asyncio``
        and ``Deferred.fromFuture(asyncio.ensure_future(...))``.

        Args:
            handshake: The client's first request.

        Returns:
            None or True to admit the client, or an ``Admission`` with settings for its
            session. Any other value, False included, is a mistake: it is logged, and
            the client is refused with 403. To refuse a client, raise ``Reject``.

        Raises:
            Reject: To refuse the client, with an HTTP status and a message.

        """

    def session_opened(self, session: Session) -> object:
        """
        Called when a session is open and can be sent to.

        Args:
            session: The new session.

        """

    def message_received(self, session: Session, data: str | bytes) -> object:
        """
        Called with each message from a client.

        May be async, or return a Deferred: this session's next message waits for it, so
        that order is kept; other sessions continue. Meanwhile the client is pinged, and
        up to 64 KiB of its messages are read. If the client disconnects, the method has
        ``handler_timeout`` seconds to finish, as every method has; then its Deferred is
        cancelled.

        Args:
            session: The session that received it.
            data: The message, ``str`` or ``bytes``, exactly as it was sent.

        """

    def session_closed(self, session: Session, reason: CloseReason) -> object:
        """
        Called when a session has ended; it can no longer be sent to.

        Args:
            session: The session that ended.
            reason: Why it ended.

        """


def misspelt_hooks(application: Application) -> dict[str, str]:
    """
    Return methods of an application whose names look like misspelt hooks.

    A method counts only if its name, without case and underscores, is similar to that
    of a hook that the application does not override.

    Args:
        application: The application; none of its methods is called, nor any property
            read.

    Returns:
        The intended hook, by the method's name.

    """
    kind = type(application)
    missing = {
        _plain(name): name
        for name in HOOKS
        if getattr(kind, name) is getattr(Application, name)
    }
    own = {
        name
        for each in kind.__mro__
        if each not in (Application, object)
        for name, value in vars(each).items()
        if isinstance(value, (FunctionType, staticmethod, classmethod))
        and name not in HOOKS
        and not name.startswith("__")
    }
    similar = {name: _most_similar(_plain(name), missing) for name in sorted(own)}
    return {name: missing[hook] for name, hook in similar.items() if hook}


def _most_similar(name: str, hooks: Collection[str]) -> str | None:
    for hook in difflib.get_close_matches(name, hooks, n=1, cutoff=_MIN_SIMILARITY):
        # session_opened_at is a different name, not a misspelling.
        if not name.startswith(hook) or len(name) <= len(hook) + 1:
            return hook
    return None


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


class EchoApplication(Application):
    """Sends every message back unchanged: the default of the command line."""

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Send the message back."""
        session.send(data)

"""
The four things that an application is told, and nothing else.

Each method is called with the session it concerns. What it raises is logged and ends
that one session, never the server. Only ``session_closed`` comes for certain: exactly
once for each session that was opened.
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
_NEAR: Final = 0.9
"""How alike a name must be: two letters of ``message_received`` may be swapped, or one
be missing, but ``message_received_count`` is a name of its own."""


class Application:
    """What a server does with its sessions: override what you need."""

    def admit(self, handshake: Handshake) -> object:
        """
        Decide whether a client may open a session; by default any may.

        May be async, or return a Deferred: the client waits for it. What it awaits are
        Deferreds: a coroutine of asyncio's needs ``twistd --reactor asyncio`` and
        ``Deferred.fromFuture(asyncio.ensure_future(...))``.

        Args:
            handshake: The client's first request.

        Returns:
            Nothing, or True, to admit it, or an ``Admission`` that says more about the
            session to be opened. Anything else, False too, is a mistake: it is logged,
            and the client is refused with 403. To refuse one, raise ``Reject``.

        Raises:
            Reject: To refuse the client, with an HTTP status and a message.

        """

    def session_opened(self, session: Session) -> object:
        """
        Greet a new session: it is open, and may be sent to.

        Args:
            session: The new session.

        """

    def message_received(self, session: Session, data: str | bytes) -> object:
        """
        Take a message from a client.

        May be async, or return a Deferred: this session's next message waits for it,
        so that order is kept; other sessions go on. Its client is pinged meanwhile, and
        up to 64 KiB of what it says are read. If it leaves, the method has
        ``handler_timeout`` seconds to finish, as every method has; then its Deferred is
        cancelled.

        Args:
            session: Where it came from.
            data: The message, ``str`` or ``bytes``, exactly as it was sent.

        """

    def session_closed(self, session: Session, reason: CloseReason) -> object:
        """
        Say goodbye to a session that is over; it can no longer be sent to.

        Args:
            session: The session that ended.
            reason: Why it ended.

        """


def misspelt_hooks(application: Application) -> dict[str, str]:
    """
    Find methods of an application that look like hooks and are none.

    A method is one only if its name, without case and underscores, is nearly a hook's
    that the application does not have.

    Args:
        application: The application; nothing of it is called, nor any property read.

    Returns:
        The hook that is meant, by the method's name.

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
    near = {name: _nearest(_plain(name), missing) for name in sorted(own)}
    return {name: missing[hook] for name, hook in near.items() if hook}


def _nearest(name: str, hooks: Collection[str]) -> str | None:
    for hook in difflib.get_close_matches(name, hooks, n=1, cutoff=_NEAR):
        # session_opened_at is a name of its own, and not a slip of the finger.
        if not name.startswith(hook) or len(name) <= len(hook) + 1:
            return hook
    return None


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


class EchoApplication(Application):
    """Sends every message back, as it came: what runs when no other is given."""

    def message_received(self, session: Session, data: str | bytes) -> None:
        """Send the message back."""
        session.send(data)

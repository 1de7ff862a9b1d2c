"""
Listen on an endpoint; abort the start if an endpoint cannot listen.

Rules of this file:

1. If an endpoint fails to listen, with any exception, the process prints one line and
   exits with status 1, without a pidfile. This includes twistd as a daemon.
2. A failed start closes the ports that were opened before, so that no UNIX socket is
   left behind.
3. The lock of a UNIX socket is stale if it names this process and no server accepts on
   the socket: in a container every start has the same process id.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.error import CannotListenError
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

from ..exceptions import EngineIOError

__all__ = ["TWISTED", "CannotStart", "ListeningService"]

TWISTED: Final = ("_waitingForPort", "_raiseSynchronously")
"""Private names of Twisted's ``StreamServerEndpointService`` that are used here."""


_LOCKED: Final = "Cannot acquire lock"
"""Twisted's message if the lock of a UNIX socket names a running process."""


class CannotStart(SystemExit, EngineIOError):
    """
    An endpoint cannot listen; a program that does not catch this ends with one line.

    Both base classes are needed. twistd removes its pidfile, and reports to the parent
    of its daemon, only for an ``Exception``. Python prints just ``code`` for a
    ``SystemExit``, and a traceback for any other exception.

    Attributes:
        code: The line for standard error and the log.

    """

    def __init__(self, problem: str) -> None:
        # twistd reports only the first 100 bytes of it to the parent of a daemon.
        super().__init__(problem)
        self.code: str = problem


class ListeningService(StreamServerEndpointService):
    """
    A service that listens on one endpoint while it runs.

    Attributes:
        endpoint: The endpoint.
        factory: The factory of the connections' protocols.

    """

    _raiseSynchronously = True  # raise immediate failures; later ones are logged

    def __init__(self, description: str, endpoint: Any, factory: Any) -> None:
        """
        Create a service that is not listening.

        Args:
            description: The endpoint description as the operator wrote it.
            endpoint: The endpoint.
            factory: The factory of the connections' protocols.

        """
        super().__init__(endpoint, factory)  # type: ignore[no-untyped-call]  # Twisted's
        self._description = description

    def privilegedStartService(self) -> None:
        """
        Start listening.

        Raises:
            CannotStart: If the endpoint cannot listen.

        """
        # Twisted's method is not annotated.
        listen: Callable[[], None] = super().privilegedStartService
        try:
            try:
                listen()
            except CannotListenError as error:
                if not _remove_stale_lock(error.port):
                    raise
                listen()
        except Exception as error:
            if getattr(error, "socketError", None) != _LOCKED:
                _release_lock(getattr(error, "port", None))
            # Any exception: endpoints of plugins may raise anything.
            raise CannotStart(problem_of(error, self._description)) from None

    def release(self) -> None:
        """Close the port now: the reactor will not run to close it in a later turn."""
        if self._waitingForPort is not None:
            self._waitingForPort.addCallback(_close)


def _close(port: Any) -> None:
    close = getattr(port, "connectionLost", None)
    if close is not None:
        close(Failure(CONNECTION_DONE))


def problem_of(error: Exception, description: str) -> str:
    """
    Describe in one line which endpoint cannot listen, and why.

    Args:
        error: The endpoint's exception.
        description: The endpoint description as the operator wrote it.

    """
    path = getattr(error, "port", None)
    if not isinstance(error, CannotListenError):
        why = str(error) or type(error).__name__
    elif not isinstance(path, bytes):
        return str(error)
    elif error.socketError == _LOCKED:
        lock = os.fsdecode(path) + ".lock"
        why = f"{lock} names a running process; stop that process first"
    else:
        why = str(error.socketError)
    return f"Couldn't listen on {description}: {' '.join(why.split())}"


def _release_lock(path: object) -> None:
    """Remove the lock of a UNIX socket that this process took but cannot listen on."""
    if isinstance(path, bytes) and _is_ours(path):
        os.unlink(path + b".lock")


def _is_ours(path: bytes) -> bool:
    try:
        return os.readlink(path + b".lock") == b"%d" % os.getpid()
    except OSError:
        return False


def _remove_stale_lock(path: object) -> bool:
    """
    Remove the lock of a UNIX socket that an earlier process with the same id has left.

    Args:
        path: The path of the socket; a port number if it is not a UNIX socket.

    Returns:
        Whether such a lock was removed.

    """
    if not isinstance(path, bytes) or not _is_ours(path):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        else:
            return False  # the lock is in use, by us or in another container
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    os.unlink(path + b".lock")
    return True

"""
Listening on an endpoint, and a start that fails when an endpoint cannot listen.

Rules of this file:

1. Any exception with which an endpoint fails to listen ends the start with one line:
   exit status 1, no pidfile, also behind twistd's back when it has become a daemon.
2. A start that fails closes the ports that were opened before, so that no UNIX socket
   is left behind.
3. The lock of a UNIX socket is stale if it names this very process and no server
   accepts on the socket: in a container every start has the same process id.
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
"""What is used here of Twisted's ``StreamServerEndpointService``."""


_LOCKED: Final = "Cannot acquire lock"
"""What Twisted says of a UNIX socket whose lock names a process that runs."""


class CannotStart(SystemExit, EngineIOError):
    """
    An endpoint does not listen; a program that does not catch this ends with one line.

    Both bases count. twistd removes its pidfile, and reports to the process that waits
    for its daemon, only after an ``Exception``; Python prints ``code`` alone after a
    ``SystemExit``, and a traceback after anything else.

    Attributes:
        code: The line for standard error and the log.

    """

    def __init__(self, problem: str) -> None:
        # twistd gives the waiting process no more than 100 bytes of it.
        super().__init__(problem)
        self.code: str = problem


class ListeningService(StreamServerEndpointService):
    """
    Listens on one endpoint from the service's start to its stop.

    Attributes:
        endpoint: The endpoint.
        factory: Makes the protocols of its connections.

    """

    _raiseSynchronously = True  # what fails at once; the rest is logged

    def __init__(self, description: str, endpoint: Any, factory: Any) -> None:
        """
        Make a service that does not listen yet.

        Args:
            description: The endpoint as the operator wrote it.
            endpoint: The endpoint.
            factory: Makes the protocols of its connections.

        """
        super().__init__(endpoint, factory)  # type: ignore[no-untyped-call]  # Twisted's
        self._description = description

    def privilegedStartService(self) -> None:
        """
        Listen.

        Raises:
            CannotStart: If the endpoint cannot.

        """
        # Twisted's method has no types.
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
            # Whatever an endpoint raises: a plugin's may raise anything.
            raise CannotStart(problem_of(error, self._description)) from None

    def release(self) -> None:
        """Close the port now: no reactor will run to do it in a later turn."""
        if self._waitingForPort is not None:
            self._waitingForPort.addCallback(_close)


def _close(port: Any) -> None:
    close = getattr(port, "connectionLost", None)
    if close is not None:
        close(Failure(CONNECTION_DONE))


def problem_of(error: Exception, description: str) -> str:
    """
    Say in one line which endpoint does not listen, and why.

    Args:
        error: What it raised.
        description: The endpoint as the operator wrote it.

    """
    path = getattr(error, "port", None)
    if not isinstance(error, CannotListenError):
        why = str(error) or type(error).__name__
    elif not isinstance(path, bytes):
        return str(error)
    elif error.socketError == _LOCKED:
        lock = os.fsdecode(path) + ".lock"
        why = f"{lock} names a process that runs; stop that one"
    else:
        why = str(error.socketError)
    return f"Couldn't listen on {description}: {' '.join(why.split())}"


def _release_lock(path: object) -> None:
    """Remove the lock of a UNIX socket that this process took and cannot listen on."""
    if isinstance(path, bytes) and _is_ours(path):
        os.unlink(path + b".lock")


def _is_ours(path: bytes) -> bool:
    try:
        return os.readlink(path + b".lock") == b"%d" % os.getpid()
    except OSError:
        return False


def _remove_stale_lock(path: object) -> bool:
    """
    Remove the lock of a UNIX socket that an earlier process of the same id has left.

    Args:
        path: The socket's; a port number if it is none.

    Returns:
        Whether there was such a lock.

    """
    if not isinstance(path, bytes) or not _is_ours(path):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        else:
            return False  # it is this process's own, or another container's
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    os.unlink(path + b".lock")
    return True

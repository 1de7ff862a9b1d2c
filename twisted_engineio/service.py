"""
What ``twistd engineio`` runs, from its start to its orderly end.

Rules of this file:

1. On SIGTERM the process shuts down in order and exits with status 0, which is what a
   supervisor takes for an end that went well. Twisted by itself would, after just as
   orderly an end, kill the process with the signal that it was told to stop by.
2. A second SIGTERM cuts off what is left. SIGINT is Twisted's, and so is SIGTERM where
   somebody has put a handler of their own, or wants none.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Final

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.task import deferLater
from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevelFilterPredicate,
    globalLogPublisher,
)

from .server import Server

__all__ = ["ServerService"]

_SENDING: Final = 0.1
"""Seconds that the last words have to leave the process."""


class ServerService(MultiService):
    """Everything that ``twistd engineio`` runs; stopping it closes the sessions."""

    log = Logger()

    def __init__(self, server: Server, level: Any, reactor: Any = None) -> None:
        """
        Make a service that has not started.

        Args:
            server: The server that it runs.
            level: The level from which on there is a log.
            reactor: Whose SIGTERM is to end with status 0; ``None`` to leave that be.

        """
        super().__init__()
        self.server = server
        self._level = level
        self._reactor = reactor

    def startService(self) -> None:
        """Start, with a log of the level that was asked for."""
        # Not sooner: twistd adds its observers after it has made the service.
        predicate = LogLevelFilterPredicate(defaultLogLevel=self._level)
        for observer in list(globalLogPublisher._observers):
            globalLogPublisher.removeObserver(observer)
            globalLogPublisher.addObserver(FilteringLogObserver(observer, [predicate]))
        if self._reactor is not None:
            self._reactor.callWhenRunning(self._take_sigterm)
        super().startService()

    def privilegedStartService(self) -> None:
        """
        Listen.

        Raises:
            SystemExit: If a port is taken, or not ours to take.

        """
        try:
            super().privilegedStartService()
        except (CannotListenError, OSError) as error:
            raise SystemExit(f"twistd engineio: {error}") from None

    def stopService(self) -> Deferred[Any]:
        """Close every session, then listen no more."""
        # Not the other way round: a client may need a new connection to fetch its last
        # words. New sessions are refused meanwhile.
        stopped: Deferred[Any] = self.server.stop()
        # What was written last is not sent yet; the reactor cuts connections off.
        stopped.addCallback(lambda _: deferLater(self.server.clock, _SENDING))
        stopped.addCallback(lambda _: super(ServerService, self).stopService())
        return stopped

    # SIGTERM.

    def _take_sigterm(self) -> None:
        ours = getattr(self._reactor, "sigTerm", None)
        ours = ours if self.running else None  # stopped before the reactor ran
        if ours is not None and signal.getsignal(signal.SIGTERM) == ours:
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._terminate)

    def _terminate(self) -> None:
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            self.log.info("Received SIGTERM again, cutting off what is left.")
            self.server.cut_off()
        else:
            self.log.info("Received SIGTERM, shutting down.")

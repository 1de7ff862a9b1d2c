"""
The service that ``twistd engineio`` runs: start, signals, graceful shutdown.

Rules of this file:

1. SIGTERM shuts the process down gracefully, and it exits with status 0, which a
   supervisor regards as success. Twisted by itself would kill the process with the
   signal after the same shutdown.
2. SIGHUP does the same, unless the process was started with it ignored, as by nohup.
3. SIGINT does the same, but the process then ends by that signal, as a shell expects.
4. A second signal, of any of these, aborts the remaining sessions. If other code has
   installed its own handler, or has disabled Twisted's, the signal is left alone.
5. SIGUSR1 reopens the access log and, if twistd writes a log file, rotates or reopens
   that: see ``log_rotation``. twistd by itself keeps writing to a renamed file. Any
   handler but twistd's is called as well. The signal never ends the process, as it
   would by default if twistd had no log file.

Driven by twistd (the ``IService`` methods) and by signals.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogLevelFilterPredicate,
    globalLogPublisher,
)
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile

from .._version import __version__
from ..exceptions import counted
from ..server.server import Server
from ..web.listening import CannotStart
from ..web.service import EngineIOService
from .log_format import BoundedObserver
from .log_rotation import log_files, renew

__all__ = ["ServerService"]

_SIGNALS: Final = {signal.SIGTERM: "sigTerm", signal.SIGINT: "sigInt"}
"""Signals for a graceful shutdown, and the names of the reactor's handlers. It has none
for SIGHUP."""
_TWISTD: Final = "twisted.scripts._twistd_unix"
"""The module of twistd's own handler of SIGUSR1."""


class ServerService(EngineIOService):
    """Everything that ``twistd engineio`` runs; closes the sessions when it stops."""

    log = Logger()

    def __init__(
        self,
        server: Server,
        level: Any,
        reactor: Any = None,
        make_observer: Callable[[], object] | None = None,
    ) -> None:
        """
        Create a service that is not running.

        Args:
            server: The server to run.
            level: The lowest level that is logged.
            reactor: The reactor whose signals are handled; ``None`` to handle none.
            make_observer: Returns the log observer for the twistd application that this
                service is added to; ``None`` for twistd's own.

        """
        super().__init__(server)
        self._level = level
        self._reactor = reactor
        self._log_files: list[LogFile] = []
        self._rotating: list[Callable[[], object]] = []
        self._bounds: list[BoundedObserver] = []
        self._make_observer = make_observer

    def on_rotate(self, call: Callable[[], object]) -> None:
        """
        Register a function to call on SIGUSR1.

        Args:
            call: Reopens a file by its name; called in the reactor's thread.

        """
        self._rotating.append(call)

    def setServiceParent(self, parent: Any) -> None:
        """Add the service to a twistd application, and set its log observer."""
        super().setServiceParent(parent)
        if self._make_observer is not None and isinstance(parent, Componentized):
            # Before twistd starts its log: the first line must use this observer, too.
            parent.setComponent(ILogObserver, self._make_observer())

    def startService(self) -> None:
        """Start the services, with the log limited to the configured level."""
        # Not earlier: twistd adds its observers after it has created the service.
        self._log_files = log_files()
        predicate = LogLevelFilterPredicate(defaultLogLevel=self._level)
        for observer in list(globalLogPublisher._observers):
            globalLogPublisher.removeObserver(observer)
            bounded = BoundedObserver(observer, self.server.clock)
            self._bounds.append(bounded)
            globalLogPublisher.addObserver(FilteringLogObserver(bounded, [predicate]))
        if self._reactor is not None:
            self._reactor.callWhenRunning(self._take_signals)
        self.log.info(
            "twisted_engineio {version}, transports {transports}",
            version=__version__,
            transports=", ".join(self.server.config.transports),
        )
        super().startService()

    def privilegedStartService(self) -> None:
        """
        Start listening on all endpoints.

        Raises:
            CannotStart: If an endpoint cannot listen; the others are closed then.

        """
        try:
            super().privilegedStartService()
        except CannotStart as error:
            error.code = f"twistd engineio: {error}"
            raise

    def stopService(self) -> Deferred[Any]:
        """Close every session, then stop listening, and flush the log."""
        return super().stopService().addBoth(self._flush_log)

    def _flush_log(self, result: Any) -> Any:
        for each in self._bounds:
            each.flush()
        return result

    # Signals.

    def _take_signals(self) -> None:
        if not self.running:  # stopped before the reactor was started
            return
        for number, name in _SIGNALS.items():
            handler = getattr(self._reactor, name, None)
            if handler is not None and signal.getsignal(number) == handler:
                signal.signal(number, self._on_signal)
        hangup = signal.getsignal(signal.SIGHUP)
        ours = signal.getsignal(signal.SIGTERM) == self._on_signal
        if ours and hangup is signal.SIG_DFL:  # nohup would have set SIG_IGN
            signal.signal(signal.SIGHUP, self._on_signal)
        before: Any = signal.getsignal(signal.SIGUSR1)
        if getattr(before, "__module__", "") == _TWISTD:
            self._rotating.extend(partial(renew, each) for each in self._log_files)
            before = signal.SIG_DFL
        if self._rotating or (ours and before is signal.SIG_DFL):
            signal.signal(signal.SIGUSR1, partial(self._on_rotate, before))

    def _on_rotate(self, before: Any, number: int, frame: FrameType | None) -> None:
        for each in self._rotating:
            self._reactor.callFromThread(each)
        if callable(before):
            before(number, frame)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._terminate, signal.Signals(number))

    def _terminate(self, number: signal.Signals) -> None:
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            self.log.info(
                "received {signal}: aborting the remaining sessions", signal=number.name
            )
            self.server.cut_off()
            return
        if number is signal.SIGINT:
            # As the reactor's own handler does: twistd then ends itself by this signal.
            self._reactor._exitSignal = number
        count = len(self.server.sessions)
        self.log.info(
            "received {signal}: {sessions} {seconds:g} s to end; a second signal aborts"
            " them",
            signal=number.name,
            sessions=f"{counted(count, 'session')} {'has' if count == 1 else 'have'}",
            count=count,
            seconds=self.server.config.drain_timeout,
        )

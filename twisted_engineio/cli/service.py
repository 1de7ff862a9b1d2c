"""
What ``twistd engineio`` runs, from its start to its orderly end.

Rules of this file:

1. On SIGTERM the process shuts down in order and exits with status 0, which is what a
   supervisor takes for an end that went well. Twisted by itself would, after just as
   orderly an end, kill the process with the signal that it was told to stop by.
2. On SIGHUP likewise, unless the process was started with it ignored, as by nohup.
3. On SIGINT likewise; the process ends by that signal then, as a shell expects.
4. A second one, of any, cuts off what is left. A signal is Twisted's where somebody
   has put a handler of their own, or wants none.
5. On SIGUSR1 the access log and, where twistd writes a log file, that go on in the file
   of their name: see ``logfiles``. twistd by itself goes on in a file that was renamed.
   A handler that is not twistd's is called as well. It never ends the process, as it
   would where twistd has no log file.
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
"""The signals that end a process in order, and the reactor's handlers of them. Of
SIGHUP it has none."""
_TWISTD: Final = "twisted.scripts._twistd_unix"
"""Where twistd's own handler of SIGUSR1 comes from."""


class ServerService(EngineIOService):
    """Everything that ``twistd engineio`` runs; stopping it closes the sessions."""

    log = Logger()

    def __init__(
        self,
        server: Server,
        level: Any,
        reactor: Any = None,
        make_observer: Callable[[], object] | None = None,
    ) -> None:
        """
        Make a service that has not started.

        Args:
            server: The server that it runs.
            level: The level from which on there is a log.
            reactor: Whose signals to take; ``None`` to leave them be.
            make_observer: Makes the log observer of the twistd application that this
                 becomes a part of; ``None`` for twistd's own.

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
        Reopen one more file on SIGUSR1.

        Args:
            call: Opens the file again by its name; called in the reactor's thread.

        """
        self._rotating.append(call)

    def setServiceParent(self, parent: Any) -> None:
        """Become a part of a twistd application, and say how its log is written."""
        super().setServiceParent(parent)
        if self._make_observer is not None and isinstance(parent, Componentized):
            # Before twistd begins to log: the first line is written by it.
            parent.setComponent(ILogObserver, self._make_observer())

    def startService(self) -> None:
        """Start, with a log of the level that was asked for."""
        # Not sooner: twistd adds its observers after it has made the service.
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
        Listen.

        Raises:
            CannotStart: If an endpoint cannot; none listens then.

        """
        try:
            super().privilegedStartService()
        except CannotStart as error:
            error.code = f"twistd engineio: {error}"
            raise

    def stopService(self) -> Deferred[Any]:
        """Close every session, then listen no more, and write the log's last lines."""
        return super().stopService().addBoth(self._flush_log)

    def _flush_log(self, result: Any) -> Any:
        for each in self._bounds:
            each.flush()
        return result

    # Signals.

    def _take_signals(self) -> None:
        if not self.running:  # stopped before the reactor ran
            return
        for number, name in _SIGNALS.items():
            handler = getattr(self._reactor, name, None)
            if handler is not None and signal.getsignal(number) == handler:
                signal.signal(number, self._on_signal)
        hangup = signal.getsignal(signal.SIGHUP)
        ours = signal.getsignal(signal.SIGTERM) == self._on_signal
        if ours and hangup is signal.SIG_DFL:  # nohup has it ignored
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
                "received {signal}: cutting off what is left", signal=number.name
            )
            self.server.cut_off()
            return
        if number is signal.SIGINT:
            # As the reactor's own handler: twistd ends itself by it, when all is done.
            self._reactor._exitSignal = number
        count = len(self.server.sessions)
        self.log.info(
            "received {signal}: {sessions} {seconds:g} s to end;"
            " a second one cuts them off",
            signal=number.name,
            sessions=f"{counted(count, 'session')} {'has' if count == 1 else 'have'}",
            count=count,
            seconds=self.server.config.drain_timeout,
        )

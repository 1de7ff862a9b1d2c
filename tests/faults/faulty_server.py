"""
The server under test, a process of its own: does on demand what applications do wrong.

Its one argument is JSON: ``config`` (options of ``Config``), and if wanted ``files``
(how many file descriptors it may have), ``observer`` (whether one looks on that raises
at everything). It says on stdout where it listens, and everything it logs.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from twisted.internet import main
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import deferLater
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from twisted.web.resource import Resource

from twisted_engineio import (
    Application,
    CloseReason,
    Config,
    EngineIOResource,
    EngineIOSite,
    Handshake,
    Observer,
    Server,
    Session,
    State,
)

CHUNK = "x" * 65_536
FLOOD = 200_000_000
"""Bytes that "flood" tries to send: far more than any buffer may hold."""


class JumpyReactor(EPollReactor):
    """Twisted's reactor, on a machine whose clock is set while it runs."""

    ahead = 0.0

    def seconds(self) -> float:
        """Tell the time, as the wall clock of that machine does."""
        return super().seconds() + self.ahead


class Fault(Exception):
    """What the application raises."""


class Faulty(Application):
    """Echoes, unless it is told to do harm: by the query's ``t``, or by a message."""

    log = Logger()

    def __init__(self, reactor: JumpyReactor) -> None:
        self.reactor = reactor

    def _fail(self, hook: str, handshake: Handshake) -> Any:
        told = handshake.query.get("t")
        if told == hook:
            raise Fault(hook)
        return self._fail_later(hook) if told == f"{hook}-async" else None

    async def _fail_later(self, hook: str) -> None:
        await deferLater(self.reactor, 0.01)
        raise Fault(hook)

    def admit(self, handshake: Handshake) -> Any:
        """Admit, unless this hook is to fail."""
        return self._fail("admit", handshake)

    def session_opened(self, session: Session) -> Any:
        """Say so in the log, unless this hook is to fail."""
        self.log.info("opened {sid}", sid=session.sid)
        return self._fail("session_opened", session.handshake)

    def message_received(self, session: Session, data: str | bytes) -> Any:
        """Do as told, or send it back."""
        command, _, argument = str(data).partition(" ")
        if command == "flood":
            self.log.info("floods {sid}", sid=session.sid)
            self._flood(session, FLOOD)
        elif command == "block":
            self.log.info("blocks for {seconds} s", seconds=argument)
            time.sleep(float(argument))  # the fault itself
        elif command == "jump":
            self.reactor.ahead += float(argument)
        elif command == "memory":
            session.send(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
        else:
            failing = self._fail("message_received", session.handshake)
            if failing is not None:
                return failing
            session.send(data)
        return None

    def session_closed(self, session: Session, reason: CloseReason) -> Any:
        """Say so in the log, unless this hook is to fail."""
        self.log.info("closed {sid}: {reason}", sid=session.sid, reason=reason.value)
        return self._fail("session_closed", session.handshake)

    def _flood(self, session: Session, left: int) -> None:
        """Send without looking whether it goes, a megabyte in each turn."""
        for _ in range(16):
            if session.state is not State.OPEN:
                return
            session.send(CHUNK)
        if left > 0:
            left -= 16 * len(CHUNK)
            self.reactor.callLater(0, self._flood, session, left)
        else:
            self.log.info("flooded {sid}", sid=session.sid)


def _raise(self: Observer, *about: object) -> None:
    raise Fault("observer")


EVENTS = [name for name in vars(Observer) if not name.startswith("_")]
Grumbler = type("Grumbler", (Observer,), dict.fromkeys(EVENTS, _raise))


def run(options: dict[str, Any]) -> None:
    """Serve until SIGTERM."""
    globalLogBeginner.beginLoggingTo(
        [textFileLogObserver(sys.stdout)], redirectStandardIO=False
    )
    if "files" in options:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (options["files"], hard))
    reactor = JumpyReactor()
    main.installReactor(reactor)
    watched = [Grumbler()] if options.get("observer") else []
    config = Config(**options["config"])
    server = Server(Faulty(reactor), config, clock=reactor, observers=watched)
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    site = EngineIOSite(root, server)
    site.noisy = False
    endpoint = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
    listening: Deferred[Any] = endpoint.listen(site)
    listening.addCallback(
        lambda port: print(f"listens on {port.getHost().port}.", flush=True)
    )
    reactor.addSystemEventTrigger("before", "shutdown", server.stop, 0.1)
    reactor.run()


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))

"""
A server to be attacked, in a process of its own: ``python -m fuzzing.victim``.

It is built as an operator builds one, with short times so that what is left behind goes
away while somebody watches. Its port is the first line it prints; ``/counts`` tells how
many sessions there are, and how many calls the reactor has yet to make. Its log goes to
standard error.
"""

from __future__ import annotations

import gc
import json
import sys

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.web.resource import Resource

from twisted_engineio import (
    Config,
    EchoApplication,
    EngineIOResource,
    EngineIOSite,
    Server,
)

CONFIG = Config(
    ping_interval=0.5,
    # Long enough for a client that is well on a machine that is very busy.
    ping_timeout=5.0,
    upgrade_timeout=5.0,
    close_timeout=5.0,
    request_timeout=5.0,
    max_payload=5_000,
    max_fragments=8,
    transports=("polling", "websocket", "sse"),
    allow_eio3=True,
)


class Counts(Resource):
    """How many there are, for whoever watches."""

    isLeaf = True

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def render_GET(self, request: object) -> bytes:
        """Count, with all that is dead gone: a Deferred logs its error when it dies."""
        gc.collect()
        counts = {
            "sessions": len(self._server.sessions),
            "calls": len(reactor.getDelayedCalls()),
            "sockets": len(reactor.getReaders())
            + len(self._server.websockets.descriptors.connections),
        }
        return json.dumps(counts).encode()


def main() -> None:
    """Serve until killed, or until whoever started this is gone."""
    globalLogBeginner.beginLoggingTo(
        [textFileLogObserver(sys.stderr)], redirectStandardIO=False
    )
    server = Server(EchoApplication(), CONFIG, clock=reactor)
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    root.putChild(b"counts", Counts(server))
    endpoint = serverFromString(reactor, "tcp:0:interface=127.0.0.1:backlog=500")
    listening = endpoint.listen(EngineIOSite(root, server))
    listening.addCallback(lambda port: print(port.getHost().port, flush=True))
    reactor.run()


if __name__ == "__main__":
    main()

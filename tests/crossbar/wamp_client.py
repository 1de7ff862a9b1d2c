"""
A component of the router's, in a process of its own, sent on errands as Node is.

Run with the URL of a router. A line of JSON on stdin is an errand, and a line of JSON
on stdout what came of it; the end of stdin is the end.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

from autobahn.twisted.component import Component
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import PublishOptions
from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred, DeferredQueue, ensureDeferred
from twisted.protocols.basic import LineReceiver

DEADLINE = 20.0


class Errands(LineReceiver):
    """Does one errand after the other."""

    delimiter = b"\n"
    MAX_LENGTH = 1_000_000

    def __init__(self, session: Any) -> None:
        self.session = session
        self.heard: DeferredQueue[Any] = DeferredQueue()
        self.called: DeferredQueue[Any] = DeferredQueue()
        self.unanswered: list[Deferred[Any]] = []
        self.held: list[Any] = []

    def lineReceived(self, line: bytes) -> None:
        errand = json.loads(line)
        method = getattr(self, f"do_{errand['errand']}")
        done = ensureDeferred(method(errand))
        done.addTimeout(DEADLINE, reactor)
        done.addCallback(lambda facts: {"facts": facts})
        done.addErrback(lambda failure: {"error": failure.getTraceback()})
        done.addCallback(lambda reply: self.sendLine(json.dumps(reply).encode()))

    def connectionLost(self, reason: Any = None) -> None:
        reactor.stop()

    async def do_call(self, errand: dict[str, Any]) -> Any:
        """Call a procedure; an error is a fact, too."""
        try:
            return await self.session.call(
                errand["uri"], *errand.get("args", ()), **errand.get("kwargs", {})
            )
        except ApplicationError as error:
            return {"error": error.error, "args": list(error.args)}

    async def do_publish(self, errand: dict[str, Any]) -> None:
        """Publish, and wait until the router has it."""
        options = PublishOptions(acknowledge=True)
        await self.session.publish(errand["uri"], *errand["args"], options=options)

    async def do_subscribe(self, errand: dict[str, Any]) -> None:
        """Listen to a topic."""

        def hear(*args: Any, **kwargs: Any) -> None:
            self.heard.put({"args": args, "kwargs": kwargs})

        self.held.append(await self.session.subscribe(hear, errand["uri"]))

    async def do_hear(self, errand: dict[str, Any]) -> Any:
        """Wait for the next event."""
        return await self.heard.get()

    async def do_register(self, errand: dict[str, Any]) -> None:
        """Be called, and never answer."""

        def called(*args: Any) -> Deferred[Any]:
            waits: Deferred[Any] = Deferred(lambda _: self.called.put("cancelled"))
            self.unanswered.append(waits)
            self.called.put("called")
            return waits

        self.held.append(await self.session.register(called, errand["uri"]))

    async def do_called(self, errand: dict[str, Any]) -> Any:
        """Wait until it is called, or the call cancelled."""
        return await self.called.get()

    async def do_forget(self, errand: dict[str, Any]) -> None:
        """Give back what it holds: the next errands are another test's."""
        for each in self.held:
            await (each.unsubscribe if hasattr(each, "topic") else each.unregister)()
        self.held, self.unanswered = [], []
        self.heard, self.called = DeferredQueue(), DeferredQueue()


async def main(reactor: Any, session: Any) -> None:
    stdio.StandardIO(Errands(session))
    await Deferred()


def run(url: str) -> None:
    component = Component(
        main=main,
        realm="realm1",
        transports=[{"type": "rawsocket", "url": url, "max_retries": 20}],
    )
    component.start(reactor).addErrback(lambda failure: traceback.print_exc())
    reactor.run()


if __name__ == "__main__":
    run(sys.argv[1])

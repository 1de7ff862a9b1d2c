"""A component: a procedure, a periodic event, and messages to single sessions."""

from __future__ import annotations

from autobahn.twisted.wamp import ApplicationSession
from twisted.internet import reactor
from twisted.internet.task import LoopingCall, deferLater


class Backend(ApplicationSession):
    async def onJoin(self, details):
        await self.register(lambda a, b: a + b, "com.example.add")
        await self.register(self.remind, "com.example.remind")
        self.ticks = 0
        LoopingCall(self.tick).start(1.0)

    def tick(self):
        self.ticks += 1
        self.publish("com.example.tick", self.ticks)

    async def remind(self, session, text, seconds=3):
        """Send to one session after a delay; its page passes the session's name."""
        later = deferLater(reactor, seconds, self.call, "engineio.send", session, text)
        later.addErrback(lambda _: None)  # the session has ended
        return "I will"

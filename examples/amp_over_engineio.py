r"""
AMP, Twisted's protocol for remote procedure calls, over Engine.IO.

Run ``python examples/amp_over_engineio.py [PORT]``. AMP is used unchanged: with the
endpoint ``engineio:tcp\:3000`` its connections are sessions.
"""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.amp import AMP, Command, Integer


class Sum(Command):
    arguments = ((b"a", Integer()), (b"b", Integer()))
    response = ((b"total", Integer()),)


class Arithmetic(AMP):
    @Sum.responder
    def sum(self, a, b):
        return {"total": a + b}


async def serve(reactor, port=3000):
    endpoint = serverFromString(reactor, rf"engineio:tcp\:{port}")
    await endpoint.listen(Factory.forProtocol(Arithmetic))
    print(f"AMP: over Engine.IO at http://localhost:{port}/engine.io/", flush=True)
    await Deferred()  # until the process is stopped


react(serve, sys.argv[1:])

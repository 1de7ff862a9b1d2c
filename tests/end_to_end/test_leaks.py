"""
Thousands of sessions, opened and dropped in every way: none leaves anything behind.

The ways stand in ``ways.py``. They run many at once against one server; each says with
which reason its session must end, so that a session that ended in another way than was
meant does not go unnoticed.
"""

from __future__ import annotations

import gc
from collections import Counter
from itertools import cycle, islice

from pytest_twisted import ensureDeferred
from stages import Serve, Stage, at_once, sockets, until
from twisted.internet import reactor
from twisted.web.http import HTTPChannel
from ways import SLOW_WAYS, WAYS, Choosy, Way

from twisted_engineio import CloseReason, Config, Session
from twisted_engineio.session.upgrade import Probe
from twisted_engineio.transports.polling import PollingTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport
from twisted_engineio.web.body_limit import EngineIORequest

SESSIONS = 5000
AT_ONCE = 50
KINDS = (
    Session,
    Probe,
    PollingTransport,
    WebSocketTransport,
    EngineIORequest,
    HTTPChannel,
)


def alive() -> Counter[str]:
    """Count what a session is made of, after all garbage is gone."""
    gc.collect()
    names = (
        type(each).__name__
        for each in gc.get_objects()
        if issubclass(type(each), KINDS)
    )
    return Counter(names)


async def play(stage: Stage, ways: list[Way], count: int) -> Counter[CloseReason]:
    """Open and drop so many sessions, in all these ways: count the reasons."""
    reasons: Counter[CloseReason] = Counter()
    rounds = islice(cycle(ways), count)

    async def some() -> None:
        for each in rounds:
            reason = await each(stage)
            if reason is not None:
                reasons[reason] += 1
            stage.forget_clients()

    await at_once(*(some() for _ in range(AT_ONCE)))
    return reasons


@ensureDeferred
async def test_sessions_leave_nothing_behind(serve: Serve) -> None:
    """5,000 sessions end as they were ended, and nothing of them is left."""
    config = Config(ping_interval=60.0, ping_timeout=60.0, max_payload=1000)
    stage = await serve(Choosy(), config)
    objects, timers, connections = alive(), len(reactor.getDelayedCalls()), sockets()
    reasons = await play(stage, WAYS, SESSIONS)
    await until(lambda: sockets() == connections and not stage.server.sessions)
    stage.server.flush_log()  # else it counts, for a second, what it did not log
    assert Counter(stage.application.closed) == reasons
    assert len(reactor.getDelayedCalls()) == timers
    assert alive() == objects


@ensureDeferred
async def test_sessions_that_time_out_leave_nothing_behind(serve: Serve) -> None:
    """Every timer that ends something cleans up behind it."""
    config = Config(
        ping_interval=0.4,
        ping_timeout=0.4,
        upgrade_timeout=0.3,
        close_timeout=0.2,
        request_timeout=0.3,
    )
    stage = await serve(Choosy(), config)
    objects, timers, connections = alive(), len(reactor.getDelayedCalls()), sockets()
    reasons = await play(stage, SLOW_WAYS, 300)
    await until(lambda: sockets() == connections and not stage.server.sessions)
    stage.server.flush_log()  # else it counts, for a second, what it did not log
    assert Counter(stage.application.closed) == reasons
    assert len(reactor.getDelayedCalls()) == timers
    assert alive() == objects

"""Hard times for the server itself: no descriptors, a blocked reactor, a clock set."""

from __future__ import annotations

from children import Honest, Start
from peers import POLLING
from pytest_twisted import ensureDeferred
from stages import at_once, until

FILES = 60
"""Descriptors that a server may have: a dozen are its own."""


@ensureDeferred
async def test_without_descriptors_sessions_are_served_and_new_ones_wait(
    start: Start,
) -> None:
    """Who is there talks on; who comes is hung up on; later there is room again."""
    child = await start({"request_timeout": 60.0}, files=FILES)
    child.notes = ["EMFILE"]
    clients = await child.everybody()
    crowd = []
    while not any(each.is_lost for each in crowd):
        assert len(crowd) < 2 * FILES
        crowd.append(await child.peer())
        await clients[0].echoes("hello")
    assert len(crowd) > FILES / 2
    await child.says("EMFILE encountered; releasing reserved file descriptor.")
    for each in clients:
        await each.echoes("still here")
    for peer in crowd[:10]:
        peer.drop()
    await until(lambda: all(peer.is_lost for peer in crowd[:10]))
    for each in await child.everybody():
        await each.echoes("there is room again")
    assert child.reasons() == {}


async def all_pinged(clients: list[Honest]) -> None:
    """Let each client get a ping, and wait with its pong."""
    for each in clients:
        each.holds, each.pings = True, 0
    await until(lambda: all(each.pings for each in clients))


@ensureDeferred
async def test_nobody_is_dropped_because_the_reactor_was_blocked(start: Start) -> None:
    """Ten seconds: pongs, an upgrade's last step and a request wait in the sockets."""
    child = await start({"ping_interval": 1.0, "upgrade_timeout": 3.0})
    clients, culprit = await child.everybody(), await child.websocket()
    upgrading = await child.polling()
    candidate = await child.websocket(query=f"&transport=websocket&sid={upgrading.sid}")
    candidate.say("2probe")
    assert await candidate.message() == "3probe"
    await all_pinged(clients)
    culprit.say("4block 10")
    await child.says("blocks for 10 s")
    for each in clients:
        each.holds = False
        each.say("3")
    candidate.say("5")
    newcomer = await child.peer()
    newcomer.send(POLLING)
    await at_once(
        candidate.echoes("moved"),
        culprit.echoes("it was me"),
        *(each.echoes("was there something?") for each in clients),
    )
    assert (await newcomer.answer()).sid
    for each in clients:
        each.pings = 0
    await until(lambda: all(each.pings for each in clients))
    assert not {each.sid for each in (*clients, culprit, upgrading)} & {
        *child.reasons()
    }


@ensureDeferred
async def test_nobody_is_dropped_because_the_clock_was_set(start: Start) -> None:
    """Forward by an hour: pings go on. Back: none comes until the time is made up."""
    child = await start(
        {"sse_max_age": 100_000.0}
    )  # else the stream ends, for a new one
    clients, hand = await child.everybody(), await child.websocket()
    await all_pinged(clients)
    hand.say("4jump 3600")
    await hand.echoes("forward")
    for each in clients:
        each.holds = False
        each.say("3")
        await each.echoes("was there something?")
        each.pings = 0
    await until(lambda: all(each.pings >= 2 for each in clients))
    hand.say("4jump -7200")
    await hand.echoes("back")
    for each in [*clients, *await child.everybody()]:
        await each.echoes("was there something?")
    assert child.reasons() == {}
    hand.say("4jump 7200")
    await hand.echoes("made up for")
    for each in clients:
        each.pings = 0
    await until(lambda: all(each.pings for each in clients))
    assert child.reasons() == {}

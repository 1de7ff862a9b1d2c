"""An application, and an observer, that raise at each hook: one session ends."""

from __future__ import annotations

import pytest
from children import Child, Start
from peers import POLLING, WEBSOCKET, upgrade_request
from pytest_twisted import ensureDeferred

HOOKS = ["session_opened", "message_received", "session_closed"]
KINDS = ["", "-async"]


@ensureDeferred
async def test_an_admit_that_raises_refuses_its_client(child: Child) -> None:
    """400 by HTTP and on the way to a WebSocket; the log has the traceback."""
    for kind in KINDS:
        peer = await child.peer()
        answer = await peer.ask(f"{POLLING}&t=admit{kind}")
        assert answer.error == (400, 3, "Bad request")
        peer.write(upgrade_request(f"{WEBSOCKET}&t=admit{kind}"))
        assert (await peer.answer()).status == 400
    child.faults = "a handshake failed with an exception; the client was refused"
    await child.says(child.faults, times=4)
    await child.says("Fault: admit", times=4)


async def provoke(child: Child, hook: str, kind: str) -> None:
    """Open two sessions whose hook fails, and let it."""
    query = f"&t={hook}{kind}"
    polling = None
    if hook == "session_opened" and not kind:
        # It is over before its handshake is answered.
        peer = await child.peer()
        assert (await peer.ask(POLLING + query)).error == (400, 3, "Bad request")
    else:
        polling = await child.polling(query=query)
    socket = await child.websocket(query="&transport=websocket" + query)
    for each in (polling, socket):
        if each is not None and hook == "message_received":
            each.say("4fail")
        elif each is not None and hook == "session_closed":
            each.say("1")
    await socket.lost()


@pytest.mark.parametrize("hook", HOOKS)
@ensureDeferred
async def test_a_hook_that_raises_ends_its_session_alone(
    child: Child, hook: str
) -> None:
    """On polling and on a WebSocket, plain and async: a traceback for each."""
    for kind in KINDS:
        await provoke(child, hook, kind)
    if hook == "session_closed":
        child.faults, reason = (
            "Application.session_closed failed for session",
            "transport close",
        )
    else:
        child.faults, reason = "the application failed; session", "application error"
    await child.says(child.faults, times=4)
    await child.says("closed ", times=4)
    assert {*child.reasons().values()} == {reason}
    assert child.log.count("Fault: " + hook) == 4


@ensureDeferred
async def test_an_observer_that_always_raises_changes_nothing(start: Start) -> None:
    """Sessions open, talk, upgrade and close; each fault is logged or counted."""
    child = await start(observer=True)
    clients = await child.everybody()
    for each in clients:
        await each.echoes("hello")
    upgrading = await child.polling()
    candidate = await child.websocket(query=f"&transport=websocket&sid={upgrading.sid}")
    candidate.say("2probe")
    assert await candidate.message() == "3probe"
    candidate.say("5")
    await candidate.echoes("moved")
    assert (await (await child.peer()).ask("/engine.io/")).status == 400
    candidate.say("1")
    assert await child.ended(upgrading.sid) == ["transport close"]
    child.faults = "an observer raised an exception"
    await child.says(", like: an observer raised")
    assert child.log.count(child.faults) > 10

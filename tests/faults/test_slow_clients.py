"""Clients that read slowly, or not at all; clients that write slowly, all at once."""

from __future__ import annotations

from children import Child, Honest
from honest import HonestWebSocket
from peers import PATH, POLLING, HttpPeer, http_request
from pytest_twisted import ensureDeferred
from stages import at_once, turn
from twisted.internet import reactor

MAX_BUFFERED = 16_777_216
"""Bytes: the default of ``Config.max_buffered``."""


async def memory(bystander: HonestWebSocket) -> int:
    """Ask the server for the most bytes it has ever had."""
    bystander.say("4memory")
    answer = await bystander.message()
    assert isinstance(answer, str)
    return int(answer[1:])


async def floods(child: Child, client: Honest) -> None:
    """Ask for a flood, and read nothing of it."""
    getter = getattr(client, "_getter", client)
    getter.transport.pauseProducing()
    client.say("4flood")
    await child.says(f"floods {client.sid}")


@ensureDeferred
async def test_a_client_that_reads_nothing_is_ended(child: Child) -> None:
    """200 MB for it: 16 MiB are held, then "slow client"; others talk meanwhile."""
    bystander = await child.websocket()
    before = await memory(bystander)
    clients = await child.everybody()
    for each in clients:
        await floods(child, each)
        began = reactor.seconds()
        await bystander.echoes("meanwhile")
        assert reactor.seconds() - began < 5.0  # between two bursts, not behind all
        assert await child.ended(each.sid) == ["slow client"]
    assert "flooded" not in child.log
    # Of one at a time: what is queued, and what is made of it in the socket's buffer.
    assert await memory(bystander) - before < 3 * MAX_BUFFERED


async def trickle(peer: HttpPeer, head: bytes, rest: bytes) -> float:
    """Write a byte now and then until the server hangs up: how long that took."""
    began = reactor.seconds()
    peer.write(head)
    for byte in rest:
        if peer.is_lost:
            break
        peer.write(bytes([byte]))
        await turn(0.02)
    await peer.lost()
    return reactor.seconds() - began


@ensureDeferred
async def test_clients_that_write_slowly_are_cut_off(
    child: Child, brisk: dict[str, float]
) -> None:
    """Headers, a body, chunks that trickle: ``request_timeout`` for the whole."""
    child.notes = ["Timing out client"]
    session = await child.polling()
    target = f"{POLLING}&sid={session.sid}"
    length, chunked = ["Content-Length: 9999"], ["Transfer-Encoding: chunked"]
    slow = [
        (b"", b""),
        (b"", b"GET /" + b"y" * 5000),
        (http_request(POLLING)[:-2], b"X-Slow: " + b"y" * 5000),
        (http_request(PATH + "sse")[:-2], b"X: y\r\n" * 1000),
        (http_request(POLLING, "POST", headers=length), bytes(5000)),
        (http_request(POLLING, "POST", headers=chunked), b"1\r\nx\r\n" * 1000),
        (http_request(target, "POST", headers=chunked), b"1\r\n4\r\n" * 1000),
    ]
    peers = [await child.peer() for _ in slow]
    jobs = [trickle(peer, *data) for peer, data in zip(peers, slow, strict=True)]
    took = await at_once(*jobs)
    limit = brisk["request_timeout"]
    assert min(took) > limit / 2
    assert max(took) < limit + 5.0  # what a busy machine may add
    assert await child.ended(session.sid) == ["transport error"]

"""Which pages may use the server: a browser asks nobody before it opens a WebSocket."""

from __future__ import annotations

import pytest
from peers import POLLING, upgrade_request
from pytest_twisted import ensureDeferred
from stages import Serve

from twisted_engineio import Config

FOREIGN = [
    "http://evil.com",
    "null",
    "",
    "http://evil-localhost",
    "http://localhost.evil.com",
    "http://localhost:1",
    "http://localhost@evil.com",
    "https://shop.example.evil.com",
    "https://evil-shop.example",
    "http://shop.example",
    "https://shop.example:444",
    "shop.example",
    "https://",
    "*",
]


@pytest.mark.parametrize("origin", FOREIGN)
@ensureDeferred
async def test_a_foreign_origin_is_refused(serve: Serve, origin: str) -> None:
    """On every transport: a browser asks nobody before it opens a WebSocket."""
    stage = await serve(config=Config(cors=["https://shop.example"]))
    peer = await stage.peer()
    answer = await peer.ask(POLLING, headers=[f"Origin: {origin}"])
    assert answer.error == (403, 4, "Forbidden")
    assert "access-control-allow-origin" not in answer.headers
    peer.write(upgrade_request(headers=[f"Origin: {origin}"]))
    assert (await peer.answer()).status == 403
    assert not stage.application.opened


@pytest.mark.parametrize("origin", ["https://shop.example", "https://SHOP.example:443"])
@ensureDeferred
async def test_a_listed_origin_is_served(serve: Serve, origin: str) -> None:
    """It is told so, by name."""
    stage = await serve(config=Config(cors=["https://shop.example"]))
    peer = await stage.peer()
    answer = await peer.ask(POLLING, headers=[f"Origin: {origin}"])
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert "origin" in answer.headers["vary"].lower()
    peer.write(upgrade_request(headers=[f"Origin: {origin}"]))
    assert (await peer.answer()).status == 101


@ensureDeferred
async def test_the_same_origin_is_served(serve: Serve) -> None:
    """The page's own host may always, and needs no list."""
    stage = await serve()
    peer = await stage.peer()
    assert (await peer.ask(POLLING, headers=["Origin: http://localhost"])).sid
    peer.write(upgrade_request(headers=["Origin: http://localhost"]))
    assert (await peer.answer()).status == 101

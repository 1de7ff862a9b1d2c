"""What the fault tests stand on: a server process, bystanders who notice nothing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

sys.path.insert(0, str(Path(__file__).parent.with_name("end_to_end")))

from children import Child, Honest, Start

BRISK = {
    "ping_interval": 0.5,
    "ping_timeout": 3.0,
    "request_timeout": 2.0,
    "transports": ["polling", "sse", "websocket"],
}
"""Options with which a fault shows soon."""


@pytest_twisted.async_yield_fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start servers that live as long as the test, and end well."""
    children: list[Child] = []

    async def start_one(config: dict[str, Any] | None = None, **options: Any) -> Child:
        log = tmp_path / f"{len(children)}.log"
        child = Child(log, {**BRISK, **(config or {})}, **options)
        children.append(child)
        await child.starts()
        return child

    yield start_one
    for child in children:
        await child.hangs_up()
        await child.stops()


@pytest_twisted.async_yield_fixture
async def child(start: Start) -> AsyncIterator[Child]:
    """Give a server process that other clients use, who must not notice a thing."""
    child = await start()
    bystanders: list[Honest] = await child.everybody()
    yield child
    for each in bystanders:
        await each.echoes("nothing happened")
    assert not {each.sid for each in bystanders} & {*child.reasons()}


@pytest.fixture
def brisk() -> dict[str, Any]:
    """The options of ``child``."""
    return BRISK

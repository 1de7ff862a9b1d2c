"""The fixtures of the interop tests."""

from __future__ import annotations

from fixtures import (
    browser,
    chromium,
    node,
    node_player,
    ours,
    play,
    play_in_page,
    reference,
    services,
)

__all__ = [
    "browser",
    "chromium",
    "node",
    "node_player",
    "ours",
    "play",
    "play_in_page",
    "reference",
    "services",
]

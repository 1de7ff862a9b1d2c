"""Broken HTTP and broken frames at a live server: who is well goes on being served."""

from __future__ import annotations

import random

import pytest

from fuzzing.sockets import Siege, besiege

# What a server would do wrong, each seen by another of the checks.
UNHANDLED = """
from twisted.internet.defer import fail
from twisted_engineio.transports.websocket.transport import WebSocketTransport
WebSocketTransport.onClose = lambda *_: fail(ValueError("nobody asks")) and None
"""
LEAKY = """
from twisted_engineio import Server
Server.session_ended = lambda *_: None
"""
RUN = "\nfrom fuzzing.victim import main\nmain()"


@pytest.mark.parametrize(
    "seed",
    [20261125, random.SystemRandom().randrange(1 << 32)],
    ids=["a seed that stays", "a seed of its own"],
)
def test_a_server_under_broken_bytes_serves_who_is_well(seed: int) -> None:
    """After a round of attacks all is as before; what fails says the seed."""
    assert besiege(seed, rounds=1) > 0


@pytest.mark.parametrize(
    ("harm", "seen"),
    [(UNHANDLED, "trouble in the log"), (LEAKY, "before, and now")],
    ids=["an error that nobody handles", "sessions that stay"],
)
def test_a_server_that_is_harmed_is_seen_to_be(harm: str, seen: str) -> None:
    """A check that cannot fail is none."""
    siege = Siege(1, victim=("-c", harm + RUN), patience=10.0)
    with pytest.raises(AssertionError, match=f"(?s)round 0 of seed 1.*{seen}"), siege:
        siege.round(0)

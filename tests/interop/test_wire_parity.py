"""
Our server and the reference server, told the same things on the wire.

The cases stand in the parity_* files, and with them every difference that is meant, by
name.
"""

from __future__ import annotations

import parity_handshakes
import parity_jsonp
import parity_origins
import parity_packets
import parity_polling
import parity_requests
import parity_revision_3
import parity_websocket
import parity_websocket_3
import pytest
from parity import Case
from running import APP, StartOurs, StartReference

CASES = [
    *parity_requests.CASES,
    *parity_origins.CASES,
    *parity_handshakes.CASES,
    *parity_packets.CASES,
    *parity_polling.CASES,
    *parity_websocket.CASES,
    *parity_revision_3.CASES,
    *parity_websocket_3.CASES,
    *parity_jsonp.CASES,
]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_parity(case: Case, ours: StartOurs, reference: StartReference) -> None:
    """Every difference between the two is one that was named."""
    there = case.play(reference(**case.pair.reference).port)
    here = case.play(ours(*APP, *case.pair.ours).port)
    mistakes = case.mistakes(there, here)
    assert not mistakes, "\n".join(mistakes)


def test_names_are_unique() -> None:
    """A failure can be found by its name."""
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))

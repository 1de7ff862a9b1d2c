"""How many attributes are set on what each request and each connection is made of."""

from __future__ import annotations

import pytest

from twisted_engineio.web.body_limit import EngineIORequest
from twisted_engineio.web.http1.channel import EngineIOChannel

POLLING = "EIO=4&transport=polling"
SHARED = 30
"""Names of attributes that CPython lets the instances of a class share."""


@pytest.fixture
def names(monkeypatch):
    """Collect the names of all attributes that are set, by class."""
    found = {EngineIORequest: set(), EngineIOChannel: set()}

    def record(instance, name, value):
        found[type(instance)].add(name)
        object.__setattr__(instance, name, value)

    for each in found:
        monkeypatch.setattr(each, "__setattr__", record, raising=False)
    return found


@pytest.mark.parametrize("of", [EngineIORequest, EngineIOChannel])
def test_instances_share_the_names_of_their_attributes(browse, server, names, of):
    """With more than 30 each has a dictionary of its own: larger, and slower."""
    browser = browse(server)
    sid = browser.get(POLLING).answer.open()["sid"]
    for _ in range(2):
        browser.post(f"{POLLING}&sid={sid}", b"4hello", Origin="http://example.com")
        server.sessions[sid].send("hello")
        browser.get(f"{POLLING}&sid={sid}")
    assert 20 < len(names[of]) <= SHARED, sorted(names[of])

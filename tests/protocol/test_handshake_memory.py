"""What a handshake leaves in memory is bounded by what its client sent."""

from __future__ import annotations

import gc
import tracemalloc
from functools import cache

import pytest
from fakes import Browser
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site

from twisted_engineio import (
    Application,
    Config,
    EngineIOResource,
    EngineIOSite,
    Server,
)

SENT = 4200
MANY = 6
SPARE = 1000
"""Bytes a session of noise: a table that grows, a list that has room."""
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Extensions: permessage-deflate",
)
HEADERS = {
    "many short headers": [f"X{number}: y" for number in range(450)],
    "many cookies": ["Cookie: " + ";".join(f"{each:x}=" for each in range(950))],
    "no ASCII": [f"X{number}: \xe9" for number in range(450)],
}
QUERIES = {
    "many fields": "&" + "&".join(f"{each:x}=" for each in range(950)),
    # Not "j", which asks for JSONP.
    "fields to decode": "&"
    + "&".join(f"%{each:02x}=" for each in range(33, 126) if each != ord("j")) * 9,
}
WIRES = {
    "the door": ("websocket", {}),
    "twisted.web": ("websocket", {"door": False}),
    "Autobahn": ("websocket", {"deflate": True}),
    "polling": ("polling", {}),
    "a waiting poll": ("polling", {"poll": True}),
    "a poll in another site": ("polling", {"poll": True, "mounted": True}),
    "sse": ("sse", {}),
    "sse in another site": ("sse", {"mounted": True}),
}


class Clients:
    """A server, and clients that send it much."""

    def __init__(self, transport, *, poll=False, deflate=False, mounted=False, **site):
        self._query = f"EIO=4&transport={transport}"
        self._upgrade = UPGRADE if transport == "websocket" else ()
        self._poll = poll
        self._clock = Clock()
        config = Config(
            transports=["polling", "websocket", "sse"], per_message_deflate=deflate
        )
        self.server = Server(Application(), config, clock=self._clock)
        root = Resource()
        root.putChild(b"engine.io", EngineIOResource(self.server))
        self._site = (
            Site(root, reactor=self._clock)
            if mounted
            else EngineIOSite(root, self.server, **site)
        )

    def ask(self, headers=(), query=""):
        """Ask for a session."""
        lines = ["Host: example.com", *self._upgrade, *headers, "", ""]
        head = f"GET /engine.io/?{self._query}{query}"
        browser = Browser(self._site)
        browser.send("\r\n".join([f"{head} HTTP/1.1", *lines]).encode("latin-1"))
        return browser.turns(), head, lines

    def connect(self, headers=(), query=""):
        """Open a session."""
        known = set(self.server.sessions)
        browser, head, lines = self.ask(headers, query)
        (sid,) = set(self.server.sessions) - known
        if self._poll:
            head += f"&sid={sid}"
            browser.send("\r\n".join([f"{head} HTTP/1.1", *lines]).encode("latin-1"))
        browser.wire.clear()
        return browser, sid

    def cost(self, headers=(), query="", connect=connect):
        """Return the bytes that a session takes, many of them being there."""
        kept = [connect(self, headers, query)]
        gc.collect()
        tracemalloc.start()
        kept += [connect(self, headers, query) for _ in range(MANY)]
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(kept) == MANY + 1
        for browser, *_ in kept:
            browser.lose()
        return taken / MANY


@cache
def cost_of_a_plain_session(transport, *options):
    """Return what a session takes whose client sends little."""
    return Clients(transport, **dict(options)).cost()


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
@pytest.mark.parametrize("what", [*HEADERS, *QUERIES])
def test_a_session_keeps_what_was_sent_and_no_more(wire, what):
    """Once for the handshake, and once more for a request that is held.

    Another site's request, unlike ours, has its query as arguments, too.
    """
    transport, options = wire
    headers, query = HEADERS.get(what, ()), QUERIES.get(what, "")
    sent = len("\r\n".join(headers)) + len(query)
    assert SENT * 0.6 < sent < SENT * 1.4
    plain = cost_of_a_plain_session(transport, *options.items())
    full = Clients(transport, **options).cost(headers, query)
    held = bool(options.get("poll") or transport == "sse")
    copies = 1 + held + (held and bool(query) and "mounted" in options)
    assert full - plain < sent * copies + SPARE


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("what", HEADERS)
def test_a_client_that_waits_for_admission_costs_no_more(transport, what):
    """Its request is held for as long as the application thinks."""
    clients = Clients(transport)
    clients.server.application.admit = lambda _: Deferred()
    plain = clients.cost(connect=Clients.ask)
    full = clients.cost(HEADERS[what], connect=Clients.ask)
    # What it asks for is there as it came, too, for twisted.web or the application.
    assert full - plain < SENT * 1.4 * 3 + SPARE


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
def test_every_header_can_still_be_read(wire):
    """By an application, for as long as its session lives."""
    transport, options = wire
    clients = Clients(transport, **options)
    headers = [f"X-{number}: value {number}" for number in range(95)]
    query = "&token=%41b+c&empty="
    browser, sid = clients.connect(headers, query)
    handshake = clients.server.sessions[sid].handshake
    for number in range(95):
        assert handshake.headers[f"x-{number}"] == f"value {number}"
    assert handshake.headers["host"] == "example.com"
    assert "x-95" not in handshake.headers
    assert handshake.query == {
        "EIO": "4",
        "transport": transport,
        "token": "Ab c",
        "empty": "",
    }
    browser.lose()

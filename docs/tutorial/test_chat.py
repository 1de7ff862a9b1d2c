import json

import treq
from chat import Chat
from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from twisted_engineio import Config, EngineIOResource, Server

URL = "http://localhost/engine.io/?EIO=4&transport=polling"


def site(clock):
    """A site that no socket leads to, with a chat in it."""
    root = Resource()
    server = Server(Chat(), Config(ping_interval=25.0, ping_timeout=20.0), clock=clock)
    root.putChild(b"engine.io", EngineIOResource(server))
    return StubTreq(root)


class Visitor:
    """A client that polls."""

    def __init__(self, web):
        self.web, self.url = web, URL
        hello, *self.heard = self.ask("GET").split("\x1e")
        self.url += "&sid=" + json.loads(hello[1:])["sid"]

    def ask(self, method, data=None):
        asked = self.web.request(method, self.url, data=data)
        asked.addCallback(treq.text_content)
        self.web.flush()
        return asked.result

    def say(self, text):
        assert self.ask("POST", "4" + text) == "ok"

    def hear(self):
        if not self.heard:
            self.heard = self.ask("GET").split("\x1e")
        return self.heard.pop(0)


def test_everybody_hears_a_message():
    """What one guest says reaches both, with the guest's name."""
    web = site(Clock())
    first, second = Visitor(web), Visitor(web)
    assert first.hear() == "4Welcome, Guest 1"
    assert second.hear() == "4Welcome, Guest 2"
    first.say("hello")
    assert first.hear() == "4Guest 1: hello"
    assert second.hear() == "4Guest 1: hello"


def test_a_guest_who_falls_silent_has_left():
    """Who leaves a ping unanswered is gone, and the others are told."""
    clock = Clock()
    web = site(clock)
    silent, awake = Visitor(web), Visitor(web)
    silent.say("bye")
    assert awake.hear() == "4Welcome, Guest 2"
    assert awake.hear() == "4Guest 1: bye"
    clock.advance(25)
    assert awake.hear() == "2"
    assert awake.ask("POST", "3") == "ok"
    clock.advance(20)
    assert awake.hear() == "4Guest 1 left (ping timeout)"

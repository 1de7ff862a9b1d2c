import pytest
from chat import Chat

from twisted_engineio.testing import HandshakeRefused, MemoryServer


@pytest.fixture
def server():
    with MemoryServer(Chat()) as server:
        yield server


def test_everybody_hears_a_message(server):
    """What one guest says reaches both, with the guest's name."""
    first, second = server.connect(), server.connect("websocket")
    first.send("hello")
    assert first.received == ["Welcome, Guest 1", "Guest 1: hello"]
    assert second.received == ["Welcome, Guest 2", "Guest 1: hello"]


def test_people_only(server):
    """A bot is told so, and nobody hears of it."""
    with pytest.raises(HandshakeRefused) as refused:
        server.connect(headers={"User-Agent": "a bot"})
    assert refused.value.status == 403
    assert refused.value.message == "People only"


def test_a_guest_who_falls_silent_has_left(server):
    """Who leaves a ping unanswered is gone, and the others are told."""
    silent, awake = server.connect(), server.connect()
    silent.vanish()
    server.advance(45)
    assert awake.received[-1] == "Guest 1 left (ping timeout)"


def test_a_guest_who_moves_misses_nothing(server):
    """From polling to WebSocket, in the middle of a conversation."""
    first, second = server.connect(), server.connect()
    second.send("one")
    first.upgrade()
    second.send("two")
    assert first.transport == "websocket"
    assert first.received[1:] == ["Guest 2: one", "Guest 2: two"]

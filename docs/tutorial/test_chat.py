import pytest
from chat import Chat

from twisted_engineio.testing import HandshakeRefused, MemoryServer


@pytest.fixture
def server():
    with MemoryServer(Chat()) as server:
        yield server


def test_a_message_is_broadcast(server):
    """A message reaches every guest, with the name of its sender."""
    first, second = server.connect(), server.connect("websocket")
    first.send("hello")
    assert first.received == ["Welcome, Guest 1", "Guest 1: hello"]
    assert second.received == ["Welcome, Guest 2", "Guest 1: hello"]


def test_a_bot_is_refused(server):
    """A bot receives 403, and the reason."""
    with pytest.raises(HandshakeRefused) as refused:
        server.connect(headers={"User-Agent": "a bot"})
    assert refused.value.status == 403
    assert refused.value.message == "People only"


def test_a_guest_that_times_out_has_left(server):
    """A guest that does not answer a ping is removed, and the others are notified."""
    silent, awake = server.connect(), server.connect()
    silent.vanish()
    server.advance(45)
    assert awake.received[-1] == "Guest 1 left (ping timeout)"


def test_an_upgrade_loses_no_message(server):
    """A guest that upgrades to WebSocket receives all messages, in order."""
    first, second = server.connect(), server.connect()
    second.send("one")
    first.upgrade()
    second.send("two")
    assert first.transport == "websocket"
    assert first.received[1:] == ["Guest 2: one", "Guest 2: two"]

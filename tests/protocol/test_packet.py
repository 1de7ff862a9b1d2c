"""The words of the protocol."""

from __future__ import annotations

import pytest

from twisted_engineio import Encoded, Packet, PacketType


def test_packet_types_are_the_digits_of_the_protocol():
    """Engine.IO protocol v4, "Protocol": seven types, 0 to 6."""
    assert {each.name: each.value for each in PacketType} == {
        "OPEN": "0",
        "CLOSE": "1",
        "PING": "2",
        "PONG": "3",
        "MESSAGE": "4",
        "UPGRADE": "5",
        "NOOP": "6",
    }


def test_a_packet_without_data_has_empty_text():
    """A ping is a ping, whoever made it."""
    assert Packet(PacketType.PING) == Packet(PacketType.PING, "")


@pytest.mark.parametrize("data", ["", "text", b"", b"bytes"])
def test_encoded_keeps_a_message_as_it_is(data):
    """Nothing is encoded before a transport needs it."""
    message = Encoded(data)
    assert (message.data, message.compress) == (data, True)
    assert (message.frame, message.polled) == (None, None)


def test_encoded_knows_that_it_must_not_be_compressed():
    """The wish of whoever sends travels with the message."""
    assert not Encoded("", compress=False).compress


@pytest.mark.parametrize("kind", [bytearray, lambda data: memoryview(bytearray(data))])
def test_an_encoded_buffer_is_copied(kind):
    """What changes it later does not change the message."""
    data = kind(b"one")
    message = Encoded(data)
    data[:] = b"two"
    assert (message.data, type(message.data)) == (b"one", bytes)


@pytest.mark.parametrize("data", [None, 4, Encoded("x"), {"a": 1}])
def test_what_is_no_message_is_refused_by_name(data):
    """The sentence says what came instead of str or bytes."""
    with pytest.raises(TypeError, match=f"not {type(data).__name__}: encode it"):
        Encoded(data)

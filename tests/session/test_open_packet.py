"""The open packet: what a client is told, and in which units."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio import Config, PacketType
from twisted_engineio.session.open_packet import open_packet, upgrades_from

UPGRADES = [
    ("polling", {}, ["websocket"]),
    ("websocket", {}, []),
    ("polling", {"allow_upgrades": False}, []),
    ("polling", {"transports": ["polling"]}, []),
    ("websocket", {"transports": ["websocket"]}, []),
]


@pytest.mark.parametrize(("name", "options", "upgrades"), UPGRADES)
def test_upgrades_lead_from_polling_to_websocket(name, options, upgrades):
    """Where upgrades are on, and WebSocket is."""
    assert upgrades_from(name, Config(**options)) == upgrades


def test_the_open_packet_is_in_milliseconds():
    """Engine.IO protocol v4, "Handshake": compact JSON, whole milliseconds."""
    config = Config(max_payload=1234)
    packet = open_packet("abc", "polling", config, 0.3, 0.2)
    assert packet.type is PacketType.OPEN
    assert packet.data == (
        '{"sid":"abc","upgrades":["websocket"],"pingInterval":300,'
        '"pingTimeout":200,"maxPayload":1234}'
    )


@given(st.floats(0.001, 1e6))
def test_milliseconds_are_whole_numbers(seconds):
    """No float of ours reaches a client as 299.99999999999994."""
    packet = open_packet("abc", "polling", Config(), seconds, seconds)
    milliseconds = json.loads(packet.data)["pingInterval"]
    assert isinstance(milliseconds, int)
    assert abs(milliseconds - seconds * 1000) <= 0.5

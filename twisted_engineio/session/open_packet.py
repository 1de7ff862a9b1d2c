"""
The open packet, which answers a client's handshake.

Only this file handles intervals in milliseconds, as the protocol does.

Engine.IO protocol v4, "Handshake".
"""

from __future__ import annotations

import json
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final

from ..config import Config
from ..protocol.packet import Packet, PacketType

__all__ = ["open_packet", "upgrades_from"]

_UPGRADES: Final = {"polling": ("sse", "websocket"), "sse": ("websocket",)}
"""The transports to which a session can upgrade, if they are enabled."""


def upgrades_from(transport: str, config: Config) -> list[str]:
    """Return the transports to which a session on ``transport`` may upgrade."""
    better = _UPGRADES.get(transport) if config.allow_upgrades else None
    if better is None:
        return []
    return [name for name in config.transports if name in better]


def open_packet(
    sid: str, transport: str, config: Config, interval: float, timeout: float
) -> Packet:
    """
    Return the packet that opens a session.

    Engine.IO protocol v4, "Handshake": intervals in milliseconds.

    Args:
        sid: The session's id.
        transport: The session's transport.
        config: The server's options.
        interval: The session's ``ping_interval``, in seconds.
        timeout: The session's ``ping_timeout``, in seconds.

    """
    upgrades = tuple(upgrades_from(transport, config))
    rest = _open_data(upgrades, interval, timeout, config.max_payload)
    return Packet(PacketType.OPEN, f'{{"sid":{encode_basestring_ascii(sid)},{rest}')


@lru_cache(maxsize=64)
def _open_data(
    upgrades: tuple[str, ...], interval: float, timeout: float, max_payload: int
) -> str:
    """Encode the data except the id; cached, as most sessions share it."""
    data = {
        "upgrades": upgrades,
        "pingInterval": round(interval * 1000),
        "pingTimeout": round(timeout * 1000),
        "maxPayload": max_payload,
    }
    return json.dumps(data, separators=(",", ":"))[1:]

"""
What a client says when it opens a session, and the open packet that answers it.

Everything here is immutable: a ``Handshake`` lives as long as its session, the request
that it was read from does not. The wire's milliseconds appear in this file only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

from .config import Config
from .packet import Packet, PacketType

__all__ = ["Handshake", "open_packet", "parse_query", "upgrades_from"]

_MAX_FIELDS: Final = 64
"""Query fields that are read; the protocol has seven. Python's own limits on
fields exist because reading them is slow."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """
    A client's first request, reduced to what is worth keeping.

    Attributes:
        transport: The transport it came on, ``"polling"`` or ``"websocket"``.
        query: The query string, decoded; of a repeated key the last value.
        headers: The request's headers, names in lower case; of a repeated header
            all values joined by ``", "``.
        client_address: The client's IP address, or ``None`` on a UNIX socket.
        is_secure: Whether it came over TLS.

    """

    transport: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    client_address: str | None = None
    is_secure: bool = False

    @classmethod
    def read(
        cls,
        transport: str,
        query: Mapping[str, str],
        raw_headers: Iterable[tuple[bytes, Sequence[bytes]]],
        *,
        client_address: str | None,
        is_secure: bool,
    ) -> Handshake:
        """
        Reduce a request to a handshake.

        Args:
            transport: The transport that was asked for.
            query: The query, as ``parse_query`` gives it.
            raw_headers: Names and their values, as twisted.web keeps them.
            client_address: See the attribute.
            is_secure: See the attribute.

        """
        headers = {
            name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
            for name, values in raw_headers
        }
        return cls(
            transport,
            MappingProxyType(dict(query)),
            MappingProxyType(headers),
            client_address,
            is_secure,
        )

    @property
    def base64(self) -> bool:
        """Whether the client asked for binary as text, with ``b64=1``."""
        return self.query.get("b64") == "1"


def parse_query(raw: bytes) -> dict[str, str]:
    """
    Read a query string; whatever it holds, it is read.

    Engine.IO protocol v4, "Query parameters". Of a repeated key the last value counts.

    Args:
        raw: What stands behind the ``?`` of the request's URI.

    """
    text = raw.decode("latin-1")
    if "%" in text or "+" in text or text.count("&") >= _MAX_FIELDS:
        fields = text.split("&", _MAX_FIELDS)[:_MAX_FIELDS]
        return dict(parse_qsl("&".join(fields), keep_blank_values=True))
    # What every client sends in fact needs no decoding.
    pairs = (pair.partition("=") for pair in text.split("&") if pair)
    return {key: value for key, _, value in pairs}


def upgrades_from(transport: str, config: Config) -> list[str]:
    """List the transports that a session on ``transport`` may move to."""
    if not config.allow_upgrades or transport != "polling":
        return []
    return [name for name in config.transports if name == "websocket"]


def open_packet(sid: str, transport: str, config: Config) -> Packet:
    """
    Make the packet that opens a session.

    Engine.IO protocol v4, "Handshake": intervals in milliseconds.
    """
    data = {
        "sid": sid,
        "upgrades": upgrades_from(transport, config),
        "pingInterval": round(config.ping_interval * 1000),
        "pingTimeout": round(config.ping_timeout * 1000),
        "maxPayload": config.max_payload,
    }
    return Packet(PacketType.OPEN, json.dumps(data, separators=(",", ":")))

"""
The interface of a codec: one module implements it for each protocol revision.

A session gets its codec when it opens and keeps it; nothing else checks the revision
number afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from .packet import Outgoing, Packet

__all__ = ["Codec"]


class Codec(Protocol):
    """
    The functions that ``codec_v4.py`` and ``codec_v3.py`` define, and document.

    Attributes:
        PROTOCOL: The revision's number.
        BINARY_PREFIX: The bytes before the payload of a message in a binary frame.

    """

    PROTOCOL: int
    BINARY_PREFIX: bytes

    def decode_packet(self, text: str) -> Packet:
        """Parse one packet from its textual form."""

    def decode_payload(
        self, body: bytes, *, binary: bool
    ) -> Iterator[str | bytes | Packet]:
        """Parse the packets of a polling payload, in order."""

    def encode_packet(self, item: Outgoing) -> str:
        """Encode a packet or message in its textual form."""

    def encode_payload(
        self, items: Iterable[Outgoing], *, binary: bool
    ) -> tuple[bytes, bool]:
        """Encode a polling payload; return it and whether it is binary."""

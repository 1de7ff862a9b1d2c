"""
One file for each revision of the protocol, all with the same functions.

``Codec`` is what they have in common. A session is given one when it opens and keeps
it; nothing asks for its number again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from .packet import Outgoing, Packet

__all__ = ["Codec"]


class Codec(Protocol):
    """
    What ``codec_v4.py`` and ``codec_v3.py`` are; each function is documented there.

    Attributes:
        PROTOCOL: The revision's number.
        BINARY_PREFIX: What stands before the bytes of a message in a binary frame.

    """

    PROTOCOL: int
    BINARY_PREFIX: bytes

    def decode_packet(self, text: str) -> Packet:
        """Read one packet from its textual form."""

    def decode_payload(
        self, body: bytes, *, binary: bool
    ) -> Iterator[str | bytes | Packet]:
        """Read the packets of a polling payload, one after the other."""

    def encode_packet(self, item: Outgoing) -> str:
        """Write a packet or a message in its textual form."""

    def encode_payload(
        self, items: Iterable[Outgoing], *, binary: bool
    ) -> tuple[bytes, bool]:
        """Write a polling payload; tell whether it is binary."""

"""A TCP connection's end in memory, forgiving where TCP's own transport is."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport

__all__ = ["Wire"]


class Wire(StringTransport):
    """What a server writes to, and what feeds it; ``protocol`` owns it."""

    protocol: Any

    def __init__(self, address: object = None) -> None:
        super().__init__(peerAddress=address, lenient=True)

    def unregisterProducer(self) -> None:
        """Forget the producer, if there is one."""
        if self.producer is not None:
            super().unregisterProducer()

"""What polling and streams of events share, and what each has its own way to do."""

from __future__ import annotations

import pytest

from twisted_engineio.codecs import v4
from twisted_engineio.transports.eventsource import EventSourceTransport
from twisted_engineio.transports.polling import PollingTransport
from twisted_engineio.transports.posting import PostingTransport


def test_how_packets_leave_is_a_subclass_s_affair():
    """Nothing can be sent by POSTs alone."""
    transport = PostingTransport(v4, 1)
    assert not transport.writable
    for method in (transport.cork, transport.uncork):
        with pytest.raises(NotImplementedError):
            method()


@pytest.mark.parametrize("kind", [PollingTransport, EventSourceTransport])
def test_the_other_way_is_the_same(kind):
    """Reading POSTs is written once."""
    for name in ("post", "begin", "break_off", "pause", "resume"):
        assert getattr(kind, name) is getattr(PostingTransport, name)

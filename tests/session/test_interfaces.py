"""The two doors between a conversation and its wire."""

from __future__ import annotations

from fakes import PING, RecordingTransport

from twisted_engineio import CloseReason
from twisted_engineio.session.interfaces import NULL_RECEIVER


def test_nobody_takes_everything_and_does_nothing():
    """A transport that feeds nobody needs no condition for it."""
    assert NULL_RECEIVER.receive("data") is None
    assert NULL_RECEIVER.receive_packet(PING) is None
    assert NULL_RECEIVER.transport_ready() is None
    assert NULL_RECEIVER.limit_reached("max_packets") is None
    assert NULL_RECEIVER.fail(CloseReason.TRANSPORT_ERROR) is None


def test_a_session_holds_no_transport_that_it_left(session):
    """Once it has moved or ended, what the old transport reads reaches nobody."""
    transport: RecordingTransport = session.transport
    session.fail(CloseReason.PARSE_ERROR)
    assert transport.receiver is NULL_RECEIVER

"""A connection is taken from twisted.web without losing a byte."""

from __future__ import annotations

import pytest
from fakes import Browser, Wire
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.test.requesthelper import DummyChannel

from twisted_engineio.web.connection_takeover import can_take_over, take_over


class Taker(Protocol):
    """A protocol that writes down what it gets."""

    def __init__(self):
        self.data = b""

    def dataReceived(self, data):
        self.data += data


class Takeable(Resource):
    """Hands its requests' connections over, at once or when the test says so."""

    isLeaf = True

    def __init__(self, *, at_once):
        super().__init__()
        self.taker = Taker()
        self.at_once = at_once

    def render(self, request):
        self.request = request
        if self.at_once:
            self.take()
        return NOT_DONE_YET

    def take(self):
        self.taker.data += take_over(self.request, self.taker)


@pytest.fixture
def clock():
    """Give a time of its own, so that nothing may be left on it."""
    return Clock()


@pytest.fixture
def browser(clock):
    """Give a connection to a resource, and leave nothing behind."""
    resource = Takeable(at_once=True)
    browser = Browser(Site(resource, reactor=clock))
    browser.resource = resource
    return browser


REQUEST = b"GET /?x=%2F HTTP/1.1\r\nHost: example.com\r\nX-A: b\r\nX-A: c\r\n\r\n"


@pytest.mark.parametrize(
    "name", ["_dataBuffer", "requests", "transport", "_networkProducer"]
)
def test_twisted_web_still_has_what_is_taken_from_a_channel(name):
    """Private attributes may go; then this fails before anything else does."""
    channel = HTTPChannel()
    channel.site = None
    channel.makeConnection(StringTransport())
    assert hasattr(channel, name)
    assert channel._buffer == b""
    assert channel._dataBuffer == []
    channel.setTimeout(None)


def test_twisted_web_s_channel_registers_itself_as_a_producer():
    """What is unregistered was registered."""
    channel, transport = HTTPChannel(), StringTransport()
    channel.makeConnection(transport)
    channel.setTimeout(None)
    assert transport.producer is channel
    channel._networkProducer.unregisterProducer()
    assert transport.producer is None


def test_wrappers_still_have_what_is_set():
    """TLS and the PROXY protocol wrap a protocol that can be exchanged."""
    wrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
    assert isinstance(wrapper.wrappedProtocol, Protocol)


def test_only_http_1_connections_can_be_taken(browser):
    """A stream of HTTP/2 is no connection."""
    browser.send(REQUEST)
    assert can_take_over(browser.resource.request)
    assert not can_take_over(Request(DummyChannel(), False))


def test_the_protocol_owns_the_connection_from_then_on(browser, clock):
    """And is fed nothing of the request, which is read already."""
    browser.send(REQUEST)
    taker = browser.resource.taker
    assert taker.data == b""
    assert browser.wire.protocol is taker
    assert taker.transport is browser.wire
    assert browser.wire.producer is None
    assert clock.getDelayedCalls() == []
    browser.send(b"more")
    assert taker.data == b"more"


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("cut", [0, 1, 5, 10])
def test_bytes_behind_the_request_are_not_lost(browser, clock, at_once, cut):
    """In the same read or later, however long somebody thinks about it."""
    browser.resource.at_once = at_once
    rest = b"\x81\x00\r\n\r\n\xff\x00rest"
    browser.send(REQUEST + rest[:cut])
    browser.wire.protocol.dataReceived(rest[cut:])
    if not at_once:
        assert browser.resource.taker.data == b""
        browser.resource.take()
    assert browser.resource.taker.data == rest
    assert clock.getDelayedCalls() == []


def test_byte_by_byte(browser):
    """However a network cuts it."""
    for byte in REQUEST + b"rest":
        browser.wire.protocol.dataReceived(bytes([byte]))
    assert browser.resource.taker.data == b"rest"


def test_a_connection_that_was_paused_reads_on(browser):
    """twisted.web pauses a client that sends far ahead."""
    browser.resource.at_once = False
    browser.send(REQUEST)
    browser.send(b"x" * 100_000)
    assert browser.wire.producerState == "paused"
    browser.resource.take()
    assert browser.wire.producerState == "producing"
    assert browser.resource.taker.data == b"x" * 100_000


def test_a_connection_before_this_one_s_request_is_done_with(browser):
    """Keep-alive: the request that is handed over need not be the first."""
    browser.resource.at_once = False
    browser.send(REQUEST)
    first = browser.resource.request
    first.write(b"")
    first.finish()
    browser.resource.at_once = True
    browser.send(REQUEST + b"rest")
    assert browser.resource.taker.data == b"rest"


class Wrapping(WrappingFactory):
    """Wraps a site's connections, as TLS and the PROXY protocol do."""

    noisy = False


def test_a_wrapped_connection_is_taken_from_its_wrapper(clock):
    """The protocol is set where the wrapper looks for it."""
    resource = Takeable(at_once=True)
    browser = Browser(Wrapping(Site(resource, reactor=clock)))
    wrapper = browser.wire.protocol
    assert isinstance(wrapper, ProtocolWrapper)
    browser.send(REQUEST)
    assert wrapper.wrappedProtocol is resource.taker
    assert resource.taker.transport is wrapper
    browser.send(b"more")
    assert resource.taker.data.endswith(b"more")


def test_a_connection_that_turned_to_tls_is_taken(clock):
    """STARTTLS puts a wrapper behind the transport's back."""
    resource = Takeable(at_once=True)
    channel = Site(resource, reactor=clock).buildProtocol(None)
    wire = Wire(None)
    channel.makeConnection(wire)
    wire.protocol = ProtocolWrapper(WrappingFactory(Factory()), channel)
    channel.dataReceived(REQUEST)
    assert wire.protocol.wrappedProtocol is resource.taker

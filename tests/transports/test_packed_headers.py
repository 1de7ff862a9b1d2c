"""A request that is held keeps its text, and is read as before."""

from __future__ import annotations

import pytest
from twisted.web.http_headers import Headers
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from twisted_engineio.transports.packed_headers import TWISTED, PackedHeaders, pack

RAW = {f"X-{number}".encode(): [b"a", b"", b"b: c"] for number in range(40)}


@pytest.mark.parametrize("name", TWISTED)
def test_twisted_web_still_has_what_is_read(name):
    """Private attributes may go; then this fails before anything else does."""
    assert hasattr(Headers(), name)


@pytest.mark.parametrize("raw", [RAW, {}, {b"Host": [b"a.org"]}])
def test_packed_headers_are_read_as_others(raw):
    """By each method, in the same order."""
    plain = Headers(raw)
    packed = PackedHeaders(plain)
    assert list(packed.getAllRawHeaders()) == list(plain.getAllRawHeaders())
    for name in (*raw, b"x-0", b"X-None"):
        assert packed.getRawHeaders(name) == plain.getRawHeaders(name)
        assert packed.hasHeader(name) is plain.hasHeader(name)
    assert packed == plain
    copy = packed.copy()
    copy.addRawHeader(b"X-More", b"x")
    assert copy.getRawHeaders(b"X-More") == [b"x"]
    assert not packed.hasHeader(b"X-More")


@pytest.mark.parametrize("many", [False, True])
def test_what_is_many_is_packed(many):
    """A browser's request stays as it is."""
    request = Request(DummyChannel(), False)
    fields = RAW if many else dict(list(RAW.items())[:3])
    request.requestHeaders = Headers(fields)
    request.received_cookies = dict.fromkeys(fields, b"")
    request.args = {name: [b""] for name in fields}
    pack(request)
    assert isinstance(request.requestHeaders, PackedHeaders) is many
    assert bool(request.received_cookies) is bool(request.args) is not many
    assert request.getHeader("x-2") == "b: c"

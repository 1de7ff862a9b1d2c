"""What a client says first, and the open packet that answers it."""

from __future__ import annotations

import dataclasses
import time

import pytest
from fakes import handshake
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio import Handshake
from twisted_engineio.protocol.fields import read_headers
from twisted_engineio.protocol.handshake import parse_query

QUERIES = {
    b"": {},
    b"EIO=4&transport=polling": {"EIO": "4", "transport": "polling"},
    b"sid=a&sid=b": {"sid": "b"},
    b"%73id=a+b%20c": {"sid": "a b c"},
    b"sid=": {"sid": ""},
    b"sid": {"sid": ""},
    b"&&t=1&": {"t": "1"},
    b"t=a=b": {"t": "a=b"},
    b"t=\xff": {"t": "\xff"},
    b"__proto__=x&__class__=y": {"__proto__": "x", "__class__": "y"},
    b"t=%0d%0aX:1": {"t": "\r\nX:1"},
    b"t=%": {"t": "%"},
    b"t=%zz": {"t": "%zz"},
}


@pytest.mark.parametrize(("raw", "read"), QUERIES.items())
def test_a_query_is_read(raw, read):
    """Keys and values are decoded; of a repeated key the last counts."""
    assert parse_query(raw) == read


@given(
    st.binary() | st.lists(st.sampled_from([b"a=1", b"%", b"&", b"="])).map(b"".join)
)
def test_any_query_is_read(raw):
    """Whatever stands behind the question mark, there is an answer."""
    assert all(
        isinstance(each, str) for pair in parse_query(raw).items() for each in pair
    )


@pytest.mark.parametrize("field", [b"t", b"%74"])
def test_only_so_many_fields_are_read(field):
    """Of a page's own: they are kept for as long as the session."""
    fields = [field + b"%d=x" % n for n in range(10_000)]
    assert list(parse_query(b"&".join(fields))) == [f"t{n}" for n in range(64)]


PROTOCOL = b"EIO=4&transport=polling&t=x&sid=abc&j=0&b64=1&lastEventId=abc.3"
PAGE = b"&".join(b"page%d=x" % n for n in range(200))


@pytest.mark.parametrize(
    "raw",
    [
        PAGE + b"&" + PROTOCOL,
        PROTOCOL + b"&" + PAGE,
        b"&" * 200 + PROTOCOL + b"&" * 200,
        b"&".join(b"%b&%b" % (each, PAGE) for each in PROTOCOL.split(b"&")),
        PAGE + b"&" + b"&".join(reversed(PROTOCOL.split(b"&"))),
        PAGE + b"&" + PROTOCOL.replace(b"4", b"%34").replace(b"sid", b"%73%69%64"),
        PAGE + b"&" + PROTOCOL.replace(b"j=", b"%6a=").replace(b"&t=", b"&%74="),
        PAGE + b"&" + PROTOCOL.replace(b"j=", b"%6A=").replace(b"EIO", b"EI%4f"),
        PAGE + b"&sid=other&j=1&" + PROTOCOL,
        b"sid=other&" + PAGE + b"&" + PROTOCOL,
        PAGE + b"&" + PROTOCOL + b"&xsid=1&sidx=2&%sid=3&sid%00=4&SID=5&s=id&=sid=6",
        PAGE + b"&%73i%64&" + PROTOCOL,
    ],
    ids=range(12),
)
def test_the_protocol_s_keys_are_found_wherever_they_stand(raw):
    """Clients put a page's own query first, and there may be much of it."""
    read = parse_query(raw)
    assert read.items() >= parse_query(PROTOCOL).items()
    assert len(read) <= 64 + 7


def test_of_a_key_that_stands_far_behind_the_last_counts():
    """Decoded, with a value or without; a plus is a space there, too."""
    for field, value in (
        (b"sid", ""),
        (b"sid=", ""),
        (b"sid=a=b", "a=b"),
        (b"%73id=a+b%20c%26", "a b c&"),
        (b"sid=%ff", "\ufffd"),
        (b"sid=\xff", "\xff"),
    ):
        assert parse_query(PAGE + b"&sid=first&" + field)["sid"] == value


def test_a_query_is_read_up_to_its_bound():
    """As much as a line of HTTP/1.1 may have; HTTP/2 knows no such bound."""
    for filling in (b"&", b"x&", b"%61=%61&"):
        many = filling * 16_384
        inside = many[: 16_384 - len(b"&sid=abc")] + b"&sid=abc"
        assert parse_query(inside)["sid"] == "abc"
        assert parse_query(inside + b"&sid=other&EIO=4") == parse_query(inside)


@pytest.mark.parametrize(
    "filling", [b"&", b"x&", b"t&", b"%73id&", b"transpor&", b"%", b"%41", b"+", b"=&"]
)
def test_no_query_costs_much(filling):
    """A whole line of the smallest fields, or of what nearly is a key."""
    raw = b"x&" * 64 + filling * (16_384 // len(filling))
    times = []
    for _ in range(5):
        start = time.process_time()
        parse_query(raw)
        times.append(time.process_time() - start)
    assert min(times) < 0.02


def test_eight_kilobytes_of_one_value_are_read():
    """Long is not wrong: a sid of any length is only unknown."""
    assert parse_query(b"sid=" + b"x" * 8192) == {"sid": "x" * 8192}


def test_headers_are_read():
    """Header names are in lower case, values of one name are joined."""
    headers = read_headers([(b"Host", [b"a.org"]), (b"X-Is", [b"a", b"\xe9"])])
    assert headers == {"host": "a.org", "x-is": "a, \xe9"}


def test_a_handshake_never_changes():
    """It outlives its request, and nobody can write to it."""
    read = Handshake("polling", {}, read_headers([]))
    assert (read.client_address, read.is_secure, read.method) == (None, False, "GET")
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.transport = "websocket"
    with pytest.raises(TypeError):
        read.headers["host"] = "x"


@pytest.mark.parametrize(("b64", "base64"), [("1", True), ("0", False), ("", False)])
def test_b64_asks_for_binary_as_text(b64, base64):
    """Exactly ``b64=1`` asks for it."""
    assert handshake(b64=b64).base64 is base64
    assert handshake().base64 is False

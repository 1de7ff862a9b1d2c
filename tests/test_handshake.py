"""What a client says first, and the open packet that answers it."""

from __future__ import annotations

import dataclasses
import json

import pytest
from fakes import handshake
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio import Config, Handshake, PacketType
from twisted_engineio.fields import read_headers
from twisted_engineio.handshake import (
    open_packet,
    parse_query,
    upgrades_from,
)

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
    """A query of ten thousand fields costs no more than one of sixty-four."""
    fields = [field + b"%d=x" % n for n in range(10_000)]
    assert list(parse_query(b"&".join(fields))) == [f"t{n}" for n in range(64)]


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


UPGRADES = [
    ("polling", {}, ["websocket"]),
    ("websocket", {}, []),
    ("polling", {"allow_upgrades": False}, []),
    ("polling", {"transports": ["polling"]}, []),
    ("websocket", {"transports": ["websocket"]}, []),
]


@pytest.mark.parametrize(("name", "options", "upgrades"), UPGRADES)
def test_upgrades_lead_from_polling_to_websocket(name, options, upgrades):
    """Where upgrades are on, and WebSocket is."""
    assert upgrades_from(name, Config(**options)) == upgrades


def test_the_open_packet_is_in_milliseconds():
    """Engine.IO protocol v4, "Handshake": compact JSON, whole milliseconds."""
    config = Config(max_payload=1234)
    packet = open_packet("abc", "polling", config, 0.3, 0.2)
    assert packet.type is PacketType.OPEN
    assert packet.data == (
        '{"sid":"abc","upgrades":["websocket"],"pingInterval":300,'
        '"pingTimeout":200,"maxPayload":1234}'
    )


@given(st.floats(0.001, 1e6))
def test_milliseconds_are_whole_numbers(seconds):
    """No float of ours reaches a client as 299.99999999999994."""
    packet = open_packet("abc", "polling", Config(), seconds, seconds)
    milliseconds = json.loads(packet.data)["pingInterval"]
    assert isinstance(milliseconds, int)
    assert abs(milliseconds - seconds * 1000) <= 0.5

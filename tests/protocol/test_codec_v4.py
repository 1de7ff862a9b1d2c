"""The codec of revision 4: whatever comes in gives packets or InvalidPacket."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio import Encoded, InvalidPacket, Packet, PacketType
from twisted_engineio.protocol import codec_v4

MESSAGE = PacketType.MESSAGE
SEPARATOR = b"\x1e"

BAD_PACKETS = {
    "empty": "",
    "an unknown digit": "9foo",
    "a letter": "x",
    "an Arabic digit": "\u0663",
    "a superscript digit": "\xb2",
    "a fullwidth digit": "\uff14hello",
    "a space before the digit": " 4",
    "a minus": "-1",
    "a newline": "\n4",
    "a lone surrogate": "\ud800",
    "base64 that is none": "b!!!!",
    "base64 cut short": "bAAE",
    "base64 with too much padding": "bAAE==",
    "base64 with padding behind a whole group": "bAAEC==",
    "base64 with a group of padding": "bAAEC====",
    "padding alone": "b=",
    "base64 with a newline": "bAAEC\n",
    "base64 with a space": "bAA EC",
    "base64 with something behind its end": "bAAE=AAEC",
    "URL-safe base64": "b_-_-",
    "base64 of fullwidth letters": "b\uff21\uff21\uff21\uff21",
    "base64 with a lone surrogate": "b\ud800",
}

# What a browser may send: any text that has UTF-8, but without the separator, which
# Engine.IO protocol v4 cannot carry over polling.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e"))
messages = texts | st.binary()
# The data of a close packet is for a WebSocket's close frame, and never written.
packets = st.just(Packet(PacketType.CLOSE)) | st.builds(
    Packet, st.sampled_from([*set(PacketType) - {MESSAGE, PacketType.CLOSE}]), texts
)


def read(body: bytes) -> Iterator[str | bytes | Packet]:
    """Read a payload that says it is text."""
    return codec_v4.decode_payload(body, binary=False)


def as_received(item: str | bytes | Packet) -> str | bytes | Packet:
    """Give what the codec should make of an item: binary comes as a Packet."""
    return Packet(MESSAGE, item) if isinstance(item, bytes) else item


@given(packets | messages)
def test_a_packet_comes_back_as_it_went(item):
    """Decoding undoes encoding, packet by packet."""
    decoded = codec_v4.decode_packet(codec_v4.encode_packet(item))
    assert decoded == (item if isinstance(item, Packet) else Packet(MESSAGE, item))


@given(st.lists(packets | messages, min_size=1))
def test_a_payload_comes_back_as_it_went(items):
    """Any packets joined by the separator come back, in order."""
    body, binary = codec_v4.encode_payload(items, binary=False)
    assert not binary
    assert list(read(body)) == [as_received(each) for each in items]


@given(st.text())
def test_any_text_is_a_packet_or_invalid(text):
    """A text frame, whatever it holds, raises nothing but InvalidPacket."""
    try:
        assert isinstance(codec_v4.decode_packet(text), Packet)
    except InvalidPacket:
        assert text[:1] not in tuple("0123456")


@given(
    st.binary()
    | st.lists(
        st.sampled_from([b"4", b"b", b"2", SEPARATOR, b"\xff", b"AAEC", b"\xc3\xa9"])
    ).map(b"".join)
)
def test_any_bytes_are_packets_or_invalid(body):
    """A POST, whatever it holds, raises nothing but InvalidPacket."""
    taken = []
    try:
        taken.extend(read(body))
    except InvalidPacket:
        pass
    else:
        assert len(taken) == body.count(SEPARATOR) + 1
    assert all(isinstance(each, (str, Packet)) for each in taken)


@pytest.mark.parametrize("text", BAD_PACKETS.values(), ids=BAD_PACKETS)
def test_a_bad_packet_is_refused(text):
    """What is no packet is said to be none, without quoting it."""
    with pytest.raises(InvalidPacket, match=r"its type is|its base64 is|it is empty"):
        codec_v4.decode_packet(text)


@pytest.mark.parametrize(
    "text", [each for each in BAD_PACKETS.values() if "\ud800" not in each]
)
def test_the_packets_before_a_bad_one_count(text):
    """The packets before it are given, nothing behind it is."""
    payload = read(f"4a\x1e2\x1e{text}\x1e4b".encode())
    assert next(payload) == "a"
    assert next(payload) == Packet(PacketType.PING)
    with pytest.raises(InvalidPacket):
        next(payload)
    assert list(payload) == []


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (b"\xff", []),
        (b"4a\xff", []),
        (b"4a\x1e4\xed\xa0\x80", ["a"]),  # a surrogate, in what looks like UTF-8
        (b"4a\x1e4b\x1e\xc3", ["a", "b"]),
        (b"4a\x1e4b\x1e4c\xff\x1e4d", ["a", "b"]),
    ],
)
def test_whole_packets_before_bad_utf_8_count(body, good):
    """The packet with the bad byte is lost, those before it are not."""
    taken = []
    with pytest.raises(InvalidPacket, match="UTF-8"):
        taken.extend(read(body))
    assert taken == good


@pytest.mark.parametrize(
    ("body", "good"),
    [(b"", []), (SEPARATOR, []), (b"4a\x1e", ["a"]), (b"\x1e4a", [])],
)
def test_an_empty_packet_is_a_bad_one(body, good):
    """A separator too many, at either end, is an error."""
    taken = []
    with pytest.raises(InvalidPacket, match="empty"):
        taken.extend(read(body))
    assert taken == good


def test_a_byte_order_mark_is_data():
    """A BOM within a message stays, one in front is no type digit."""
    assert list(read(b"4\xef\xbb\xbfa")) == ["\ufeffa"]
    with pytest.raises(InvalidPacket):
        list(read(b"\xef\xbb\xbf4a"))


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("", "4"),
        ("\u20ac", "4\u20ac"),
        (b"", "b"),
        (b"\x00\x01\x02", "bAAEC"),
        (b"\xfb\xff", "b+/8="),
        (Packet(PacketType.PONG, "probe"), "3probe"),
        (Packet(PacketType.NOOP), "6"),
        (Packet(PacketType.CLOSE, "1000"), "1"),
    ],
)
def test_packets_look_as_the_protocol_says(item, text):
    """Engine.IO protocol v4, "Packet encoding"."""
    assert codec_v4.encode_packet(item) == text


@pytest.mark.parametrize("binary", [False, True])
def test_a_payload_is_text_whatever_the_client_takes(binary):
    """Revision 4 has no binary payloads: binary goes as base64."""
    items = ["a", b"\x00\x01\x02", Packet(PacketType.PING)]
    body = b"4a\x1ebAAEC\x1e2"
    assert codec_v4.encode_payload(items, binary=binary) == (body, False)


def test_a_payload_that_says_it_is_binary_is_refused():
    """However well it could be read."""
    with pytest.raises(InvalidPacket, match="only text"):
        list(codec_v4.decode_payload(b"4a", binary=True))


def test_a_shared_message_is_encoded_once():
    """Whoever comes second gets the very text that was made for the first."""
    message = Encoded(b"\x00\x01\x02")
    assert codec_v4.encode_packet(message) == "bAAEC"
    message.data = b"something else"
    assert codec_v4.encode_packet(message) == "bAAEC"


def lines_run(body: bytes) -> int:
    """Count the lines of Python that reading a payload runs."""
    count = 0

    def trace(*_: object) -> object:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for _ in read(body):
            pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("smallest", [b"4", b"2", b"b"])
def test_reading_many_small_packets_is_linear_work(smallest):
    """CVE-2020-36048: ten times the packets are ten times the work, no more."""
    few, many = (lines_run(SEPARATOR.join([smallest] * n)) for n in (100, 1000))
    assert many <= 10 * few
    assert many <= 1000 * 20


@given(st.integers(0, 300))
def test_small_text_messages_are_not_made_packets(count):
    """A million bytes of the smallest packets make no object for each but its text."""
    given_back = list(read(SEPARATOR.join([b"4"] * (count + 1))))
    assert given_back == [""] * (count + 1)

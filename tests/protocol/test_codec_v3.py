"""The codec of revision 3: whatever comes in gives packets or InvalidPacket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing.work import work_of
from twisted_engineio import Encoded, InvalidPacket, Packet, PacketType
from twisted_engineio.protocol import codec_v3, codec_v4

MESSAGE = PacketType.MESSAGE
CLOSE = PacketType.CLOSE

BAD_PACKETS = {
    "an unknown digit": "9foo",
    "a letter": "x",
    "an Arabic digit": "\u0663",
    "a superscript digit": "\xb2",
    "a fullwidth digit": "\uff14hello",
    "a space before the digit": " 4",
    "base64 without a type": "b",
    "base64 in the manner of revision 4": "bAAEC",
    "base64 of a ping": "b2AAEC",
    "base64 of an unknown type": "b9AAEC",
    "base64 that is none": "b4!!!!",
    "base64 cut short": "b4AAE",
    "base64 with padding behind a whole group": "b4AAEC==",
    "base64 with a newline": "b4AAEC\n",
    "base64 of fullwidth letters": "b4\uff21\uff21\uff21\uff21",
}

BAD_LENGTHS = {
    "none": b":4a",
    "zero": b"0:",
    "zero before a packet": b"0:4a",
    "a leading zero": b"02:4a",
    "negative": b"-2:4a",
    "with a plus": b"+2:4a",
    "with a space": b" 2:4a",
    "with a newline": b"2\n:4a",
    "with an underscore": b"1_0:4abcdefghi",
    "fractional": b"2.0:4a",
    "hexadecimal": b"0x2:4a",
    "with an exponent": b"2e0:4a",
    "not a number": b"NaN:4a",
    "without an end": b"2",
    "without a colon": b"abc",
    "in Arabic digits": "\u0662:4a".encode(),
    "in fullwidth digits": "\uff12:4a".encode(),
    "a superscript": "\xb2:4a".encode(),
    "one too long": b"3:4a",
    "far too long": b"9999999999999999:4a",
    "longer than any number": b"9" * 400 + b":4a",
    "longer than Python reads": b"9" * 5000 + b":4a",
    "of bytes, not code units": "5:4\U0001f600".encode(),
    "of characters, not code units": "2:4\U0001f600".encode(),
    "that cuts a character, and no more": "2:4\U0001f600".encode(),
}

BAD_BINARY = {
    "a length of none": b"\0\xff4a",
    "a length of zero": b"\0\0\xff",
    "a leading zero": b"\0\0\2\xff4a",
    "a length in ASCII": b"\x002\xff4a",
    "a length with a byte of 10": b"\0\x0a\xff4a",
    "a length with a byte of 254": b"\0\xfe\xff4a",
    "a length without an end": b"\0\2",
    "a length of too many digits": b"\0" + b"\1" * 17 + b"\xff4a",
    "a length one too long": b"\0\3\xff4a",
    "a length far too long": b"\0" + b"\x09" * 16 + b"\xff4a",
    "nothing but a kind": b"\0",
    "a kind that is none": b"\2\2\xff4a",
    "a payload that is text": b"2:4a",
    "a binary packet in ASCII": b"\1\2\xff4a",
    "a binary ping": b"\1\1\xff\2",
    "text that is not UTF-8": b"\0\2\xff4\xff",
    "text with a lone surrogate": b"\0\4\xff4\xed\xa0\x80",
    "text of an unknown type": b"\0\1\xff9",
    "bad base64": b"\0\3\xffb4!",
}


def read(body: bytes, *, binary: bool) -> tuple[list, bool]:
    """Decode a payload up to its end or its first bad packet, and tell which."""
    found = []
    try:
        for item in codec_v3.decode_payload(body, binary=binary):
            found.append(item)  # noqa: PERF402 - what came before an error counts
    except InvalidPacket:
        return found, False
    return found, True


packets = st.one_of(
    st.text(),
    st.binary(),
    st.builds(
        Packet,
        st.sampled_from([each for each in PacketType if each not in (MESSAGE, CLOSE)]),
        st.text(),
    ),
    st.just(Packet(CLOSE)),
)


# One packet.


def test_the_names_are_those_of_revision_4():
    """A session takes either codec and asks no further."""
    assert codec_v3.__all__ == codec_v4.__all__
    assert (codec_v3.PROTOCOL, codec_v4.PROTOCOL) == (3, 4)
    assert (codec_v3.BINARY_PREFIX, codec_v4.BINARY_PREFIX) == (b"\x04", b"")


@pytest.mark.parametrize("kind", PacketType)
@pytest.mark.parametrize("data", ["", "probe", "b4", "\U0001f600", "\n"])
def test_a_packet_of_text_is_its_digit_and_its_data(kind, data):
    """A packet is its digit and its data, both ways."""
    assert codec_v3.decode_packet(kind.value + data) == Packet(kind, data)
    # The data of a close packet that goes out is a close code, and stays here.
    written = "" if kind is PacketType.CLOSE else data
    assert codec_v3.encode_packet(Packet(kind, data)) == kind.value + written


@pytest.mark.parametrize(
    ("data", "text"), [(b"", "b4"), (b"\0\1\2", "b4AAEC"), (b"\xfb\xff", "b4+/8=")]
)
def test_a_binary_packet_names_its_type_before_its_base64(data, text):
    """Binary in text is ``b4`` and base64, both ways."""
    assert codec_v3.decode_packet(text) == Packet(MESSAGE, data)
    assert codec_v3.encode_packet(data) == text


@pytest.mark.parametrize(
    "text", ["", *BAD_PACKETS.values()], ids=["empty", *BAD_PACKETS]
)
def test_a_bad_packet_is_invalid(text):
    """A frame that is no packet raises InvalidPacket."""
    with pytest.raises(InvalidPacket):
        codec_v3.decode_packet(text)


@pytest.mark.parametrize("data", ["text", b"\0\1"])
def test_what_an_encoded_message_keeps_is_left_to_revision_4(data):
    """An Encoded goes to sessions of both revisions, in any order."""
    first, second = Encoded(data), Encoded(data)
    assert codec_v3.encode_packet(first) == codec_v3.encode_packet(data)
    assert codec_v4.encode_packet(first) == codec_v4.encode_packet(data)
    assert codec_v4.encode_packet(second) == codec_v4.encode_packet(data)
    assert codec_v3.encode_packet(second) == codec_v3.encode_packet(data)
    assert codec_v3.encode_payload([second], binary=True) == codec_v3.encode_payload(
        [data], binary=True
    )


@given(st.text())
def test_any_text_gives_a_packet_or_is_invalid(text):
    """A text frame raises nothing but InvalidPacket."""
    try:
        packet = codec_v3.decode_packet(text)
    except InvalidPacket:
        return
    assert isinstance(packet, Packet)


# A payload of text.


def test_lengths_count_utf_16_code_units():
    """A character outside the BMP counts two, as in JavaScript."""
    items = ["\U0001f600", "\u20ac", "a\U0001f600b\U00010000", Packet(PacketType.PING)]
    body = "3:4\U0001f6002:4\u20ac7:4a\U0001f600b\U000100001:2".encode()
    assert codec_v3.encode_payload(items, binary=False) == (body, False)
    assert read(body, binary=False) == (items, True)


def test_binary_in_a_payload_of_text_is_base64():
    """A client that takes no binary payloads gets base64, and may send it."""
    items = ["a", b"\0\1\2", Packet(PacketType.PONG, "probe"), b""]
    body = b"2:4a6:b4AAEC6:3probe2:b4"
    assert codec_v3.encode_payload(items, binary=False) == (body, False)
    assert read(body, binary=False) == (items, True)


def test_a_payload_without_binary_is_text_for_every_client():
    """The handshake's answer is text also for a client that takes binary."""
    assert codec_v3.encode_payload(["a"], binary=True) == (b"2:4a", False)


def test_a_packet_may_hold_what_looks_like_a_length():
    """Only lengths tell where a packet ends."""
    items = ["1:4", ":", "9999:", "b4"]
    body, _ = codec_v3.encode_payload(items, binary=False)
    assert read(body, binary=False) == (items, True)


def test_a_message_may_be_long():
    """A length may have any number of digits that makes sense."""
    items = ["x" * 254, "x" * 255, "\U0001f600" * 300, "x" * 123_456]
    body, _ = codec_v3.encode_payload(items, binary=False)
    assert read(body, binary=False) == (items, True)


@pytest.mark.parametrize("binary", [False, True])
def test_an_empty_payload_is_invalid(binary):
    """A POST without a byte is no payload."""
    with pytest.raises(InvalidPacket):
        codec_v3.decode_payload(b"", binary=binary)


@pytest.mark.parametrize("length", BAD_LENGTHS.values(), ids=BAD_LENGTHS)
def test_a_bad_length_is_invalid(length):
    """What stands before it counts; nothing behind it is read."""
    assert read(b"2:4a" + length, binary=False) == (["a"], False)


def test_a_length_that_cuts_a_character_in_two_is_invalid():
    """Half a character is none, whatever follows it."""
    body = "2:4a2:4\U0001f6001:2".encode()
    assert read(body, binary=False) == (["a"], False)


@pytest.mark.parametrize("text", BAD_PACKETS.values(), ids=BAD_PACKETS)
@pytest.mark.parametrize("before", ["a", "\U0001f600"])
def test_the_packets_before_a_bad_one_count(before, text):
    """A payload is read up to its first bad packet."""
    good, _ = codec_v3.encode_payload([before, b"\0"], binary=False)
    bad = f"{len(text)}:{text}2:4c".encode()
    assert read(good + bad, binary=False) == ([before, b"\0"], False)


@pytest.mark.parametrize(
    "rest", [b"\xff", b"3:4\xff\xff", b"2:4\xed\xa0\x80", b"2\xff:4a"]
)
def test_the_packets_before_bad_utf_8_count(rest):
    """Bytes that are no UTF-8 are bad, and so is what holds them."""
    assert read(b"2:4a1:2" + rest, binary=False) == (
        ["a", Packet(PacketType.PING)],
        False,
    )


# A binary payload.


def test_a_binary_payload_has_lengths_in_bytes():
    """Kind, digits, 255, packet: UTF-8 for text, a type for binary."""
    items = [b"\0\xff", "\u20ac\U0001f600", Packet(PacketType.PING), b"", "x" * 9]
    body = (
        b"\1\3\xff\x04\0\xff"
        b"\0\x08\xff4\xe2\x82\xac\xf0\x9f\x98\x80"
        b"\0\1\xff2"
        b"\1\1\xff\x04"
        b"\0\1\0\xff4xxxxxxxxx"
    )
    assert codec_v3.encode_payload(items, binary=True) == (body, True)
    assert read(body, binary=True) == (items, True)


def test_a_binary_message_may_be_long():
    """A length may have any number of digits that makes sense."""
    items = [b"\xff" * 254, b"\xff" * 255, b"\xff" * 123_456]
    body, _ = codec_v3.encode_payload(items, binary=True)
    assert read(body, binary=True) == (items, True)


def test_base64_in_a_binary_payload_is_binary():
    """A text packet is read the same, wherever it stands."""
    assert read(b"\0\6\xffb4AAEC", binary=True) == ([b"\0\1\2"], True)


@pytest.mark.parametrize("bad", BAD_BINARY.values(), ids=BAD_BINARY)
def test_the_packets_before_a_bad_one_count_in_binary(bad):
    """A binary payload is read up to its first bad packet."""
    good = b"\0\2\xff4a\1\2\xff\x04b"
    assert read(good + bad, binary=True) == (["a", b"b"], False)


# Whatever comes.


@given(items=st.lists(packets, min_size=1), binary=st.booleans())
def test_what_is_written_is_read(items, binary):
    """Encoding and decoding are each other's inverse, in both forms."""
    body, is_binary = codec_v3.encode_payload(items, binary=binary)
    assert is_binary == (binary and any(isinstance(each, bytes) for each in items))
    assert read(body, binary=is_binary) == (items, True)


@given(body=st.binary(), binary=st.booleans())
def test_any_bytes_give_packets_or_are_invalid(body, binary):
    """A payload raises nothing but InvalidPacket."""
    read(body, binary=binary)


@given(
    items=st.lists(packets, min_size=1),
    binary=st.booleans(),
    cut=st.integers(min_value=0),
    junk=st.binary(max_size=3),
)
def test_a_damaged_payload_gives_its_beginning(items, binary, cut, junk):
    """What is delivered before the damage is exactly what was sent first."""
    body, is_binary = codec_v3.encode_payload(items, binary=binary)
    cut %= len(body)
    found, _ = read(body[:cut] + junk, binary=is_binary)
    whole, _ = read(body[:cut], binary=is_binary)
    assert whole == items[: len(whole)]
    assert found[: len(whole)] == whole


# However many packets there are.

HOSTILE = {
    "the smallest messages": (b"1:4", False, b"4"),
    "the smallest pings": (b"1:2", False, b"2"),
    "the smallest binary messages in text": (b"2:b4", False, b"b"),
    "the smallest messages, binary": (b"\0\1\xff4", True, b"4"),
    "the smallest pings, binary": (b"\0\1\xff2", True, b"2"),
    "the smallest binary messages": (b"\1\1\xff\x04", True, b"b"),
    "emoji": ("3:4\U0001f600".encode(), False, None),
    "short messages": (b"9:4abcdefgh", False, None),
    "messages that are not quite as short": (b"10:4abcdefghi", False, None),
    "short and not quite as short": (b"1:410:4abcdefghi", False, None),
    "messages beyond the lengths that are known": (b"256:4" + b"a" * 255, False, None),
    "short messages, binary": (b"\1\2\xff\x04a", True, None),
    "not quite as short, binary": (b"\0\1\0\xff4abcdefghi", True, None),
}


def work(codec, body: bytes, *, binary: bool) -> int:
    """Count the lines of Python that reading a payload runs."""
    _, lines = work_of(lambda: list(codec.decode_payload(body, binary=binary)))
    return lines


@pytest.mark.parametrize(("unit", "binary", "_"), HOSTILE.values(), ids=HOSTILE)
def test_reading_many_packets_is_linear_work(unit, binary, _):
    """CVE-2020-36048: ten times the packets are ten times the work, no more."""
    few, many = (work(codec_v3, unit * count, binary=binary) for count in (200, 2000))
    assert many <= 10 * few


@pytest.mark.parametrize(
    ("unit", "binary", "same"),
    [each for each in HOSTILE.values() if each[2]],
    ids=[name for name, each in HOSTILE.items() if each[2]],
)
def test_the_smallest_packets_cost_what_they_cost_in_revision_4(unit, binary, same):
    """What a hostile payload has most of is not read one by one."""
    ours = work(codec_v3, unit * 1000, binary=binary)
    theirs = work(codec_v4, b"\x1e".join([same] * 1000), binary=False)
    assert ours <= 1.6 * theirs


@pytest.mark.parametrize("shift", range(14))
@pytest.mark.parametrize("binary", [False, True])
def test_packets_are_read_across_what_is_looked_at_in_one_go(shift, binary):
    """Short and long, wherever one part of a payload ends and the next begins."""
    items = ["x" * shift]
    for size in (0, 8, 1, 9, 2, 300, 3, 7, 0):
        items += ["x" * size, "\U0001f600" * size, b"\xff" * size] * 20
    items = items[:1] + ["y" * 7] * 900 + items[1:] + [Packet(PacketType.PING)] * 2000
    body, is_binary = codec_v3.encode_payload(items, binary=binary)
    assert is_binary is binary
    assert read(body, binary=binary) == (items, True)

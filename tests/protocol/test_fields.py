"""Headers and query are kept as text, and read as the dictionaries they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio.protocol.fields import HeaderFields, RawFields, read_headers
from twisted_engineio.protocol.handshake import QueryFields, parse_query

NAMES = st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True)
VALUES = st.binary(max_size=12).filter(lambda each: not set(each) & set(b"\r\n"))


@given(st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3), max_size=6))
def test_headers_are_read_as_from_a_dictionary(raw):
    """Every one that was sent, by its name in lower case, and no other."""
    once = {name.lower(): (name, values) for name, values in raw.items()}
    fields = read_headers(once.values())
    expected = {
        name.decode(): b", ".join(values).decode("latin-1")
        for name, (_, values) in once.items()
    }
    assert dict(fields) == expected == fields
    assert {name: fields[name] for name in fields} == expected
    assert list(fields.items()) == list(expected.items())
    assert list(fields.values()) == list(expected.values())
    assert len(fields) == len(expected)
    assert repr(fields) == repr(expected)


HEADERS = {
    b"Host": [b"a.org"],
    b"X-Is": [b"", b"\xc0\xe9"],
    b"X-Empty": [b""],
    b"X-Says": [b"host: b.org"],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "a.org"),
        ("x-is", ", \xc0\xe9"),
        ("x-empty", ""),
        ("x-says", "host: b.org"),
        ("Host", None),
        ("is", None),
        ("x", None),
        ("", None),
        ("x-says: host", None),
        (b"host", None),
        (None, None),
    ],
)
def test_one_header_is_found(name, value):
    """By the whole of its name, and what is no name is not found."""
    fields = read_headers(HEADERS.items())
    assert fields.get(name) == value
    assert (name in fields) is (value is not None)


@given(st.binary(max_size=60), st.text(max_size=3))
def test_a_query_is_read_as_from_a_dictionary(raw, key):
    """Whatever it holds."""
    fields, expected = QueryFields(raw), parse_query(raw)
    assert fields == expected
    assert fields.get(key) == expected.get(key)
    assert [fields[each] for each in fields] == list(expected.values())
    assert len(fields) == len(expected)


def test_nothing_is_kept_besides_the_text():
    """However often it is read."""
    fields = HeaderFields("\r\nHost: a.org\r\n")
    assert fields["host"] == "a.org"
    assert fields.__slots__ == QueryFields.__slots__ == ()
    assert RawFields.__slots__ == ("_parsed", "_raw")
    assert fields._parsed is None
    with pytest.raises(NotImplementedError):
        RawFields("").parse()


def test_what_was_parsed_serves_until_it_is_forgotten():
    """A handshake is read once, and kept as its text alone."""
    parsed = {"EIO": "4"}
    fields = QueryFields(b"EIO=4&b64=1", parsed)
    assert fields.get("b64") is None
    fields.forget()
    assert fields.get("b64") == "1"
    assert fields.get("EIO") == "4"

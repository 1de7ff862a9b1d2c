"""An answer is compressed as its client asks, or not at all."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio.policy.compression import choose_coding, compress


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, None),
        ("", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("x-gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-deflate", None),
        ("br", None),
        ("identity", None),
        ("*", "gzip"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip", "gzip"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip"),
        ("gzip;q=0.5, deflate;q=0.9", "deflate"),
        ("gzip;q=0.001, deflate;q=0", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.0, deflate;q=0.000", None),
        ("gzip;q=0, *", "deflate"),
        ("deflate, *;q=0", "deflate"),
        ("*;q=0", None),
        ("*;q=0.5, gzip;q=0.1", "deflate"),
        ("gzip;q=1, identity;q=0.5", "gzip"),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=0.5, identity;q=1", None),
        ("gzip;q=0.5, identity", None),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0", None),
        ("*, identity;q=0.5", "gzip"),
        (" \tgzip\t;\tq=0.5 , deflate ; q=1. ", "deflate"),
        (",,gzip,", "gzip"),
        ("gzip;Q=0.5,deflate;q=0.4", "gzip"),
    ],
)
def test_the_coding_that_the_client_likes_best_is_chosen(header, coding):
    """RFC 9110, 12.5.3."""
    assert choose_coding(header) == coding


@pytest.mark.parametrize(
    "header",
    [
        "gzip;q=2",
        "gzip;q=1.1",
        "gzip;q=-1",
        "gzip;q=0.1234",
        "gzip;q=nan",
        "gzip;q=inf",
        "gzip;q=1e0",
        "gzip;q=",
        "gzip;q",
        "gzip;",
        "gzip;level=1",
        "gzip deflate",
        '"gzip"',
        "gzip\n",
        "gz\u0131p",
        ";q=1",
        "gzip;q=\u0661",
    ],
)
def test_what_makes_no_sense_asks_for_nothing(header):
    """A client that can't say what it takes gets what everyone can read."""
    assert choose_coding(header) is None
    assert choose_coding(f"{header}, deflate;q=0.1") == "deflate"


@given(st.text(alphabet='gzipdeflatnysx*-;=q01., \t"') | st.text())
def test_any_header_is_read(header):
    assert choose_coding(header) in {"gzip", "deflate", None}


@pytest.mark.parametrize("unit", ["gzip,", "a", " ", ",", "a;q=0.1,", ";", "\t "])
def test_a_long_header_is_read_at_once(unit):
    """No shape makes reading slow; twisted.web lets 16 kB of a header pass."""
    start = time.process_time()
    choose_coding(unit * (16_384 // len(unit)))
    assert time.process_time() - start < 0.2


@given(st.binary())
def test_gzip_is_gzip_and_deflate_is_zlib(body):
    """RFC 9110, 8.4.1: "deflate" is the zlib format."""
    assert gzip.decompress(compress(body, "gzip")) == body
    assert zlib.decompress(compress(body, "deflate")) == body


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_text_gets_much_shorter(coding):
    body = b'42["message",{"user":"somebody","text":"hello"}]\x1e' * 100
    assert len(compress(body, coding)) < len(body) / 10

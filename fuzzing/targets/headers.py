"""
Headers and queries may hold anything: they are read, and trusted no more for it.

For any text:

* as a query: it is read as Python's own ``parse_qsl`` reads its first 64 fields;
* as what a client wrote into X-Forwarded-For or Forwarded, before a trusted proxy added
  the address that it saw: the client is that address, whatever the text was; and an
  untrusted peer is itself;
* as an Origin: it may use the server only if it is listed, or names the same host; a
  listed origin with the text before or behind it is not listed;
* as Accept-Encoding: a coding that we have, or none;
* nothing is raised, and reading runs lines in proportion to the characters.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import parse_qsl

from fuzzing.work import bounded
from twisted_engineio import Config
from twisted_engineio.policy.compression import choose_coding
from twisted_engineio.policy.cors import Cors, is_well_formed
from twisted_engineio.policy.forwarded import TrustedProxies
from twisted_engineio.protocol.handshake import parse_query

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8::/32"])
PROXY, STRANGER, CLIENT = "10.0.0.1", "198.51.100.7", "203.0.113.9"
LISTED = "https://listed.example"
CORS = Cors(Config(cors=(LISTED, re.compile(r"https://[a-z]+\.wild\.example"))))
HOST = re.compile(r"[\w.:\[\]-]+", re.A)
WILD = re.compile(r"https://[a-z]+\.wild\.example")
SAME = re.compile(r".*?://example\.com(:\d+)?", re.I | re.DOTALL)
MAYBE = re.compile(r"https://listed\.example(:443)?", re.I)
MAX_FIELDS = 64
KEYS = ("EIO", "transport", "sid", "t", "j", "b64", "lastEventId")
TOKENS = (
    *(
        b"for=",
        b"proto=https",
        b"host=",
        b'"',
        b'\\"',
        b", ",
        b";",
        b"[::1]:8",
        b"unknown",
    ),
    *(b"https://", b"listed.example", b".wild.example", b":443", b"example.com"),
    *(b"gzip", b"deflate", b"identity", b";q=0.5", b"*", b"%2", b"+"),
    *(b"sid=", b"s%69d=", b"t=", b"&", b"&" * 70),
)
parse_query(b"%20")  # Python makes a table for it once, with much work


def check(data: bytes) -> None:
    """Use bytes as each of them, as twisted.web would decode them."""
    text = data.decode("latin-1")
    query = _query(text)
    bounded(lambda: _read(data, text, query), data, 1000 + 30 * len(data))
    _check_proxies(text)
    _check_origin(text)


def _query(text: str) -> dict[str, str]:
    """Read a query field by field: after the first 64, the protocol's own keys only."""
    fields = text.split("&")
    query = dict(parse_qsl("&".join(fields[:MAX_FIELDS]), keep_blank_values=True))
    for field in fields[MAX_FIELDS:]:
        found = parse_qsl(field, keep_blank_values=True)
        query |= {key: value for key, value in found if key in KEYS}
    return query


def _read(data: bytes, text: str, query: dict[str, str]) -> None:
    assert parse_query(data) == query
    assert choose_coding(text) in ("gzip", "deflate", None)
    for name in ("x-forwarded-for", "forwarded"):
        found = PROXIES.client(PROXY, {name: text})
        assert found.address is not None
        ip_address(found.address)
        assert found.host is None or HOST.fullmatch(found.host)
        assert PROXIES.client(STRANGER, {name: text}) == (STRANGER, None, None)


def _check_proxies(text: str) -> None:
    """A proxy of ours adds the address that it saw behind whatever there was."""
    plain = {"x-forwarded-for": f"{text}, {CLIENT}", "x-forwarded-host": text}
    assert PROXIES.client(PROXY, plain).address == CLIENT
    standard = {"forwarded": f"{text}, for={CLIENT};proto=https"}
    assert PROXIES.client(PROXY, standard)[:2] == (CLIENT, True)
    both = {"forwarded": f'{text}, for="[2001:db8::1]:80", for={CLIENT}, for={PROXY}'}
    assert PROXIES.client(PROXY, both).address == CLIENT


def _check_origin(text: str) -> None:
    listed = bool(WILD.fullmatch(text) or MAYBE.fullmatch(text))
    if listed:
        assert CORS.allows(text, "example.com")
    elif CORS.allows(text, "example.com"):
        assert SAME.fullmatch(text), text
    if text not in ("", ":443"):
        assert not CORS.allows(LISTED + text, "example.com")
        assert not CORS.allows(text + LISTED, "example.com")
    assert CORS.allows(text, "") == listed
    is_well_formed(text)

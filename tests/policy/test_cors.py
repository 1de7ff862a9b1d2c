"""Which origins may use the server, and what a browser is told."""

from __future__ import annotations

import re

import pytest
from twisted.web.http_headers import Headers

from twisted_engineio import Config
from twisted_engineio.policy.cors import Cors, is_well_formed

ORIGIN = "https://example.com"

ALLOWED = [
    # cors                           Origin                        Host
    ((), None, "example.com"),
    ((), ORIGIN, "example.com"),
    ((), "https://EXAMPLE.com", "example.com"),
    ((), "https://example.com:443", "example.com"),
    ((), ORIGIN, "example.com:443"),
    ((), "http://example.com", "example.com:80"),
    ((), "http://example.com:8080", "example.com:8080"),
    ((), "http://[::1]:8080", "[::1]:8080"),
    (["*"], "https://anything.at.all", "example.com"),
    (["*"], "null", "example.com"),
    ([ORIGIN], ORIGIN, "elsewhere.org"),
    ([ORIGIN], "HTTPS://Example.COM", "elsewhere.org"),
    ([ORIGIN], "https://example.com:443", "elsewhere.org"),
    (["https://example.com:443"], ORIGIN, "elsewhere.org"),
    (["https://a.org", ORIGIN], ORIGIN, "elsewhere.org"),
    (["https://a.org"], ORIGIN, "example.com"),
    ([re.compile(r"https://\w+\.example\.com")], "https://a.example.com", "b.org"),
    (lambda origin: origin == ORIGIN, ORIGIN, "b.org"),
    (lambda _: False, ORIGIN, "example.com"),
]

REFUSED = [
    ((), "https://evil.com", "example.com"),
    ((), "null", "example.com"),
    ((), "null", "null"),
    ((), "", "example.com"),
    ((), "", ""),
    ((), "https://", ""),
    ((), "https://:443", ""),
    ((), "https://evil-example.com", "example.com"),
    ((), "https://example.com.evil.org", "example.com"),
    ((), "http://example.com:8080", "example.com"),
    ((), "https://example.com", "example.com:80"),
    ((), ORIGIN, ""),
    ((), "app://example.com:", "example.com"),
    ([ORIGIN], "http://example.com", "elsewhere.org"),
    ([ORIGIN], "https://sub.example.com", "elsewhere.org"),
    ([ORIGIN], "https://evil-example.com", "elsewhere.org"),
    ([ORIGIN], "https://example.com:8443", "elsewhere.org"),
    ([ORIGIN], "null", "elsewhere.org"),
    ([re.compile("https://a.org")], "https://a.org.evil.com", "b.org"),
    ([re.compile("a.org")], "https://a.org", "b.org"),
    (lambda _: None, ORIGIN, "b.org"),
]


@pytest.mark.parametrize(("cors", "origin", "host"), ALLOWED)
def test_allowed(cors, origin, host):
    """The same origin, a listed one, any with an asterisk, and who is no browser."""
    assert Cors(Config(cors=cors)).allows(origin, host)


@pytest.mark.parametrize(("cors", "origin", "host"), REFUSED)
def test_refused(cors, origin, host):
    """CVE-2019-13611: a foreign origin, one that only looks alike, and "null"."""
    assert not Cors(Config(cors=cors)).allows(origin, host)


VARY = {"Vary": "Origin"}
ORIGIN_AND_VARY = {"Access-Control-Allow-Origin": ORIGIN, **VARY}
HEADERS = [
    ({}, None, {}),
    ({}, ORIGIN, {}),
    ({"cors": ["*"]}, None, {}),
    ({"cors": ["*"]}, ORIGIN, {"Access-Control-Allow-Origin": "*"}),
    ({"cors": ["*", ORIGIN]}, ORIGIN, {"Access-Control-Allow-Origin": "*"}),
    ({"cors": [ORIGIN]}, None, VARY),
    ({"cors": [ORIGIN]}, ORIGIN, ORIGIN_AND_VARY),
    (
        {"cors": [ORIGIN], "cors_credentials": True},
        ORIGIN,
        {**ORIGIN_AND_VARY, "Access-Control-Allow-Credentials": "true"},
    ),
    (
        {"cors": [ORIGIN], "cors_exposed_headers": ["X-A", "X-B"]},
        ORIGIN,
        {**ORIGIN_AND_VARY, "Access-Control-Expose-Headers": "X-A,X-B"},
    ),
    ({"cors": lambda _: True}, ORIGIN, ORIGIN_AND_VARY),
]


def told(headers):
    """Give headers as a dictionary of text."""
    return {
        name.decode(): b", ".join(values).decode()
        for name, values in headers.getAllRawHeaders()
    }


@pytest.mark.parametrize(("options", "origin", "expected"), HEADERS)
def test_a_browser_is_told(options, origin, expected):
    """Fetch standard, "CORS protocol"; caches are told what the answer depends on."""
    headers = Headers()
    Cors(Config(**options)).add_headers(origin, headers)
    assert told(headers) == expected


@pytest.mark.parametrize(("options", "origin", "expected"), HEADERS)
def test_a_preflight_is_answered(options, origin, expected):
    """What may be sent is told to those only that may read the answer."""
    headers = Headers()
    Cors(Config(**options)).add_preflight_headers(origin, headers)
    answer = {
        "Access-Control-Allow-Methods": "GET,POST",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": "600",
    }
    allowed = "Access-Control-Allow-Origin" in expected
    assert told(headers) == (expected | answer if allowed else expected)


@pytest.mark.parametrize(
    ("origin", "well_formed"),
    [
        (ORIGIN, True),
        ("a\tb", True),
        ("caf\xe9", False),
        ("", True),
        ("a\x00b", False),
        ("a\rb", False),
        ("a\nb", False),
        ("a\x1fb", False),
        ("a\x7f", False),
    ],
)
def test_what_has_no_place_in_an_origin_is_seen(origin, well_formed):
    """It is written in ASCII, RFC 6454, 6.2, without controls: RFC 9110, 5.5."""
    assert is_well_formed(origin) is well_formed


def test_a_preflight_may_go_on(make_server, browse):
    """With its headers set, for whatever stands around; alone it is no handshake."""
    server = make_server(cors=["http://a.example"], cors_preflight_continue=True)
    browser = browse(server)
    browser.request("OPTIONS", "EIO=4&transport=polling", Origin="http://a.example")
    assert browser.answer.status == 400
    assert browser.answer.json()["code"] == 2
    assert browser.answer.headers["access-control-allow-methods"] == "GET,POST"


def test_an_https_page_s_plain_neighbour_is_foreign():
    """RFC 6454: the scheme is part of an origin, where it is known."""
    cors = Cors(Config())
    assert cors.allows("https://example.com", "example.com", True)
    assert not cors.allows("http://example.com", "example.com", True)
    assert cors.allows("https://example.com", "example.com", False)

"""An origin is a scheme, a host and a port, written as browsers write it."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio import Config, ConfigError
from twisted_engineio.policy.cors import Cors
from twisted_engineio.policy.origins import (
    is_same_origin,
    listed_origin,
    normal_origin,
    origin_of_url,
)

# The same origin.

SAME = [
    # Origin, Host, whether the connection is known to be TLS
    ("http://example.com", "example.com", False),
    ("http://example.com", "example.com:80", False),
    ("http://example.com:80", "example.com", False),
    ("http://example.com:8080", "example.com:8080", False),
    ("HTTP://Example.COM", "eXample.com", False),
    ("http://EXAMPLE.com", "EXAMPLE.com", False),
    ("http://example.com:443", "example.com:443", False),
    ("http://example.com.", "example.com.", False),
    ("http://[::1]", "[::1]:80", False),
    ("http://[::1]:3000", "[::1]:3000", False),
    ("http://[fe80::ABCD]", "[fe80::abcd]", False),
    ("http://my_host", "my_host", False),
    # A proxy may end TLS, and need not say so.
    ("https://example.com", "example.com", False),
    ("https://example.com", "example.com:443", False),
    ("https://example.com:8443", "example.com:8443", False),
    ("https://[::1]", "[::1]", False),
    ("https://example.com", "example.com", True),
    ("https://example.com:443", "example.com", True),
    ("https://example.com", "example.com:443", True),
    ("https://example.com:80", "example.com:80", True),
]
FOREIGN = [
    *(
        (f"{scheme}://example.com", "example.com", False)
        for scheme in (
            *("ftp", "capacitor", "ionic", "ws", "wss", "app", "file", "httpx"),
            *("chrome-extension", "", "http:", "1http", "-http", "ht tp"),
        )
    ),
    ("ftp://example.com", "example.com", True),
    ("http://example.com", "example.com", True),
    ("http://example.com:443", "example.com:443", True),
    ("http://example.com:443", "example.com", True),
    ("http://example.com:443", "example.com", False),
    ("http://example.com", "example.com:443", False),
    ("https://example.com:80", "example.com", False),
    ("https://example.com", "example.com:80", False),
    ("https://example.com", "example.com:80", True),
    ("http://example.com:8080", "example.com", False),
    ("http://example.com", "example.com:8080", False),
    ("http://example.com.", "example.com", False),
    ("http://example.com", "example.com.", False),
    ("http://sub.example.com", "example.com", False),
    ("http://notexample.com", "example.com", False),
    # What no browser sends is nobody's own, whatever the Host is.
    ("", "", False),
    ("null", "null", False),
    ("http://null", "null", True),
    ("://", "", False),
    ("http://", "", False),
    ("https://", "", True),
    ("http://:80", ":80", False),
    ("https://:443", ":443", False),
    ("http://example.com:", "example.com:", False),
    ("http://example.com:0", "example.com:0", False),
    ("http://example.com:080", "example.com:080", False),
    ("http://example.com:65536", "example.com:65536", True),
    ("http://user@example.com", "user@example.com", False),
    ("http://user:80@example.com", "example.com", False),
    ("http://example.com@evil.com", "example.com", False),
    ("http://example.com/", "example.com/", False),
    ("http://example.com/", "example.com", False),
    ("http://example.com?", "example.com?", False),
    ("http://example.com#", "example.com#", False),
    ("http://example.com\\", "example.com\\", False),
    ("http://exa mple.com", "exa mple.com", False),
    ("http://example.com, http://example.com", "example.com", False),
    ("http://a, b", "a, b", False),
    (" http://example.com", "example.com", False),
    ("http://example.com\t", "example.com\t", False),
    ("http://*", "*", False),
    ("http://%65xample.com", "%65xample.com", False),
    ("http://::1", "::1", False),
    ("http://::80", "::80", False),
    ("http://[::1", "[::1", False),
    ("http://[::1]x", "[::1]x", False),
    ("http://[::1]:80", "[::2]", False),
    ("http:example.com", "example.com", False),
    ("http:/example.com", "example.com", False),
    ("http:///example.com", "/example.com", False),
]


@pytest.mark.parametrize(("origin", "host", "is_secure"), SAME)
def test_the_same_origin(origin, host, is_secure):
    """RFC 6454, 5, but for TLS that a proxy may have ended; and so it may come."""
    assert is_same_origin(origin, host, is_secure)
    assert Cors(Config()).allows(origin, host, is_secure)


@pytest.mark.parametrize(("origin", "host", "is_secure"), FOREIGN)
def test_a_foreign_origin(origin, host, is_secure):
    """Another scheme, another host, another port, or no origin at all: refused."""
    assert not is_same_origin(origin, host, is_secure)
    assert not Cors(Config()).allows(origin, host, is_secure)


@pytest.mark.parametrize("scheme", ["ftp", "capacitor", "file", "app"])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_another_scheme_is_refused_on_every_transport(
    server, browse, scheme, transport
):
    """And served where it is listed."""
    browser = browse(server)
    ask = browser.upgrade if transport == "websocket" else browser.get
    ask(f"EIO=4&transport={transport}", Origin=f"{scheme}://example.com")
    assert browser.answer.status == 403
    assert server.sessions == {}


@given(st.text("htps:/[].@ae1:0"), st.text("ae1.:[]@/"), st.booleans())
def test_who_is_of_the_same_origin_names_the_host(origin, host, is_secure):
    """Whatever is written, it is http or https and the Host, and never without TLS."""
    if is_same_origin(origin, host, is_secure):
        scheme, _, netloc = origin.partition("://")
        assert scheme == "https" or (scheme == "http" and not is_secure)
        default = ":80" if scheme == "http" else ":443"
        assert netloc.removesuffix(default) == host.removesuffix(default)


# As browsers write them.


@pytest.mark.parametrize(
    ("origin", "normal"),
    [
        ("https://A.example:443", "https://a.example"),
        ("https://a.example:80", "https://a.example:80"),
        ("capacitor://localhost:80", "capacitor://localhost:80"),
        ("FILE://", "file://"),
        ("app://", "app://"),
        ("NULL", "null"),
        ("file://:80", None),
        ("ftp://", None),
        ("a.example", None),
        ("", None),
    ],
)
def test_an_origin_is_normalized(origin, normal):
    """In lower case, without the port that its scheme has anyway."""
    assert normal_origin(origin) == normal


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://a.example/b?c#d", "http://a.example"),
        ("http://a.example:8080", "http://a.example:8080"),
        ("http://a.example@b.example/", "http://b.example"),
        ("http://a.example?http://b.example/", "http://a.example"),
        ("http://a.example\\@b.example/", "http://a.example"),
        ("file:///home/me/page.html", "file://"),
        ("about:blank", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_a_url_has_an_origin(url, origin):
    """Of a Referer."""
    assert origin_of_url(url) == origin


# As an operator may write them.

LISTED = [
    # In cors, and what a browser sends of that page.
    ("https://a.example", "https://a.example"),
    ("HTTPS://A.Example", "https://a.example"),
    ("https://a.example:443", "https://a.example"),
    ("http://a.example:80", "http://a.example"),
    ("http://a.example:443", "http://a.example:443"),
    ("https://b\xfccher.example", "https://xn--bcher-kva.example"),
    ("https://B\xdcCHER.example:8443", "https://xn--bcher-kva.example:8443"),
    ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ("http://\u4f8b\u3048.jp:443", "http://xn--r8jz45g.jp:443"),
    (
        "https://\u043f\u0440\u0438\u043c\u0435\u0440.example:443",
        "https://xn--e1afmkfd.example",
    ),
    ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
    ("http://[2001:DB8::0001]", "http://[2001:db8::1]"),
    ("http://[::1]:80", "http://[::1]"),
    ("https://\U0001f4a9.example", "https://xn--ls8h.example"),
    ("null", "null"),
    ("file://", "file://"),
    ("capacitor://localhost", "capacitor://localhost"),
    ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
]


@pytest.mark.parametrize(("written", "sent"), LISTED)
def test_a_listed_origin_matches_what_browsers_send(written, sent):
    """However it may be written."""
    config = Config(cors=[written])
    assert config.cors == (sent,)
    assert Cors(config).allows(sent, "elsewhere.example")
    assert Config(cors=config.cors) == config


NEVER_SENT = [
    # What is written, and what would be right, where that is clear.
    ("https://a.example/", "https://a.example"),
    ("https://a.example/some/path", "https://a.example"),
    ("https://a.example:443/?query", "https://a.example"),
    ("https://a.example#fragment", "https://a.example"),
    ("https://user:word@a.example", "https://a.example"),
    (" https://a.example", "https://a.example"),
    ("https://a.example\n", "https://a.example"),
    ("https://b\xfccher.example/", "https://xn--bcher-kva.example"),
    ("wss://a.example", "https://a.example"),
    ("ws://a.example:8080", "http://a.example:8080"),
    ("file:///home/me", "file://"),
    ("https://*.a.example", "a compiled pattern"),
    ("*.a.example", "a compiled pattern"),
    ("https://stra\xdfe.example", "Punycode"),
    ("https://stra\u1e9ee.example", "Punycode"),
    ("https://" + "\xfc" * 64 + ".example", "Punycode"),
    ("a.example", "like 'https://example.com'"),
    ("localhost:3000", "like 'https://example.com'"),
    ("https://", "like 'https://example.com'"),
    ("https://:443", "like 'https://example.com'"),
    ("https://a.example:99999", "like 'https://example.com'"),
    ("https://a.example:port", "like 'https://example.com'"),
    ("https://a.example,https://b.example", "like 'https://example.com'"),
    ("http://[::g]", "like 'https://example.com'"),
    ("http://[::1", "like 'https://example.com'"),
    ("https://a b.example", "like 'https://example.com'"),
    ("", "like 'https://example.com'"),
]


@pytest.mark.parametrize(("written", "right"), NEVER_SENT)
def test_what_no_browser_sends_is_no_setting(written, right):
    """The message names what was written, and what would be right."""
    with pytest.raises(ConfigError, match=re.escape(repr(written))) as caught:
        Config(cors=[written])
    assert caught.value.option == "cors"
    assert right in caught.value.problem
    assert "\n" not in caught.value.problem


@given(st.text())
def test_any_text_is_an_origin_or_told_what_is_wrong(text):
    """And what is right is what comes back."""
    with contextlib.suppress(ValueError):
        origin = listed_origin(text)
        assert origin.isascii()
        assert normal_origin(origin) == listed_origin(origin) == origin

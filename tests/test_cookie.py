"""The cookie is set as it was asked for, and not at all if browsers would drop it."""

from __future__ import annotations

from http.cookies import SimpleCookie
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio import ConfigError
from twisted_engineio.cookie import Cookie


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({}, b"io=abc; Path=/; HttpOnly; SameSite=Lax"),
        (
            {"name": "sid", "path": "/chat", "http_only": False, "same_site": "strict"},
            b"sid=abc; Path=/chat; SameSite=Strict",
        ),
        (
            {"same_site": "none", "secure": True, "max_age": 86_400},
            b"io=abc; Max-Age=86400; Path=/; HttpOnly; Secure; SameSite=None",
        ),
        (
            {"domain": "a-b.example.com"},
            b"io=abc; Domain=a-b.example.com; Path=/; HttpOnly; SameSite=Lax",
        ),
        (
            {"name": "__Host-io", "secure": True},
            b"__Host-io=abc; Path=/; HttpOnly; Secure; SameSite=Lax",
        ),
        (
            {"name": "__Secure-io", "secure": True, "path": "/x", "domain": "a.b"},
            b"__Secure-io=abc; Domain=a.b; Path=/x; HttpOnly; Secure; SameSite=Lax",
        ),
        ({"path": None}, b"io=abc; HttpOnly; SameSite=Lax"),
        (
            {"path": None, "domain": "a.b", "max_age": 60, "http_only": False},
            b"io=abc; Max-Age=60; Domain=a.b; SameSite=Lax",
        ),
        (
            {"path": None, "name": "__Secure-io", "secure": True},
            b"__Secure-io=abc; HttpOnly; Secure; SameSite=Lax",
        ),
    ],
)
def test_the_header_says_what_was_asked_for(options, header):
    """RFC 6265, 4.1.1; in the order of the reference server."""
    assert Cookie(**options).header("abc") == header


@pytest.mark.parametrize(
    ("option", "options"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "a b"}),
        ("name", {"name": "a="}),
        ("name", {"name": "a;"}),
        ("name", {"name": "io\n"}),
        ("name", {"name": "\xe9"}),
        ("name", {"name": True}),
        ("name", {"name": "__Secure-io"}),
        ("name", {"name": "__host-io"}),
        ("name", {"name": "__Host-io", "secure": True, "path": "/x"}),
        ("name", {"name": "__Host-io", "secure": True, "domain": "a.b"}),
        ("path", {"path": ""}),
        ("path", {"path": "chat"}),
        ("path", {"path": "/a;b"}),
        ("path", {"path": "/\r\nX: y"}),
        ("path", {"path": "/\n"}),
        ("path", {"path": "/\xe9"}),
        ("path", {"path": False}),
        ("name", {"name": "__Host-io", "secure": True, "path": None}),
        ("domain", {"domain": ""}),
        ("domain", {"domain": ".example.com"}),
        ("domain", {"domain": "example.com."}),
        ("domain", {"domain": "a..b"}),
        ("domain", {"domain": "-a.b"}),
        ("domain", {"domain": "a.b; Secure"}),
        ("domain", {"domain": "a.b\n"}),
        ("domain", {"domain": "x" * 64}),
        ("http_only", {"http_only": "no"}),
        ("secure", {"secure": 1}),
        ("same_site", {"same_site": "none"}),
        ("same_site", {"same_site": "Lax"}),
        ("same_site", {"same_site": None}),
        ("same_site", {"same_site": ["lax"]}),
        ("max_age", {"max_age": 0}),
        ("max_age", {"max_age": -1}),
        ("max_age", {"max_age": True}),
        ("max_age", {"max_age": 1.5}),
        ("max_age", {"max_age": "60"}),
    ],
)
def test_what_cannot_work_is_a_mistake_of_the_operator(option, options):
    """A browser would drop the cookie, or keep another, and say nothing."""
    with pytest.raises(ConfigError) as caught:
        Cookie(**options)
    assert caught.value.option == f"cookie.{option}"


def test_a_cookie_is_immutable():
    """It is shared by all handshakes."""
    with pytest.raises(AttributeError):
        Cookie().name = "other"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_sid_is_a_value_and_nothing_else(sid):
    """An id of the application's own making cannot add an attribute or a header."""
    header = Cookie().header(sid).decode("ascii")
    value, *attributes = header.split("; ")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax"]
    assert unquote(value.removeprefix("io=")) == sid
    assert unquote(SimpleCookie(header)["io"].value) == sid

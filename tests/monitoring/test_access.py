"""Only an operator passes: with the token, or straight from this machine."""

from __future__ import annotations

import pytest

from twisted_engineio import Reject
from twisted_engineio.monitoring.access import AccessControl
from twisted_engineio.protocol.handshake import Handshake

TOKEN = "a-token-of-27-characters-xx"


def request(address="127.0.0.1", **headers):
    """Make a request; underscores in names are dashes."""
    named = {name.replace("_", "-"): headers[name] for name in headers}
    return Handshake("", {}, {"host": "localhost:3000", **named}, address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]
)
@pytest.mark.parametrize(
    "host", ["localhost", "localhost:3000", "127.0.0.1:80", "[::1]:3000", "LOCALHOST"]
)
def test_this_machine_passes(address, host):
    """By any of its own addresses and names."""
    AccessControl().check(request(address, host=host))


@pytest.mark.parametrize(
    "stranger",
    [
        request("203.0.113.5"),
        request("10.0.0.1"),
        request("::ffff:10.0.0.1"),
        request(None),
        request("a name"),
        request(host="example.com"),
        request(host="127.0.0.1.example.com"),
        request(host="localhost.example.com"),
        request(host="203.0.113.5"),
        request(host=""),
        request(host="[::1"),
        request(x_forwarded_for="127.0.0.1"),
        request(x_forwarded_host="localhost"),
        request(x_forwarded_proto="http"),
        request(forwarded="for=127.0.0.1"),
        request(via="1.1 proxy"),
        request(x_real_ip="127.0.0.1"),
        request(sec_fetch_site="cross-site"),
        request(sec_fetch_site="same-site", sec_fetch_mode="no-cors"),
        request(host="localhost.:3000"),
        request(host="evil.com@localhost, evil.com"),
        request(host="0.0.0.0:3000"),
        request("203.0.113.5", authorization=f"Bearer {TOKEN}"),
    ],
    ids=repr,
)
def test_nobody_else_does_without_a_token(stranger):
    """Not from elsewhere, not through a proxy, not by a name that points here."""
    with pytest.raises(Reject) as caught:
        AccessControl().check(stranger)
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"},
        {"sec_fetch_site": "none", "sec_fetch_mode": "navigate"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
        {"sec_fetch_site": "cross-site", "origin": "http://localhost:3000"},
    ],
)
def test_its_own_page_passes_and_a_link_to_it(headers):
    """An Origin that is foreign has been refused before."""
    AccessControl().check(request(**headers))


def test_a_request_without_a_host_is_a_stranger_s():
    """Nobody knows what name it asks for."""
    with pytest.raises(Reject):
        AccessControl().check(Handshake("", {}, {}, "127.0.0.1"))


def test_behind_proxies_only_the_token_opens():
    """One that does not say who asks makes everybody look like this machine."""
    with pytest.raises(Reject, match="A token is required, and none is set") as caught:
        AccessControl(trusted_proxies=["127.0.0.1"]).check(request())
    assert caught.value.status == 403
    AccessControl(TOKEN, ["127.0.0.1"]).check(request(authorization=f"Bearer {TOKEN}"))


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
def test_the_token_opens_from_anywhere(shown):
    """Through proxies too."""
    AccessControl(TOKEN).check(
        request("203.0.113.5", host="example.com", via="1.1 x", authorization=shown)
    )


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer \xe4\xff",
    ],
)
def test_nothing_else_opens_when_there_is_a_token(shown):
    """Not even from this machine; the answer says what is asked for."""
    with pytest.raises(Reject) as caught:
        AccessControl(TOKEN).check(request(authorization=shown))
    assert caught.value.status == 401
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}
    assert TOKEN not in str(caught.value)


def test_a_guard_tells_whether_it_asks():
    """A page must know whether to ask for the token."""
    assert AccessControl(TOKEN).requires_token
    assert not AccessControl().requires_token


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("", "16 characters"),
        ("short", "16 characters"),
        ("with a space in it", "ASCII letters"),
        ("ein-schönes-geheimnis", "ASCII letters"),
        ("two\nlines-of-a-token", "ASCII letters"),
    ],
)
def test_a_token_must_be_worth_something(token, problem):
    """And must fit into a header."""
    with pytest.raises(ValueError, match=problem):
        AccessControl(token)

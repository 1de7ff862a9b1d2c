"""What a request asks for, read once."""

from __future__ import annotations

import pytest
from twisted.web.test.requesthelper import DummyChannel

from twisted_engineio.policy.forwarded import TrustedProxies
from twisted_engineio.web.request_info import RequestInfo
from twisted_engineio.web.site import EngineIORequest
from twisted_engineio.web.site import EngineIOSite as Site


@pytest.fixture
def ask(server):
    """Read a request for a URI, with headers; from 192.168.1.1, as twisted.web's is."""

    def ask_for(uri, proxies=None, method=b"GET", **headers):
        channel = DummyChannel()
        channel.site = Site(None, server, "/engine.io")
        request = EngineIORequest(channel)
        request.method, request.uri = method, uri
        for name, value in headers.items():
            request.requestHeaders.addRawHeader(name.replace("_", "-"), value)
        return RequestInfo(request, proxies)

    return ask_for


@pytest.mark.parametrize(
    ("method", "header", "upgrade"),
    [
        (b"GET", b"websocket", True),
        (b"GET", b" WebSocket ", True),
        (b"GET", b"h2c", False),
        (b"POST", b"websocket", False),
    ],
)
def test_only_a_get_becomes_a_websocket(ask, method, header, upgrade):
    """RFC 6455, 4.1: a GET whose Upgrade header says websocket, in any case."""
    uri = b"/?transport=websocket"
    assert ask(uri, method=method, Upgrade=header).upgrade is upgrade
    assert ask(uri, method=method).upgrade is False
    # RFC 9110, 7.8: Connection must list it, unless the query says what is meant.
    assert ask(b"/", method=method, Upgrade=header).upgrade is False


def test_a_query_is_read_from_the_uri(ask):
    """Not from twisted.web's arguments, in which a form has its say."""
    asked = ask(b"/engine.io/?transport=polling&transport=websocket&sid=%41")
    assert asked.transport == "websocket"
    assert asked.query["sid"] == "A"


def test_a_view_is_made_once(ask):
    """And is what the application may keep."""
    asked = ask(b"/?transport=polling", X_A=b"b")
    assert asked.view is asked.view
    assert asked.view.headers["x-a"] == "b"
    assert asked.view.client_address == "192.168.1.1"


def test_a_trusted_proxy_tells_the_host(ask):
    """Which origins are compared with; an untrusted one tells nothing."""
    headers = {"Host": b"inner", "X_Forwarded_Host": b"outer.example"}
    trusted = TrustedProxies(["192.168.1.1"])
    assert ask(b"/", trusted, **headers).host == "outer.example"
    assert ask(b"/", TrustedProxies(["10.0.0.1"]), **headers).host == "inner"
    assert ask(b"/", **headers).host == "inner"
    assert ask(b"/", trusted, Host=b"inner").host == "inner"

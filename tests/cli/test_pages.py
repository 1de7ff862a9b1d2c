"""The pages of ``twistd engineio``: what they say for each way to run a server."""

from __future__ import annotations

import re
from html import unescape

import pytest

from twisted_engineio.cli.pages import Pages

BOTH = ("polling", "websocket")


def front(path="/engine.io", transports=BOTH, live=None):
    """Make the front page of a server."""
    pages = Pages(path, transports, echoes=False)
    return pages.front_page(live).data.decode()


def example(page, language):
    """Find the example for one language, as a visitor would copy it."""
    (code,) = re.findall(rf'<code id="{language}">(.+?)</code>', page, re.DOTALL)
    return unescape(code)


@pytest.mark.parametrize("path", ["/engine.io", "/engine.io/"])
def test_at_the_default_path_a_client_is_told_nothing(path):
    """It knows that one itself."""
    page = front(path)
    assert 'new Socket("http://localhost:3000");' in example(page, "javascript")
    assert 'client.connect("http://localhost:3000")\n' in example(page, "python")


@pytest.mark.parametrize("path", ["/x", "/a/b/", "/a.b/c-d~e"])
def test_at_another_path_a_client_is_told_it(path):
    """Each in its own way to write one."""
    page = front(path)
    inner = path.strip("/")
    assert f', {{ path: "/{inner}/" }});' in example(page, "javascript")
    assert f', engineio_path="{inner}")' in example(page, "python")
    assert f'<code id="place">/{inner}/</code>' in page


@pytest.mark.parametrize("transports", [("websocket",), ("sse", "websocket")])
def test_without_polling_a_client_is_told_so(transports):
    """Both begin by polling otherwise."""
    page = front("/x", transports)
    assert '{ path: "/x/", transports: ["websocket"] }' in example(page, "javascript")
    assert ', transports=["websocket"])' in example(page, "python")


@pytest.mark.parametrize(
    ("transports", "named"),
    [
        (("websocket",), "over WebSocket."),
        (BOTH, "over HTTP long-polling and WebSocket."),
        (
            ("polling", "sse", "websocket"),
            "over HTTP long-polling, server-sent events and WebSocket.",
        ),
    ],
)
def test_the_transports_are_named(transports, named):
    """In words."""
    assert named in front(transports=transports)


def test_every_transport_has_a_name():
    """Also alone, where no client from npm connects."""
    for transport in ("polling", "sse", "websocket"):
        assert "over " in front(transports=(transport,))


def test_the_front_page_leads_to_the_live_page():
    """By a link, or by the option to give."""
    assert '<a href="/ops/live">' in front(live="/ops/live")
    assert "--live /live" in front()
    assert "--live /live" not in front(live="/ops/live")


def test_nothing_is_left_to_be_filled_in():
    """And the page asks nothing of any other server."""
    page = front(live="/live")
    assert not re.findall(r"\$\w+", page)
    assert not re.findall(r'(?:src|href)="(?!data:|/live")', page)

"""
The pages that ``twistd engineio`` serves of its own: the live page, the front page.

Rules of this file:

1. ``--static`` has ``/`` and all below it, except the paths that other options name.
2. Without it the echo application has the live page at ``/``. Any other application has
   the front page there, which says what this server is.
3. ``--live`` puts the live page at one more path, whatever is served at ``/``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

from twisted.web.resource import Resource
from twisted.web.static import Data, File

from ..web.http1.mount_points import put

if TYPE_CHECKING:
    from twisted.web.resource import IResource

__all__ = ["Pages"]

_NAMES: Final = {
    "polling": "HTTP long-polling",
    "sse": "server-sent events",
    "websocket": "WebSocket",
}
"""What the front page calls each transport."""


class Pages:
    """The pages of one server, made of its options."""

    def __init__(self, path: str, transports: Sequence[str], *, echoes: bool) -> None:
        """
        Make the pages of a server.

        Args:
            path: Where in the site the server stands.
            transports: Those that the server offers.
            echoes: Whether its application sends back whatever it is sent. The live
                page of any other sends only what is typed.

        """
        self._path = path.rstrip("/")
        self._transports = transports
        self._echoes = echoes

    def root(self, static: str | None, live: str | None) -> Resource:
        """
        Make the root of a site, with the pages in it.

        Args:
            static: A directory to serve at ``/``, or ``None``.
            live: Where to put the live page besides, or ``None``.

        """
        if static is not None:
            root: Resource = File(static)
        else:
            root = Resource()
            at_root = self._echoes or live == "/"
            root.putChild(b"", self.live_page() if at_root else self.front_page(live))
        if live is not None and live != "/":
            put(root, live, _with_or_without_slash(self.live_page()))
        return root

    def live_page(self) -> Data:
        """Make the live page."""
        page = _read("live.html")
        for name, default, content in (
            ("path", "/engine.io/", self._path + "/"),
            ("transports", "polling,websocket", ",".join(self._transports)),
            ("echo", "yes", "yes" if self._echoes else "no"),
        ):
            written = f'<meta name="engineio-{name}" content='
            content = escape(content, quote=True)
            page = page.replace(f'{written}"{default}"', f'{written}"{content}"')
        return _html(page)

    def front_page(self, live: str | None) -> Data:
        """
        Make the page that says what this server is.

        Args:
            live: Where the live page stands, or ``None``.

        """
        javascript, python = self._options()
        names = [_NAMES[each] for each in self._transports]
        page = Template(_read("front.html")).substitute(
            place=escape(self._path + "/"),
            transports=" and ".join(filter(None, [", ".join(names[:-1]), names[-1]])),
            javascript=f", {{ {', '.join(javascript)} }}" if javascript else "",
            python="".join(f", {each}" for each in python),
            live=_about_live_page(live),
        )
        return _html(page)

    def _options(self) -> tuple[list[str], list[str]]:
        """Return what a client must be told here, in JavaScript and in Python."""
        javascript, python = [], []
        if self._path != "/engine.io":
            javascript.append(f"path: {json.dumps(self._path + '/')}")
            python.append(f"engineio_path={json.dumps(self._path.strip('/'))}")
        # Both clients begin by polling unless they are told otherwise.
        if "polling" not in self._transports and "websocket" in self._transports:
            javascript.append('transports: ["websocket"]')
            python.append('transports=["websocket"]')
        return javascript, python


def _about_live_page(live: str | None) -> str:
    if live is None:
        return (
            "Start the server with <code>--live /live</code>: a page at that path then"
            " shows a connection and its messages."
        )
    place = escape(live)
    return f'<a href="{place}">The live page</a> shows a connection and its messages.'


def _read(name: str) -> str:
    return files("twisted_engineio").joinpath("web", "static", name).read_text("utf-8")


def _html(page: str) -> Data:
    return Data(page.encode(), "text/html; charset=utf-8")


def _with_or_without_slash(page: Resource) -> IResource:
    page.putChild(b"", page)
    return page

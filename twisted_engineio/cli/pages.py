"""
The built-in pages of ``twistd engineio``: the live page and the front page.

Rules of this file:

1. ``--static`` serves ``/`` and everything below it, except the paths of other options.
2. Without it, the echo application has the live page at ``/``. Any other application
   has the front page there, which explains what this server is.
3. ``--live`` serves the live page at one more path, whatever is served at ``/``.
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
"""Names of the transports on the front page."""


class Pages:
    """The built-in pages of one server, rendered from its options."""

    def __init__(self, path: str, transports: Sequence[str], *, echoes: bool) -> None:
        """
        Create the pages of a server.

        Args:
            path: The path of the server in the site.
            transports: The transports that the server offers.
            echoes: Whether the application sends back every message. If it does not,
                the live page sends only what the user types.

        """
        self._path = path.rstrip("/")
        self._transports = transports
        self._echoes = echoes

    def root(self, static: str | None, live: str | None) -> Resource:
        """
        Return the root resource of a site, with the pages in it.

        Args:
            static: A directory to serve at ``/``, or ``None``.
            live: An additional path for the live page, or ``None``.

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
        """Return the live page."""
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
        Return the page that explains what this server is.

        Args:
            live: The path of the live page, or ``None``.

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
        """Return the options that clients of this server need, for both examples."""
        javascript, python = [], []
        if self._path != "/engine.io":
            javascript.append(f"path: {json.dumps(self._path + '/')}")
            python.append(f"engineio_path={json.dumps(self._path.strip('/'))}")
        # Both clients start with polling by default.
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

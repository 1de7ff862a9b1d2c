"""
The options of the command line: those that only it has, and those of ``Config``.

The first are described here, the others in ``config/config.py``.
"""

from __future__ import annotations

from typing import Final

from ..config import OPTIONS, Option
from ..config.option import Kind

__all__ = ["ARGUMENTS", "COMMAND_LINE"]

COMMAND_LINE: Final = (
    Option(
        "port",
        "3000",
        "TCP port or endpoint string to listen on.",
        value="PORT",
        group="Listening",
    ),
    Option(
        "listen",
        (),
        "Endpoint string to listen on, like ``unix:/run/chat.sock``. Replaces"
        " ``--port``, unless that is given too.",
        "``ssl:`` needs the extra ``tls``.",
        value="ENDPOINT",
        repeatable=True,
    ),
    Option(
        "path",
        "/engine.io",
        "URL path of the server in its site.",
        "Like engine.io's ``path``.",
        value="PATH",
    ),
    Option(
        "app",
        None,
        "Application to run, as ``MODULE:NAME`` of a class, an instance or a function"
        " that returns one.",
        "The echo application comes with the live page at ``/``.",
        none="an echo application",
        value="MODULE:NAME",
        group="Application and pages",
    ),
    Option(
        "static",
        None,
        "Directory to serve at ``/``.",
        none="none",
        value="DIRECTORY",
    ),
    Option(
        "live",
        None,
        "URL path of the live page, like ``/live``; also with ``--app`` and"
        " ``--static``.",
        "The live page shows a session's packets in the browser. The echo application"
        " has it at ``/`` besides.",
        none="none",
        value="PATH",
    ),
    Option(
        "metrics",
        None,
        "URL path of the metrics for Prometheus, like ``/metrics``.",
        "Needs the extra ``metrics``. See :doc:`metrics` for who may read them.",
        none="none",
        value="PATH",
        group="Monitoring",
    ),
    Option(
        "metrics-listen",
        None,
        "Endpoint string to serve the metrics on, instead of the site. Every client"
        " that can reach it may read them, unless ``--token-file`` is given.",
        none="the site",
        value="ENDPOINT",
    ),
    Option(
        "status",
        None,
        "URL path of the live status page, like ``/status``.",
        none="none",
        value="PATH",
    ),
    Option(
        "token-file",
        None,
        "File with the token that clients must send for ``--metrics`` and ``--status``."
        " Without it, they answer this machine only.",
        "With ``--trusted-proxy`` and without a token, they answer no client.",
        none="none",
        value="FILE",
    ),
    Option(
        "log-level",
        "info",
        "Lowest level that is logged: ``debug``, ``info``, ``warn``, ``error`` or"
        " ``critical``.",
        value="LEVEL",
        group="Log",
    ),
    Option(
        "log-format",
        "text",
        "Format of the log: ``text``, or ``json`` for one object per line.",
        "See :doc:`operations/log`.",
        value="FORMAT",
    ),
    Option(
        "log-sessions",
        False,
        "Log a line when a session opens, upgrades and closes.",
        kind=Kind.FLAG,
    ),
    Option(
        "access-log",
        None,
        "File to log each request to, without session ids. SIGUSR1 reopens it.",
        "Like nginx's ``access_log``; nginx reopens it on SIGUSR1, too.",
        none="none",
        value="FILE",
    ),
)
"""The options that ``Config`` does not have."""

ARGUMENTS: Final[dict[str, Option]] = {
    each.argument: each
    for each in (*COMMAND_LINE, *OPTIONS.values())
    if each.argument is not None
}
"""Every option of the command line, by its name there, in groups."""

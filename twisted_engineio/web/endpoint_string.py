"""
Check endpoint descriptions from an operator: ``3000``, ``unix:/run/chat.sock``.

Twisted and its plugins may raise any exception for a wrong description. Here each
becomes a single line that says what would be right.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Final

from twisted.internet.endpoints import serverFromString
from twisted.python.usage import UsageError

__all__ = ["check_description", "problem_with"]

_NAMES: Final = {
    "tcp": ("interface", "backlog"),
    "tcp6": ("interface", "backlog"),
    "unix": ("mode", "backlog", "lockfile"),
    "systemd": ("domain", "index", "name"),
    "ssl": (
        *("privateKey", "certKey", "extraCertChain", "dhParameters"),
        *("sslmethod", "interface", "backlog"),
    ),
}
"""The keyword arguments of Twisted's own endpoints."""
_PORTS: Final = ("tcp", "tcp6", "ssl")
"""Endpoints whose first argument is a port number."""
_UNEXPECTED: Final = re.compile(r"unexpected keyword argument '([^']*)'")


def check_description(reactor: Any, option: str, address: str) -> str:
    """
    Return the endpoint description for the value of an option.

    Args:
        reactor: The reactor.
        option: The option's name, for the error message.
        address: A port number, or an endpoint description.

    Raises:
        UsageError: If it is neither.

    """
    digits = address.isascii() and address.isdigit()
    kind, _, rest = address.partition(":")
    port = address if digits else rest.partition(":")[0]
    numbered = digits or kind in _PORTS
    if numbered and re.fullmatch("-?[0-9]+", port) and not 0 <= int(port) <= 65535:
        where = "below 0" if port.startswith("-") else "above 65535"
        named = port if digits else f"{address!r}: {port}"
        raise UsageError(f"{option}: {named} is {where}")
    description = f"tcp:{address}" if digits else address
    try:
        serverFromString(reactor, description)
    except Exception as error:
        problem = problem_with(address, error)
        raise UsageError(f"{option}: {address!r}: {problem}") from None
    return description


def problem_with(description: str, error: Exception) -> str:
    """
    Describe in one line what is wrong with an endpoint, and what would be right.

    Args:
        description: The endpoint description.
        error: The exception of its parser.

    """
    return " ".join(_problem(description.partition(":")[0], error).split())


def _problem(kind: str, error: Exception) -> str:
    text = str(error)
    if isinstance(error, ImportError) and kind == "ssl":
        return "OpenSSL is missing; pip install 'twisted[tls]'"
    if isinstance(error, LookupError) and kind == "systemd":
        return f"systemd passed no such socket ({error})"
    if text.startswith("Unknown endpoint type"):
        return (
            f"{error}; give a port number, or an endpoint like"
            " tcp:3000:interface=127.0.0.1"
        )
    if isinstance(error, TypeError):
        return _misnamed(kind, text)
    if text.startswith("invalid literal"):
        return f"invalid literal {text.rpartition(': ')[2]}: it must be a number"
    if type(error).__module__.startswith("OpenSSL"):
        return f"OpenSSL cannot use the key or the certificate: {_reasons(error)}"
    return text or type(error).__name__


def _misnamed(kind: str, text: str) -> str:
    """Describe an unknown argument, and list those that the endpoint accepts."""
    names = _NAMES.get(kind, ())
    known = f"{kind}: takes {', '.join(f'{each}=' for each in names)}" if names else ""
    found = _UNEXPECTED.search(text)
    if found is None:
        # Too many positional arguments, or too few.
        return known or f"{kind}: takes other arguments"
    lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(found[1].lower(), lower, n=1)
    hint = f"did you mean {lower[near[0]]}=?" if near else known
    return f"there is no {found[1]}=" + (f"; {hint}" if hint else f" for {kind}:")


def _reasons(error: Exception) -> str:
    """Return the readable parts of OpenSSL's list of errors."""
    reasons = [str(each[-1]) for each in error.args[0]] if error.args else []
    return "; ".join(reasons) or "is it a PEM file?"

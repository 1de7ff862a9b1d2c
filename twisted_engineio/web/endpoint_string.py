"""
Endpoint descriptions that an operator writes: ``3000``, ``unix:/run/chat.sock``.

Whatever is wrong with one is a single line that says what would be right, though
Twisted and its plugins raise anything.
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
"""What Twisted's own endpoints may be given by name."""
_PORTS: Final = ("tcp", "tcp6", "ssl")
"""Those whose first argument is a port number."""
_UNEXPECTED: Final = re.compile(r"unexpected keyword argument '([^']*)'")


def check_description(reactor: Any, option: str, address: str) -> str:
    """
    Make an endpoint description of what an option was given.

    Args:
        reactor: Twisted's.
        option: The option, for the error.
        address: A port number, or a description.

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
    Say in one line what is wrong with an endpoint, and what would be right.

    Args:
        description: The endpoint.
        error: What its parser raised.

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
    """Say what an endpoint takes, after Python has said what its function does not."""
    names = _NAMES.get(kind, ())
    known = f"{kind}: takes {', '.join(f'{each}=' for each in names)}" if names else ""
    found = _UNEXPECTED.search(text)
    if found is None:
        # Too many arguments, or one too few.
        return known or f"{kind}: takes other arguments"
    lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(found[1].lower(), lower, n=1)
    hint = f"did you mean {lower[near[0]]}=?" if near else known
    return f"there is no {found[1]}=" + (f"; {hint}" if hint else f" for {kind}:")


def _reasons(error: Exception) -> str:
    """Take the words for people from OpenSSL's list of errors."""
    reasons = [str(each[-1]) for each in error.args[0]] if error.args else []
    return "; ".join(reasons) or "is it a PEM file?"

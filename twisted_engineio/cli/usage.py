"""
Options as ``twisted.python.usage`` takes them, and the text of ``--help``.

``usage`` replaces Twisted's own text, which has no groups and cannot show a unit.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from ..config import OPTIONS, Option
from ..config.option import Kind

__all__ = ["flags", "on_command_line", "parameters", "usage"]


def parameters(options: Iterable[Option]) -> list[list[Any]]:
    """
    Return the options that take one value, for ``optParameters``.

    Args:
        options: All options.

    """
    return [
        [each.argument, None, _default(each.default), each.help]
        for each in options
        if each.kind is not Kind.FLAG and not each.repeatable
    ]


def flags(options: Iterable[Option]) -> list[list[Any]]:
    """
    Return the options that take no value, for ``optFlags``.

    Args:
        options: All options.

    """
    return [
        [each.argument, None, each.inverse or each.help]
        for each in options
        if each.kind is Kind.FLAG
    ]


def _default(value: Any) -> str | None:
    if isinstance(value, tuple):
        return ",".join(value)
    return None if value is None else str(value)


def on_command_line(text: str) -> str:
    """
    Return a text with the options in it named as on the command line.

    Args:
        text: With options and other names in double backticks.

    """
    return re.sub(r"``(.+?)``", lambda found: _named(found[1]), text)


def _named(name: str) -> str:
    argument = OPTIONS[name].argument if name in OPTIONS else None
    return name if argument is None else f"--{argument}"


def usage(description: str, options: Iterable[Option], width: int | None) -> str:
    """
    Return the text of ``--help``.

    Args:
        description: What the program does.
        options: In groups.
        width: Columns of the terminal; None for those of ``COLUMNS``, or 80.

    """
    width = width or int(os.environ.get("COLUMNS", "80"))
    lines = ["", *textwrap.wrap(description, width)]
    for each in options:
        lines += _described(each, width)
    lines += ["", "Other:", "  --version", "      Print the versions and exit."]
    return "\n".join([*lines, "  --help", "      Print this help and exit."]) + "\n"


def _described(option: Option, width: int) -> Iterator[str]:
    if option.group:
        yield from ("", f"{option.group}:")
    yield f"  --{option.argument} {option.placeholder}".rstrip()
    # A flag that switches something off is itself off by default.
    default = "off" if option.inverse else option.shown_default
    repeat = " May be repeated." if option.repeatable else ""
    text = f"{option.inverse or option.help}{repeat} Default: {default}."
    indent = " " * 6
    yield from textwrap.wrap(
        on_command_line(text),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )

"""
What an option is: its default, unit, help text and reason, written once.

Rules of this file:

1. An option of ``Config`` is described in its field's metadata, an option that only the
   command line has in ``cli/arguments.py``, and nowhere else. ``help(Config)``,
   ``twistd engineio --help`` and ``docs/options.rst`` are made from that.
2. ``help`` is whole sentences that an operator can act on without the reason. Default
   and unit are not part of it: they are added where it is shown.
3. ``reason`` says why the option or its default is as it is, and which other program
   has the same one.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum, auto
from functools import partial
from typing import Any, Final

__all__ = [
    "Kind",
    "Option",
    "amount",
    "document",
    "flag",
    "interval",
    "names",
    "option",
    "options_of",
    "rate",
    "seconds",
    "size",
    "tokens",
]


class Kind(Enum):
    """How the value of an option is checked, and read from the command line."""

    INTERVAL = auto()
    """A number of seconds above 0, at most an hour."""
    SECONDS = auto()
    """A number of seconds above 0."""
    JITTER = auto()
    """A number of seconds from 0 to ``ping_interval``."""
    AMOUNT = auto()
    """A whole number above 0."""
    RATE = auto()
    """A number above 0."""
    FLAG = auto()
    """True or False."""
    NAMES = auto()
    """A list of strings."""
    TOKENS = auto()
    """A list of names that fit into an HTTP header."""
    OTHER = auto()
    """Checked by a function of its own."""


NUMBERS: Final = frozenset(
    {Kind.INTERVAL, Kind.SECONDS, Kind.JITTER, Kind.AMOUNT, Kind.RATE}
)
"""Kinds whose values are numbers."""


_PLACEHOLDERS: Final = {"seconds": "SECONDS", "bytes": "BYTES"}


@dataclass(frozen=True, slots=True)
class Option:
    """
    One option.

    Attributes:
        name: Its name in ``Config``, or on the command line if that alone has it.
        default: Its value if it is not given.
        help: What it does, as whole sentences. Other options stand in double backticks,
            named as in ``Config``.
        reason: Why, and which other program has the same: for ``Config`` and the docs.
        kind: How its value is checked.
        unit: What a number counts: ``"seconds"``, ``"bytes"``, ``"sessions"``.
        none: What None means; empty if None is not a value of it.
        flag: Its name on the command line if that is not its name with dashes; None
            if the command line does not have it.
        inverse: Help of a flag that switches off what is on; empty if none does.
        value: Placeholder of the value on the command line; ``""`` for the unit.
        repeatable: Whether the command line takes it more than once.
        group: Heading of the options from this one on; ``""`` for the heading above.

    """

    name: str
    default: Any
    help: str
    reason: str = ""
    kind: Kind = Kind.OTHER
    unit: str = ""
    none: str = ""
    flag: str | None = ""
    inverse: str = ""
    value: str = ""
    repeatable: bool = False
    group: str = ""

    @property
    def shown_default(self) -> str:
        """The default and its unit, as text: ``25 seconds``, ``on``, ``no limit``."""
        if self.default is None:
            return self.none
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if isinstance(self.default, (tuple, list)):
            return ",".join(self.default) or "none"
        if isinstance(self.default, float):
            return f"{self.default:g} {self.unit}"
        return f"{self.default} {self.unit}".rstrip()

    @property
    def argument(self) -> str | None:
        """The name on the command line without its dashes; None if it has none."""
        return self.name.replace("_", "-") if self.flag == "" else self.flag

    @property
    def placeholder(self) -> str:
        """The word for the value on the command line; empty for a flag."""
        if self.kind is Kind.FLAG:
            return ""
        return self.value or _PLACEHOLDERS.get(self.unit, "NUMBER")


def option(default: Any, help: str, reason: str = "", **more: Any) -> Any:
    """
    Make a dataclass field that is an option.

    Args:
        default: Its default.
        help: What it does.
        reason: Why, and which other program has the same.
        more: Other attributes of an ``Option``.

    """
    described = Option("", default, help, reason, **more)
    return field(default=default, metadata={"option": described})


seconds: Final = partial(option, kind=Kind.SECONDS, unit="seconds")
interval: Final = partial(option, kind=Kind.INTERVAL, unit="seconds")
amount: Final = partial(option, kind=Kind.AMOUNT)
size: Final = partial(option, kind=Kind.AMOUNT, unit="bytes")
rate: Final = partial(option, None, kind=Kind.RATE, none="no limit")
flag: Final = partial(option, kind=Kind.FLAG)
names: Final = partial(option, kind=Kind.NAMES)
tokens: Final = partial(option, kind=Kind.TOKENS, flag=None)


def options_of(cls: Any) -> dict[str, Option]:
    """
    Return the options of a dataclass whose fields were made by ``option``, by name.

    Args:
        cls: The dataclass.

    """
    return {
        each.name: replace(each.metadata["option"], name=each.name)
        for each in fields(cls)
    }


def document(cls: Any, options: Mapping[str, Option]) -> None:
    """
    Add the options to the documentation of a class: one paragraph each.

    Args:
        cls: The class, whose docstring ends with its own text.
        options: By name.

    """
    lines = ["Args:"]
    for name, each in options.items():
        text = f"{name}: {each.help} Default: {each.shown_default}. {each.reason}"
        lines += textwrap.wrap(
            text, 80, subsequent_indent=" " * 4, break_on_hyphens=False
        )
    # python -OO has removed the docstring.
    summary = (cls.__doc__ or "").rstrip()
    cls.__doc__ = "\n".join([summary, "", *_indented(lines)]) + "\n"


def _indented(lines: list[str]) -> list[str]:
    heading, *rest = lines
    return [" " * 4 + heading, *(" " * 8 + each for each in rest)]

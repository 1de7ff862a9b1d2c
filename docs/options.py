"""
Writes ``options.rst``: run it when an option's text changes.

The texts stand where the options are defined: in ``config/config.py``, and in
``cli/arguments.py`` for those of the command line alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from twisted_engineio import Config
from twisted_engineio.cli.arguments import COMMAND_LINE
from twisted_engineio.config import OPTIONS, Option

HEAD = """\
.. Written by options.py from the options themselves: change their texts there.

Options
=======

Every option of ``twistd engineio`` and of ``Config``. Times are in seconds, sizes in
bytes. An option without a name on the command line needs a program, like
``examples/site.tac``. :doc:`operations/limits` describes what happens at each limit,
and what it costs.
"""
TYPES = {
    each.name: str(each.type).replace("Origins", "Sequence | Callable")
    for each in fields(Config)
}


def section(option: Option) -> Iterator[str]:
    """Describe one option, under its name: that is its anchor, too."""
    if option.group:
        yield from ("", option.group, "-" * len(option.group))
    ours = option.name in OPTIONS
    title = f"``{option.name}``" if ours else f"``--{option.name}``"
    yield from ("", title, "~" * len(title), "")
    yield from textwrap.wrap(option.help, 95, break_on_hyphens=False)
    yield ""
    yield f"| Default: {option.shown_default}"
    if option.argument is not None:
        word = f"--{option.argument} {option.placeholder}".rstrip()
        note = ", repeatable" if option.repeatable else ""
        note = ", switches it off" if option.inverse else note
        yield f"| Command line: ``{word}``{note}"
    if ours:
        yield f"| In Config: ``{option.name}: {TYPES[option.name]}``"
    if option.reason:
        yield ""
        yield from textwrap.wrap(option.reason, 95, break_on_hyphens=False)


def page() -> str:
    """Return the whole page."""
    options = (*COMMAND_LINE, *OPTIONS.values())
    return "\n".join([HEAD[:-1], *(line for each in options for line in section(each))])


if __name__ == "__main__":
    text = page() + "\n"
    Path(__file__).with_name("options.rst").write_text(text, encoding="utf-8")

"""
Fuzz targets: bytes that nobody has thought of, against what must always be true.

A target is a module in ``targets/``. Its docstring opens with its invariant, and its
one function ``check(data)`` raises if the invariant does not hold for these bytes. It
keeps nothing from one input to the next. ``TOKENS``, if there are any, are words that a
fuzzer would take long to make up, and ``GUIDES`` functions of the target whose branches
lead it where our own modules have few: what is done in C has none.

``README.rst`` tells how to run them, and what to do with a finding.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Final

__all__ = ["CORPUS", "FOUND", "PROJECT", "TARGETS", "module_of"]

TARGETS: Final = (
    "codec_v3",
    "codec_v4",
    "door",
    "handshake",
    "headers",
    "jsonp",
    "lane",
    "sse",
)

PROJECT: Final = Path(__file__).parent.parent
CORPUS: Final = Path(__file__).parent / "corpus"
"""Inputs worth keeping: a folder for each target, a file for each input."""

FOUND: Final = PROJECT / ".fuzz"
"""What a run finds on its way; not kept in the repository."""


def module_of(target: str) -> ModuleType:
    """
    Give a target's module.

    Args:
        target: Its name, one of ``TARGETS``.

    """
    return importlib.import_module(f"fuzzing.targets.{target}")

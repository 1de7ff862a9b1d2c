"""
Fuzz targets: bytes that nobody has thought of, against what must always be true.

A target is a module in ``targets/``. Its docstring opens with its invariant, and its
one function ``check(data)`` raises if the invariant does not hold for these bytes; what
it raises nobody catches. It keeps nothing from one input to the next.

``README.rst`` tells how to run them, and what to do with a finding.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["CORPUS", "FOUND", "PROJECT", "TARGETS", "check_of"]

TARGETS: Final = (
    "codec_v3",
    "codec_v4",
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


def check_of(target: str) -> Callable[[bytes], None]:
    """
    Give a target's one function.

    Args:
        target: Its name, one of ``TARGETS``.

    """
    module = importlib.import_module(f"fuzzing.targets.{target}")
    check: Callable[[bytes], None] = module.check
    return check

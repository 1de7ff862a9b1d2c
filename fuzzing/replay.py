"""Check files again, without atheris: ``python -m fuzzing.replay TARGET FILE...``."""

from __future__ import annotations

import sys
from pathlib import Path

from fuzzing import TARGETS, module_of

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Check each file; the first that fails ends it with a traceback."""
    target, *files = arguments or [""]
    if target not in TARGETS or not files:
        raise SystemExit(f"name a target and files; targets are {', '.join(TARGETS)}")
    check = module_of(target).check
    for file in files:
        check(Path(file).read_bytes())
        print(f"{file}: nothing is wrong")


if __name__ == "__main__":
    main(sys.argv[1:])

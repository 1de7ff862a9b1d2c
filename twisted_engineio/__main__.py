"""``python -m twisted_engineio ...`` is ``twistd -n engineio ...``."""

from __future__ import annotations

import sys

from twisted.scripts.twistd import run

__all__ = ["main"]


def main() -> None:
    """Run twistd in the foreground, with the options of ``twistd engineio``."""
    sys.argv[1:1] = ["-n", "engineio"]
    run()


if __name__ == "__main__":
    main()

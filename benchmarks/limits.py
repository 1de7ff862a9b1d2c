"""File descriptors: as many as thousands of connections need."""

from __future__ import annotations

import resource
import sys


def allow_descriptors(needed: int) -> None:
    """
    Allow ourselves, and so the servers that we start, so many descriptors.

    Raises:
        SystemExit: If the hard limit is lower.

    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        sys.exit(f"needs {needed} file descriptors, and `ulimit -Hn` allows {hard}")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))

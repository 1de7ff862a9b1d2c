"""What we promised: our cost divided by a peer's, at most. Floors, not aims."""

from __future__ import annotations

from benchmarks.servers import NODE, PYTHON

# CPU time per message; for "idle", memory per session.
AT_MOST = {
    "echo": {NODE: 1.05, PYTHON: 0.25},
    "echo-deep": {NODE: 0.40, PYTHON: 0.06},
    "echo-binary": {NODE: 1.05, PYTHON: 0.25},
    "echo-4k": {NODE: 1.30, PYTHON: 0.35},
    "echo-64k": {NODE: 1.40, PYTHON: 1.0},
    "broadcast": {NODE: 0.90, PYTHON: 0.30},
    "broadcast-deep": {NODE: 0.35, PYTHON: 0.12},
    "visits": {NODE: 1.20, PYTHON: 0.20},
    "polling": {NODE: 3.5, PYTHON: 0.80},
    "idle": {NODE: 1.1, PYTHON: 0.30},
}

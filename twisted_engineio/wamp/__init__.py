"""
A bridge to a WAMP router: its clients call procedures, publish and subscribe.

``WampApplication`` is the application of these clients; ``connect`` joins it to a
router such as Crossbar.
"""

from __future__ import annotations

from .bridge import WampApplication
from .connection import connect

__all__ = ["WampApplication", "connect"]

"""
A bridge to a WAMP router: its clients call procedures, publish and subscribe.

``WampApplication`` is the application whose sessions do so, and ``connect`` joins it to
a router, Crossbar for one.
"""

from __future__ import annotations

from .bridge import WampApplication
from .connection import connect

__all__ = ["WampApplication", "connect"]

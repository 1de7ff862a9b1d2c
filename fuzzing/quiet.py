"""Autobahn without colours: for every frame it paints a log line that nobody reads."""

from __future__ import annotations

from autobahn.twisted import websocket as on_twisted
from autobahn.websocket import protocol

for module in (protocol, on_twisted):
    module.hltype = module.hlval = lambda value, **_: value

"""Run any Twisted protocol over Engine.IO sessions."""

from .application import SessionLost, StreamApplication, StreamTransport, wrap
from .endpoint import EngineIOServerEndpoint

__all__ = [
    "EngineIOServerEndpoint",
    "SessionLost",
    "StreamApplication",
    "StreamTransport",
    "wrap",
]

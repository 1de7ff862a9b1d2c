"""
An Engine.IO server on Twisted and Autobahn.

A session connects over HTTP long-polling, which always works, and moves to WebSocket
without losing a message. ``Application`` is what you write, ``Server`` keeps its
sessions, and ``EngineIOResource`` puts it into a twisted.web site. ``twistd engineio``
does it all.
"""

from __future__ import annotations

from ._version import __version__ as __version__
from .application import Application, EchoApplication
from .config import Config
from .cookie import Cookie
from .exceptions import (
    CloseReason,
    ConfigError,
    EngineIOError,
    ErrorCode,
    InvalidPacket,
    PayloadTooLarge,
    ProtocolError,
    Refused,
    Reject,
    SessionClosed,
    Unavailable,
)
from .monitoring.session_log import SessionLog
from .observer import Observer
from .protocol.handshake import Handshake
from .protocol.packet import Encoded, Packet, PacketType
from .server.server import Server
from .session.interfaces import Admission
from .session.session import Session, State
from .stream.consumer import Flow
from .web.access_log import redacted_log
from .web.listening import CannotStart
from .web.resource import EngineIOResource
from .web.service import EngineIOService
from .web.site import EngineIOSite
from .web.site_limits import protect

__all__ = [  # noqa: RUF022  grouped by module, not by alphabet
    # access_log
    "redacted_log",
    # application
    "Admission",
    "Application",
    "EchoApplication",
    # config
    "Config",
    # cookie
    "Cookie",
    # exceptions
    "CloseReason",
    "ConfigError",
    "EngineIOError",
    "ErrorCode",
    "InvalidPacket",
    "PayloadTooLarge",
    "ProtocolError",
    "Refused",
    "Reject",
    "SessionClosed",
    "Unavailable",
    # flow
    "Flow",
    # handshake
    "Handshake",
    # observer
    "Observer",
    # packet
    "Encoded",
    "Packet",
    "PacketType",
    # protected
    "protect",
    # server
    "Server",
    # session
    "Session",
    "State",
    # session_log
    "SessionLog",
    # listening
    "CannotStart",
    # resource
    "EngineIOResource",
    # service
    "EngineIOService",
    # site
    "EngineIOSite",
]

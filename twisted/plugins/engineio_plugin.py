"""Tell twistd that there is a service named engineio."""

from twisted.application.service import ServiceMaker

engineio = ServiceMaker(
    "Engine.IO",
    "twisted_engineio.tap",
    "Serve Engine.IO: HTTP long-polling that moves to WebSocket.",
    "engineio",
)

"""Authorize sessions: named by ``app`` in the node's configuration."""

from __future__ import annotations

from twisted_engineio import Admission
from twisted_engineio.wamp import WampApplication


class Bridge(WampApplication):
    def admit(self, handshake):
        # A real application checks a cookie or a token.
        return Admission(data=handshake.query.get("name", "anonymous"))

    def authorize(self, session, action, uri):
        if uri == "com.example.chat" and action == "publish":
            return {"who": session.data}  # replaces a value sent by the client
        return uri.startswith("com.example.") and action != "publish"

    def describe(self, session):
        return {"who": session.data}

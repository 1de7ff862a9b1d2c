"""WebSocket, with Autobahn beneath."""

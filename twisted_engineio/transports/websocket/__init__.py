"""The WebSocket transport, on Autobahn."""

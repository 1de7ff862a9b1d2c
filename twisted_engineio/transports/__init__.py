"""The transports of a session: polling, server-sent events and WebSocket."""

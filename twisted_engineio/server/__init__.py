"""The registry of sessions: admission, broadcast, shutdown."""

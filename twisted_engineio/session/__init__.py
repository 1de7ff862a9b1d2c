"""A session: its state, queues, heartbeat and upgrade."""

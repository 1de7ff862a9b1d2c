"""A session: its state, its queues, its heartbeat and its upgrade."""

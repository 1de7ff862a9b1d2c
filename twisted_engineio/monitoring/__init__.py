"""Counters, Prometheus metrics, the status page and the session log."""

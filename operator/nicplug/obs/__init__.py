"""Observability: metrics, logs and probes."""

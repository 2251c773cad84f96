"""Decisions about migrations: how one goes from request to end, and which may go when."""

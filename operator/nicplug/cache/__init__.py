"""Indexed records of the watched objects. Decides nothing and sends no requests."""

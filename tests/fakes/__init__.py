"""Stand-ins for what tests cannot or need not have: the fake API server."""

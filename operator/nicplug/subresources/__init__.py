"""Handlers for the subresources of VMs and VMIs behind the aggregated API.

Reads what a decision needs, asks `plan.subresources`, and writes the result. Knows nothing of HTTP and decides nothing.
"""

"""The subresources of VMs and VMIs behind the aggregated API: reads what a decision needs, asks `plan.subresources`,
writes what comes of it. Knows nothing of HTTP and decides nothing itself.
"""

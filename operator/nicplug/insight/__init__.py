"""Answers users' questions about one VM: what would happen, what is happening, and why.

Each question reads the objects that the operator caches about that VM into caches of its own, and asks the operator's
own planners. Commands and the aggregated API both use it. It writes nothing.
"""

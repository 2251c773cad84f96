"""Answers to questions of people about one VM: what would happen, what happens, and why.

Each question reads what the operator's caches hold of that VM, puts it into caches of its own, and asks the operator's
own planners. Commands and the aggregated API both use it. It writes nothing.
"""

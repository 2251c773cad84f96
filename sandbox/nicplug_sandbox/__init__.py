"""A laptop cluster for nicplug: a real control plane from pinned Go modules, and simulated nodes.

Imports nothing of `nicplug`: a simulator that shared the operator's reading of the contract
would agree with its mistakes.
"""

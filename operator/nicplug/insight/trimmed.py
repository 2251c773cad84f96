"""Removes from an answer what a user without permission to read the cluster must not see. Pure.

What the VM's own record says remains: its node and pod, how many nodes fit, and why the others do not.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nicplug.insight.evidence import Unknown


def trimmed_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan without the names of nodes and DaemonSets."""
    return {**plan, "nics": [_trimmed_nic(nic) for nic in plan["nics"]]}


def _trimmed_nic(nic: Mapping[str, Any]) -> dict[str, Any]:
    found = nic["evidence"]
    if found is None:
        return dict(nic)
    controller, candidates = {**found["controller"], "daemonSet": None}, {**found["candidates"], "nodes": []}
    return {**nic, "evidence": {**found, "controller": controller, "candidates": candidates}}


def trimmed_unknown(unknown: Iterable[Unknown]) -> list[Unknown]:
    """Return what could not be read, without namespaces and messages of the API server."""
    kinds = dict.fromkeys(item.kind for item in unknown)
    why, remedy = "nicplug api cannot read it", "the answer is made without it; ask the cluster admin"
    return [Unknown(kind=kind, why=why, remedy=remedy) for kind in kinds]

"""What is left out of an answer to somebody who may not read the cluster. Pure.

Left in is what the VM's own record says as well: its node and pod, how many nodes could take it, and what is against
the others.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nicplug.insight.evidence import Unknown


def trimmed_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan without the names of nodes and DaemonSets."""
    return {**plan, "nics": [_trimmed_nic(nic) for nic in plan["nics"]]}


def _trimmed_nic(nic: Mapping[str, Any]) -> dict[str, Any]:
    found = nic["evidence"]
    if found is None:
        return dict(nic)
    controller, candidates = {**found["controller"], "daemonSet": None}, {**found["candidates"], "nodes": []}
    return {**nic, "evidence": {**found, "controller": controller, "candidates": candidates}}


def trimmed_unknown(unknown: Iterable[Unknown]) -> list[Unknown]:
    """What could not be read, without the namespaces and texts of the API server."""
    kinds = dict.fromkeys(item.kind for item in unknown)
    why, remedy = "nicplug api cannot read it", "the answer is made without it; ask the cluster admin"
    return [Unknown(kind=kind, why=why, remedy=remedy) for kind in kinds]

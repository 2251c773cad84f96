"""Rows of `status.interfaces` that follow from a pod's network-status.

Source: KubeVirt 1.9 `pkg/network/controllers/vmi.go`: the primary first, then the secondary
networks in spec order, then rows of others. `multus-status` in a row is the go-ahead for the node
agent; nothing else is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nicplug.model.interface_status import (
    MULTUS_STATUS,
    Row,
    add_source,
    remove_source,
    rows_by_name,
    same_rows,
)
from nicplug.model.metadata import text
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.annotation import interface_names


def plan_rows(*, vmi: VirtualMachineInstance, pod: LauncherPod, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows as they shall be; the old list itself when nothing but the order differs."""
    old = rows_by_name(rows)
    wanted = [row for row in (_primary(vmi, pod, old),) if row is not None]
    names = interface_names(vmi, pod)
    for network in vmi.networks:
        if network.is_secondary:
            row = _secondary(network.name, names[network.name], pod=pod, old=old.get(network.name))
            wanted += [row] if row is not None else []
    spec_names = {network.name for network in vmi.networks}
    wanted += [dict(row) for row in rows if text(row.get("name")) not in spec_names]
    return [dict(row) for row in rows] if same_rows(rows, wanted) else wanted


def _primary(vmi: VirtualMachineInstance, pod: LauncherPod, old: Mapping[str, Mapping[str, Any]]) -> Row | None:
    name = next((network.name for network in vmi.networks if network.is_primary), None)
    if name is None:
        return None
    return {**old.get(name, {"name": name}), "podInterfaceName": pod.network_status.primary_interface}


def _secondary(name: str, pod_interface: str, *, pod: LauncherPod, old: Mapping[str, Any] | None) -> Row | None:
    attached = pod.network_status.has(pod_interface)
    if old is None:
        return {"name": name, "infoSource": MULTUS_STATUS, "podInterfaceName": pod_interface} if attached else None
    row = add_source(old, MULTUS_STATUS) if attached else remove_source(old, MULTUS_STATUS)
    return {**row, "podInterfaceName": pod_interface}

"""Rows of `status.interfaces` that follow from a pod's network-status.

Source: KubeVirt 1.9 `pkg/network/controllers/vmi.go`: the primary first, then the secondary
networks in spec order, then rows of others. `multus-status` in a row is the go-ahead for the node
agent; nothing else is.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nicplug.model.attachments import KnownAttachments
from nicplug.model.interface_status import (
    DOMAIN,
    MULTUS_STATUS,
    Row,
    add_source,
    has_go_ahead,
    has_source,
    remove_source,
    rows_by_name,
    same_rows,
)
from nicplug.model.metadata import text
from nicplug.model.networks import Network
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.attachments import refuse_use
from nicplug.plan.nic.links import belongs_to_another, interface_names

# KubeVirt's guest agent poller reports no more either.
MAXIMUM_GUEST_ROWS = 10
_NOTHING_KNOWN = KnownAttachments()


def plan_rows(
    *,
    vmi: VirtualMachineInstance,
    pod: LauncherPod,
    rows: Sequence[Mapping[str, Any]],
    known: KnownAttachments = _NOTHING_KNOWN,
    superseded: Collection[str] = (),
    left_behind: Collection[str] = (),
) -> list[Row]:
    """The rows as they shall be; the old list itself when nothing but the order differs.

    Args:
        known: by which a network that the VM may not use is recognised.
        superseded: NICs whose pod interface is not what the spec asks for.
        left_behind: NICs that the pod lacks to which the VM is handed over; none of them is given now.
    """
    old = rows_by_name(rows)
    names = interface_names(vmi, pod, old)
    networks = {network.name: network for network in vmi.networks}
    primary = next((network.name for network in vmi.networks if network.is_primary), None)
    wanted = [_primary(primary, pod, old)] if primary is not None else []
    for name, pod_interface in names.items():
        row = _secondary(
            name,
            pod_interface,
            pod=pod,
            old=old.get(name),
            is_given=name not in superseded
            and (name not in left_behind or has_go_ahead(old.get(name)))
            and _is_given(pod_interface, networks[name], old.get(name), vmi=vmi, pod=pod, known=known),
        )
        wanted += [row] if row is not None else []
    # Those of networks of other kinds, and those that the guest made.
    wanted += [dict(row) for name, row in old.items() if name != primary and name not in names]
    nameless = [dict(row) for row in rows if not text(row.get("name"))]
    wanted += nameless[:MAXIMUM_GUEST_ROWS]
    return [dict(row) for row in rows] if same_rows(rows, wanted) else wanted


def _primary(name: str, pod: LauncherPod, old: Mapping[str, Mapping[str, Any]]) -> Row:
    row = dict(old.get(name, {"name": name}))
    if pod.network_status.problem and row.get("podInterfaceName"):
        return row
    return {**row, "podInterfaceName": pod.network_status.primary_interface}


def _is_given(
    pod_interface: str,
    network: Network,
    old: Mapping[str, Any] | None,
    *,
    vmi: VirtualMachineInstance,
    pod: LauncherPod,
    known: KnownAttachments,
) -> bool:
    """The pod has the interface, and it is the NIC's: what the guest has already is not taken from it."""
    if not pod.network_status.has(pod_interface):
        return False
    if has_source(old, DOMAIN):
        return True
    if belongs_to_another(pod_interface, network=network, vmi=vmi, pod=pod, access=known.access):
        return False
    # A go-ahead that the guest has not followed yet is withdrawn when the policy no longer allows the network.
    return refuse_use(network, namespace=vmi.key.namespace, known=known) is None


def _secondary(
    name: str, pod_interface: str, *, pod: LauncherPod, old: Mapping[str, Any] | None, is_given: bool
) -> Row | None:
    if pod.network_status.problem:
        # Silence is no news: what was known stays, and nothing is added to it.
        return dict(old) if old is not None else None
    if old is None:
        return {"name": name, "infoSource": MULTUS_STATUS, "podInterfaceName": pod_interface} if is_given else None
    row = add_source(old, MULTUS_STATUS) if is_given else remove_source(old, MULTUS_STATUS)
    return {**row, "podInterfaceName": pod_interface}

"""Condition MigrationRequired: whether NICs wait for a migration, and since when (section 4.5). Pure."""

from datetime import datetime, timedelta
from enum import Enum, auto

from nicplug_sandbox.kubevirt.interface_names import is_secondary
from nicplug_sandbox.kubevirt.objects import (
    Json,
    condition_of,
    interfaces_of,
    is_absent,
    moment_of,
    namespace_of,
    networks_of,
    rows_of,
)
from nicplug_sandbox.kubevirt.pod_networks import MULTUS_STATUS, network_status

TYPE = "MigrationRequired"
PATIENCE = timedelta(seconds=15)
LOOK_AGAIN_SECONDS = 10.0


class Need(Enum):
    """What one NIC asks for."""

    NO = auto()
    PENDING = auto()
    IMMEDIATE = auto()


def wanted_status(vmi: Json, pod: Json, *, now: datetime, renames: bool = True) -> str:
    """True, False or Unknown, as the evaluator says; what the condition becomes is `wanted_condition`."""
    need = next((need for need in _needs(vmi, pod, renames=renames) if need is not Need.NO), Need.NO)
    if need is Need.NO:
        return "Unknown"
    if need is Need.IMMEDIATE:
        return "True"
    present = condition_of(vmi, TYPE)
    if present is None or present["status"] != "False":
        return "False"
    return "True" if now - moment_of(present["lastTransitionTime"]) > PATIENCE else "False"


def wanted_condition(vmi: Json, pod: Json, *, now: datetime, renames: bool = True) -> Json | None:
    """The condition as it must be: None when it goes, or does not come. Once True it stays True while a NIC waits."""
    status = wanted_status(vmi, pod, now=now, renames=renames)
    if status == "Unknown":
        return None
    present = condition_of(vmi, TYPE)
    if present is not None and present["status"] == "True":
        return present
    reason = "AutoMigrationDueToLiveUpdate" if status == "True" else "AutoMigrationPending"
    return {"type": TYPE, "status": status, "reason": reason}


def _needs(vmi: Json, pod: Json, *, renames: bool) -> list[Need]:
    interfaces = {interface["name"]: interface for interface in interfaces_of(vmi["spec"])}
    rows = {row.get("name"): row for row in rows_of(vmi)}
    entries = {entry.get("interface"): entry for entry in network_status(pod)} if renames else {}
    return [
        _need(network, interfaces[network["name"]], rows.get(network["name"]), entries, namespace=namespace_of(vmi))
        for network in networks_of(vmi["spec"])
        if is_secondary(network) and network["name"] in interfaces
    ]


def _need(network: Json, interface: Json, row: Json | None, entries: dict[str | None, Json], *, namespace: str) -> Need:
    if row is None:
        if is_absent(interface):
            return Need.NO
        return Need.IMMEDIATE if "sriov" in interface else Need.PENDING
    sources = (row.get("infoSource") or "").split(", ")
    if is_absent(interface) and MULTUS_STATUS in sources and "domain" not in sources:
        return Need.PENDING
    entry = entries.get(row.get("podInterfaceName") or "")
    if entry is None:
        return Need.NO
    wanted = network["multus"]["networkName"]
    names = {wanted} if "/" in wanted else {wanted, f"{namespace}/{wanted}"}
    return Need.NO if entry.get("name") in names else Need.IMMEDIATE

"""The NICs of a VM at a glance, for `kubectl get -o wide`: the JSONPath of a column can neither count nor choose.

Not worth a write of its own: it changes with the records, or with the spec that `InterfacesReady` is about.
"""

from collections.abc import Sequence

from nicplug.model.metadata import mapping, text
from nicplug.model.operations import InterfaceOperation
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.operations import unsettled

SUMMARY_MEMBER = "interfaceSummary"
ALL = "all"


def summarise(vmi: VirtualMachineInstance, operations: Sequence[InterfaceOperation]) -> dict[str, str]:
    """How many NICs are ready of how many, as "3/4", and the first reason why one is not.

    Counted are the NICs of the spec, and whatever else has a record: a NIC on its way out, one of the template alone.

    Args:
        operations: the records of a running guest; a NIC without one was born with it, and is ready.
    """
    named = {item.name for item in vmi.interfaces if not item.is_absent} | {item.name for item in operations}
    waiting = unsettled(operations)
    row = {"ready": f"{len(named) - len(waiting)}/{len(named)}"}
    return {**row, "reason": str(waiting[0].reason)} if waiting else row


def mirror_summary(vmi: VirtualMachineInstance) -> dict[str, str] | None:
    """The same for the VM: "all" instead of a number, as a NIC that is plugged at once costs the VM no write."""
    row = mapping(vmi.read_status().get(SUMMARY_MEMBER))
    if not (ready := text(row.get("ready"))):
        return None
    reason = text(row.get("reason"))
    return {"ready": ready, "reason": reason} if reason else {"ready": ALL}
